//! The sending half of one end: cuts what was written into segments, as chance has it, and sends
//! again what was lost.
//!
//! What a task writes waits in a queue, whose length its room bounds, until the system's own buffer
//! takes it; there it stays until it is acknowledged. A lost segment is found by a timer, or by three
//! segments of the peer that expect it still; then what is missing first is sent again, and, as long
//! as acknowledgements show that more is missing of what had been sent by then, that too (RFC 6582).
//! There is no congestion window: the peer's window alone says how much may be under way.

use std::collections::VecDeque;

use stillpoint::{Buffer, BufferPool, Entity, Nagle, NetworkError, Site, StreamRoom, Timestamp};

use super::retry::Retry;
use super::segment::Kind;

/// What one end sends.
#[derive(Debug)]
pub(super) struct Sending {
    pub(super) room: StreamRoom,
    /// Written, and not with the system yet.
    queue: VecDeque<Buffer>,
    /// With the system, from position `base` on.
    system: VecDeque<Buffer>,
    system_bytes: usize,
    system_max: usize,
    base: u64,
    /// All before has arrived. The end counts as one more.
    acknowledged: u64,
    /// All before was sent once.
    next: u64,
    /// The peer takes bytes before this position.
    edge: u64,
    end: End,
    pub(super) retry: Retry,
    /// Whether the first segment that is missing is to be sent again.
    resend: bool,
    /// What had been sent when a loss was found. What is missing before that was lost too.
    recovery: u64,
    /// Segments in a row that told nothing new.
    repeats: u32,
    /// Whether the peer is to be asked for its window.
    probe: bool,
    nagle: Nagle,
    segment_bytes_max: usize,
    cuts: u64,
}

/// Whether the direction is to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    No,
    /// Behind all that was written.
    Asked,
    Sent,
}

/// What goes into a segment.
pub(super) struct Piece {
    pub(super) kind: Kind,
    pub(super) position: u64,
    pub(super) payload: Buffer,
}

/// The peer has not answered any attempt.
pub(super) struct GivenUp;

impl Sending {
    pub(super) fn new(
        queue_max: usize,
        system_max: usize,
        nagle: Nagle,
        segment_bytes_max: usize,
    ) -> Self {
        Self {
            room: StreamRoom::new(queue_max),
            queue: VecDeque::new(),
            system: VecDeque::new(),
            system_bytes: 0,
            system_max: system_max.max(1),
            base: 0,
            acknowledged: 0,
            next: 0,
            edge: 0,
            end: End::No,
            retry: Retry::new(),
            resend: false,
            recovery: 0,
            repeats: 0,
            probe: false,
            nagle,
            segment_bytes_max,
            cuts: 0,
        }
    }

    pub(super) fn write(&mut self, data: Buffer) -> Result<(), NetworkError> {
        if self.end != End::No {
            self.room.refuse_ended(data.len());
            return Err(NetworkError::Ended);
        }
        self.room.take(data.len())?;
        self.queue.push_back(data);
        Ok(())
    }

    /// Ends the direction behind all that was written.
    pub(super) fn end(&mut self) {
        if self.end == End::No {
            self.end = End::Asked;
        }
    }

    /// Whether more may be written.
    pub(super) fn is_open(&self) -> bool {
        self.end == End::No
    }

    /// Whether the end is with the system, and all before it.
    pub(super) fn is_ended(&self) -> bool {
        self.end != End::No && self.queue.is_empty()
    }

    /// Whether the peer has all, and the end.
    pub(super) fn is_acknowledged(&self) -> bool {
        self.end == End::Sent && self.acknowledged > self.taken()
    }

    /// Whether nothing is under way and nothing waits.
    pub(super) fn is_idle(&self) -> bool {
        self.in_flight() == 0 && self.system_bytes == 0 && self.queue.is_empty()
    }

    /// Bytes that the system has taken, ever.
    pub(super) const fn taken(&self) -> u64 {
        self.base + self.system_bytes as u64
    }

