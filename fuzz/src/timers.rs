//! Bytes become deadlines of many tasks; each must be given its timeout at the first call at or
//! after it, the most overdue first, and never else.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use stillpoint::{
    App, Deadline, End, Entity, Entropy, GroupConfig, GroupOutputs, Input, Output, Task, TaskGroup,
    TaskId, Timestamp, TransmitBuffer,
};

use crate::Script;

/// Tasks at a time.
const TASKS_MAX: usize = 64;
/// Timeouts that are given in one call.
const BATCH_MAX: u32 = 5;

#[derive(Debug)]
struct Clocks;

impl App for Clocks {
    type Channel = ();
    type Message = ();
    type Command = Option<u64>;
    type Report = ();
    type Spawn = ();
}

/// Has the deadline that it was told last. Writes down when it was given its timeout.
struct Clock {
    id: Option<TaskId>,
    deadline: Option<u64>,
    rung: Rc<RefCell<Vec<TaskId>>>,
}

impl Task for Clock {
    type App = Clocks;

    fn handle_input(&mut self, now: Timestamp, input: Input<Clocks>) {
        match input {
            Input::Started(context) => self.id = Some(context.task),
            Input::Command(deadline) => self.deadline = deadline,
            Input::Timeout => {
                let deadline = self.deadline.take().expect("it has a deadline");
                assert!(deadline <= now.as_nanos(), "too early");
                self.rung.borrow_mut().extend(self.id);
            }
            _ => {}
        }
    }

    fn poll_output(&mut self, _: Timestamp, _: &mut TransmitBuffer<'_>) -> Option<Output<Clocks>> {
        None
    }

    fn poll_timeout(&self) -> Option<Deadline> {
        let at = Timestamp::from_nanos(self.deadline?);
        Some(Deadline::new(at, "rings"))
    }
}

/// Nobody says anything.
struct Silent;

impl GroupOutputs<Clocks> for Silent {
    fn lend(&mut self) -> TransmitBuffer<'_> {
        TransmitBuffer::new(&mut [])
    }

    fn output(&mut self, _: TaskId, output: Output<Clocks>) {
        panic!("{output:?}");
    }

    fn ended(&mut self, _: TaskId, end: End) {
        assert_eq!(end, End::Removed);
    }
}

/// Runs the script.
pub fn run_bytes(bytes: &[u8]) {
    let mut script = Script::new(bytes);
    let config = GroupConfig::new(Entropy::from_seed(0), Entity::new(0));
    let mut group = TaskGroup::<Clock>::new(config);
    let rung = Rc::new(RefCell::new(Vec::new()));
    let mut model: BTreeMap<TaskId, Option<u64>> = BTreeMap::new();
    let mut now = 0_u64;
    while !script.is_over() {
        let (what, which) = (script.byte() % 8, usize::from(script.byte()));
        let at = Timestamp::from_nanos(now);
        let task = model.keys().nth(which % model.len().max(1)).copied();
        match (what, task) {
            (0, _) | (_, None) if model.len() < TASKS_MAX => {
                let (rung, id, deadline) = (Rc::clone(&rung), None, None);
                let clock = Clock { id, deadline, rung };
                let id = group.insert(at, clock, &mut Silent).expect("room for it");
                assert_eq!(model.insert(id, None), None, "an id is used once");
            }
            (1, Some(task)) => {
                group.remove(task, &mut Silent).expect("it lives");
                model.remove(&task);
            }
            (2..=5, Some(task)) => {
                // Of the past, of now, of the future, or none.
                let offset = script.word() as u64;
                let wanted = (offset > 0).then(|| (now + offset).saturating_sub(1 << 14));
                let input = Input::Command(wanted);
                group
                    .handle_input(at, task, input, &mut Silent)
                    .expect("it lives");
                model.insert(task, wanted);
            }
            _ => now += which as u64 * script.byte() as u64,
        }
        let at = Timestamp::from_nanos(now);
        let given = group.handle_timeout(at, BATCH_MAX, &mut Silent);
        check(&mut model, now, given, &rung.borrow_mut().split_off(0));
        let first = model.values().flatten().min().copied();
        let wanted = group.poll_timeout().map(|deadline| deadline.at.as_nanos());
        assert_eq!(wanted, first);
        assert_eq!(group.len(), model.len());
    }
}

/// Those that were given their timeouts are those that were most overdue.
fn check(model: &mut BTreeMap<TaskId, Option<u64>>, now: u64, given: u32, rung: &[TaskId]) {
    assert_eq!(given as usize, rung.len());
    let due = model.values().flatten().filter(|&&at| at <= now).count();
    assert_eq!(rung.len(), due.min(BATCH_MAX as usize));
    let mut before = 0;
    for id in rung {
        let at = model
            .insert(*id, None)
            .flatten()
            .expect("it had a deadline");
        assert!(before <= at && at <= now, "the most overdue first");
        before = at;
    }
    let next = model.values().flatten().min();
    assert!(
        next.is_none_or(|&next| next >= before),
        "one was passed over"
    );
}
