//! The entries of the agenda, by time.
//!
//! A few are a heap. Once there are many, most lie in a calendar: a ring of short spans of time,
//! each with its entries in no order, and a ring of longer spans behind it. Only the span that is
//! next is sorted, by the heap. So an entry costs about the same however many there are (Brown,
//! "Calendar Queues", 1988; Varghese and Lauck, "Hashed and Hierarchical Timing Wheels", 1987),
//! and touches little memory.

use core::cmp::Ordering;

use stillpoint::Timestamp;

use crate::heap::Heap;

/// Small, because many of them move for each event.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry {
    pub(crate) at: Timestamp,
    pub(crate) slot: u32,
}

/// By time alone: in which order entries of one instant come out does not show.
impl Ord for Entry {
    #[inline]
    fn cmp(&self, other: &Self) -> Ordering {
        self.at.cmp(&other.at)
    }
}

impl PartialOrd for Entry {
    #[inline]
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.at == other.at
    }
}

impl Eq for Entry {}

impl Entry {
    const fn tick(self) -> u64 {
        self.at.as_nanos() >> TICK_BITS
    }
}

/// All entries of an instant are in the heap together, once the first of them is.
pub(crate) struct Calendar {
    /// What comes before the tick `open`: everything, as long as that is few.
    front: Heap<Entry>,
    /// The first tick that is not in the heap.
    open: u64,
    /// Once it was many.
    rings: Option<Box<Rings>>,
}

/// What comes from the tick `open` on.
struct Rings {
    /// The ticks from `open` on.
    near: Ring<NEAR_WORDS, NEAR>,
    /// Blocks of [`NEAR`] ticks each.
    far: Ring<FAR_WORDS, FAR>,
    /// What is farther away.
    beyond: Heap<Entry>,
    beyond_first: u64,
    nodes: Vec<Node>,
    /// The first of the nodes that are free.
    free: u32,
}

/// A list of nodes for each of so many spans.
struct Ring<const WORDS: usize, const SPANS: usize> {
    heads: [u32; SPANS],
    /// A bit for each span that has any.
    used: [u64; WORDS],
    /// A bit for each word of `used` that has any.
    words: u64,
}

#[derive(Debug, Clone, Copy)]
struct Node {
    at: Timestamp,
    slot: u32,
    next: u32,
}

/// A tick takes 1.024 µs.
const TICK_BITS: u32 = 10;
const NEAR_BITS: u32 = 12;
const NEAR: usize = 1 << NEAR_BITS;
const NEAR_WORDS: usize = NEAR / 64;
const FAR: usize = 1 << 10;
const FAR_WORDS: usize = FAR / 64;

/// As many as are a heap and no more.
const FEW: usize = 32;

/// No node.
const NONE: u32 = u32::MAX;

impl Calendar {
    pub(crate) const fn new() -> Self {
        Self {
            front: Heap::new(),
            open: u64::MAX,
            rings: None,
        }
    }

    #[inline]
    pub(crate) fn push(&mut self, new: Entry) {
        if new.tick() < self.open {
            self.front.push(new);
            if self.front.len() > FEW && self.rings.is_none() {
                self.spread();
            }
        } else {
            let open = self.open;
            self.rings().push(open, new);
        }
    }

    /// The first.
    #[inline]
    pub(crate) fn peek(&mut self) -> Option<Entry> {
        let first = self.front.peek();
        if first.is_none() && self.rings.is_some() {
            return self.turn();
        }
        first
    }

    /// The first, if it comes at this instant, at which others have come out.
    #[inline]
    pub(crate) fn peek_at(&mut self, at: Timestamp) -> Option<Entry> {
        self.front.peek().filter(|first| first.at <= at)
    }

    /// Takes the first out.
    #[inline]
    pub(crate) fn pop(&mut self) -> Option<Entry> {
        let first = self.peek()?;
        self.front.pop();
        Some(first)
    }

    /// Whether another comes at the instant of the first, which was taken out just now.
    #[inline]
    pub(crate) fn meets(&self, first: Entry) -> bool {
        self.front
            .second()
            .is_some_and(|second| second.at == first.at)
    }

    #[inline]
    fn rings(&mut self) -> &mut Rings {
        self.rings.get_or_insert_with(|| Box::new(Rings::new()))
    }

    /// Has what is in the heap lie in the calendar.
    #[cold]
    fn spread(&mut self) {
        let Some(first) = self.front.peek() else {
            return;
        };
        self.rings();
        self.open = first.tick() + 1;
        for entry in self.front.take_all() {
            self.push(entry);
        }
    }

