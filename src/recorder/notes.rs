//! What is decided for a worker beside its inputs, in a simulation: draws that do not follow from
//! the seed, and where tasks do what is rare.

use core::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use crate::entropy::{Choices, Draw, Entity, Entropy};
use crate::mischief::{Decide, Mischief};
use crate::worker::WorkerConfig;

/// Decisions, in the order in which they were asked for.
#[derive(Debug, Clone, Default)]
pub(super) struct Notes(Rc<RefCell<VecDeque<u64>>>);

/// Which decisions there are to note.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Noted {
    pub(super) mischief: bool,
    pub(super) draws: bool,
}

impl Notes {
    /// Has what is decided for a worker of this configuration noted. `None` if there is nothing to
    /// note, as in production.
    pub(super) fn of(config: &mut WorkerConfig) -> (Noted, Option<Self>) {
        let (mischief, choices) = (config.mischief.clone(), config.entropy.choices());
        let noted = Noted {
            mischief: mischief.is_some(),
            draws: choices.is_some(),
        };
        if noted == Noted::default() {
            return (noted, None);
        }
        let notes = Self::default();
        if let Some(inner) = mischief {
            let notes = notes.clone();
            config.mischief = Some(Mischief::new(Rc::new(Noting { inner, notes })));
        }
        if let Some(inner) = choices {
            let seed = config.entropy.seed();
            let notes = notes.clone();
            config.entropy = Entropy::with_choices(seed, Rc::new(Noting { inner, notes }));
        }
        (noted, Some(notes))
    }

    /// Has what was noted decided again.
    pub(super) fn tell(&self, noted: Noted, config: &mut WorkerConfig) {
        if noted.mischief {
            config.mischief = Some(Mischief::new(Rc::new(self.clone())));
        }
        if noted.draws {
            let seed = config.entropy.seed();
            config.entropy = Entropy::with_choices(seed, Rc::new(self.clone()));
        }
    }

    pub(super) fn push(&self, decision: u64) {
        self.0.borrow_mut().push_back(decision);
    }

    pub(super) fn pop(&self) -> Option<u64> {
        self.0.borrow_mut().pop_front()
    }

    pub(super) fn clear(&self) {
        self.0.borrow_mut().clear();
    }
}

/// Has somebody decide, and notes it.
struct Noting<T> {
    inner: T,
    notes: Notes,
}

impl Decide for Noting<Mischief> {
    fn decide(&self, label: &'static str, task: Entity) -> bool {
        let decision = self.inner.decide(label, task);
        self.notes.push(u64::from(decision));
        decision
    }
}

impl Choices for Noting<Rc<dyn Choices>> {
    fn choose(&self, draw: Draw, drawn: u64) -> u64 {
        let chosen = self.inner.choose(draw, drawn);
        self.notes.push(chosen);
        chosen
    }
}

impl Decide for Notes {
    fn decide(&self, _: &'static str, _: Entity) -> bool {
        self.pop() == Some(1)
    }
}

impl Choices for Notes {
    fn choose(&self, draw: Draw, drawn: u64) -> u64 {
        let noted = self
            .pop()
            .filter(|&chosen| draw.options == 0 || chosen < draw.options);
        noted.unwrap_or(drawn)
    }
}
