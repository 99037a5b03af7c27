//! States that machines of a scenario go through, and which transitions there were.

use std::borrow::Cow;

use indexmap::{IndexMap, IndexSet};
use rustc_hash::FxBuildHasher;
use stillpoint::{App, Task};

use super::World;
use crate::coverage::Behaviour;

type LookAt<A> = dyn Fn(&World<A>, u32, &mut Book);

/// All that was visited, and who is looked at.
pub(super) struct Visits<A: App> {
    book: Book,
    watched: Vec<Box<LookAt<A>>>,
}

impl<A: App> Default for Visits<A> {
    fn default() -> Self {
        Self {
            book: Book::default(),
            watched: Vec::new(),
        }
    }
}

/// What was visited.
#[derive(Default)]
struct Book {
    machines: IndexMap<&'static str, Machine, FxBuildHasher>,
}

#[derive(Default)]
struct Machine {
    /// By name, and whether anybody was there.
    states: IndexMap<Cow<'static, str>, bool, FxBuildHasher>,
    /// From the number of one state to that of another.
    transitions: IndexSet<(usize, usize), FxBuildHasher>,
    /// In which state each entity is.
    current: IndexMap<[u64; 3], usize, FxBuildHasher>,
}

impl<A: App> World<A> {
    /// Says that `who`, one of the entities that are a `machine` of this name, is in this state now.
    /// Seeds that reach a state, and a transition from one to another, are counted: see
    /// [`Coverage`](crate::Coverage).
    pub fn visit(&mut self, machine: &'static str, who: u64, state: impl Into<Cow<'static, str>>) {
        let book = &mut self.visits().book;
        book.visit(machine, [u64::MAX, who, 0], state.into());
    }

    /// Looks at the state of each task of a type, after each event of its worker, and counts as
    /// [`World::visit`] does.
    ///
    /// # Example
    ///
    /// ```
    /// # use stillpoint::*;
    /// # use stillpoint_sim::*;
    /// # #[derive(Debug)] struct Rooms;
    /// # impl App for Rooms { type Channel = (); type Message = (); type Command = (); type Report = (); type Spawn = (); }
    /// # #[derive(Debug, Clone, Copy)] enum State { Dark, Lit }
    /// # struct Lamp { state: State }
    /// # impl Task for Lamp {
    /// #     type App = Rooms;
    /// #     fn handle_input(&mut self, _: Timestamp, input: Input<Rooms>) { if let Input::Command(()) = input { self.state = State::Lit; } }
    /// #     fn poll_output(&mut self, _: Timestamp, _: &mut TransmitBuffer<'_>) -> Option<Output<Rooms>> { None }
    /// # }
    /// let swept = sweep("lamps", 0..1, |world: &mut World<Rooms>| {
    ///     let hall = world.node("hall", [10, 0, 0, 1]).spawner(|(), spawner| spawner.insert(Lamp { state: State::Dark }));
    ///     world.expect_states("lamp", ["dark", "lit", "broken"]);
    ///     world.watch_states("lamp", |lamp: &Lamp| match lamp.state {
    ///         State::Dark => "dark",
    ///         State::Lit => "lit",
    ///     });
    ///     world.spawn(hall, 0, ());
    ///     world.run_until(core::time::Duration::from_secs(1), |world| world.task_count(hall) == 1)?;
    ///     let lamp = world.tasks::<Lamp>(hall).next().expect("one").0;
    ///     world.command(hall, lamp, ());
    ///     world.run_until_idle(core::time::Duration::from_secs(1))
    /// });
    /// assert_eq!(swept.coverage.of(Behaviour::Transition), [("lamp: dark -> lit", 1)]);
    /// assert_eq!(swept.coverage.never(Behaviour::State), ["lamp: broken"]);
    /// ```
    pub fn watch_states<T, S>(&mut self, machine: &'static str, state: impl Fn(&T) -> S + 'static)
    where
        T: Task<App = A> + 'static,
        S: Into<Cow<'static, str>>,
    {
        let look = move |world: &Self, number: u32, book: &mut Book| {
            let worker = world.seats[number as usize].worker.iter();
            for (id, task) in worker.flat_map(|worker| worker.tasks_of::<T>()) {
                let [high, low] = id.to_words();
                let who = [u64::from(number), high, low];
                book.visit(machine, who, state(task).into());
            }
        };
        self.properties().watches_states = true;
        self.visits().watched.push(Box::new(look));
    }

    /// Says which states there are: those that no seed comes to are told at the end of a sweep.
    pub fn expect_states<S: Into<Cow<'static, str>>>(
        &mut self,
        machine: &'static str,
        states: impl IntoIterator<Item = S>,
    ) {
        let machine = self.visits().book.machines.entry(machine).or_default();
        for state in states {
            machine.states.entry(state.into()).or_default();
        }
    }

    /// What was reached, for a footprint.
    pub(crate) fn note_visits(&self, named: &mut Vec<(Behaviour, Cow<'static, str>, bool)>) {
        let Some(visits) = self.visits.as_deref() else {
            return;
        };
        for (name, machine) in &visits.book.machines {
            for (state, &reached) in &machine.states {
                let text = format!("{name}: {state}").into();
                named.push((Behaviour::State, text, reached));
            }
            let state = |number: usize| {
                machine
                    .states
                    .get_index(number)
                    .map_or("", |(name, _)| name)
            };
            for &(from, to) in &machine.transitions {
                let text = format!("{name}: {} -> {}", state(from), state(to)).into();
                named.push((Behaviour::Transition, text, true));
            }
        }
    }

    /// These workers were given something.
    pub(super) fn look_at_states(&mut self, touched: &[u32]) {
        let Some(mut visits) = self.visits.take() else {
            return;
        };
        for look in &visits.watched {
            for &number in touched {
                look(self, number, &mut visits.book);
            }
        }
        self.visits = Some(visits);
    }

    fn visits(&mut self) -> &mut Visits<A> {
        self.visits.get_or_insert_default()
    }
}

impl Book {
    fn visit(&mut self, machine: &'static str, who: [u64; 3], state: Cow<'static, str>) {
        let machine = self.machines.entry(machine).or_default();
        let before = machine.current.get(&who).copied();
        let name = before.and_then(|number| machine.states.get_index(number));
        if name.is_some_and(|(name, _)| *name == state) {
            return;
        }
        let entry = machine.states.entry(state);
        let number = entry.index();
        *entry.or_default() = true;
        machine.current.insert(who, number);
        if let Some(before) = before {
            machine.transitions.insert((before, number));
        }
    }
}
