//! smoltcp, a TCP/IP stack without I/O, in tasks: over a TUN device they have a network of their own.
//!
//! [`Server`](server::Server) serves bytes by HTTP, [`Client`](client::Client) downloads them. Both
//! work in the same way: an input goes into the [`Stack`], which leaves packets behind; they are
//! given out one by one, and when the last is gone the stack is asked for more. So no more packets
//! than [`stack::PACKETS_MAX`] ever wait in a task, and the stack is never entered while it works.
#![allow(dead_code, reason = "the example serves, the test downloads too")]
#![allow(unreachable_pub, reason = "a module of several programs")]

pub mod client;
pub mod content;
pub mod server;
pub mod stack;

use core::net::SocketAddr;

use stillpoint::{App, DeviceError, DeviceOpen, Spawned, Spawner};

/// The application.
#[derive(Debug)]
pub struct UserSpace;

impl App for UserSpace {
    type Channel = ();
    type Message = ();
    type Command = ();
    type Report = Report;
    type Spawn = Spawn;
}

/// What there is to make.
#[derive(Debug, Clone)]
pub enum Spawn {
    /// A server that has this address, of its own, behind the device.
    Server {
        open: DeviceOpen,
        address: SocketAddr,
    },
    /// A client that has the address `own` and asks `server` for so many bytes.
    Client {
        open: DeviceOpen,
        own: SocketAddr,
        server: SocketAddr,
        bytes: u64,
    },
}

/// What tasks tell their controller.
#[derive(Debug, PartialEq, Eq)]
pub enum Report {
    /// A server is there, behind the device of this name.
    Listening { device: Box<str>, at: SocketAddr },
    /// The device could not be opened, or is no more.
    DeviceFailed(DeviceError),
    /// A client is done.
    Downloaded(client::Download),
    /// A server is done.
    Served(server::Served),
}

/// The one `match` that an application owes its workers.
pub fn spawn(spawn: Spawn, spawner: Spawner<'_, UserSpace>) -> Spawned {
    match spawn {
        Spawn::Server { open, address } => spawner.insert(server::Server::new(open, address)),
        Spawn::Client {
            open,
            own,
            server,
            bytes,
        } => spawner.insert(client::Client::new(open, own, server, bytes)),
    }
}
