//! Links: what happens to datagrams on their way from one node to another.
//!
//! Segments of TCP and packets of devices fare as datagrams do.
//!
//! Each ordered pair of nodes has a link. A [`Link`] says how it behaves; [`Links`] holds them and
//! draws.

use core::ops::RangeInclusive;
use core::time::Duration;

mod barrier;
mod codel;
mod latency;
mod links;
mod loss;
mod mtu;
mod normal;
mod path;
mod probe;
mod profile;
mod queue;
mod sites;
mod state;
mod trace;

pub(crate) use barrier::Gate;
pub(crate) use codel::{Controller, Fifo, Waits};
pub use latency::Latency;
pub(crate) use links::{Fate, Hop, Line, Links, Parcel, Passage, Verdict, copy_of};
pub use loss::Loss;
pub use mtu::Oversize;
pub(crate) use mtu::{IPV4_HEADER, IPV6_HEADER};
pub(crate) use path::Terms;
pub use probe::{Arrived, Probe};
pub use profile::UnknownProfile;
pub use queue::{CoDel, Queue};
pub use trace::{LatencyTrace, LatencyTraceError};

/// How a one-way path between two nodes behaves, for datagrams, for segments of TCP and for packets
/// of devices alike.
///
/// What is sent takes the features in this order: the sender's system may [refuse a
/// run](Link::refuse_runs); a [cut](crate::World::cut) or a [clog](crate::World::clog) stands in front
/// of the link; it may be [down](Link::flapping); what is too long for its [MTU](Link::mtu) ends or
/// travels in fragments; it waits for the [bandwidth](Link::bandwidth); then it may be
/// [lost](Link::loss), [doubled](Link::duplicate), [held back](Link::reorder),
/// [truncated](Link::truncate) and [corrupted](Link::corrupt), and arrives after the
/// [latency](Link::latency).
///
/// # Latency and order
///
/// A latency that [wanders](Latency::wander), which is what [`Link::new`] makes, lets no datagram
/// arrive before one that was sent earlier on the same link, and has none wait for another. Latencies
/// that are drawn each by itself would: there, whoever would overtake arrives at the same instant as
/// the one in front, unless [`Order::Free`] says otherwise. Whatever is sent at one instant over a link
/// without bandwidth, as a run, arrives at one instant, in the order in which it was sent.
/// [`Link::reorder`] lets datagrams overtake on any link, and so does a change of the link during
/// the run.
///
/// Every way takes at least one nanosecond, so that an exchange without latency moves time on.
///
/// # Example
///
/// ```
/// use core::time::Duration;
/// use stillpoint_sim::{Latency, Link, Loss, Queue};
///
/// let ms = Duration::from_millis;
/// let wifi = Link::new(ms(2)..=ms(30)).loss(0.02).reorder(0.01, ms(10));
/// assert_eq!(wifi.loss, Loss::Bernoulli(0.02));
///
/// let dsl = Link::fixed(ms(15))
///     .latency(Latency::normal(ms(15), ms(1)))
///     .bandwidth(16_000_000)
///     .queue(Queue::codel(ms(5), ms(100)));
/// assert_eq!(dsl.bandwidth, Some(16_000_000));
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Link {
    /// The time from sending to arrival.
    pub latency: Latency,
    /// Whether a latency that is drawn lets datagrams overtake.
    pub order: Order,
    /// Which datagrams are lost.
    pub loss: Loss,
    /// Chance that a datagram that is not lost arrives twice, from 0 to 1.
    pub duplicate: f64,
    /// Chance that a datagram, or the copy of one, is held back, from 0 to 1.
    pub reorder: f64,
    /// The longest that it is held back.
    pub reorder_by: Duration,
    /// Chance that a datagram, or the copy of one, arrives with flipped bits, from 0 to 1.
    pub corrupt: f64,
    /// Chance that a datagram, or the copy of one, arrives shorter, from 0 to 1.
    pub truncate: f64,
    /// Chance that a run is split in front of a datagram, from 0 to 1.
    pub split_runs: f64,
    /// Chance that a run is refused by the sender's system, from 0 to 1.
    pub refuse_runs: f64,
    /// How many bits it takes a second, if there is a limit.
    pub bandwidth: Option<u64>,
    /// Where what is sent waits for the bandwidth.
    pub queue: Queue,
    /// The longest packet that it takes, in bytes with the IP header, if there is a limit.
    pub mtu: Option<u32>,
    /// What becomes of longer ones.
    pub oversize: Oversize,
    /// For how long it is up, and for how long down, if it does not stay up.
    pub flapping: Option<[RangeInclusive<Duration>; 2]>,
}

/// Whether a latency that is drawn lets what was sent later arrive earlier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(clippy::exhaustive_enums, reason = "it does, or it does not")]
pub enum Order {
    /// It does not: who would overtake arrives together with the one in front.
    #[default]
    Kept,
    /// It does, as drawn. The datagrams of a run stay together; with [`Link::split_runs`], each
    /// part of a run has a latency of its own.
    Free,
}

impl Link {
    /// A link whose latency wanders within this range, without faults.
    #[must_use]
    pub const fn new(latency: RangeInclusive<Duration>) -> Self {
        Self {
            latency: Latency::wander(latency),
            order: Order::Kept,
            loss: Loss::None,
            duplicate: 0.0,
            reorder: 0.0,
            reorder_by: Duration::ZERO,
            corrupt: 0.0,
            truncate: 0.0,
            split_runs: 0.0,
            refuse_runs: 0.0,
            bandwidth: None,
            queue: Queue::tail_drop(QUEUE_BYTES),
            mtu: None,
            oversize: Oversize::TooBig,
            flapping: None,
        }
    }

