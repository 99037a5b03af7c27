//! What no sensible task asks for, and what a careless one may.

use core::net::SocketAddr;
use core::time::Duration;

use stillpoint::{
    Buffer, Keepalive, NetworkEvent, Reading, TcpConnect, TcpListen, TcpOptions, Token,
};

use super::lab::{Kind, Lab, Puppet};
use super::streams::{Pair, closed, listening, read_ended};

/// Whether a puppet's connect came to something, which it is to say in any case.
fn connects(lab: &mut Lab, puppet: Puppet, connect: TcpConnect) -> bool {
    lab.act(puppet, move |hands| hands.outbox.connect(connect));
    lab.next(puppet, |event| match event {
        NetworkEvent::Connected { .. } => Some(true),
        NetworkEvent::ConnectFailed { .. } => Some(false),
        _ => None,
    })
}

pub(crate) fn absurd_options_of_a_stream_are_taken_as_far_as_they_go(kind: Kind) {
    let forever = Duration::MAX;
    let moment = Duration::from_nanos(1);
    let keepalives = [
        Keepalive::new(forever, forever, u32::MAX),
        Keepalive::new(Duration::ZERO, moment, 0),
    ];
    let options = [
        TcpOptions::new().with_linger(forever),
        TcpOptions::new().with_send_queue_max(usize::MAX),
        TcpOptions::new().with_send_queue_max(0),
        TcpOptions::new().with_buffers(0, 0),
        TcpOptions::new().with_buffers(u32::MAX, u32::MAX),
        TcpOptions::new().with_keepalive(keepalives[0]),
        TcpOptions::new().with_keepalive(keepalives[1]),
    ];
    for options in options {
        let mut pair = Pair::with(kind, options);
        pair.write(b"x");
        assert_eq!(pair.received(1), b"x", "with {options:?}");
        let ours = pair.ours;
        pair.lab
            .act(pair.client, move |hands| hands.outbox.close(ours));
        assert_eq!(pair.lab.next(pair.server, read_ended), pair.theirs);
    }
}

pub(crate) fn absurd_times_and_backlogs_are_taken_as_far_as_they_go(kind: Kind) {
    let mut lab = Lab::new(kind);
    let (client, server) = (lab.puppet(), lab.puppet());
    for backlog in [0, 1, u32::MAX] {
        let bind = SocketAddr::new(lab.ip(server.host), 0);
        lab.act(server, move |hands| {
            let listen = TcpListen::new(Token(1), bind).with_backlog(backlog);
            hands.outbox.listen(listen);
        });
        let address = lab.next(server, |event| match event {
            NetworkEvent::Listening { local, .. } => Some(*local),
            _ => None,
        });
        let patient = TcpConnect::new(Token(2), address).with_timeout(Duration::MAX);
        assert!(connects(&mut lab, client, patient), "backlog {backlog}");
        // It may be made in no time, or not.
        let hasty = TcpConnect::new(Token(3), address).with_timeout(Duration::ZERO);
        connects(&mut lab, client, hasty);
    }
}

pub(crate) fn addresses_that_nobody_can_have_are_refused(kind: Kind) {
    let mut lab = Lab::new(kind);
    let (client, server) = (lab.puppet(), lab.puppet());
    let (_, address) = listening(&mut lab, server);
    let timeout = Duration::from_millis(20);
    for peer in ["255.255.255.255:9", "224.0.0.1:9", "[ff02::1]:9"] {
        let peer = peer.parse().unwrap();
        let connect = TcpConnect::new(Token(2), peer).with_timeout(timeout);
        assert!(!connects(&mut lab, client, connect), "connected to {peer}");
    }
    let nothing = SocketAddr::new(address.ip(), 0);
    let connect = TcpConnect::new(Token(2), nothing).with_timeout(timeout);
    assert!(!connects(&mut lab, client, connect), "connected to port 0");
    let other_family = SocketAddr::new(lab.ip_v6(client.host), 0);
    let connect = TcpConnect::new(Token(2), address).from_address(other_family);
    assert!(
        !connects(&mut lab, client, connect),
        "connected from IPv6 to IPv4"
    );
    // And it goes on.
    let connect = TcpConnect::new(Token(2), address);
    assert!(connects(&mut lab, client, connect));
}

pub(crate) fn everything_at_once_in_the_moment_of_being_taken_in(kind: Kind) {
    let mut lab = Lab::new(kind);
    let (client, server) = (lab.puppet(), lab.puppet());
    let (listener, address) = listening(&mut lab, server);
    lab.react(server, move |event, hands| {
        if let NetworkEvent::Accepted { stream, .. } = event {
            hands.outbox.set_reading(*stream, Reading::Paused);
            hands.outbox.write(*stream, Buffer::copy_from(b"take this"));
            hands.outbox.end_write(*stream);
            hands.outbox.set_reading(*stream, Reading::Flowing);
            hands.outbox.close(*stream);
            hands.outbox.close(listener);
        }
    });
    assert!(connects(
        &mut lab,
        client,
        TcpConnect::new(Token(2), address)
    ));
    let mut heard = Vec::new();
    while heard.len() < 9 {
        heard.extend(lab.next(client, |event| match event {
            NetworkEvent::Received { data, .. } => Some(data.to_vec()),
            _ => None,
        }));
    }
    assert_eq!(heard, b"take this");
    let stream = lab.next(client, read_ended);
    lab.act(client, move |hands| hands.outbox.end_write(stream));
    assert_eq!(lab.next(client, closed), None);
    lab.shutdown(server.host);
    lab.wait_until_stopped(server.host);
}

pub(crate) fn ten_thousand_writes_of_one_byte_arrive_in_order(kind: Kind) {
    let mut pair = Pair::new(kind);
    let ours = pair.ours;
    for round in 0..2_u8 {
        pair.lab.act(pair.client, move |hands| {
            for at in 0..5_000_u16 {
                let byte = at.to_be_bytes()[1] ^ round;
                hands.outbox.write(ours, Buffer::copy_from(&[byte]));
            }
        });
        let expected: Vec<u8> = (0..5_000_u16)
            .map(|at| at.to_be_bytes()[1] ^ round)
            .collect();
        assert_eq!(pair.received(5_000), expected);
    }
}
