//! Where a peer is, and which address of ours it wants to write to.
//!
//! The peer checks paths, and nominates the one that it wants (RFC 8445, 7.3.1.5): its last word
//! counts. str0m would stay with the first path until nothing was heard there for 15 seconds.
//!
//! Requests are signed, but say nothing of where they come from: whoever records one on its way may
//! send it again from elsewhere. So what was seen before proves nothing.

use core::net::{IpAddr, SocketAddr};
use std::collections::VecDeque;

use str0m::ice::{StunMessage, TransId};

/// The path that a peer has chosen.
#[derive(Debug, Default)]
pub(crate) struct Path {
    /// Our address that the last datagram came to.
    latest: Option<IpAddr>,
    chosen: Option<(SocketAddr, Option<IpAddr>)>,
    /// Requests that were seen, and where they came from. The latest last.
    seen: VecDeque<(TransId, SocketAddr)>,
}

/// What a datagram proves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Proof {
    /// Its sender is the peer, and has just said so: a request that is signed, and was not seen before.
    Alive,
    /// Its sender may be the peer. Anybody may write any address on a datagram.
    Perhaps,
    /// Nothing: it was sent before, from elsewhere.
    Nothing,
}

impl Path {
    /// Hears a datagram that str0m takes for its peer's. `local` is the address that it came to.
    pub(crate) fn hear(
        &mut self,
        from: SocketAddr,
        local: Option<IpAddr>,
        datagram: &[u8],
    ) -> Proof {
        if !is_stun(datagram) {
            return Proof::Perhaps; // str0m knows whether it can be decrypted.
        }
        let Ok(request) = StunMessage::parse(datagram) else {
            return Proof::Nothing;
        };
        let id = request.trans_id();
        let first = self.seen.iter().find(|(seen, _)| *seen == id);
        if first.is_some_and(|(_, first)| *first != from) {
            return Proof::Nothing;
        }
        self.latest = local;
        if first.is_some() {
            return Proof::Perhaps; // Our answer was lost.
        }
        self.seen.push_back((id, from));
        if self.seen.len() > SEEN_MAX {
            self.seen.pop_front();
        }
        if request.use_candidate() {
            self.chosen = Some((from, local));
        }
        Proof::Alive
    }

    /// Where a datagram is to go that str0m would send to `destination`, and from which address of
    /// ours. Answers to requests go back the way these came.
    pub(crate) fn route(
        &self,
        destination: SocketAddr,
        datagram: &[u8],
    ) -> (SocketAddr, Option<IpAddr>) {
        match self.chosen {
            Some(chosen) if !is_stun(datagram) => chosen,
            _ => (destination, self.latest),
        }
    }
}

/// Whether a datagram is a message of STUN: its first byte is below 4 (RFC 7983).
pub(crate) fn is_stun(datagram: &[u8]) -> bool {
    datagram.first().is_some_and(|&first| first < 4)
}

/// Requests that are remembered: those of some ten minutes, once a path is chosen.
const SEEN_MAX: usize = 256;
