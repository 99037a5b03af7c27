//! How connections come to be, or do not.

use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::time::Duration;

use stillpoint::{
    Buffer, NetworkError, NetworkEvent, StreamId, TcpConnect, TcpListen, TcpOptions, Token,
};

use super::lab::{Kind, Lab, Puppet};
use super::streams::{Pair, closed, listening, read_ended};

fn connected(event: &NetworkEvent) -> Option<StreamId> {
    match event {
        NetworkEvent::Connected { stream, .. } => Some(*stream),
        _ => None,
    }
}

fn accepted(event: &NetworkEvent) -> Option<StreamId> {
    match event {
        NetworkEvent::Accepted { stream, .. } => Some(*stream),
        _ => None,
    }
}

fn connect_failed(event: &NetworkEvent) -> Option<NetworkError> {
    match event {
        NetworkEvent::ConnectFailed { error, .. } => Some(*error),
        _ => None,
    }
}

fn connect(lab: &mut Lab, puppet: Puppet, connect: TcpConnect) {
    lab.act(puppet, move |hands| hands.outbox.connect(connect));
}

/// The id that a puppet's next stream has, told by an answer that says it is stale already.
fn stale(event: &NetworkEvent) -> Option<u32> {
    match event {
        NetworkEvent::Stale { outputs, .. } => Some(*outputs),
        _ => None,
    }
}

pub(crate) fn a_connect_that_nobody_answers_fails_when_its_time_is_up(kind: Kind) {
    let mut lab = Lab::new(kind);
    let client = lab.puppet();
    let silent = lab.silent();
    let begin = lab.now();
    let timeout = Duration::from_millis(40);
    connect(
        &mut lab,
        client,
        TcpConnect::new(Token(4), silent).with_timeout(timeout),
    );
    let (at, error) = lab.next_at(client, connect_failed);
    assert_eq!(error, NetworkError::TimedOut);
    assert!(at >= begin.after(timeout), "{at} is too soon");
}

pub(crate) fn shutdown_does_not_wait_for_a_connect_that_nobody_answers(kind: Kind) {
    let mut lab = Lab::new(kind);
    let client = lab.puppet();
    let silent = lab.silent();
    connect(&mut lab, client, TcpConnect::new(Token(4), silent));
    let begin = lab.now();
    lab.shutdown(client.host);
    lab.wait_until_stopped(client.host);
    assert!(lab.now() < begin.after(Duration::from_secs(29)));
}

pub(crate) fn a_connection_is_made_over_ipv6(kind: Kind) {
    let mut lab = Lab::new(kind);
    let (client, server) = (lab.puppet(), lab.puppet());
    let bind = SocketAddr::new(lab.ip_v6(server.host), 0);
    lab.act(server, move |hands| {
        hands.outbox.listen(TcpListen::new(Token(1), bind));
    });
    let address = lab.next(server, |event| match event {
        NetworkEvent::Listening { local, .. } => Some(*local),
        _ => None,
    });
    connect(&mut lab, client, TcpConnect::new(Token(2), address));
    let (peer, local) = lab.next(client, |event| match event {
        NetworkEvent::Connected { peer, local, .. } => Some((*peer, *local)),
        _ => None,
    });
    assert_eq!(peer, address);
    assert_eq!(local.ip(), lab.ip_v6(client.host));
}

pub(crate) fn a_listener_at_any_address_tells_which_one_was_connected_to(kind: Kind) {
    let mut lab = Lab::new(kind);
    let (client, server) = (lab.puppet(), lab.puppet());
    lab.act(server, |hands| {
        let any = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
        hands.outbox.listen(TcpListen::new(Token(1), any));
    });
    let bound = lab.next(server, |event| match event {
        NetworkEvent::Listening { local, .. } => Some(*local),
        _ => None,
    });
    assert!(bound.ip().is_unspecified());
    let address = SocketAddr::new(lab.ip(server.host), bound.port());
    connect(&mut lab, client, TcpConnect::new(Token(2), address));
    let local = lab.next(server, |event| match event {
        NetworkEvent::Accepted { local, .. } => Some(*local),
        _ => None,
    });
    assert_eq!(local, address);
}

pub(crate) fn a_connection_comes_from_the_address_that_was_asked_for(kind: Kind) {
    let mut lab = Lab::new(kind);
    let (client, server) = (lab.puppet(), lab.puppet());
    let (_, address) = listening(&mut lab, server);
    let from = SocketAddr::new(lab.ip(client.host), 0);
    connect(
        &mut lab,
        client,
        TcpConnect::new(Token(2), address).from_address(from),
    );
    let local = lab.next(client, |event| match event {
        NetworkEvent::Connected { local, .. } => Some(*local),
        _ => None,
    });
    assert_eq!(local.ip(), from.ip());
    assert_ne!(local.port(), 0);
}

pub(crate) fn a_connection_from_an_address_of_others_is_refused(kind: Kind) {
    let mut lab = Lab::new(kind);
    let (client, server) = (lab.puppet(), lab.puppet());
    let (_, address) = listening(&mut lab, server);
    let from = SocketAddr::new(lab.nobody(), 0);
    connect(
        &mut lab,
        client,
        TcpConnect::new(Token(2), address).from_address(from),
    );
    assert_eq!(
        lab.next(client, connect_failed),
        NetworkError::AddressNotAvailable
    );
}