    /// Goes on to the next span that has any, and has the heap sort them.
    fn turn(&mut self) -> Option<Entry> {
        let rings = self.rings.as_mut()?;
        loop {
            let near = rings.near.next(self.open);
            let block = rings.far.next(self.open >> NEAR_BITS);
            let block_start = block.map_or(u64::MAX, |block| block << NEAR_BITS);
            let tick = near.unwrap_or(u64::MAX);
            if block_start <= tick && block_start <= rings.beyond_first {
                let block = block?;
                self.open = block_start;
                rings.open_block(block);
                continue;
            }
            let tick = tick.min(rings.beyond_first);
            self.open = tick + 1;
            let mut node = rings.near.take(tick);
            while node != NONE {
                let Node { at, slot, next } = rings.nodes[node as usize];
                self.front.push(Entry { at, slot });
                rings.give_back(node);
                node = next;
            }
            if tick == rings.beyond_first {
                rings.take_beyond(tick, &mut self.front);
            }
            return self.front.peek();
        }
    }
}

impl Rings {
    const fn new() -> Self {
        Self {
            near: Ring::new(),
            far: Ring::new(),
            beyond: Heap::new(),
            beyond_first: u64::MAX,
            nodes: Vec::new(),
            free: NONE,
        }
    }

    #[inline]
    fn push(&mut self, open: u64, new: Entry) {
        let tick = new.tick();
        if tick - open < NEAR as u64 {
            let node = self.node(new, self.near.head(tick));
            self.near.put(tick, node);
        } else {
            self.push_far(open, new);
        }
    }

    #[inline(never)]
    fn push_far(&mut self, open: u64, new: Entry) {
        let tick = new.tick();
        let block = tick >> NEAR_BITS;
        if block - (open >> NEAR_BITS) < FAR as u64 {
            let node = self.node(new, self.far.head(block));
            self.far.put(block, node);
        } else {
            self.beyond_first = self.beyond_first.min(tick);
            self.beyond.push(new);
        }
    }

    /// A node in front of `next`.
    #[inline]
    fn node(&mut self, Entry { at, slot }: Entry, next: u32) -> u32 {
        let new = Node { at, slot, next };
        let free = self.free;
        if let Some(node) = self.nodes.get_mut(free as usize) {
            self.free = node.next;
            *node = new;
            return free;
        }
        self.nodes.push(new);
        u32::try_from(self.nodes.len() - 1)
            .ok()
            .filter(|&node| node != NONE)
            .expect("fewer than 2^32 - 1 entries wait")
    }

    #[inline]
    fn give_back(&mut self, node: u32) {
        self.nodes[node as usize].next = self.free;
        self.free = node;
    }

    /// The block begins with the first tick that is open: what is in it is near.
    #[inline(never)]
    fn open_block(&mut self, block: u64) {
        let mut node = self.far.take(block);
        while node != NONE {
            let Node { at, slot, next } = self.nodes[node as usize];
            let tick = Entry { at, slot }.tick();
            self.nodes[node as usize].next = self.near.head(tick);
            self.near.put(tick, node);
            node = next;
        }
    }

    /// Moves those of one tick from what is far away into the heap.
    #[cold]
    fn take_beyond(&mut self, tick: u64, front: &mut Heap<Entry>) {
        self.beyond_first = u64::MAX;
        while let Some(first) = self.beyond.peek() {
            if first.tick() > tick {
                self.beyond_first = first.tick();
                break;
            }
            self.beyond.pop();
            front.push(first);
        }
    }
}

impl<const WORDS: usize, const SPANS: usize> Ring<WORDS, SPANS> {
    const fn new() -> Self {
        assert!(SPANS.is_power_of_two() && SPANS == WORDS * 64 && WORDS <= 64);
        Self {
            heads: [NONE; SPANS],
            used: [0; WORDS],
            words: 0,
        }
    }

    /// Where a span is.
    #[inline]
    const fn place(span: u64) -> usize {
        #[expect(clippy::cast_possible_truncation, reason = "less than `SPANS`")]
        let place = (span % SPANS as u64) as usize;
        place
    }

    /// The first node of a span, or [`NONE`].
    #[inline]
    const fn head(&self, span: u64) -> u32 {
        self.heads[Self::place(span)]
    }

    /// Makes a node, which is in front of the head, the head.
    #[inline]
    const fn put(&mut self, span: u64, node: u32) {
        let place = Self::place(span);
        self.heads[place] = node;
        self.used[place / 64] |= 1 << (place % 64);
        self.words |= 1 << (place / 64);
    }