    /// Whether there is anything to do without waiting for the peer.
    pub(super) fn wants_to_act(&self) -> bool {
        let fills = !self.queue.is_empty() && self.system_bytes < self.system_max;
        fills || self.resend || self.probe || self.sendable() > 0 || self.end_is_due(self.next)
    }

    /// Has the system take what it has room for. Says how many bytes it took.
    pub(super) fn fill(&mut self) -> usize {
        let before = self.system_bytes;
        while self.system_bytes < self.system_max
            && let Some(first) = self.queue.front_mut()
        {
            let count = first.len().min(self.system_max - self.system_bytes);
            let part = first.slice(..count).unwrap_or_default();
            assert!(first.pop_front(count).is_some(), "{count} bytes are there");
            if first.is_empty() {
                self.queue.pop_front();
            }
            self.system.push_back(part);
            self.system_bytes += count;
        }
        let taken = self.system_bytes - before;
        self.room.leave(taken);
        taken
    }

    /// Throws away what the system has not taken. Says how many bytes that were.
    pub(super) fn discard(&mut self) -> usize {
        let count = self.discard_queue();
        self.resend = false;
        self.probe = false;
        self.retry.stop();
        count
    }

    /// The same, and what the system has taken is still sent.
    pub(super) fn discard_queue(&mut self) -> usize {
        let count = self.room.queued();
        self.queue.clear();
        self.room.leave(count);
        count
    }

    /// The next segment, if one can be sent now.
    pub(super) fn poll(
        &mut self,
        now: Timestamp,
        site: &Site,
        entity: Entity,
        pool: &BufferPool,
    ) -> Option<Piece> {
        if core::mem::take(&mut self.resend) && self.in_flight() > 0 {
            return Some(self.first_again(pool));
        }
        if core::mem::take(&mut self.probe) {
            return Some(self.piece(Kind::Probe, self.next, Buffer::empty()));
        }
        let sendable = self.sendable();
        if sendable == 0 && !self.end_is_due(self.next) {
            return None;
        }
        let len = self.cut(sendable, site, entity);
        let position = self.next;
        let payload = self.copy_out(position, len, pool);
        self.next += len as u64;
        let kind = if self.end_is_due(self.next) {
            self.end = End::Sent;
            self.next += 1;
            Kind::Last
        } else {
            Kind::Bytes
        };
        self.retry.time(self.next, now);
        self.retry.start(now);
        Some(self.piece(kind, position, payload))
    }

    /// Waits for the peer to make room, if that is all there is to wait for.
    pub(super) fn wait_for_room(&mut self, now: Timestamp) {
        if self.in_flight() == 0 && self.unsent() > 0 && self.next >= self.edge {
            self.retry.start(now);
        }
    }

    /// What a segment of the peer says of what has arrived, and of its window. `bare` if it brings
    /// nothing else.
    pub(super) fn acknowledge(&mut self, now: Timestamp, expected: u64, edge: u64, bare: bool) {
        if self.in_flight() == 0 {
            self.retry.alive();
        }
        if expected > self.next {
            return; // Of nothing that was ever sent.
        }
        let opened = edge > self.edge;
        self.edge = self.edge.max(edge);
        if expected > self.acknowledged {
            self.take_off(expected);
            self.repeats = 0;
            self.retry.progress(expected, now);
            if self.in_flight() > 0 {
                self.retry.start(now);
                if expected < self.recovery {
                    self.send_again();
                }
            }
        } else if self.in_flight() == 0 {
            if opened {
                self.retry.progress(expected, now);
            }
        } else if expected == self.acknowledged && bare && !opened {
            self.repeats += 1;
            if self.repeats == REPEATS && self.acknowledged >= self.recovery {
                self.recovery = self.next;
                self.send_again();
            }
        }
        self.wait_for_room(now);
    }

    /// The timer has run out.
    pub(super) fn handle_timeout(&mut self, now: Timestamp) -> Result<(), GivenUp> {
        if !self.retry.is_due(now) {
            return Ok(());
        }
        if self.retry.attempts() >= RETRIES_MAX {
            return Err(GivenUp);
        }
        self.retry.again(now);
        if self.in_flight() > 0 {
            self.recovery = self.next;
            self.resend = true;
        } else if self.unsent() > 0 {
            self.probe = true;
        } else {
            self.retry.stop();
        }
        Ok(())
    }

