//! What can be seen of an end from outside.

use core::net::SocketAddr;

use stillpoint::{StreamId, Timestamp};

use super::super::Name;
use super::{Endpoint, Holder, Stage};

/// One end of a connection, as it is now.
#[derive(Debug, Clone, Copy)]
pub(crate) struct EndView {
    pub(crate) name: Name,
    pub(crate) node: u32,
    /// Among all workers.
    pub(crate) worker: u32,
    /// The id under which its worker knows it, if it does.
    pub(crate) stream: Option<StreamId>,
    pub(crate) peer: SocketAddr,
    /// The node of the peer, if any node has its address.
    pub(crate) peer_node: Option<u32>,
    /// Whether the connection is not made yet.
    pub(crate) connecting: bool,
    /// Bytes that were written, and that the peer has not acknowledged.
    pub(crate) unacknowledged: u64,
    /// Bytes that have come, and that the task was not given.
    pub(crate) unread: u64,
    /// When the peer was last heard.
    pub(crate) heard_at: Timestamp,
    /// Whether no worker has it, nor a listener: it goes on by itself.
    pub(crate) alone: bool,
}

impl Endpoint {
    pub(crate) fn look(&self) -> EndView {
        EndView {
            name: self.name,
            node: self.seat.node,
            worker: self.seat.worker,
            stream: self.stream(),
            peer: self.peer,
            peer_node: self.peer_node,
            connecting: matches!(self.stage, Stage::Calling | Stage::Answering),
            unacknowledged: self.sending.unacknowledged(),
            unread: self.receiving.available() as u64,
            heard_at: self.heard_at,
            alone: self.holder == Holder::Nobody,
        }
    }
}
