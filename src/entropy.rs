//! Chance as a value: draws keyed by site, entity and count.
//!
//! Every random decision is one [`Draw`]: the *count*-th decision of one *entity* (a link, a
//! task) at one *site* (`"link latency"`, `"task"`). Its outcome depends on the seed and on these
//! three alone, never on what was drawn elsewhere before. So one more node, link or draw changes
//! nothing for the others, and an old failure outlives changes of the code around it.
//!
//! ChaCha8 makes a key out of the seed and the site. XXH3, keyed with that, makes the outcome out
//! of entity and count: a draw takes some nanoseconds, and no state but its count. Both are fixed
//! specifications (RFC 8439 with eight rounds; XXH3 0.8), so outcomes are the same on every
//! machine and in every version.
//!
//! [`Choices`] stands in for the seed behind the same calls: the bytes of a fuzzer, a recorded
//! list of choices, or a recorder of them.
//!
//! This is for simulation, jitter and ids that need not be secret. It is no source of key
//! material.

use core::fmt;
use core::ops::RangeInclusive;
use core::time::Duration;
use std::rc::Rc;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Infallible, Rng, SeedableRng, TryRng};
use xxhash_rust::xxh3;

/// Where all chance of one world or one runtime comes from.
///
/// # Example
///
/// ```
/// use stillpoint::{Entity, Entropy};
///
/// let site = Entropy::from_seed(7).site("coin");
/// let mut alice = site.source(Entity::named("alice"));
/// let mut bob = site.source(Entity::named("bob"));
/// let first = alice.below(100);
/// // What Bob draws changes nothing for Alice.
/// let _ = bob.u64();
/// let again = Entropy::from_seed(7).site("coin").source(Entity::named("alice")).below(100);
/// assert_eq!(first, again);
/// ```
#[derive(Clone, Debug)]
pub struct Entropy {
    seed: u64,
    choices: Option<SharedChoices>,
}

impl Entropy {
    /// Everything follows from `seed`.
    #[must_use]
    pub const fn from_seed(seed: u64) -> Self {
        Self {
            seed,
            choices: None,
        }
    }

    /// Every draw is first offered to `choices`, together with what `seed` would have given.
    #[must_use]
    pub fn with_choices(seed: u64, choices: Rc<dyn Choices>) -> Self {
        Self {
            seed,
            choices: Some(SharedChoices(choices)),
        }
    }

    /// The seed.
    #[must_use]
    pub const fn seed(&self) -> u64 {
        self.seed
    }

    /// Who is offered each draw, if somebody is.
    pub(crate) fn choices(&self) -> Option<Rc<dyn Choices>> {
        self.choices.as_ref().map(|choices| Rc::clone(&choices.0))
    }

    /// The draws of one place in the code. Costs a ChaCha block: keep it.
    #[must_use]
    pub fn site(&self, name: &'static str) -> Site {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&self.seed.to_le_bytes());
        key[8..16].copy_from_slice(&xxh3::xxh3_64(name.as_bytes()).to_le_bytes());
        key[16..].copy_from_slice(b"stillpoint/1 key");
        let key = ChaCha8Rng::from_seed(key).next_u64();
        Site {
            name,
            key,
            choices: self.choices.clone(),
        }
    }
}

/// One place in the code that draws. Made by [`Entropy::site`].
#[derive(Clone, Debug)]
pub struct Site {
    name: &'static str,
    key: u64,
    choices: Option<SharedChoices>,
}

impl Site {
    /// The draws that `entity` makes at this site, from its first one on.
    #[must_use]
    pub fn source(&self, entity: Entity) -> Source {
        Source {
            site: self.clone(),
            entity,
            count: 0,
        }
    }

    /// The `count`-th draw of `entity` at this site: one of `options` alternatives, from 0 on.
    /// For callers who keep the count themselves.
    ///
    /// # Panics
    ///
    /// If `options` is 0.
    #[must_use]
    #[inline(always)]
    pub fn below(&self, entity: Entity, count: u64, options: u64) -> u64 {
        assert!(options > 0, "draw `{}` from no options", self.name);
        let wide = u128::from(self.raw(entity, count)) * u128::from(options);
        let drawn = (wide >> 64) as u64;
        self.offer(entity, count, options, drawn)
    }

    /// Whether the `count`-th draw of `entity` hits a chance of `probability`, from 0 to 1. What
    /// never or always happens is no draw: [`Choices`] are not asked.
    #[must_use]
    pub fn chance(&self, entity: Entity, count: u64, probability: f64) -> bool {
        if probability <= 0.0 || probability >= 1.0 {
            return probability >= 1.0;
        }
        // 53 bits are what an f64 holds exactly, so this is the same on every machine.
        let unit = (self.raw(entity, count) >> 11) as f64 / (1u64 << 53) as f64;
        self.offer(entity, count, 2, u64::from(unit < probability)) == 1
    }

