//! A heap for the agenda: what is first comes out, and what is put in next often takes its place.

/// A heap of four children to a node.
///
/// What is taken out leaves a hole at the top, which the next to come in fills: most events cause
/// one other, so one way down the heap is spared of two.
pub(crate) struct Heap<T> {
    nodes: Vec<T>,
    /// Whether the first node was taken out.
    hole: bool,
}

impl<T: Ord + Copy> Heap<T> {
    pub(crate) const fn new() -> Self {
        Self {
            nodes: Vec::new(),
            hole: false,
        }
    }

    /// How many there are, and the hole.
    #[inline]
    pub(crate) const fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Takes all out, in no order.
    pub(crate) fn take_all(&mut self) -> Vec<T> {
        if self.hole {
            self.fill();
        }
        core::mem::take(&mut self.nodes)
    }

    #[inline]
    pub(crate) fn push(&mut self, new: T) {
        if self.hole {
            self.hole = false;
            self.sink(new);
        } else {
            let place = self.nodes.len();
            self.nodes.push(new);
            self.rise(place, new);
        }
    }

    /// Whether nothing is left but, at most, the hole.
    #[inline]
    pub(crate) const fn is_used_up(&self) -> bool {
        self.nodes.len() == self.hole as usize
    }

    /// The same as a push, for a heap that is used up.
    #[inline]
    pub(crate) fn start_with(&mut self, new: T) {
        debug_assert!(self.is_used_up(), "nothing is before it");
        self.hole = false;
        self.nodes.clear();
        self.nodes.push(new);
    }

    /// The first.
    #[inline]
    pub(crate) fn peek(&mut self) -> Option<T> {
        if self.hole {
            self.fill();
        }
        self.nodes.first().copied()
    }

    /// Takes the first out.
    #[inline]
    pub(crate) fn pop(&mut self) -> Option<T> {
        let first = self.peek()?;
        self.hole = true;
        Some(first)
    }

    /// The first behind the hole, without filling it.
    #[inline]
    pub(crate) fn second(&self) -> Option<T> {
        debug_assert!(self.hole, "asked right after a pop");
        let end = self.nodes.len().min(1 + CHILDREN);
        self.nodes.get(1..end)?.iter().min().copied()
    }

    /// Fills the hole with the last.
    fn fill(&mut self) {
        self.hole = false;
        if let Some(last) = self.nodes.pop()
            && !self.nodes.is_empty()
        {
            self.sink(last);
        }
    }

    fn rise(&mut self, mut place: usize, moving: T) {
        while place > 0 {
            let parent = (place - 1) / CHILDREN;
            if self.nodes[parent] <= moving {
                break;
            }
            self.nodes[place] = self.nodes[parent];
            place = parent;
        }
        self.nodes[place] = moving;
    }

    /// Four children, if there are as many.
    #[inline]
    fn four(&self, first: usize) -> Option<&[T; CHILDREN]> {
        self.nodes.get(first..)?.first_chunk()
    }

    /// Puts `moving` to its place below the top, which is free.
    #[inline]
    fn sink(&mut self, moving: T) {
        let mut place = 0;
        loop {
            let first = place * CHILDREN + 1;
            let (least, value) = match self.four(first) {
                Some(four) => {
                    // Numbers instead of branches, which would be hard to foresee.
                    let left = usize::from(four[1] < four[0]);
                    let right = 2 + usize::from(four[3] < four[2]);
                    let least = if four[right] < four[left] {
                        right
                    } else {
                        left
                    };
                    (first + least, four[least])
                }
                None => {
                    let rest = self.nodes.get(first..).unwrap_or_default();
                    let least = rest.iter().enumerate().min_by_key(|&(_, value)| value);
                    let Some((offset, &value)) = least else {
                        break;
                    };
                    (first + offset, value)
                }
            };
            if moving <= value {
                break;
            }
            self.nodes[place] = value;
            place = least;
        }
        self.nodes[place] = moving;
    }
}

const CHILDREN: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_out_is_what_a_sorted_list_gives() {
        let mut random = 1_u64;
        let mut draw = |below: u64| {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (random >> 33) % below
        };
        for size in [1, 3, 20, 500] {
            let (mut heap, mut list) = (Heap::new(), Vec::new());
            for _ in 0..20_000 {
                if (list.len() as u64) < draw(2 * size) {
                    let new = draw(1_000);
                    heap.push(new);
                    list.push(new);
                    list.sort_unstable();
                } else {
                    let first = (!list.is_empty()).then(|| list.remove(0));
                    if draw(2) == 0 {
                        assert_eq!(heap.peek(), first);
                    }
                    assert_eq!(heap.pop(), first);
                    if first.is_some() {
                        assert_eq!(heap.second(), list.first().copied());
                    }
                }
            }
        }
    }
}
