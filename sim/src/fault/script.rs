//! Faults of a run that was written down, in place of those that its scenario schedules.

use core::fmt;
use std::rc::Rc;

use stillpoint::Timestamp;

use super::Fault;
use crate::node::NodeId;

type Make = dyn Fn(&dyn Fn(&str) -> NodeId) -> Vec<(Timestamp, Fault)>;

/// The faults that happen in a run in place of those that its scenario plans, schedules or injects.
/// They are scheduled when the scenario first wants to do so: by then the nodes are there that they
/// are for.
#[derive(Clone)]
pub struct FaultScript(Rc<Make>);

impl FaultScript {
    /// These faults. What is given finds nodes by their names.
    #[must_use]
    pub fn new<F: IntoIterator<Item = (Timestamp, Fault)>>(
        faults: impl Fn(&dyn Fn(&str) -> NodeId) -> F + 'static,
    ) -> Self {
        Self(Rc::new(move |node| faults(node).into_iter().collect()))
    }

    pub(crate) fn faults(&self, node: &dyn Fn(&str) -> NodeId) -> Vec<(Timestamp, Fault)> {
        (self.0)(node)
    }
}

impl fmt::Debug for FaultScript {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FaultScript").finish_non_exhaustive()
    }
}
