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
    /// None of those that are not near comes before this tick.
    later: u64,
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

    #[inline(always)]
    pub(crate) fn push(&mut self, new: Entry) {
        let Some(rings) = &mut self.rings else {
            self.front.push(new);
            if self.front.len() > FEW {
                self.spread();
            }
            return;
        };
        // What is before `open` is very far from it, too, in this count.
        if new.tick().wrapping_sub(self.open) < NEAR as u64 {
            rings.push_near(new);
        } else {
            self.push_elsewhere(new);
        }
    }

    #[inline(never)]
    fn push_elsewhere(&mut self, new: Entry) {
        match &mut self.rings {
            Some(rings) if new.tick() >= self.open => rings.push_far(self.open, new),
            Some(_) | None => self.front.push(new),
        }
    }

    /// The first.
    #[inline(always)]
    pub(crate) fn peek(&mut self) -> Option<Entry> {
        if self.front.is_used_up() && self.rings.is_some() {
            self.turn();
        }
        self.front.peek()
    }

    /// The first, if it comes at this instant, at which others have come out.
    #[inline]
    pub(crate) fn peek_at(&mut self, at: Timestamp) -> Option<Entry> {
        self.front.peek().filter(|first| first.at <= at)
    }

    /// Takes the first out, which was looked at just now.
    #[inline]
    pub(crate) fn take_first(&mut self) -> Option<Entry> {
        self.front.pop()
    }

    /// Whether another comes at the instant of the first, which was taken out just now.
    #[inline]
    pub(crate) fn meets(&self, first: Entry) -> bool {
        self.front
            .second()
            .is_some_and(|second| second.at == first.at)
    }

    /// Has what is in the heap lie in the calendar.
    #[cold]
    fn spread(&mut self) {
        let Some(first) = self.front.peek() else {
            return;
        };
        self.rings = Some(Box::new(Rings::new()));
        self.open = first.tick() + 1;
        for entry in self.front.take_all() {
            self.push(entry);
        }
    }

    /// Goes on to the next span that has any, and has the heap, which is empty, sort them.
    #[inline(never)]
    fn turn(&mut self) {
        let Some(rings) = self.rings.as_mut() else {
            return;
        };
        let Some((tick, place)) = rings
            .near
            .next(self.open)
            .filter(|near| near.0 < rings.later)
        else {
            return self.turn_far();
        };
        self.open = tick + 1;
        let node = rings.near.take(place);
        let (first, next) = rings.release(node);
        self.front.start_with(first);
        // The only one, most often.
        if next != NONE {
            rings.move_to(&mut self.front, next);
        }
    }

    /// The same where what is far away comes nearer.
    #[inline(never)]
    fn turn_far(&mut self) {
        let Some(rings) = self.rings.as_mut() else {
            return;
        };
        loop {
            let near = rings.near.next(self.open);
            let near = near.map_or(u64::MAX, |(tick, _)| tick);
            let block = rings.far.next(self.open >> NEAR_BITS);
            let start = block.map_or(u64::MAX, |(block, _)| block << NEAR_BITS);
            let beyond = rings.beyond.peek().map_or(u64::MAX, Entry::tick);
            if let Some((_, place)) = block
                && start <= near
                && start <= beyond
            {
                self.open = start;
                rings.open_block(place);
                continue;
            }
            rings.later = start.min(beyond);
            let tick = near.min(beyond);
            if tick == u64::MAX {
                return;
            }
            self.open = tick + 1;
            let first = rings.near.take(Ring::<NEAR_WORDS, NEAR>::place(tick));
            rings.move_to(&mut self.front, first);
            if tick == beyond {
                rings.take_beyond(tick, &mut self.front);
            }
            return;
        }
    }
}

impl Rings {
    const fn new() -> Self {
        Self {
            near: Ring::new(),
            far: Ring::new(),
            beyond: Heap::new(),
            later: u64::MAX,
            nodes: Vec::new(),
            free: NONE,
        }
    }

    #[inline]
    fn push_near(&mut self, new: Entry) {
        let place = Ring::<NEAR_WORDS, NEAR>::place(new.tick());
        let node = self.node(new, self.near.heads[place]);
        self.near.put(place, node);
    }

