//! Draws as they were made, for those who compare two runs.

use core::cell::{Cell, OnceCell, RefCell};
use core::fmt;
use core::ops::Deref;

use stillpoint::{Choices, Draw, Entropy, Site};
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// A site that is made when it first draws: most worlds use few of those that there are.
#[derive(Debug, Clone)]
pub(crate) struct LazySite {
    name: &'static str,
    entropy: Entropy,
    site: OnceCell<Site>,
}

impl LazySite {
    pub(crate) fn new(entropy: &Entropy, name: &'static str) -> Self {
        Self {
            name,
            entropy: entropy.clone(),
            site: OnceCell::new(),
        }
    }
}

impl Deref for LazySite {
    type Target = Site;

    fn deref(&self) -> &Site {
        self.site.get_or_init(|| self.entropy.site(self.name))
    }
}

/// A draw that was made, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct DrawnDraw {
    /// The site, the entity and the count.
    pub draw: Draw,
    /// The outcome.
    pub drawn: u64,
    /// Who has drawn, by name, if that is known.
    pub who: String,
}

impl fmt::Display for DrawnDraw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Draw {
            site,
            count,
            options,
            ..
        } = self.draw;
        let (who, drawn) = (&self.who, self.drawn);
        write!(f, "`{site}` of {who}, draw {count}: {drawn} of {options}")
    }
}

/// How the draws of two runs compare.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum DrawsCompared {
    /// They differ before the events do, or in the same step: here.
    Differ {
        /// How many were the same before.
        index: usize,
        /// The draw of one run, if it made one more.
        first: Option<DrawnDraw>,
        /// And of the other.
        second: Option<DrawnDraw>,
    },
    /// They are the same up to the event that differs. The last one before that.
    Same {
        /// Which.
        last: Option<DrawnDraw>,
    },
}

impl fmt::Display for DrawsCompared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let none = |draw: &Option<DrawnDraw>| {
            draw.as_ref()
                .map_or_else(|| "(none)".to_owned(), ToString::to_string)
        };
        match self {
            Self::Differ {
                index,
                first,
                second,
            } => {
                writeln!(f, "the draws differ from draw {index} on:")?;
                writeln!(f, "  first:  {}", none(first))?;
                write!(f, "  second: {}", none(second))
            }
            Self::Same { last } => {
                writeln!(f, "the draws before are the same; the last of them:")?;
                write!(f, "  {}", none(last))
            }
        }
    }
}

/// Knows how many draws were made.
pub(crate) trait CountDraws {
    fn draws(&self) -> usize;
}

/// Writes down what the seed gives.
#[derive(Debug, Default)]
pub(crate) struct Recorder {
    list: RefCell<Vec<(Draw, u64)>>,
}

impl CountDraws for Recorder {
    fn draws(&self) -> usize {
        self.list.borrow().len()
    }
}

impl Recorder {
    pub(crate) fn take(&self) -> Vec<(Draw, u64)> {
        self.list.take()
    }
}

impl Choices for Recorder {
    fn choose(&self, draw: Draw, drawn: u64) -> u64 {
        self.list.borrow_mut().push((draw, drawn));
        drawn
    }
}

/// Takes all draws into one number.
#[derive(Debug, Default)]
pub(crate) struct DrawHasher {
    count: Cell<u64>,
    hash: Cell<u64>,
}

impl DrawHasher {
    /// How many draws there were, and their hash.
    pub(crate) fn digest(&self) -> (u64, u64) {
        (self.count.get(), self.hash.get())
    }
}

impl Choices for DrawHasher {
    fn choose(&self, draw: Draw, drawn: u64) -> u64 {
        let words = [draw.entity.number(), draw.count, draw.options, drawn];
        let bytes = words.map(u64::to_le_bytes);
        let site = xxh3_64_with_seed(draw.site.as_bytes(), self.hash.get());
        self.hash.set(xxh3_64_with_seed(bytes.as_flattened(), site));
        self.count.set(self.count.get() + 1);
        drawn
    }
}
