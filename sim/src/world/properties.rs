//! What must hold in a world: always, at last, or in some run of many.
//!
//! All of it is asked after each event, in the order in which it was declared. Whoever declares
//! nothing pays for nothing.

use core::time::Duration;

use indexmap::IndexMap;
use rustc_hash::FxBuildHasher;
use stillpoint::{App, Task, Timestamp};

use super::World;
use super::run::Step;
use crate::claim::Claim;
use crate::failure::Failure;
use crate::node::NodeId;

mod eventual;

use eventual::{Eventual, Kind};

type Ask<A> = dyn Fn(&World<A>) -> Result<(), String>;
type AskWorker<A> = dyn Fn(&World<A>, u32) -> Result<(), String>;

/// All that was declared. Apart from the world, which it is asked about.
pub(super) struct Properties<A: App> {
    always: Vec<Property<A>>,
    each: Vec<Each<A>>,
    eventual: Vec<Eventual<A>>,
    /// Those that were not reached yet.
    sometimes: Vec<Property<A>>,
    labels: IndexMap<String, bool, FxBuildHasher>,
    /// The workers that were given something since the last event, if anybody wants to know.
    touched: Vec<u32>,
    /// Whether the states of tasks are looked at.
    pub(super) watches_states: bool,
    /// Whether nothing new is to become pending, since the run is to come to an end.
    closing: bool,
}

struct Property<A: App> {
    name: String,
    holds: Box<Ask<A>>,
}

/// A property of the tasks of one type.
struct Each<A: App> {
    name: String,
    /// Asked about one worker.
    holds: Box<AskWorker<A>>,
}

impl<A: App> Default for Properties<A> {
    fn default() -> Self {
        Self {
            always: Vec::new(),
            each: Vec::new(),
            eventual: Vec::new(),
            sometimes: Vec::new(),
            labels: IndexMap::default(),
            touched: Vec::new(),
            watches_states: false,
            closing: false,
        }
    }
}

impl<A: App> Properties<A> {
    /// A worker is given something.
    pub(super) fn touch(&mut self, number: u32) {
        if !self.each.is_empty() || self.watches_states {
            self.touched.push(number);
        }
    }

    /// How many faults last that somebody is to end. At the end of a run nobody does, and those that
    /// last are there to stay.
    fn lasting(&self, world: &mut World<A>) -> usize {
        if self.eventual.is_empty() || self.closing {
            0
        } else {
            world.lasting_faults()
        }
    }

    /// The first moment at which something is due.
    fn due(&self) -> Timestamp {
        let due = self.eventual.iter().filter_map(Eventual::due);
        due.min().unwrap_or(Timestamp::MAX)
    }
}

impl<A: App> World<A> {
    /// Demands that `holds` is true, or `Ok`, after every event from now on.
    ///
    /// It costs what it looks at, for each event; [`World::always_each`] is there for what can be
    /// said of tasks one by one.
    pub fn always<C: Claim>(
        &mut self,
        name: impl Into<String>,
        holds: impl Fn(&Self) -> C + 'static,
    ) {
        let property = Property::new(name, holds);
        self.properties().always.push(property);
    }

    /// Demands that `holds` is true, or `Ok`, of each task of a type after every event from now on.
    ///
    /// Only the tasks of the worker to which something happened are looked at, so that this is cheap
    /// also in a world of many nodes.
    pub fn always_each<T, C>(
        &mut self,
        name: impl Into<String>,
        holds: impl Fn(&Self, NodeId, &T) -> C + 'static,
    ) where
        T: Task<App = A> + 'static,
        C: Claim,
    {
        let holds = move |world: &Self, number: u32| {
            let seat = &world.seats[number as usize];
            let node = NodeId::new(seat.node);
            let tasks = seat.worker.iter().flat_map(|worker| worker.tasks_of::<T>());
            for (id, task) in tasks {
                holds(world, node, task).into_result().map_err(|saw| {
                    let colon = if saw.is_empty() { "" } else { ": " };
                    format!("{id} on `{}`{colon}{saw}", world.node_name(node))
                })?;
            }
            Ok(())
        };
        let (name, holds) = (name.into(), Box::new(holds));
        self.properties().each.push(Each { name, holds });
    }

