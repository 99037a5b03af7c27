//! Mischief: where tasks do on purpose what is allowed and rare.
//!
//! A task asks [`Context::buggify`](crate::Context::buggify). In production nobody is there to answer,
//! so nothing happens; a simulator puts a [`Mischief`] into
//! [`WorkerConfig::mischief`](crate::WorkerConfig). The worker is the same in both.

use core::fmt;
use std::rc::Rc;

use crate::entropy::Entity;

/// Answers for [`Context::buggify`](crate::Context::buggify).
pub trait Decide {
    /// Whether the task does what the label names, this time.
    fn decide(&self, label: &'static str, task: Entity) -> bool;
}

/// Who answers for [`Context::buggify`](crate::Context::buggify), to be shared by the workers of a
/// simulation.
#[derive(Clone)]
pub struct Mischief(Rc<dyn Decide>);

impl Mischief {
    /// Has `decide` answer.
    #[must_use]
    pub fn new(decide: Rc<dyn Decide>) -> Self {
        Self(decide)
    }

    #[cold]
    pub(crate) fn decide(&self, label: &'static str, task: Entity) -> bool {
        self.0.decide(label, task)
    }
}

impl fmt::Debug for Mischief {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mischief")
    }
}
