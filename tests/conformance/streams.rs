//! TCP, as stories.

use core::net::SocketAddr;
use core::time::Duration;

use stillpoint::{
    Buffer, ListenerId, NetworkError, NetworkEvent, Reading, StreamId, TcpConnect, TcpListen,
    TcpOptions, Token,
};

use super::lab::{Kind, Lab, Puppet};

/// Two puppets on two hosts with a stream between them: who connected, then who listened.
pub(crate) struct Pair {
    pub(crate) lab: Lab,
    pub(crate) client: Puppet,
    pub(crate) server: Puppet,
    pub(crate) ours: StreamId,
    pub(crate) theirs: StreamId,
    pub(crate) listener: ListenerId,
    pub(crate) address: SocketAddr,
}

/// A puppet's new listener, and where it listens.
pub(crate) fn listening(lab: &mut Lab, puppet: Puppet) -> (ListenerId, SocketAddr) {
    let bind = SocketAddr::new(lab.ip(puppet.host), 0);
    lab.act(puppet, move |hands| {
        hands.outbox.listen(TcpListen::new(Token(1), bind));
    });
    lab.next(puppet, |event| match event {
        NetworkEvent::Listening {
            listener, local, ..
        } => Some((*listener, *local)),
        _ => None,
    })
}

impl Pair {
    pub(crate) fn new(kind: Kind) -> Self {
        Self::with(kind, TcpOptions::new())
    }

    pub(crate) fn with(kind: Kind, options: TcpOptions) -> Self {
        let mut lab = Lab::new(kind);
        let (client, server) = (lab.puppet(), lab.puppet());
        let (listener, address) = listening(&mut lab, server);
        lab.act(client, move |hands| {
            let connect = TcpConnect::new(Token(2), address).with_options(options);
            hands.outbox.connect(connect);
        });
        let ours = lab.next(client, |event| match event {
            NetworkEvent::Connected { stream, .. } => Some(*stream),
            _ => None,
        });
        let theirs = lab.next(server, |event| match event {
            NetworkEvent::Accepted { stream, .. } => Some(*stream),
            _ => None,
        });
        Self {
            lab,
            client,
            server,
            ours,
            theirs,
            listener,
            address,
        }
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) {
        let (stream, data) = (self.ours, Buffer::copy_from(bytes));
        self.lab
            .act(self.client, move |hands| hands.outbox.write(stream, data));
    }

    /// What the server receives, until it has this many bytes.
    pub(crate) fn received(&mut self, len: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        while bytes.len() < len {
            bytes.extend(self.lab.next(self.server, |event| match event {
                NetworkEvent::Received { data, .. } => Some(data.to_vec()),
                _ => None,
            }));
        }
        bytes
    }
}

/// Why a stream is no more.
pub(crate) fn closed(event: &NetworkEvent) -> Option<Option<NetworkError>> {
    match event {
        NetworkEvent::StreamClosed { error, .. } => Some(*error),
        _ => None,
    }
}

fn writable(event: &NetworkEvent) -> Option<usize> {
    match event {
        NetworkEvent::Writable { room, .. } => Some(*room),
        _ => None,
    }
}

pub(crate) fn read_ended(event: &NetworkEvent) -> Option<StreamId> {
    match event {
        NetworkEvent::ReadEnded { stream } => Some(*stream),
        _ => None,
    }
}

pub(crate) fn a_connection_is_made_and_both_ends_name_the_same_addresses(kind: Kind) {
    let mut lab = Lab::new(kind);
    let (client, server) = (lab.puppet(), lab.puppet());
    let (_, address) = listening(&mut lab, server);
    lab.act(client, move |hands| {
        hands.outbox.connect(TcpConnect::new(Token(7), address));
    });
    let connected = lab.next(client, |event| match event {
        NetworkEvent::Connected {
            token, peer, local, ..
        } => Some((*token, *peer, *local)),
        _ => None,
    });
    let accepted = lab.next(server, |event| match event {
        NetworkEvent::Accepted { peer, local, .. } => Some((*peer, *local)),
        _ => None,
    });
    assert_eq!(connected, (Token(7), address, accepted.0));
    assert_eq!(accepted.1, address);
}

