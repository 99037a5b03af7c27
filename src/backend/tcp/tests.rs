//! The port over real sockets, where a test must come between two of its steps.
#![allow(
    clippy::wildcard_enum_match_arm,
    clippy::unwrap_used,
    reason = "these are tests"
)]

use std::net::TcpListener;

use super::*;
use crate::backend::sockets::SocketBackend;
use crate::backend::{Backend, BackendConfig, BackendKind, Port};
use crate::buffer::{Buffer, BufferPool};
use crate::net::NetworkCommand;
use crate::runtime::SystemClock;
use crate::slots::Key;
use crate::stream::TcpOptions;

#[test]
fn room_is_told_of_behind_a_refusal_even_if_it_came_before() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let config = BackendConfig::new(BufferPool::new());
    let mut backend = SocketBackend::new(BackendKind::Poll, &config).unwrap();
    let stream = StreamId {
        worker: 0,
        key: Key {
            slot: 0,
            generation: 0,
        },
    };
    let options = TcpOptions::new().with_send_queue_max(10_000);
    let connect = TcpConnect::new(Token(1), listener.local_addr().unwrap()).with_options(options);
    let connect = Box::new(connect);
    backend
        .port()
        .submit(NetworkCommand::Connect { stream, connect });
    let clock = SystemClock::new();
    let next = |backend: &mut SocketBackend| {
        let mut events = Vec::new();
        while events.is_empty() {
            let push = &mut |_, event, _: &mut SocketPort| events.push(event);
            backend.wait(None, &clock, push).unwrap();
        }
        events
    };
    let connected = next(&mut backend);
    assert!(matches!(connected[..], [NetworkEvent::Connected { .. }]));
    let write = |backend: &mut SocketBackend, len| {
        let data = Buffer::copy_from(&vec![7; len]);
        let write = NetworkCommand::Write(StreamWrite::new(stream, data));
        backend.port().submit(write);
        backend.flush().unwrap();
    };
    write(&mut backend, 10_000); // The kernel takes all of it at once: there is room again.
    write(&mut backend, 5_000); // But the task has not been told.
    let mut events = next(&mut backend);
    while events.len() < 2 {
        events.extend(next(&mut backend));
    }
    let room = 10_000;
    let (bytes, error) = (5_000, NetworkError::QueueFull);
    assert_eq!(
        events,
        [
            NetworkEvent::WriteFailed {
                stream,
                bytes,
                error
            },
            NetworkEvent::Writable { stream, room }
        ]
    );
}