    /// A link that always takes `latency`, without faults.
    #[must_use]
    pub const fn fixed(latency: Duration) -> Self {
        Self::new(latency..=latency)
    }

    /// The same, with this latency.
    #[must_use]
    pub fn latency(mut self, latency: Latency) -> Self {
        self.latency = latency;
        self
    }

    /// The same, keeping or not keeping order where latencies are drawn.
    #[must_use]
    pub const fn order(mut self, order: Order) -> Self {
        self.order = order;
        self
    }

    /// The same, losing datagrams with this chance, each by itself.
    #[must_use]
    pub const fn loss(mut self, chance: f64) -> Self {
        self.loss = Loss::Bernoulli(chance);
        self
    }

    /// The same, losing datagrams like this.
    #[must_use]
    pub const fn loss_model(mut self, loss: Loss) -> Self {
        self.loss = loss;
        self
    }

    /// The same, duplicating datagrams with this chance.
    #[must_use]
    pub const fn duplicate(mut self, chance: f64) -> Self {
        self.duplicate = chance;
        self
    }

    /// The same, holding datagrams back with this chance, for up to `by`.
    #[must_use]
    pub const fn reorder(mut self, chance: f64, by: Duration) -> Self {
        self.reorder = chance;
        self.reorder_by = by;
        self
    }

    /// The same, flipping one to three bits of a datagram with this chance, in a way that its
    /// checksum does not notice: it reaches the task. A packet of a device has bits flipped anywhere,
    /// in its headers too. TCP's checksum does notice: a segment is dropped and counted
    /// ([`DropCause::Checksum`](crate::DropCause::Checksum)). Counted as
    /// [`Counters::corrupted`](crate::Counters::corrupted).
    #[must_use]
    pub const fn corrupt(mut self, chance: f64) -> Self {
        self.corrupt = chance;
        self
    }

    /// The same, cutting datagrams and packets short with this chance: to any length below their
    /// own, 0 included. A segment of TCP is dropped instead, as with [`Link::corrupt`]. Counted as
    /// [`Counters::truncated`](crate::Counters::truncated).
    #[must_use]
    pub const fn truncate(mut self, chance: f64) -> Self {
        self.truncate = chance;
        self
    }

    /// The same, splitting runs of datagrams: with this chance in front of each datagram of a run
    /// but the first. Nothing is lost by that, but more inputs come in.
    #[must_use]
    pub const fn split_runs(mut self, chance: f64) -> Self {
        self.split_runs = chance;
        self
    }

    /// The same, where the sender's system refuses whole runs with this chance, as one that leads
    /// through a device that cannot cut them (`UDP_SEGMENT` fails with EIO). The task gets
    /// [`SendFailed`](stillpoint::NetworkEvent::SendFailed) for all datagrams of the run. Single
    /// datagrams are not refused.
    #[must_use]
    pub const fn refuse_runs(mut self, chance: f64) -> Self {
        self.refuse_runs = chance;
        self
    }

    /// The same, taking so many bits a second. Headers of IP, UDP and TCP count as well, those of
    /// Ethernet do not. What comes while the link is busy waits in its [queue](Link::queue).
    ///
    /// Datagrams of a run are sent one after the other. As a network card does, the receiving system
    /// hands on as one run what arrives within 50 microseconds of the first.
    #[must_use]
    pub const fn bandwidth(mut self, bits_per_second: u64) -> Self {
        self.bandwidth = Some(bits_per_second);
        self
    }

    /// The same, with this queue in front of it. It matters only together with a
    /// [bandwidth](Link::bandwidth).
    ///
    /// If the link is set anew while something waits, and has a bandwidth then too, that goes first:
    /// what a tail-drop queue holds at the old bandwidth, what CoDel holds at the new one.
    #[must_use]
    pub const fn queue(mut self, queue: Queue) -> Self {
        self.queue = queue;
        self
    }

    /// The same, taking packets of at most so many bytes, IP header included.
    #[must_use]
    pub const fn mtu(mut self, bytes: u32) -> Self {
        self.mtu = Some(bytes);
        self
    }

    /// The same, doing this with what is longer than the [MTU](Link::mtu).
    #[must_use]
    pub const fn oversize(mut self, oversize: Oversize) -> Self {
        self.oversize = oversize;
        self
    }

    /// The same, going down and up again: from when it is set it is up for a time out of `up`, then
    /// down for one out of `down`, and so on, each drawn. What is sent while it is down is dropped and
    /// counted ([`DropCause::LinkDown`](crate::DropCause::LinkDown)); what is on its way arrives.
    #[must_use]
    pub fn flapping(
        mut self,
        up: RangeInclusive<Duration>,
        down: RangeInclusive<Duration>,
    ) -> Self {
        self.flapping = Some([up, down]);
        self
    }
}

impl Default for Link {
    /// One millisecond, without faults.
    fn default() -> Self {
        Self::fixed(Duration::from_millis(1))
    }
}

/// Room in a queue, unless told otherwise: a thousand frames of 1,514 bytes.
const QUEUE_BYTES: u64 = 1_000 * 1_514;

#[cfg(test)]
#[path = "link/tests.rs"]
mod tests;
