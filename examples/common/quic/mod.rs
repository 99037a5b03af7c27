//! QUIC (quinn-proto) in tasks: a server of bytes, and a client that fetches some and hashes them.
//!
//! Both keep a [`Host`](host::Host): an endpoint with many connections over one socket of the
//! runtime. Datagrams go in and out in runs, with ECN; what quinn-proto calls timers are the task's
//! deadlines. A client can change its socket while it fetches, and the server follows.
#![allow(dead_code, reason = "each program uses a part of it")]
#![allow(unreachable_pub, reason = "a module of several programs")]

pub mod client;
pub mod clock;
pub mod config;
#[path = "../smoltcp/content.rs"]
pub mod content;
pub mod fetch;
pub mod host;
pub mod request;
pub mod server;

use core::net::SocketAddr;

use stillpoint::{App, NetworkError, Spawned, Spawner};

/// The application.
#[derive(Debug)]
pub struct Quic;

impl App for Quic {
    type Channel = ();
    type Message = ();
    type Command = Command;
    type Report = Report;
    type Spawn = Spawn;
}

/// What there is to make.
#[derive(Debug, Clone)]
pub enum Spawn {
    Server(server::ServerSetup),
    Client(client::ClientSetup),
}

/// What tasks are told by their controller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// A client is to fetch so many bytes more, in one more stream of each of its connections.
    Fetch(u64),
    /// A client is to go on from another socket, bound to this address.
    Rebind(SocketAddr),
    /// A server or a client is to close its connections and finish.
    Stop,
}

/// What tasks tell their controller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Report {
    /// A server is there.
    Listening(SocketAddr),
    /// A socket could not be opened.
    BindFailed {
        bind: SocketAddr,
        error: NetworkError,
    },
    /// What a task was set up with does not work.
    SetupFailed(String),
    /// A client's connection is made.
    Connected { connection: usize },
    /// The peer of a server's connection goes on from another address.
    Moved { from: SocketAddr, to: SocketAddr },
    /// A client goes on from this socket.
    Rebound(SocketAddr),
    /// A client has fetched something.
    Fetched(client::Fetched),
    /// A client did not get what it asked for.
    FetchFailed { connection: usize, error: String },
    /// A connection is lost, or was closed by the peer.
    Lost { connection: usize, error: String },
    /// A client is done.
    Done(client::Summary),
    /// A server is done.
    Served(server::Summary),
}

/// The one `match` that an application owes its workers.
pub fn spawn(spawn: Spawn, spawner: Spawner<'_, Quic>) -> Spawned {
    match spawn {
        Spawn::Server(setup) => spawner.insert(server::Server::new(setup)),
        Spawn::Client(setup) => spawner.insert(client::Client::new(setup)),
    }
}
