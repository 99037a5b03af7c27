//! Where tasks do what is rare: never, unless the driver has somebody answer.

use core::cell::RefCell;
use std::rc::Rc;

use stillpoint::{
    BufferPool, Decide, Entity, Entropy, GroupConfig, Input, Mischief, Outbox, Output, Task,
    TaskGroup, Timestamp, TransmitBuffer, Worker, WorkerConfig, WorkerInput, WorkerOutput,
    WorkerOutputs,
};

use super::probe::{Birth, Lab};

/// Asks as soon as it starts, has a child that does so too, and notes the answers.
struct Asker {
    answers: Rc<RefCell<Vec<bool>>>,
    has_child: bool,
}

impl Task for Asker {
    type App = Lab;

    fn handle_input(&mut self, now: Timestamp, input: Input<Lab>) {
        let Input::Started(context) = input else {
            return;
        };
        let answers = [context.buggify("odd"), context.buggify("even")];
        self.answers.borrow_mut().extend(answers);
        if self.has_child {
            let mut config = GroupConfig::new(Entropy::from_seed(5), Entity::new(7));
            config.mischief = context.mischief().cloned();
            let mut children = TaskGroup::new(config);
            let (mut outbox, buffers) = (Outbox::new(), BufferPool::new());
            let mut adopted = outbox.adopt(&buffers, |_, _| {});
            let child = Self {
                answers: Rc::clone(&self.answers),
                has_child: false,
            };
            children
                .insert(now, child, &mut adopted)
                .expect("there is room");
        }
    }

    fn poll_output(&mut self, _: Timestamp, _: &mut TransmitBuffer<'_>) -> Option<Output<Lab>> {
        None
    }
}

/// Says yes to one label, and notes who has asked.
struct Odd(RefCell<Vec<(&'static str, Entity)>>);

impl Decide for Odd {
    fn decide(&self, label: &'static str, task: Entity) -> bool {
        self.0.borrow_mut().push((label, task));
        label == "odd"
    }
}

/// A driver that does nothing.
struct Deaf([u8; 8]);

impl WorkerOutputs<Lab> for Deaf {
    fn lend(&mut self) -> TransmitBuffer<'_> {
        TransmitBuffer::new(&mut self.0)
    }

    fn push(&mut self, _: WorkerOutput<Lab>) {}
}

/// What two tasks, each with a child, are told.
fn answers(mischief: Option<Mischief>) -> Vec<bool> {
    let answers = Rc::new(RefCell::new(Vec::new()));
    let mut config = WorkerConfig::new(0, Entropy::from_seed(1));
    config.mischief = mischief;
    let noted = Rc::clone(&answers);
    let mut worker = Worker::new(config, move |_: Birth, spawner| {
        spawner.insert(Asker {
            answers: Rc::clone(&noted),
            has_child: true,
        })
    });
    let mut driver = Deaf([0; 8]);
    for _ in 0..2 {
        let spawn = WorkerInput::Spawn(Birth::default());
        worker.handle_input(Timestamp::EPOCH, spawn, &mut driver);
    }
    answers.take()
}

#[test]
fn nobody_does_what_is_rare_in_production() {
    assert_eq!(answers(None), [false; 8]);
}

#[test]
fn whoever_drives_the_worker_may_have_somebody_answer() {
    let odd = Rc::new(Odd(RefCell::default()));
    let mischief = Mischief::new(Rc::clone(&odd) as Rc<dyn Decide>);
    assert_eq!(answers(Some(mischief)), [true, false].repeat(4));
    let mut askers: Vec<Entity> = odd.0.take().iter().map(|(_, task)| *task).collect();
    askers.dedup();
    assert_eq!(askers.len(), 4, "two tasks, and the child of each");
    assert_ne!(askers[0], askers[2], "each asks as itself");
}