    /// The `count`-th draw of `entity`: a duration within `range`, in whole nanoseconds.
    ///
    /// # Panics
    ///
    /// If `range` is empty or reaches beyond 2^64 ns.
    #[must_use]
    pub fn duration(
        &self,
        entity: Entity,
        count: u64,
        range: &RangeInclusive<Duration>,
    ) -> Duration {
        let nanos = |duration: &Duration| {
            u64::try_from(duration.as_nanos())
                .expect("durations of draws fit 64 bits of nanoseconds")
        };
        let (low, high) = (nanos(range.start()), nanos(range.end()));
        assert!(
            low <= high,
            "draw `{}` from an empty range of durations",
            self.name
        );
        let span = (high - low)
            .checked_add(1)
            .expect("durations of draws span less than 2^64 ns");
        Duration::from_nanos(low + self.below(entity, count, span))
    }

    #[inline(always)]
    fn raw(&self, entity: Entity, count: u64) -> u64 {
        let mut input = [0; 16];
        input[..8].copy_from_slice(&entity.0.to_le_bytes());
        input[8..].copy_from_slice(&count.to_le_bytes());
        xxh3::xxh3_64_with_seed(&input, self.key)
    }

    #[inline(always)]
    fn offer(&self, entity: Entity, count: u64, options: u64, drawn: u64) -> u64 {
        match &self.choices {
            None => drawn,
            Some(choices) => self.ask(choices, entity, count, options, drawn),
        }
    }

    /// Apart, so that those who draw from a seed have little to carry.
    #[inline(never)]
    fn ask(
        &self,
        choices: &SharedChoices,
        entity: Entity,
        count: u64,
        options: u64,
        drawn: u64,
    ) -> u64 {
        if options == 1 {
            return drawn; // There is nothing to choose.
        }
        let draw = Draw {
            site: self.name,
            entity,
            count,
            options,
        };
        let chosen = choices.0.choose(draw, drawn);
        assert!(
            options == 0 || chosen < options,
            "choice {chosen} out of range for {draw:?}"
        );
        chosen
    }
}

/// The draws of one entity at one site, one after the other.
///
/// Also a random number generator for crates that take one (`rand_core`).
#[derive(Clone, Debug)]
pub struct Source {
    site: Site,
    entity: Entity,
    count: u64,
}

impl Source {
    /// Any 64 bits.
    pub fn u64(&mut self) -> u64 {
        let count = self.next_count();
        self.site
            .offer(self.entity, count, 0, self.site.raw(self.entity, count))
    }

    /// A number from 0 up to, and not including, `options`.
    ///
    /// # Panics
    ///
    /// If `options` is 0.
    pub fn below(&mut self, options: u64) -> u64 {
        let count = self.next_count();
        self.site.below(self.entity, count, options)
    }

    /// A number within `range`, both ends included.
    ///
    /// # Panics
    ///
    /// If `range` is empty.
    pub fn range(&mut self, range: RangeInclusive<u64>) -> u64 {
        let (low, high) = range.into_inner();
        assert!(low <= high, "draw from the empty range {low}..={high}");
        match (high - low).checked_add(1) {
            Some(options) => low + self.below(options),
            None => self.u64(),
        }
    }

    /// A duration within `range`, both ends included.
    ///
    /// # Panics
    ///
    /// If `range` is empty or reaches beyond 2^64 ns.
    pub fn duration(&mut self, range: RangeInclusive<Duration>) -> Duration {
        let count = self.next_count();
        self.site.duration(self.entity, count, &range)
    }

    /// `true` with a chance of `probability`, from 0 to 1.
    pub fn chance(&mut self, probability: f64) -> bool {
        let count = self.next_count();
        self.site.chance(self.entity, count, probability)
    }

    /// Whose draws these are.
    #[must_use]
    pub const fn entity(&self) -> Entity {
        self.entity
    }

    fn next_count(&mut self) -> u64 {
        let count = self.count;
        self.count += 1;
        count
    }
}

impl TryRng for Source {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok((self.u64() >> 32) as u32)
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(self.u64())
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        for chunk in bytes.chunks_mut(8) {
            let drawn = self.u64().to_le_bytes();
            chunk.copy_from_slice(&drawn[..chunk.len()]);
        }
        Ok(())
    }
}

/// Who draws: a node, a link, a task. A number that stays the same when others come and go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Entity(u64);

impl Entity {
    /// The entity with this number.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The entity with this name.
    #[must_use]
    pub fn named(name: &str) -> Self {
        Self(xxh3::xxh3_64(name.as_bytes()))
    }

    /// The `number`-th part of this entity: the link from this node to that, the n-th task.
    #[must_use]
    #[inline(always)]
    pub fn part(self, number: u64) -> Self {
        Self(xxh3::xxh3_64_with_seed(&number.to_le_bytes(), self.0))
    }

    /// The number.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0
    }
}

/// The name of one random decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Draw {
    /// The place in the code.
    pub site: &'static str,
    /// Who draws.
    pub entity: Entity,
    /// How many draws the entity has made at this site before.
    pub count: u64,
    /// How many alternatives there are; 0 stands for all 2^64.
    pub options: u64,
}

/// Decides draws in place of the seed.
pub trait Choices {
    /// The outcome of `draw`: a number below `draw.options`. `drawn` is what the seed gives;
    /// returning it leaves the run as it is.
    fn choose(&self, draw: Draw, drawn: u64) -> u64;
}

#[derive(Clone)]
struct SharedChoices(Rc<dyn Choices>);

impl fmt::Debug for SharedChoices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Choices")
    }
}
