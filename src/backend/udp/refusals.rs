//! Peers to which the kernel would not send a run in one go.

use core::net::IpAddr;

/// A short list for one socket. An entry lasts for some sends, then the run is tried again: routes
/// and devices change.
pub(super) struct Refusals {
    peers: Vec<(IpAddr, u32)>,
    /// The place to be taken by the next peer when there is no free one.
    next: usize,
}

impl Refusals {
    pub(super) const fn new() -> Self {
        Self {
            peers: Vec::new(),
            next: 0,
        }
    }

    pub(super) fn add(&mut self, peer: IpAddr) {
        if let Some((_, sends)) = self.peers.iter_mut().find(|(known, _)| *known == peer) {
            *sends = SENDS_UNTIL_RETRY;
        } else if self.peers.len() < PEERS_MAX {
            self.peers.push((peer, SENDS_UNTIL_RETRY));
        } else {
            self.peers[self.next] = (peer, SENDS_UNTIL_RETRY);
            self.next = (self.next + 1) % PEERS_MAX;
        }
    }

    /// Whether the next run to `peer` must go out singly. Counts as a send.
    pub(super) fn count_send(&mut self, peer: IpAddr) -> bool {
        let Some(index) = self.peers.iter().position(|(known, _)| *known == peer) else {
            return false;
        };
        let sends = &mut self.peers[index].1;
        *sends -= 1;
        if *sends == 0 {
            self.peers.swap_remove(index);
        }
        true
    }
}

/// Peers that are remembered.
const PEERS_MAX: usize = 16;

/// Runs that go out singly before one is tried whole again.
const SENDS_UNTIL_RETRY: u32 = 1_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_remembered_for_some_sends_and_not_for_ever() {
        let mut refusals = Refusals::new();
        let peer = IpAddr::from([192, 0, 2, 1]);
        assert!(!refusals.count_send(peer));
        refusals.add(peer);
        let singly = (0..2_000).take_while(|_| refusals.count_send(peer)).count();
        assert_eq!(singly, SENDS_UNTIL_RETRY as usize);
    }

    #[test]
    fn the_memory_for_refusals_is_bounded() {
        let mut refusals = Refusals::new();
        for peer in 0..1_000u32 {
            refusals.add(IpAddr::from(peer.to_be_bytes()));
        }
        assert_eq!(refusals.peers.len(), PEERS_MAX);
        assert!(refusals.count_send(IpAddr::from(999u32.to_be_bytes())));
    }
}