    /// Takes all nodes out of a span.
    #[inline]
    const fn take(&mut self, span: u64) -> u32 {
        let place = Self::place(span);
        let word = &mut self.used[place / 64];
        *word &= !(1 << (place % 64));
        if *word == 0 {
            self.words &= !(1 << (place / 64));
        }
        core::mem::replace(&mut self.heads[place], NONE)
    }

    /// The first span from `from` on that has any node. Those that have are fewer than `SPANS`
    /// away.
    #[inline]
    fn next(&self, from: u64) -> Option<u64> {
        if self.words == 0 {
            return None;
        }
        let start = Self::place(from);
        let here = self.used[start / 64] >> (start % 64);
        if here != 0 {
            return Some(from + u64::from(here.trailing_zeros()));
        }
        // Words behind this one, else from the start.
        let behind = self.words & (!1 << (start / 64));
        let words = if behind == 0 { self.words } else { behind };
        let word = words.trailing_zeros() as usize;
        let place = word * 64 + self.used[word].trailing_zeros() as usize;
        Some(from + (place.wrapping_sub(start) % SPANS) as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs through pushes and pops, and compares with a sorted list. Returns how many were far
    /// when they were pushed.
    fn compare(size: u64, ahead: impl Fn(&mut dyn FnMut(u64) -> u64) -> u64) -> usize {
        let mut random = size;
        let mut draw = |below: u64| {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (random >> 33) % below
        };
        let mut calendar = Calendar::new();
        let mut list: Vec<(u64, u32)> = Vec::new();
        let (mut now, mut far) = (0, 0);
        for slot in 0..20_000 {
            if (list.len() as u64) < draw(2 * size) {
                let at = now + ahead(&mut draw);
                calendar.push(Entry {
                    at: Timestamp::from_nanos(at),
                    slot,
                });
                let place = list.partition_point(|&(other, _)| other <= at);
                list.insert(place, (at, slot));
                far += usize::from(at - now > (NEAR as u64) << TICK_BITS);
                continue;
            }
            let first = calendar.peek();
            let first_at = first.map(|first| first.at.as_nanos());
            assert_eq!(first_at, list.first().map(|&(at, _)| at));
            // Looking does not bind: what is pushed then may come earlier.
            if draw(4) == 0 {
                continue;
            }
            let Some(first) = calendar.pop() else {
                continue;
            };
            let at = first.at.as_nanos();
            let count = list.partition_point(|&(other, _)| other == at);
            let known = list[..count]
                .iter()
                .position(|&(_, slot)| slot == first.slot);
            list.remove(known.expect("it is one of those of its instant"));
            assert_eq!(calendar.meets(first), count > 1);
            // Some are dropped, as deadlines are that have moved: time does not go on.
            if draw(8) != 0 {
                now = at;
            }
        }
        while let Some(first) = calendar.pop() {
            let (at, _) = list.remove(0);
            assert_eq!(first.at.as_nanos(), at);
        }
        assert!(list.is_empty());
        far
    }

    #[test]
    fn what_comes_out_is_what_a_sorted_list_gives() {
        for size in [1, 3, 40, 500, 5_000] {
            // Entries meet, and are near.
            compare(size, |draw| draw(20) * 300);
            // As links have it.
            compare(size, |draw| 1_000_000 + draw(1_000_000));
            // Near and far.
            let far = compare(size, |draw| draw(1 << 24));
            assert!(far > 0);
            // Of each size, up to an hour.
            let far = compare(size, |draw| {
                let bits = draw(42);
                (draw(1 << 21) << 21 | draw(1 << 21)) % (1 << bits)
            });
            assert!(far > 0);
        }
    }

    #[test]
    fn the_end_of_time_is_an_instant() {
        let mut calendar = Calendar::new();
        for slot in 0..100 {
            let at = if slot % 2 == 0 {
                Timestamp::MAX
            } else {
                Timestamp::EPOCH
            };
            calendar.push(Entry { at, slot });
        }
        let out: Vec<_> = core::iter::from_fn(|| calendar.pop()).collect();
        assert_eq!(out.len(), 100);
        assert!(out.is_sorted());
        assert_eq!(out[50].at, Timestamp::MAX);
    }

    #[test]
    fn nodes_are_used_again() {
        let mut calendar = Calendar::new();
        for at in 0..100_000 {
            let at = Timestamp::from_nanos(at * 10_000);
            calendar.push(Entry { at, slot: 0 });
            if at >= Timestamp::from_nanos(1_000_000) {
                calendar.pop();
            }
        }
        let rings = calendar.rings.expect("there were many");
        assert!(rings.nodes.len() < 200, "{}", rings.nodes.len());
    }
}
