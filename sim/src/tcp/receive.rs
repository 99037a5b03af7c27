//! The receiving half of one end: puts bytes in order, and cuts them as chance has it.

use std::collections::{BTreeMap, VecDeque};

use stillpoint::{Buffer, BufferPool, Entity, Site};

/// What one end receives.
#[derive(Debug)]
pub(super) struct Receiving {
    /// In order, for the task.
    ordered: VecDeque<Buffer>,
    ordered_bytes: usize,
    /// Ahead of a gap, by position.
    ahead: BTreeMap<u64, Buffer>,
    /// The position that is expected next. All before has arrived.
    next: u64,
    capacity: usize,
    /// Position of the end, once it is known.
    end: Option<u64>,
    /// The edge that the peer was told of.
    edge_told: u64,
    /// Whether the peer is to be told what has arrived.
    pub(super) owes: bool,
    segment_bytes_max: usize,
    cuts: u64,
}

impl Receiving {
    pub(super) fn new(capacity: usize, segment_bytes_max: usize) -> Self {
        let capacity = capacity.max(1);
        Self {
            ordered: VecDeque::new(),
            ordered_bytes: 0,
            ahead: BTreeMap::new(),
            next: 0,
            capacity,
            end: None,
            edge_told: 0,
            owes: false,
            segment_bytes_max,
            cuts: 0,
        }
    }

    /// Bytes for the task.
    pub(super) const fn available(&self) -> usize {
        self.ordered_bytes
    }

    /// Pieces that were handed out.
    pub(super) const fn pieces(&self) -> u64 {
        self.cuts
    }

    /// Bytes that have arrived in order, ever.
    pub(super) const fn received(&self) -> u64 {
        self.next
    }

    /// Whether all has arrived, and the end.
    pub(super) fn has_ended(&self) -> bool {
        self.end == Some(self.next)
    }

    /// What the peer is told to have arrived: the end counts as one more.
    pub(super) fn expected(&self) -> u64 {
        self.next + u64::from(self.has_ended())
    }

    /// The position up to which bytes are taken in. It never goes back.
    pub(super) const fn edge(&self) -> u64 {
        self.next - self.ordered_bytes as u64 + self.capacity as u64
    }

    /// The same, of which the peer is told now.
    pub(super) const fn tell_edge(&mut self) -> u64 {
        self.owes = false;
        self.edge_told = self.edge();
        self.edge_told
    }

    /// Takes in what a segment brings. Bytes that are there already are dropped.
    pub(super) fn take_in(&mut self, position: u64, payload: Buffer, last: bool) {
        let behind = position + payload.len() as u64;
        if last {
            self.end = Some(behind);
        }
        if last || !payload.is_empty() {
            self.owes = true;
        }
        if payload.is_empty() || behind <= self.next || position >= self.edge() {
            return;
        }
        let known = self.ahead.get(&position).map_or(0, |known| known.len());
        if payload.len() > known {
            self.ahead.insert(position, payload);
        }
        while let Some(first) = self.ahead.first_entry()
            && *first.key() <= self.next
        {
            let (position, mut bytes) = first.remove_entry();
            let old = usize::try_from(self.next - position).unwrap_or(usize::MAX);
            if bytes.pop_front(old).is_some() && !bytes.is_empty() {
                self.next += bytes.len() as u64;
                self.ordered_bytes += bytes.len();
                self.ordered.push_back(bytes);
            }
        }
    }

    /// Takes bytes off for the task: as they came, cut short, or several joined, as chance has it.
    pub(super) fn give(&mut self, site: &Site, entity: Entity, pool: &BufferPool) -> Buffer {
        let Some(first) = self.ordered.front() else {
            return Buffer::empty();
        };
        let all = self.ordered_bytes.min(GIVE_BYTES_MAX);
        let drawn = site.below(entity, self.cuts, 4 * GIVE_BYTES_MAX as u64);
        let drawn = usize::try_from(drawn).unwrap_or(usize::MAX);
        self.cuts += 1;
        let count = match drawn / GIVE_BYTES_MAX {
            0 => drawn % all + 1,
            1 => all,
            _ => first.len(),
        };
        self.take_off(count, pool)
    }