pub(crate) fn bytes_arrive_in_order_and_whole(kind: Kind) {
    let mut pair = Pair::new(kind);
    let bytes: Vec<u8> = (0..200_000_u32).map(|at| (at * 31 % 251) as u8).collect();
    for part in bytes.chunks(7_001) {
        pair.write(part);
    }
    assert_eq!(pair.received(bytes.len()), bytes);
}

pub(crate) fn nobody_listens_is_a_refusal(kind: Kind) {
    let mut lab = Lab::new(kind);
    let (client, server) = (lab.puppet(), lab.puppet());
    let (listener, address) = listening(&mut lab, server);
    lab.act(server, move |hands| hands.outbox.close(listener));
    lab.act(client, move |hands| {
        hands.outbox.connect(TcpConnect::new(Token(7), address));
    });
    let failed = lab.next(client, |event| match event {
        NetworkEvent::ConnectFailed { peer, error, .. } => Some((*peer, *error)),
        _ => None,
    });
    assert_eq!(failed, (address, NetworkError::ConnectionRefused));
}

pub(crate) fn each_direction_ends_for_itself(kind: Kind) {
    let mut pair = Pair::new(kind);
    pair.write(b"a request");
    let (ours, theirs) = (pair.ours, pair.theirs);
    pair.lab
        .act(pair.client, move |hands| hands.outbox.end_write(ours));
    assert_eq!(pair.received(9), b"a request");
    assert_eq!(pair.lab.next(pair.server, read_ended), theirs);
    pair.lab.act(pair.server, move |hands| {
        hands.outbox.write(theirs, Buffer::copy_from(b"an answer"));
        hands.outbox.end_write(theirs);
    });
    let answer = pair.lab.next(pair.client, |event| match event {
        NetworkEvent::Received { data, .. } => Some(data.to_vec()),
        _ => None,
    });
    assert!(b"an answer".starts_with(&answer));
    assert_eq!(pair.lab.next(pair.client, closed), None);
    assert_eq!(pair.lab.next(pair.server, closed), None);
}

pub(crate) fn a_reset_reaches_the_peer_as_an_error(kind: Kind) {
    let mut pair = Pair::new(kind);
    let ours = pair.ours;
    pair.lab
        .act(pair.client, move |hands| hands.outbox.reset(ours));
    assert_eq!(
        pair.lab.next(pair.server, closed),
        Some(NetworkError::ConnectionReset)
    );
}

pub(crate) fn what_was_written_before_a_close_arrives(kind: Kind) {
    let mut pair = Pair::new(kind);
    let bytes = vec![7; 250_000];
    pair.write(&bytes);
    let ours = pair.ours;
    pair.lab
        .act(pair.client, move |hands| hands.outbox.close(ours));
    assert_eq!(pair.received(bytes.len()), bytes);
    assert_eq!(pair.lab.next(pair.server, read_ended), pair.theirs);
}