    /// The way takes segments of so many bytes. What is under way may have been too long for it.
    pub(super) fn shrink_segments(&mut self, bytes_max: usize) {
        if bytes_max < self.segment_bytes_max {
            self.segment_bytes_max = bytes_max.max(1);
            if self.in_flight() > 0 {
                self.recovery = self.next;
                self.send_again();
            }
        }
    }

    fn send_again(&mut self) {
        self.resend = true;
        self.retry.forget_timed();
    }

    /// The first segment that the peer is not known to have, as long as can be.
    fn first_again(&self, pool: &BufferPool) -> Piece {
        let position = self.acknowledged;
        let sent = self.next.min(self.taken());
        let len = usize::try_from(sent.saturating_sub(position)).unwrap_or(usize::MAX);
        let len = len.min(self.segment_bytes_max);
        let payload = self.copy_out(position, len, pool);
        let reaches_end = self.end == End::Sent && position + len as u64 == self.taken();
        let kind = if reaches_end { Kind::Last } else { Kind::Bytes };
        self.piece(kind, position, payload)
    }

    #[expect(clippy::unused_self, reason = "reads as what it is: a piece of this")]
    const fn piece(&self, kind: Kind, position: u64, payload: Buffer) -> Piece {
        Piece {
            kind,
            position,
            payload,
        }
    }

    /// Bytes that were written, and that the peer has not acknowledged.
    pub(super) fn unacknowledged(&self) -> u64 {
        let waiting: usize = self.queue.iter().map(|data| data.len()).sum();
        self.taken().saturating_sub(self.acknowledged) + waiting as u64
    }

    const fn in_flight(&self) -> u64 {
        self.next - self.acknowledged
    }

    /// Bytes that the system holds and has never sent.
    fn unsent(&self) -> usize {
        usize::try_from(self.taken().saturating_sub(self.next)).unwrap_or(usize::MAX)
    }

    /// Bytes that may go into the next segment.
    fn sendable(&self) -> usize {
        let window = usize::try_from(self.edge.saturating_sub(self.next)).unwrap_or(usize::MAX);
        let unsent = self.unsent();
        let waits = self.nagle == Nagle::On
            && self.in_flight() > 0
            && self.end == End::No
            && unsent < self.segment_bytes_max;
        if waits {
            return 0;
        }
        unsent.min(window).min(self.segment_bytes_max)
    }

    /// Whether the end is to be sent behind this position.
    fn end_is_due(&self, position: u64) -> bool {
        self.end == End::Asked && self.queue.is_empty() && position == self.taken()
    }

    /// How long the next segment is: mostly as long as can be.
    fn cut(&mut self, sendable: usize, site: &Site, entity: Entity) -> usize {
        if sendable <= 1 {
            return sendable;
        }
        let drawn = site.below(entity, self.cuts, 4 * self.segment_bytes_max as u64);
        self.cuts += 1;
        let drawn = usize::try_from(drawn).unwrap_or(usize::MAX);
        if drawn < self.segment_bytes_max {
            drawn % sendable + 1
        } else {
            sendable
        }
    }

    /// Bytes of the system's buffer: a part of what was written, or several joined.
    fn copy_out(&self, position: u64, len: usize, pool: &BufferPool) -> Buffer {
        if len == 0 {
            return Buffer::empty();
        }
        let mut skip = usize::try_from(position - self.base).unwrap_or(usize::MAX);
        let mut joined: Option<Buffer> = None;
        for part in &self.system {
            if skip >= part.len() {
                skip -= part.len();
                continue;
            }
            let have = joined.as_ref().map_or(0, |joined| joined.len());
            let end = part.len().min(skip + len - have);
            if have == 0 && end - skip == len {
                return part.slice(skip..end).unwrap_or_default();
            }
            let joined = joined.get_or_insert_with(|| pool.take(len));
            joined.push_back(&part[skip..end]);
            skip = 0;
            if joined.len() == len {
                break;
            }
        }
        let joined = joined.unwrap_or_default();
        assert_eq!(
            joined.len(),
            len,
            "bytes that are not acknowledged are kept"
        );
        joined
    }