    /// Demands that `holds` is true, or `Ok`, at some moment within `within` from now, and from each
    /// fault on that comes later: then it is owed again.
    ///
    /// Faults are those of this world ([`World::inject`] and its like). While one lasts that has
    /// begun since the declaration (a way is cut, a node is down or paused, sends are refused),
    /// nothing is owed; those that still last when the scenario returns are there to stay, and count
    /// no more. If the scenario returns before all is decided, [`check`](crate::check()) runs on until
    /// it is. It fails with [`Failure::Eventually`].
    ///
    /// A fault may take a while to show: what must hold again *and stay so* is for
    /// [`World::settles`].
    pub fn eventually<C: Claim>(
        &mut self,
        name: impl Into<String>,
        within: Duration,
        holds: impl Fn(&Self) -> C + 'static,
    ) {
        self.owe(name, within, Kind::Once, holds);
    }

    /// Demands that `holds` is true, or `Ok`, `within` from now and after every event from then on;
    /// after a fault, it has that time again.
    pub fn settles<C: Claim>(
        &mut self,
        name: impl Into<String>,
        within: Duration,
        holds: impl Fn(&Self) -> C + 'static,
    ) {
        self.owe(name, within, Kind::Settled, holds);
    }

    /// Demands that whenever `premise` holds after an event, `conclusion` holds then or at some
    /// moment within `within` from then, or from the last fault that has come meanwhile.
    pub fn leads_to<P: Claim, C: Claim>(
        &mut self,
        name: impl Into<String>,
        within: Duration,
        premise: impl Fn(&Self) -> P + 'static,
        conclusion: impl Fn(&Self) -> C + 'static,
    ) {
        let premise = move |world: &Self| premise(world).into_result();
        self.owe(name, within, Kind::After(Box::new(premise)), conclusion);
    }

    fn owe<C: Claim>(
        &mut self,
        name: impl Into<String>,
        within: Duration,
        kind: Kind<A>,
        holds: impl Fn(&Self) -> C + 'static,
    ) {
        let from = self.now().max(self.outside.disturbed_at);
        let lasting = self.lasting_faults();
        let owed_since = (!matches!(kind, Kind::After(_))).then_some(from);
        let Property { name, holds } = Property::new(name, holds);
        self.properties().eventual.push(Eventual {
            name,
            within,
            kind,
            holds,
            owed_since,
            disturbed_at: from,
            lasting,
            suspended: false,
            saw: String::new(),
        });
        self.due = self.properties().due();
    }

    /// Asks after each event whether `holds`, until it once does. If no seed of a
    /// [`check`](crate::check()) comes that far, the check fails: it has not tried what it was meant
    /// to try.
    ///
    /// Several declarations of one label count as one.
    pub fn sometimes<C: Claim>(
        &mut self,
        label: impl Into<String>,
        holds: impl Fn(&Self) -> C + 'static,
    ) {
        let property = Property::new(label, holds);
        self.note_label(&property.name, false);
        self.properties().sometimes.push(property);
    }

    /// Says that some seed is to call [`World::reached`] with this label.
    pub fn expect_reached(&mut self, label: impl AsRef<str>) {
        self.note_label(label.as_ref(), false);
    }

    /// Says that the scenario came to something that some seed of a [`check`](crate::check()) is to
    /// come to. If it only may be reached, declare it before, by [`World::expect_reached`].
    pub fn reached(&mut self, label: impl AsRef<str>) {
        self.note_label(label.as_ref(), true);
    }

    /// The labels that were declared, and whether they were reached.
    pub fn labels(&self) -> impl Iterator<Item = (&str, bool)> {
        let labels = self.properties.iter().flat_map(|known| known.labels.iter());
        labels.map(|(label, &reached)| (label.as_str(), reached))
    }

    /// When the last fault has happened or ended: the time from which [`World::eventually`] counts. A
    /// stall ends later than it begins, so this may be a time to come.
    #[must_use]
    pub const fn last_disturbance(&self) -> Timestamp {
        self.outside.disturbed_at
    }

    /// Says that the scenario has just done something that its properties are to recover from: has
    /// changed a link, say. Faults that the world has methods for say so themselves.
    pub const fn disturb(&mut self) {
        self.outside.disturbed();
    }

