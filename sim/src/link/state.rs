//! What a link remembers, for the few of its features that need it.

use core::time::Duration;
use std::collections::VecDeque;

use stillpoint::{Entity, Timestamp};

use super::links::{Hop, Links};
use super::path::Terms;

#[derive(Debug, Default)]
pub(super) struct State {
    /// Datagrams and segments that it has seen, while it had anything to draw for them.
    pub(super) seen: u64,
    /// Packets of devices that it has seen, then.
    pub(super) packets: u64,
    /// Notices that it has carried.
    pub(super) notices: u64,
    /// Whether it is in the bad state of Gilbert and Elliott's model.
    pub(super) bad: bool,
    /// When the last parcel arrives, if draws must not let others overtake it.
    pub(super) last_arrival: Timestamp,
    /// When all that waits will have been sent.
    pub(super) free_at: Timestamp,
    /// When what waits begins to be sent, and its bytes.
    waiting: VecDeque<(Timestamp, u64)>,
    waiting_bytes: u64,
    flap: Option<Flap>,
    known_mtu: Option<KnownMtu>,
}

/// For how long a link is up, or down.
#[derive(Debug, Clone, Copy)]
struct Flap {
    /// When the link was set.
    since: Timestamp,
    /// Even while it is up.
    number: u64,
    until: Timestamp,
}

/// What the sending node has learned of the way.
#[derive(Debug, Clone, Copy)]
struct KnownMtu {
    bytes: u64,
    from: Timestamp,
}

impl State {
    /// Has something wait for its turn, if there is room. Says when all of it is sent.
    pub(super) fn enqueue(
        &mut self,
        terms: &Terms,
        bytes: u64,
        now: Timestamp,
    ) -> Option<Timestamp> {
        while let Some(&(begins, waited)) = self.waiting.front()
            && begins <= now
        {
            self.waiting.pop_front();
            self.waiting_bytes -= waited;
        }
        let begins = self.free_at.max(now);
        if begins > now {
            if self.waiting_bytes + bytes > terms.queue_max {
                return None;
            }
            self.waiting_bytes += bytes;
            self.waiting.push_back((begins, bytes));
        }
        Some(self.send(terms, bytes, now))
    }

    /// Sends something behind all else. Says when all of it is sent.
    pub(super) fn send(&mut self, terms: &Terms, bytes: u64, now: Timestamp) -> Timestamp {
        let begins = self.free_at.max(now);
        if terms.bandwidth > 0 {
            self.free_at = begins.after(Duration::from_nanos(terms.sending_time(bytes)));
            self.free_at
        } else {
            begins
        }
    }
}

impl Links {
    /// Whether the link is not down for now.
    pub(crate) fn is_up(&mut self, terms: &Terms, hop: &Hop, now: Timestamp) -> bool {
        let Some(times) = terms.flapping else {
            return true;
        };
        let state = self.states.get(&hop.ends);
        let known = state.and_then(|state| state.flap);
        let known = known.filter(|flap| flap.since == terms.since);
        let mut flap = known.unwrap_or_else(|| Flap {
            since: terms.since,
            number: 0,
            until: terms.since.after(self.flap_time(times, hop.entity, 0)),
        });
        while flap.until <= now {
            flap.number += 1;
            let time = self.flap_time(times, hop.entity, flap.number);
            flap.until = flap.until.after(time);
        }
        self.states.entry(hop.ends).or_default().flap = Some(flap);
        flap.number.is_multiple_of(2)
    }

    fn flap_time(&self, times: [(u64, u64); 2], entity: Entity, number: u64) -> Duration {
        let (min, options) = times[usize::from(!number.is_multiple_of(2))];
        let drawn = self.sites().flap.below(entity, number, options);
        Duration::from_nanos(min + drawn)
    }

    /// The sending node will know then how many bytes the link takes.
    pub(crate) fn learn_mtu(&mut self, ends: (u32, u32), bytes: u64, from: Timestamp) {
        let known = &mut self.states.entry(ends).or_default().known_mtu;
        // What it knows already, it knows until it forgets it.
        if known.is_none_or(|known| known.bytes != bytes || known.forgotten_at() <= from) {
            *known = Some(KnownMtu { bytes, from });
        }
    }

    /// How many bytes the sending node believes that the link takes, if it has learned of it.
    pub(crate) fn known_mtu(&self, ends: (u32, u32), now: Timestamp) -> Option<u64> {
        let known = self.states.get(&ends)?.known_mtu?;
        (known.from <= now && now < known.forgotten_at()).then_some(known.bytes)
    }
}

impl KnownMtu {
    fn forgotten_at(&self) -> Timestamp {
        self.from.after(KNOWN_FOR)
    }
}

/// How long a node remembers what a way takes. As in Linux (`mtu_expires`).
const KNOWN_FOR: Duration = Duration::from_secs(600);