    /// Drops what is there, and says how many bytes that were.
    pub(super) fn discard(&mut self) -> usize {
        let count = self.ordered_bytes;
        self.ordered.clear();
        self.left(count);
        count
    }

    /// Drops what will never be in order.
    pub(super) fn discard_ahead(&mut self) {
        self.ahead.clear();
    }

    fn take_off(&mut self, count: usize, pool: &BufferPool) -> Buffer {
        let taken = match self.ordered.front_mut() {
            Some(first) if first.len() > count => {
                let part = first.slice(..count).unwrap_or_default();
                assert!(first.pop_front(count).is_some(), "{count} bytes are there");
                part
            }
            Some(first) if first.len() == count => self.ordered.pop_front().unwrap_or_default(),
            Some(_) | None => self.join(count, pool),
        };
        self.left(count);
        taken
    }

    fn join(&mut self, count: usize, pool: &BufferPool) -> Buffer {
        let mut joined = pool.take(count);
        while joined.len() < count
            && let Some(first) = self.ordered.front_mut()
        {
            let part = (count - joined.len()).min(first.len());
            joined.push_back(&first[..part]);
            assert!(first.pop_front(part).is_some(), "{part} bytes are there");
            if first.is_empty() {
                self.ordered.pop_front();
            }
        }
        joined
    }

    /// So many bytes are no longer here, and others may come in their place. The peer is told once
    /// that is worth a segment.
    fn left(&mut self, count: usize) {
        self.ordered_bytes -= count;
        let worth = (self.capacity / 2).clamp(1, 2 * self.segment_bytes_max);
        if !self.has_ended() && self.edge() - self.edge_told >= worth as u64 {
            self.owes = true;
        }
    }
}

/// Bytes that a task is given at once, at most.
const GIVE_BYTES_MAX: usize = 65_536;

#[cfg(test)]
mod tests {
    use super::*;
    use stillpoint::Entropy;

    fn give_all(receiving: &mut Receiving, seed: u64) -> Vec<Vec<u8>> {
        let (site, pool) = (Entropy::from_seed(seed).site("test"), BufferPool::new());
        let mut given = Vec::new();
        while receiving.available() > 0 {
            given.push(receiving.give(&site, Entity::new(1), &pool).to_vec());
        }
        given
    }

    #[test]
    fn segments_in_any_order_with_overlaps_come_out_once_and_in_order() {
        let bytes: Vec<u8> = (0..=255).collect();
        let mut receiving = Receiving::new(1_000, 100);
        for range in [200..256, 40..90, 0..10, 5..50, 40..60, 0..256, 100..120] {
            let payload = Buffer::copy_from(&bytes[range.clone()]);
            receiving.take_in(range.start as u64, payload, range.end == 256);
        }
        assert!(receiving.has_ended());
        assert_eq!(receiving.expected(), 257);
        assert_eq!(give_all(&mut receiving, 1).concat(), bytes);
    }

    #[test]
    fn how_received_bytes_are_cut_is_drawn() {
        let cut = |seed| {
            let mut receiving = Receiving::new(10_000, 100);
            for part in 0..20 {
                receiving.take_in(part * 100, Buffer::copy_from(&[7; 100]), false);
            }
            let given = give_all(&mut receiving, seed);
            given.iter().map(Vec::len).collect::<Vec<_>>()
        };
        assert_eq!(cut(1), cut(1));
        let cuts: Vec<_> = (0..20).map(cut).collect();
        let has = |pick: fn(&usize) -> bool| cuts.iter().flatten().any(pick);
        assert!(has(|&len| len < 100) && has(|&len| len == 100) && has(|&len| len > 100));
        assert!(has(|&len| len == 2_000), "all at once");
    }

    #[test]
    fn what_is_beyond_the_window_is_not_kept() {
        let mut receiving = Receiving::new(10, 100);
        receiving.take_in(10, Buffer::copy_from(b"beyond"), false);
        receiving.take_in(0, Buffer::copy_from(b"0123456789"), false);
        assert_eq!(receiving.available(), 10);
        assert_eq!(receiving.edge(), 10);
        assert_eq!(receiving.discard(), 10);
        assert_eq!((receiving.edge(), receiving.owes), (20, true));
    }
}