pub(crate) fn a_task_connects_to_its_own_listener(kind: Kind) {
    let mut lab = Lab::new(kind);
    let alone = lab.puppet();
    let (_, address) = listening(&mut lab, alone);
    connect(&mut lab, alone, TcpConnect::new(Token(2), address));
    let (ours, theirs) = (lab.next(alone, connected), lab.next(alone, accepted));
    lab.act(alone, move |hands| {
        hands.outbox.write(ours, Buffer::copy_from(b"to myself"));
    });
    let heard = lab.next(alone, |event| match event {
        NetworkEvent::Received { stream, data } => Some((*stream, data.to_vec())),
        _ => None,
    });
    assert_eq!(heard.0, theirs);
    assert!(b"to myself".starts_with(&heard.1));
}

pub(crate) fn a_connection_begins_with_all_its_room(kind: Kind) {
    let mut lab = Lab::new(kind);
    let (client, server) = (lab.puppet(), lab.puppet());
    let (_, address) = listening(&mut lab, server);
    let options = TcpOptions::new().with_send_queue_max(12_345);
    connect(
        &mut lab,
        client,
        TcpConnect::new(Token(2), address).with_options(options),
    );
    let ours = lab.next(client, |event| match event {
        NetworkEvent::Connected { room, .. } => Some(*room),
        _ => None,
    });
    let theirs = lab.next(server, |event| match event {
        NetworkEvent::Accepted { room, .. } => Some(*room),
        _ => None,
    });
    assert_eq!(ours, 12_345);
    assert_eq!(theirs, TcpOptions::new().send_queue_max);
}

pub(crate) fn an_end_in_the_moment_of_connecting_reaches_the_peer(kind: Kind) {
    let mut lab = Lab::new(kind);
    let (client, server) = (lab.puppet(), lab.puppet());
    let (_, address) = listening(&mut lab, server);
    lab.react(client, |event, hands| {
        if let NetworkEvent::Connected { stream, .. } = event {
            hands.outbox.write(*stream, Buffer::copy_from(b"hello"));
            hands.outbox.end_write(*stream);
        }
    });
    connect(&mut lab, client, TcpConnect::new(Token(2), address));
    let theirs = lab.next(server, accepted);
    let mut heard = Vec::new();
    while heard.len() < 5 {
        heard.extend(lab.next(server, |event| match event {
            NetworkEvent::Received { data, .. } => Some(data.to_vec()),
            _ => None,
        }));
    }
    assert_eq!(heard, b"hello");
    assert_eq!(lab.next(server, read_ended), theirs);
}

pub(crate) fn a_thousand_connections_stand_side_by_side(kind: Kind) {
    const CONNECTIONS: u64 = 1_000;
    let mut lab = Lab::new(kind);
    let (client, server) = (lab.puppet(), lab.puppet());
    let (_, address) = listening(&mut lab, server);
    lab.react(server, |event, hands| match event {
        NetworkEvent::Received { stream, data } => hands.outbox.write(*stream, data.clone()),
        NetworkEvent::ReadEnded { stream } => hands.outbox.end_write(*stream),
        _ => {}
    });
    lab.react(client, |event, hands| {
        if let NetworkEvent::Connected { stream, token, .. } = event {
            let question = token.0.to_be_bytes();
            hands.outbox.write(*stream, Buffer::copy_from(&question));
        }
    });
    lab.act(client, move |hands| {
        for token in 0..CONNECTIONS {
            hands.outbox.connect(TcpConnect::new(Token(token), address));
        }
    });
    let mut streams = Vec::new();
    for _ in 0..CONNECTIONS {
        streams.push(lab.next(client, |event| match event {
            NetworkEvent::Connected { stream, token, .. } => Some((*stream, token.0)),
            _ => None,
        }));
    }
    for &(ours, token) in &streams {
        let mut heard = Vec::new();
        while heard.len() < 8 {
            heard.extend(lab.next(client, |event| match event {
                NetworkEvent::Received { stream, data } if *stream == ours => Some(data.to_vec()),
                _ => None,
            }));
        }
        assert_eq!(heard, token.to_be_bytes());
    }
    lab.act(client, move |hands| {
        for (stream, _) in streams {
            hands.outbox.end_write(stream);
        }
    });
    for _ in 0..CONNECTIONS {
        assert_eq!(lab.next(client, closed), None);
        assert_eq!(lab.next(server, closed), None);
    }
}

pub(crate) fn a_stream_that_is_no_more_answers_to_no_name(kind: Kind) {
    let mut pair = Pair::new(kind);
    let ours = pair.ours;
    pair.lab
        .act(pair.client, move |hands| hands.outbox.reset(ours));
    pair.lab.act(pair.client, move |hands| {
        hands.outbox.write(ours, Buffer::copy_from(b"late"));
        hands.outbox.end_write(ours);
        hands.outbox.close(ours);
    });
    assert_eq!(pair.lab.next(pair.client, stale), 3);
}

pub(crate) fn nobody_else_can_use_a_stream(kind: Kind) {
    let mut pair = Pair::new(kind);
    let thief = pair.lab.puppet_on(pair.client.host);
    let ours = pair.ours;
    pair.lab.act(thief, move |hands| {
        hands.outbox.write(ours, Buffer::copy_from(b"forged"));
        hands.outbox.reset(ours);
    });
    assert_eq!(pair.lab.next(thief, stale), 2);
    pair.write(b"genuine");
    assert_eq!(pair.received(7), b"genuine");
}
