//! Streams that nobody reads or that have ended: no backend spins on them, and none forgets them.

use core::net::SocketAddr;
use core::time::Duration;
use std::io::{ErrorKind, Read};
use std::net::{Shutdown, TcpStream};

use stillpoint::backend::BackendKind;
use stillpoint::{
    Buffer, Clock, NetworkError, NetworkEvent, Output, Reading, StreamId, StreamWrite, TcpListen,
    TcpOptions, Token,
};

use crate::host::{Act, Host, PATIENCE, Probe};

/// A host with a stream to a plain socket.
struct Taken {
    host: Host,
    stream: StreamId,
    peer: Option<TcpStream>,
}

impl Taken {
    fn new(kind: BackendKind, options: TcpOptions) -> Self {
        let mut host = Host::new(kind);
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let listen = TcpListen::new(Token(0), any).with_options(options);
        host.act(Act::Give(Output::Listen(Box::new(listen))));
        let address = host.next(|event| match event {
            NetworkEvent::Listening { local, .. } => Some(*local),
            _ => None,
        });
        let peer = TcpStream::connect(address).unwrap();
        peer.set_read_timeout(Some(PATIENCE)).unwrap();
        let stream = host.next(|event| match event {
            NetworkEvent::Accepted { stream, .. } => Some(*stream),
            _ => None,
        });
        Self {
            host,
            stream,
            peer: Some(peer),
        }
    }

    fn peer(&self) -> &TcpStream {
        self.peer.as_ref().expect("it has not broken off")
    }

    fn give(&mut self, output: Output<Probe>) {
        self.host.act(Act::Give(output));
    }

    fn write(&mut self, len: usize) {
        let data = Buffer::copy_from(&vec![7; len]);
        self.give(Output::Write(StreamWrite::new(self.stream, data)));
    }

    fn set_reading(&mut self, reading: Reading) {
        let stream = self.stream;
        self.give(Output::SetReading { stream, reading });
    }

    /// The peer ends its direction, and the task is told.
    fn peer_ends(&mut self) {
        self.peer().shutdown(Shutdown::Write).unwrap();
        self.host.next(|event| match event {
            NetworkEvent::ReadEnded { .. } => Some(()),
            _ => None,
        });
    }

    /// The peer goes with bytes unread, which breaks the connection off (RFC 2525, 2.17).
    fn peer_breaks_off(&mut self) {
        self.write(6);
        assert_eq!(self.peer().peek(&mut [0; 6]).unwrap(), 6);
        self.peer = None;
    }

    /// Lets the peer's system take what it takes without anybody reading.
    fn settle(&mut self) {
        for _ in 0..1_000 {
            let until = self.host.clock.now().after(Duration::from_millis(50));
            if self.host.wait(Some(until)).now >= until {
                return;
            }
        }
        panic!("it does not come to rest");
    }

    fn closed(&mut self) -> Option<NetworkError> {
        self.host.next(|event| match event {
            NetworkEvent::StreamClosed { error, .. } => Some(*error),
            _ => None,
        })
    }
}

pub(crate) fn a_half_closed_stream_sleeps_and_learns_of_a_reset(kind: BackendKind) {
    let mut taken = Taken::new(kind, TcpOptions::new());
    taken.peer_ends();
    assert_eq!(taken.host.wait_a_little().events, []);
    taken.peer_breaks_off();
    assert_eq!(taken.closed(), Some(NetworkError::ConnectionReset));
}

pub(crate) fn a_paused_stream_that_was_reset_sleeps_until_it_goes_on(kind: BackendKind) {
    let mut taken = Taken::new(kind, TcpOptions::new());
    taken.set_reading(Reading::Paused);
    taken.peer_breaks_off();
    assert_eq!(taken.host.wait_a_little().events, []);
    taken.set_reading(Reading::Flowing);
    assert_eq!(taken.closed(), Some(NetworkError::ConnectionReset));
}

pub(crate) fn a_paused_stream_whose_peer_has_ended_sleeps_until_it_goes_on(kind: BackendKind) {
    let mut taken = Taken::new(kind, TcpOptions::new());
    taken.set_reading(Reading::Paused);
    taken.peer().shutdown(Shutdown::Write).unwrap();
    assert_eq!(taken.host.wait_a_little().events, []);
    taken.set_reading(Reading::Flowing);
    taken.host.next(|event| match event {
        NetworkEvent::ReadEnded { .. } => Some(()),
        _ => None,
    });
}

pub(crate) fn a_half_closed_stream_with_much_to_send_sleeps_until_there_is_room(kind: BackendKind) {
    let bytes = 1 << 20;
    let options = TcpOptions::new()
        .with_send_queue_max(bytes)
        .with_buffers(8_192, 8_192);
    let mut taken = Taken::new(kind, options);
    taken.peer_ends();
    taken.write(bytes);
    taken.settle();
    assert_eq!(taken.host.wait_a_little().events, []);
    taken.peer().set_nonblocking(true).unwrap();
    let mut memory = vec![0; 1 << 16];
    let (mut back, mut writable) = (0, false);
    while back < bytes {
        match taken.peer().read(&mut memory) {
            Ok(count) => back += count,
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
        }
        let news = taken.host.turn_if_any();
        writable |= news
            .iter()
            .any(|event| matches!(event, NetworkEvent::Writable { .. }));
    }
    assert!(writable, "nobody was told of room");
    taken.give(Output::EndWrite(taken.stream));
    assert_eq!(taken.closed(), None);
    taken.peer().set_nonblocking(false).unwrap();
    assert_eq!(taken.peer().read(&mut memory).unwrap(), 0);
}

/// Whoever reads no more because nothing can be written would wait for room for ever.
pub(crate) fn a_paused_stream_with_much_to_send_is_told_of_a_reset_at_once(kind: BackendKind) {
    let bytes = 1 << 20;
    let options = TcpOptions::new()
        .with_send_queue_max(bytes)
        .with_buffers(8_192, 8_192);
    let mut taken = Taken::new(kind, options);
    taken.set_reading(Reading::Paused);
    taken.write(bytes);
    taken.settle();
    taken.peer = None;
    assert_eq!(taken.closed(), Some(NetworkError::ConnectionReset));
}