    /// Forgets what has arrived.
    fn take_off(&mut self, expected: u64) {
        self.acknowledged = expected;
        let arrived = expected.min(self.taken()) - self.base;
        self.base += arrived;
        let mut count = usize::try_from(arrived).unwrap_or(usize::MAX);
        self.system_bytes -= count;
        while count > 0
            && let Some(first) = self.system.front_mut()
        {
            let part = count.min(first.len());
            assert!(first.pop_front(part).is_some(), "{part} bytes are there");
            count -= part;
            if first.is_empty() {
                self.system.pop_front();
            }
        }
    }
}

/// Segments that tell nothing new until the first that is missing is taken for lost (RFC 5681, 3.2).
const REPEATS: u32 = 3;

/// Times that the same is sent again before the peer is given up: at the shortest pauses,
/// 924.6 seconds. As in Linux (`tcp_retries2`).
const RETRIES_MAX: u32 = 15;

#[cfg(test)]
mod tests {
    use super::*;
    use stillpoint::Entropy;

    const SEGMENT: usize = 100;

    struct Line {
        sending: Sending,
        site: Site,
        pool: BufferPool,
    }

    impl Line {
        /// With so many bytes to send, and a peer that takes all.
        fn new(bytes: usize, seed: u64) -> Self {
            let mut sending = Sending::new(bytes, bytes, Nagle::Off, SEGMENT);
            sending.acknowledge(Timestamp::EPOCH, 0, u64::MAX, false);
            sending.room.tell();
            sending.write(Buffer::copy_from(&vec![7; bytes])).unwrap();
            assert_eq!(sending.fill(), bytes);
            Self {
                sending,
                site: Entropy::from_seed(seed).site("test"),
                pool: BufferPool::new(),
            }
        }

        /// What is sent now: position and length of each segment.
        fn sent(&mut self) -> Vec<(u64, usize)> {
            let next = || {
                let entity = Entity::new(1);
                let sending = &mut self.sending;
                sending.poll(Timestamp::EPOCH, &self.site, entity, &self.pool)
            };
            let pieces = core::iter::from_fn(next);
            pieces
                .map(|piece| (piece.position, piece.payload.len()))
                .collect()
        }

        fn acknowledge(&mut self, expected: u64) {
            let now = Timestamp::EPOCH;
            self.sending.acknowledge(now, expected, u64::MAX, true);
        }
    }

    #[test]
    fn three_repeats_have_the_first_missing_segment_sent_again_and_then_the_others() {
        let mut line = Line::new(2_000, 1);
        let all = line.sent();
        line.acknowledge(all[0].1 as u64);
        let lost = all[1].0;
        for _ in 0..2 {
            line.acknowledge(lost);
            assert_eq!(line.sent(), []);
        }
        line.acknowledge(lost);
        assert_eq!(line.sent(), [(lost, SEGMENT)]);
        // More was lost of what had been sent by then.
        line.acknowledge(lost + 700);
        assert_eq!(line.sent(), [(lost + 700, SEGMENT)]);
        line.acknowledge(2_000);
        assert_eq!(line.sent(), []);
        assert!(line.sending.is_idle());
    }

    #[test]
    fn how_written_bytes_are_cut_is_drawn() {
        let cuts = |seed| Line::new(2_000, seed).sent();
        assert_eq!(cuts(1), cuts(1));
        let lens = (0..20).map(|seed| {
            let mut segments = cuts(seed);
            segments.pop();
            segments.into_iter().map(|(_, len)| len).collect::<Vec<_>>()
        });
        let lens: Vec<_> = lens.flatten().collect();
        let whole = lens.iter().filter(|&&len| len == SEGMENT).count();
        assert!(whole * 2 > lens.len(), "mostly as long as can be");
        assert!(lens.iter().any(|&len| len < SEGMENT / 2));
    }
}