pub(crate) fn a_paused_reader_stops_the_sender_and_loses_nothing(kind: Kind) {
    let mut pair = Pair::with(
        kind,
        TcpOptions::new()
            .with_send_queue_max(10_000)
            .with_buffers(8_192, 8_192),
    );
    let (ours, theirs) = (pair.ours, pair.theirs);
    pair.lab.act(pair.server, move |hands| {
        hands.outbox.set_reading(theirs, Reading::Paused);
    });
    let mut written = 0;
    let (refused, told) = loop {
        pair.write(&[9; 5_000]);
        // Longer than a round trip: what the system can take, it has taken.
        pair.lab.pass(Duration::from_millis(3));
        let news = pair.lab.unasked(pair.client);
        let refused = news.iter().find_map(|event| match event {
            NetworkEvent::WriteFailed { bytes, error, .. } => Some((*bytes, *error)),
            _ => None,
        });
        if let Some(refused) = refused {
            // The system may have taken some more at that very moment.
            let is_refusal =
                |event: &NetworkEvent| matches!(event, NetworkEvent::WriteFailed { .. });
            let behind = news.iter().skip_while(|event| !is_refusal(event));
            break (refused, behind.filter_map(writable).last());
        }
        written += 5_000;
        assert!(written < 100_000_000, "nothing stops the sender");
    };
    assert_eq!(refused, (5_000, NetworkError::QueueFull));
    let deaf = pair.lab.unasked(pair.server);
    assert!(deaf.is_empty(), "heard while paused: {deaf:?}");
    pair.lab.act(pair.server, move |hands| {
        hands.outbox.set_reading(theirs, Reading::Flowing);
    });
    assert_eq!(pair.received(written).len(), written);
    let room = told.unwrap_or_else(|| pair.lab.next(pair.client, writable));
    assert!(room >= 5_000);
    pair.lab
        .act(pair.client, move |hands| hands.outbox.close(ours));
    assert_eq!(pair.lab.next(pair.server, read_ended), theirs);
}

pub(crate) fn a_stream_goes_on_after_any_number_of_bytes(kind: Kind) {
    let mut pair = Pair::new(kind);
    let theirs = pair.theirs;
    for len in [1, 4_096, 65_534, 65_535, 65_536, 131_070] {
        pair.lab.act(pair.server, move |hands| {
            hands.outbox.set_reading(theirs, Reading::Paused);
        });
        pair.write(&vec![3; len]);
        // Long enough for all of it to be there at once; if it is not, less is shown.
        pair.lab.pass(Duration::from_millis(2));
        pair.lab.act(pair.server, move |hands| {
            hands.outbox.set_reading(theirs, Reading::Flowing);
        });
        assert_eq!(pair.received(len).len(), len);
        pair.write(b"and on");
        assert_eq!(pair.received(6), b"and on", "after {len} bytes");
    }
}

pub(crate) fn long_and_short_writes_of_one_moment_arrive_once_and_in_order(kind: Kind) {
    let mut pair = Pair::new(kind);
    let theirs = pair.theirs;
    let answer: Vec<Vec<u8>> = [70_000, 3, 80_000, 2, 1]
        .iter()
        .zip(1..)
        .map(|(&len, byte)| vec![byte; len])
        .collect();
    let expected = answer.concat();
    pair.lab.react(pair.server, move |event, hands| {
        if let NetworkEvent::Received { .. } = event {
            for part in &answer {
                hands.outbox.write(theirs, Buffer::copy_from(part));
            }
        }
    });
    pair.write(b"?");
    let mut bytes = Vec::new();
    while bytes.len() < expected.len() {
        bytes.extend(pair.lab.next(pair.client, |event| match event {
            NetworkEvent::Received { data, .. } => Some(data.to_vec()),
            _ => None,
        }));
    }
    pair.lab.pass(Duration::from_millis(2));
    assert!(bytes == expected, "{} bytes", bytes.len());
    assert!(pair.lab.unasked(pair.client).is_empty(), "more than that");
}

pub(crate) fn what_is_written_behind_the_end_is_refused(kind: Kind) {
    let mut pair = Pair::new(kind);
    let ours = pair.ours;
    pair.lab
        .act(pair.client, move |hands| hands.outbox.end_write(ours));
    pair.write(b"late");
    let refused = pair.lab.next(pair.client, |event| match event {
        NetworkEvent::WriteFailed { bytes, error, .. } => Some((*bytes, *error)),
        _ => None,
    });
    assert_eq!(refused, (4, NetworkError::Ended));
}

pub(crate) fn a_worker_stops_when_its_streams_are_gone(kind: Kind) {
    let mut pair = Pair::new(kind);
    pair.write(b"the last words");
    pair.lab.shutdown(pair.client.host);
    assert_eq!(pair.received(14), b"the last words");
    pair.lab.wait_until_stopped(pair.client.host);
}