    fn push_far(&mut self, open: u64, new: Entry) {
        let tick = new.tick();
        let block = tick >> NEAR_BITS;
        if block - (open >> NEAR_BITS) < FAR as u64 {
            let place = Ring::<FAR_WORDS, FAR>::place(block);
            let node = self.node(new, self.far.heads[place]);
            self.far.put(place, node);
            self.later = self.later.min(block << NEAR_BITS);
        } else {
            self.beyond.push(new);
            self.later = self.later.min(tick);
        }
    }

    /// A node in front of `next`.
    #[inline]
    fn node(&mut self, Entry { at, slot }: Entry, next: u32) -> u32 {
        let free = self.free;
        match self.nodes.get_mut(free as usize) {
            Some(node) => {
                self.free = node.next;
                // Field by field: put together elsewhere, it would be read before it is written.
                node.at = at;
                node.slot = slot;
                node.next = next;
                free
            }
            None => self.add_node(Node { at, slot, next }),
        }
    }

    #[cold]
    fn add_node(&mut self, new: Node) -> u32 {
        let node = u32::try_from(self.nodes.len()).ok();
        self.nodes.push(new);
        node.filter(|&node| node != NONE)
            .expect("fewer than 2^32 - 1 entries wait")
    }

    /// Takes what is in a node out, and frees the node. Returns the next one, too.
    #[inline]
    fn release(&mut self, node: u32) -> (Entry, u32) {
        let free = core::mem::replace(&mut self.free, node);
        let Node { at, slot, next } = &mut self.nodes[node as usize];
        let entry = Entry {
            at: *at,
            slot: *slot,
        };
        (entry, core::mem::replace(next, free))
    }

    /// Moves what is in a list of nodes to the heap.
    fn move_to(&mut self, front: &mut Heap<Entry>, mut node: u32) {
        while node != NONE {
            let (entry, next) = self.release(node);
            front.push(entry);
            node = next;
        }
    }

    /// A block begins with the first tick that is open: what is in it is near.
    fn open_block(&mut self, place: usize) {
        let mut node = self.far.take(place);
        while node != NONE {
            let Node { at, slot, next } = &mut self.nodes[node as usize];
            let entry = Entry {
                at: *at,
                slot: *slot,
            };
            let place = Ring::<NEAR_WORDS, NEAR>::place(entry.tick());
            let behind = core::mem::replace(next, self.near.heads[place]);
            self.near.put(place, node);
            node = behind;
        }
    }

    /// Moves those of one tick from what is far away into the heap.
    fn take_beyond(&mut self, tick: u64, front: &mut Heap<Entry>) {
        while let Some(first) = self.beyond.peek()
            && first.tick() == tick
        {
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

    /// Makes a node, which is in front of the head, the head.
    #[inline]
    const fn put(&mut self, place: usize, node: u32) {
        self.heads[place] = node;
        self.used[place / 64] |= 1 << (place % 64);
        self.words |= 1 << (place / 64);
    }

    /// Takes all nodes out of a place.
    #[inline]
    const fn take(&mut self, place: usize) -> u32 {
        let word = &mut self.used[place / 64];
        *word &= !(1 << (place % 64));
        if *word == 0 {
            self.words &= !(1 << (place / 64));
        }
        core::mem::replace(&mut self.heads[place], NONE)
    }

    /// The first span from `from` on that has any node, and its place. Those that have are fewer
    /// than `SPANS` away.
    #[inline]
    fn next(&self, from: u64) -> Option<(u64, usize)> {
        let start = Self::place(from);
        let here = self.used[start / 64] >> (start % 64);
        if here != 0 {
            let ahead = here.trailing_zeros();
            return Some((from + u64::from(ahead), start + ahead as usize));
        }
        if self.words == 0 {
            return None;
        }
        // Words behind this one, else from the start.
        let behind = self.words & (!1 << (start / 64));
        let words = if behind == 0 { self.words } else { behind };
        let word = words.trailing_zeros() as usize;
        let place = word * 64 + self.used[word].trailing_zeros() as usize;
        Some((from + (place.wrapping_sub(start) % SPANS) as u64, place))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pop(calendar: &mut Calendar) -> Option<Entry> {
        calendar.peek()?;
        calendar.take_first()
    }

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
            let Some(first) = calendar.take_first() else {
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
        while let Some(first) = pop(&mut calendar) {
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
        let out: Vec<_> = core::iter::from_fn(|| pop(&mut calendar)).collect();
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
                pop(&mut calendar);
            }
        }
        let rings = calendar.rings.expect("there were many");
        assert!(rings.nodes.len() < 200, "{}", rings.nodes.len());
    }
}
