//! The server's listener.

use super::*;
use crate::net::Token;
use crate::slots::Key;
use crate::task::Output;

#[derive(Debug, PartialEq)]
struct Demo;

impl App for Demo {
    type Channel = ();
    type Message = ();
    type Command = ();
    type Report = ();
    type Spawn = ();
}

fn listening(slot: u32, token: Token) -> (ListenerId, NetworkEvent) {
    let generation = 0;
    let listener = ListenerId {
        worker: 0,
        key: Key { slot, generation },
    };
    let local = SocketAddr::from(([10, 0, 0, 1], 80));
    let event = NetworkEvent::Listening {
        listener,
        token,
        local,
    };
    (listener, event)
}

/// A server that has asked for its listener, by token 7.
fn server() -> (HttpServer, Outbox<Demo>) {
    let mut server = HttpServer::new(HttpConfig::new().with_token(Token(7)));
    let mut outbox = Outbox::new();
    let bind = SocketAddr::from(([10, 0, 0, 1], 80));
    server.listen(bind, BufferPool::new(), &mut outbox);
    assert!(matches!(outbox.pop(), Some(Output::Listen(listen)) if listen.token == Token(7)));
    (server, outbox)
}

fn accepted(listener: ListenerId) -> NetworkEvent {
    NetworkEvent::Accepted {
        listener,
        stream: StreamId {
            worker: 0,
            key: listener.key,
        },
        peer: SocketAddr::from(([10, 0, 0, 2], 1_000)),
        local: SocketAddr::from(([10, 0, 0, 1], 80)),
        room: 1_000,
    }
}

#[test]
fn what_is_not_the_servers_is_given_back_and_so_is_what_is_of_its_listener() {
    let (mut server, mut outbox) = server();
    let now = Timestamp::EPOCH;
    let (other, event) = listening(1, Token(8));
    let given_back = server.handle_event(now, event.clone(), &mut outbox);
    assert_eq!(given_back, Some(event));
    let (own, event) = listening(2, Token(7));
    let given_back = server.handle_event(now, event.clone(), &mut outbox);
    assert_eq!(given_back, Some(event));

    let event = accepted(other);
    let given_back = server.handle_event(now, event.clone(), &mut outbox);
    assert_eq!((given_back, server.connections()), (Some(event), 0));
    let given_back = server.handle_event(now, accepted(own), &mut outbox);
    assert_eq!((given_back, server.connections()), (None, 1));
    // A stream of the task's own.
    let ResourceId::Stream(stream) = accepted(other).resource() else {
        panic!("it is about a stream");
    };
    let event = NetworkEvent::ReadEnded { stream };
    let given_back = server.handle_event(now, event.clone(), &mut outbox);
    assert_eq!((given_back, outbox.pop()), (Some(event), None));
}

#[test]
fn a_listener_that_opens_after_a_shutdown_is_closed() {
    let (mut server, mut outbox) = server();
    server.shut_down(Timestamp::EPOCH, &mut outbox);
    assert!(server.is_shut_down());
    let (listener, event) = listening(1, Token(7));
    let given_back = server.handle_event(Timestamp::EPOCH, event, &mut outbox);
    assert!(given_back.is_some());
    assert_eq!(outbox.pop(), Some(Output::Close(listener.into())));
}