    /// Runs on until everything that is owed ([`World::eventually`] and its like) has come, or the
    /// first of it is overdue. [`check`](crate::check()) does so at the end of each scenario.
    ///
    /// # Errors
    ///
    /// [`Failure::Eventually`], and what failed for good: see [`World::failure`].
    pub fn decide(&mut self) -> Result<(), Failure> {
        if self.properties.is_none() {
            return Ok(());
        }
        self.properties().closing = true;
        self.look_at_properties();
        while self.due < Timestamp::MAX && self.outside.failed.is_none() {
            let due = self.due;
            match self.advance(due)? {
                Step::Moved => {}
                Step::Later | Step::Idle => {
                    self.outside.now = self.outside.now.max(due);
                    self.decide_what_is_due();
                }
            }
        }
        self.properties().closing = false;
        match &self.outside.failed {
            Some(failure) => Err(failure.clone()),
            None => Ok(()),
        }
    }

    fn note_label(&mut self, label: &str, reached: bool) {
        let labels = &mut self.properties().labels;
        match labels.get_mut(label) {
            Some(known) => *known |= reached,
            None => {
                labels.insert(label.to_owned(), reached);
            }
        }
    }

    pub(super) fn properties(&mut self) -> &mut Properties<A> {
        self.properties.get_or_insert_default()
    }

    /// Something has happened: asks about all that is to be asked.
    pub(super) fn look_at_properties(&mut self) {
        self.forget_cause();
        if self.outside.failed.is_some() {
            return;
        }
        let Some(mut properties) = self.properties.take() else {
            return;
        };
        if properties.watches_states {
            self.look_at_states(&properties.touched);
        }
        let lasting = properties.lasting(self);
        let broken = properties.look(self, lasting);
        self.due = properties.due();
        self.properties = Some(properties);
        if let Some(failure) = broken {
            self.fail_with_waits(failure);
        }
    }

    /// Time is about to go on to `at`, and nothing happens before.
    #[cold]
    pub(super) fn pass(&mut self, at: Timestamp) {
        while self.due < at && self.outside.failed.is_none() {
            self.outside.now = self.outside.now.max(self.due);
            self.decide_what_is_due();
        }
    }

    /// Nothing more happens now: what is due by now holds, or has failed.
    fn decide_what_is_due(&mut self) {
        let Some(mut properties) = self.properties.take() else {
            return;
        };
        let lasting = properties.lasting(self);
        let mut eventual = properties.eventual.iter_mut();
        let broken = eventual.find_map(|property| property.decide(self, lasting));
        self.due = properties.due();
        self.properties = Some(properties);
        if let Some(failure) = broken {
            self.fail_with_waits(failure);
        }
    }

    fn fail_with_waits(&mut self, mut failure: Failure) {
        if let Failure::Eventually { waiting, .. } = &mut failure {
            *waiting = self.waits();
        }
        self.outside.fail(failure);
    }
}

impl<A: App> Properties<A> {
    /// Gives what is wrong for good.
    fn look(&mut self, world: &World<A>, lasting: usize) -> Option<Failure> {
        let Self {
            labels, sometimes, ..
        } = &mut *self;
        sometimes.retain(|property| {
            let reached = (property.holds)(world).is_ok();
            if reached && let Some(known) = labels.get_mut(&property.name) {
                *known = true;
            }
            !reached
        });
        for property in &self.always {
            if let Err(saw) = (property.holds)(world) {
                return Some(broken(world, &property.name, saw));
            }
        }
        let touched = core::mem::take(&mut self.touched);
        for property in &self.each {
            for &number in &touched {
                if let Err(saw) = (property.holds)(world, number) {
                    return Some(broken(world, &property.name, saw));
                }
            }
        }
        self.touched = touched;
        self.touched.clear();
        let closing = self.closing;
        let mut eventual = self.eventual.iter_mut();
        eventual.find_map(|property| property.look(world, lasting, closing))
    }
}

impl<A: App> Property<A> {
    fn new<C: Claim>(name: impl Into<String>, holds: impl Fn(&World<A>) -> C + 'static) -> Self {
        Self {
            name: name.into(),
            holds: Box::new(move |world| holds(world).into_result()),
        }
    }
}

/// An invariant that does not hold.
fn broken<A: App>(world: &World<A>, name: &str, saw: String) -> Failure {
    let last = world.last_events().last();
    Failure::Invariant {
        at: world.now(),
        name: name.to_owned(),
        saw,
        after: last.map_or_else(String::new, |event| world.describe(&event)),
    }
}
