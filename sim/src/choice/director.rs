//! Who decides in place of the seed, and writes down what was decided.

use core::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::sync::Arc;

use indexmap::IndexMap;
use rustc_hash::FxBuildHasher;
use stillpoint::{Choices, Draw, Entity};

use super::bytes::Bytes;
use super::{Choice, ChoiceLog, Drift, Rest};
use crate::draws::CountDraws;
use crate::fault::FaultScript;

/// What decides in a run. Each has its run of a scenario, and what decides in one of these ways may
/// decide in another: the log of a seed's run and the bytes of that log give the same run.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Driver<'a> {
    /// The seed.
    Seed(u64),
    /// The bytes of a fuzzer: first the seed, for all that has no order, then the choices, a few
    /// bytes each. Behind their end everything is quiet.
    Bytes(&'a [u8]),
    /// Choices that were recorded. What is not among them is what the [log says](ChoiceLog::rest).
    Log(&'a ChoiceLog),
    /// The first choices of a log, and then another seed.
    Fork {
        /// The log. It must be of a run of this very program.
        log: &'a ChoiceLog,
        /// How many of its choices.
        choices: usize,
        /// What decides after these.
        seed: u64,
    },
    /// Choices that were recorded, and a script in place of the scenario's own faults.
    Scripted {
        /// The choices.
        log: &'a ChoiceLog,
        /// The faults.
        faults: &'a FaultScript,
    },
}

/// A draw in short: number of the site, entity, count.
type Key = (u32, u64, u64);
/// The same, and its options: where a draw is made twice, it may be among others the second time,
/// and that is a choice of its own.
type Exact = (Key, u64);
type Table<T, K = Key> = IndexMap<K, T, FxBuildHasher>;

/// Decides every draw of a world, and keeps what was decided. A draw that is made twice is decided
/// once.
#[derive(Debug)]
pub(crate) struct Director {
    seed: u64,
    /// What choices are that nothing else decides.
    rest: Rest,
    bytes: Option<Bytes>,
    /// What is to be chosen.
    wanted: Table<u64, Exact>,
    /// The same, whatever the options. Of several the last.
    loosely: Table<u64>,
    /// How many choices are up to `wanted`.
    until: usize,
    omitted: BTreeSet<u64>,
    script: Option<FaultScript>,
    /// Whether anybody wants to hear of drift.
    follows: bool,
    sites: RefCell<IndexMap<Arc<str>, (), FxBuildHasher>>,
    made: RefCell<Table<u64, Exact>>,
    matched: Cell<u64>,
    first_fresh: Cell<Option<usize>>,
    is_whole: Cell<bool>,
}

impl Director {
    pub(crate) fn new(driver: Driver<'_>) -> Self {
        let (mut bytes, mut log, mut script) = (None, None, None);
        let (mut rest, mut until) = (Rest::Seed, usize::MAX);
        let seed = match driver {
            Driver::Seed(seed) => seed,
            Driver::Bytes(text) => {
                let (seed, text) = Bytes::new(text);
                (bytes, rest) = (Some(text), Rest::Quiet);
                seed
            }
            Driver::Log(its) => {
                (log, rest) = (Some(its), its.rest);
                its.seed
            }
            Driver::Scripted { log: its, faults } => {
                (log, rest, script) = (Some(its), its.rest, Some(faults.clone()));
                its.seed
            }
            Driver::Fork {
                log: its,
                choices,
                seed,
            } => {
                (log, until) = (Some(its), choices);
                seed
            }
        };
        let mut sites = IndexMap::default();
        let (mut wanted, mut loosely) = (Table::default(), Table::default());
        for choice in log
            .map(ChoiceLog::choices)
            .unwrap_or_default()
            .iter()
            .take(until)
        {
            let site = number_of(&mut sites, Arc::clone(&choice.site));
            let key = (site, choice.entity.number(), choice.count);
            wanted.insert((key, choice.options), choice.chosen);
            loosely.insert(key, choice.chosen);
        }
        Self {
            seed,
            rest,
            bytes,
            wanted,
            loosely,
            until,
            omitted: log.map(|log| log.omitted.clone()).unwrap_or_default(),
            script,
            follows: matches!(driver, Driver::Log(_)),
            sites: RefCell::new(sites),
            made: RefCell::default(),
            matched: Cell::new(0),
            first_fresh: Cell::new(None),
            is_whole: Cell::new(true),
        }
    }

    pub(crate) const fn seed(&self) -> u64 {
        self.seed
    }

    /// Whether the fault of this number is left out.
    pub(crate) fn omits(&self, fault: u64) -> bool {
        self.omitted.contains(&fault)
    }

    /// The faults that happen in place of the scenario's own.
    pub(crate) const fn script(&self) -> Option<&FaultScript> {
        self.script.as_ref()
    }

    /// What was decided, and how that compares with what was to be.
    pub(crate) fn finish(&self) -> (ChoiceLog, Drift) {
        let sites = self.sites.borrow();
        let choice = |(key, chosen): (&Exact, &u64)| {
            let &((site, entity, count), options) = key;
            let site = sites.get_index(site as usize).map(|(site, ())| site);
            let site = site.map_or_else(|| Arc::from(""), Arc::clone);
            Choice::new(site, Entity::new(entity), count, (options, *chosen))
        };
        let made = self.made.borrow();
        let log = ChoiceLog {
            seed: self.seed,
            rest: self.rest,
            choices: made.iter().map(choice).collect(),
            omitted: self.omitted.clone(),
            is_whole: self.is_whole.get(),
        };
        let mut drift = Drift::default();
        if self.follows {
            drift.matched = self.matched.get();
            drift.fresh = (made.len() as u64).saturating_sub(drift.matched);
            drift.unused = (self.wanted.len() as u64).saturating_sub(drift.matched);
            let fresh = self.first_fresh.get();
            drift.first_fresh = fresh.map(|at| (at as u64, log.choices[at].clone()));
            if drift.unused > 0 {
                let made: BTreeSet<Key> = made.keys().map(|&(key, _)| key).collect();
                let mut unused = self.wanted.iter();
                let unused = unused.find(|((key, _), _)| !made.contains(key));
                drift.first_unused = unused.map(choice);
            }
        }
        (log, drift)
    }

    /// What nobody has decided yet.
    fn decide(&self, exact: Exact, number: usize, drawn: u64) -> u64 {
        let (key, options) = exact;
        if let Some(bytes) = &self.bytes {
            return match options {
                0 => drawn,
                options => bytes.next(options),
            };
        }
        if number >= self.until {
            return drawn;
        }
        let wanted = self.wanted.get(&exact);
        match wanted.or_else(|| self.loosely.get(&key)) {
            // Among other options it is what it was, as long as it is one of them at all.
            Some(&chosen) if options == 0 || chosen < options => {
                self.matched.set(self.matched.get() + 1);
                chosen
            }
            Some(_) | None => {
                if self.follows && self.first_fresh.get().is_none() {
                    self.first_fresh.set(Some(number));
                }
                self.rest.choose(options, drawn)
            }
        }
    }
}

impl CountDraws for Director {
    fn draws(&self) -> usize {
        self.made.borrow().len()
    }
}

impl Choices for Director {
    fn choose(&self, draw: Draw, drawn: u64) -> u64 {
        let site = number_of(&mut self.sites.borrow_mut(), draw.site);
        let key = ((site, draw.entity.number(), draw.count), draw.options);
        let mut made = self.made.borrow_mut();
        if let Some(&chosen) = made.get(&key) {
            return chosen;
        }
        let number = made.len();
        let chosen = self.decide(key, number, drawn);
        if number < ChoiceLog::CHOICES_MAX {
            made.insert(key, chosen);
        } else {
            self.is_whole.set(false);
        }
        chosen
    }
}

/// The number of a site.
fn number_of<S>(sites: &mut IndexMap<Arc<str>, (), FxBuildHasher>, site: S) -> u32
where
    S: AsRef<str> + Into<Arc<str>>,
{
    let known = sites.get_index_of(site.as_ref());
    let number = known.unwrap_or_else(|| sites.insert_full(site.into(), ()).0);
    u32::try_from(number).expect("fewer than 2^32 sites")
}
