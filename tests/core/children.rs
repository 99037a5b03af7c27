//! A task that holds a group of children: the same laws one level down.

use core::cell::RefCell;
use std::rc::Rc;

use stillpoint::{
    BufferPool, Children, Context, Deadline, End, Entity, Entropy, GroupConfig, Input,
    NetworkCommand, NetworkEvent, Outbox, Output, Task, TaskGroup, TaskId, Timestamp,
    TransmitBuffer, UdpBuffers, Worker, WorkerConfig, WorkerInput, WorkerOutput, WorkerOutputs,
};

use super::bench::{Bench, Say};
use super::check::check_drain;
use super::probe::{Act, Birth, Book, Entry, Heard, Lab, Place, Probe, Pushed, SharedBook, peer};

/// Hands what it is told down to its first child, and takes in what the children say.
struct Parent {
    children: Children<Probe<0>>,
    births: Vec<Birth>,
    ids: Vec<TaskId>,
    ended: Rc<RefCell<Vec<(TaskId, End)>>>,
    book: SharedBook,
    outbox: Outbox<Lab>,
}

impl Task for Parent {
    type App = Lab;

    fn handle_input(&mut self, now: Timestamp, input: Input<Lab>) {
        let Self {
            children,
            outbox,
            ended,
            ids,
            book,
            ..
        } = self;
        match input {
            Input::Started(_) => {
                for birth in self.births.drain(..) {
                    // The child looks its number up when it starts, so it has to be there.
                    let id = {
                        let slot = book.borrow().tasks.len();
                        let next = child_id(slot);
                        book.borrow_mut().tasks.push(next);
                        children
                            .insert(now, Probe::new(birth, Rc::clone(book)), outbox)
                            .expect("there is room")
                    };
                    assert_eq!(book.borrow().tasks.last(), Some(&id));
                    ids.push(id);
                }
            }
            Input::Timeout => {
                children.handle_timeout(now, outbox);
            }
            other => {
                // Whoever has ended is not there to be told.
                let _ended = children.handle_input(now, ids[0], other, outbox);
            }
        }
        ended
            .borrow_mut()
            .extend(core::iter::from_fn(|| children.poll_ended()));
    }

    fn poll_output(&mut self, _: Timestamp, _: &mut TransmitBuffer<'_>) -> Option<Output<Lab>> {
        self.outbox.pop()
    }

    fn poll_timeout(&self) -> Option<Deadline> {
        self.children.poll_timeout()
    }
}

/// The id that the `slot`-th child of a fresh group has: read off another group.
fn child_id(slot: usize) -> TaskId {
    struct Idle;
    impl Task for Idle {
        type App = Lab;
        fn handle_input(&mut self, _: Timestamp, _: Input<Lab>) {}
        fn poll_output(&mut self, _: Timestamp, _: &mut TransmitBuffer<'_>) -> Option<Output<Lab>> {
            None
        }
    }
    let mut group = TaskGroup::new(GroupConfig::new(Entropy::from_seed(0), Entity::new(0)));
    let (mut outbox, buffers) = (Outbox::new(), BufferPool::new());
    let mut adopted = outbox.adopt(&buffers, |_, _| {});
    let ids = (0..=slot).map(|_| {
        group
            .insert(Timestamp::EPOCH, Idle, &mut adopted)
            .expect("there is room")
    });
    ids.last().expect("at least one")
}

/// What the parent's driver was given: sockets and transmits as they were, reports as numbers.
#[derive(Default)]
struct Driver {
    pushed: Vec<WorkerOutput<Lab>>,
}

impl WorkerOutputs<Lab> for Driver {
    fn lend(&mut self) -> TransmitBuffer<'_> {
        TransmitBuffer::new(&mut [])
    }
    fn push(&mut self, output: WorkerOutput<Lab>) {
        self.pushed.push(output);
    }
}

struct Family {
    worker: Worker<Lab>,
    driver: Driver,
    book: SharedBook,
    ended: Rc<RefCell<Vec<(TaskId, End)>>>,
    parent: TaskId,
}

impl Family {
    fn new(births: Vec<Birth>) -> Self {
        let (book, ended) = (SharedBook::default(), Rc::new(RefCell::new(Vec::new())));
        let (shared, ends) = (Rc::<RefCell<Book>>::clone(&book), Rc::clone(&ended));
        let config = WorkerConfig::new(0, Entropy::from_seed(0));
        let mut births = Some(births);
        let mut worker = Worker::new(config, move |_, spawner| {
            spawner.insert(Parent {
                children: Children::new(GroupConfig::new(Entropy::from_seed(0), Entity::new(9))),
                births: births.take().unwrap_or_default(),
                ids: Vec::new(),
                ended: Rc::clone(&ends),
                book: Rc::clone(&shared),
                outbox: Outbox::new(),
            })
        });
        let mut driver = Driver::default();
        let spawn = WorkerInput::Spawn(Birth::default());
        worker.handle_input(Timestamp::EPOCH, spawn, &mut driver);
        let parent = worker.tasks_of::<Parent>().next().expect("it lives").0;
        Self {
            worker,
            driver,
            book,
            ended,
            parent,
        }
    }

    fn say(&mut self, now: u64, input: WorkerInput<Lab>) -> Vec<Entry> {
        self.book.borrow_mut().entries.clear();
        self.driver.pushed.clear();
        self.worker
            .handle_input(Timestamp::from_nanos(now), input, &mut self.driver);
        core::mem::take(&mut self.book.borrow_mut().entries)
    }

    fn command(&mut self, now: u64, command: Vec<Act>) -> Vec<Entry> {
        self.say(
            now,
            WorkerInput::Command {
                task: self.parent,
                command,
            },
        )
    }

    fn reports(&self) -> Vec<u64> {
        let report = |output: &WorkerOutput<Lab>| match output {
            WorkerOutput::Report { task, report } => {
                assert_eq!(*task, self.parent);
                Some(*report)
            }
            _ => None,
        };
        self.driver.pushed.iter().filter_map(report).collect()
    }
}

impl Drop for Family {
    fn drop(&mut self) {
        self.book.borrow_mut().closed = true;
    }
}

#[test]
fn law_1_children_are_drained_one_after_the_other_into_their_parent() {
    let birth = |tag| Birth {
        start: vec![Act::After(10)],
        timeouts: vec![vec![Act::Report(tag), Act::Report(tag + 1)]],
        ..Birth::default()
    };
    let mut family = Family::new(vec![birth(1), birth(3), birth(5)]);
    assert_eq!(
        family
            .worker
            .poll_timeout()
            .map(|deadline| deadline.at.as_nanos()),
        Some(10)
    );
    let book = family.say(10, WorkerInput::Timeout);
    let polled = |entry: &Entry| match entry {
        Entry::Given {
            task,
            input: Heard::Timeout,
            ..
        } => Some(*task),
        _ => None,
    };
    assert_eq!(
        book.iter().filter_map(polled).collect::<Vec<_>>(),
        [0, 1, 2]
    );
    assert_eq!(family.reports(), [1, 2, 3, 4, 5, 6]);
    // The children's reports go into the outbox, not to the driver: seen as pushed at once, the
    // drain law holds for them too.
    let mut seen = Vec::new();
    for entry in book {
        let said = match entry {
            Entry::Polled {
                task,
                output: Some(super::probe::Said::Report(tag)),
            } => Some(Entry::Pushed(Pushed::Report(task, tag))),
            _ => None,
        };
        seen.push(entry);
        seen.extend(said);
    }
    check_drain(&seen);
}

#[test]
fn law_6_a_panic_in_a_child_ends_that_child_alone_and_its_parent_is_told() {
    for place in [Place::HandleInput, Place::PollOutput, Place::PollTimeout] {
        let mut family = Family::new(vec![Birth::default(), Birth::default()]);
        family.command(1, vec![Act::Panic(place)]);
        let message = place.message().to_owned();
        let end = (child_id(0), End::Panicked { message });
        assert_eq!(*family.ended.borrow(), [end]);
        let parent: &Parent = family.worker.task(family.parent).expect("the parent lives");
        assert_eq!(parent.children.group().len(), 1);
        assert_eq!(
            parent.children.group().iter().next().map(|(id, _)| id),
            Some(child_id(1))
        );
    }
}

#[test]
fn law_1_a_child_that_finishes_is_gone_and_its_parent_goes_on() {
    let mut family = Family::new(vec![Birth::default()]);
    family.command(1, vec![Act::Report(1), Act::Finish, Act::Report(2)]);
    assert_eq!(family.reports(), [1]);
    assert_eq!(*family.ended.borrow(), [(child_id(0), End::Finished)]);
    assert!(family.command(2, vec![Act::Report(3)]).is_empty());
    assert_eq!((family.worker.tasks(), family.reports()), (1, vec![]));
}

#[test]
fn law_1_what_children_write_in_place_leaves_as_they_wrote_it() {
    let mut family = Family::new(vec![Birth {
        start: vec![Act::Open],
        ..Birth::default()
    }]);
    let opened = family.driver.pushed.iter().find_map(|output| match output {
        WorkerOutput::Network(NetworkCommand::OpenUdp { socket, open }) => Some((*socket, **open)),
        _ => None,
    });
    let (socket, open) = opened.expect("the child's socket");
    assert_eq!(
        family.worker.owner(socket),
        Some(family.parent),
        "it is the parent's"
    );
    family.book.borrow_mut().sockets.push(socket);
    let event = NetworkEvent::UdpOpened {
        socket,
        token: open.token,
        local: peer(),
        buffers: UdpBuffers::new(0, 0),
    };
    let heard = family.say(1, WorkerInput::Network(event));
    assert!(matches!(
        heard[0],
        Entry::Given {
            task: 0,
            input: Heard::Opened(0),
            ..
        }
    ));

    family.command(
        2,
        vec![
            Act::Write(0, 3),
            Act::Write(0, 0),
            Act::Send(0),
            Act::Write(0, 5),
        ],
    );
    let sent = core::mem::take(&mut family.driver.pushed)
        .into_iter()
        .map(|output| match output {
            WorkerOutput::Network(NetworkCommand::Transmit(sent)) => sent
                .payload
                .into_buffer()
                .expect("adopted payloads are buffers")
                .to_vec(),
            other => panic!("{other:?}"),
        });
    let expected = [vec![3; 3], vec![], b"buffer".to_vec(), vec![5; 5]];
    assert_eq!(sent.collect::<Vec<_>>(), expected);
}

#[test]
fn law_4_the_id_of_a_child_reaches_no_task_of_its_worker() {
    let mut bench = Bench::with(|config| config.index = 0);
    bench.task(vec![]);
    let child = child_id(0);
    assert_ne!(child, bench.task_id(0));
    let command = WorkerInput::Command {
        task: child,
        command: vec![Act::Report(1)],
    };
    bench.book.borrow_mut().tasks.push(child);
    bench
        .worker
        .handle_input(Timestamp::EPOCH, command, &mut bench.driver);
    let written = core::mem::take(&mut bench.book.borrow_mut().entries);
    assert_eq!(written, [Entry::Pushed(Pushed::Stale(1))]);
    assert_eq!(
        bench.pushed(1, &Say::Command(0, vec![Act::Report(2)])),
        [Pushed::Report(0, 2)]
    );
}

#[test]
fn law_2_a_child_that_wants_its_timeout_again_at_once_ends_and_its_parent_does_not() {
    let spinner = Birth {
        start: vec![Act::After(10)],
        timeouts: vec![vec![Act::After(0)]],
        ..Birth::default()
    };
    let mut family = Family::new(vec![spinner]);
    family.say(10, WorkerInput::Timeout);
    assert_eq!(
        *family.ended.borrow(),
        [(child_id(0), super::model::spin(10, 10))]
    );
    assert_eq!(family.worker.tasks(), 1);
}

/// A child's context says that nobody of this worker made it.
#[test]
fn a_child_draws_as_a_part_of_its_groups_entity() {
    struct Drawer(Option<Context>, Rc<RefCell<Vec<u64>>>);
    impl Task for Drawer {
        type App = Lab;
        fn handle_input(&mut self, _: Timestamp, input: Input<Lab>) {
            if let Input::Started(mut context) = input {
                assert_eq!(context.parent, None);
                self.1.borrow_mut().push(context.random.u64());
                self.0 = Some(context);
            }
        }
        fn poll_output(&mut self, _: Timestamp, _: &mut TransmitBuffer<'_>) -> Option<Output<Lab>> {
            None
        }
    }
    let drawn = Rc::new(RefCell::new(Vec::new()));
    for entity in [1, 1, 2] {
        let mut group =
            TaskGroup::new(GroupConfig::new(Entropy::from_seed(5), Entity::new(entity)));
        let (mut outbox, buffers) = (Outbox::new(), BufferPool::new());
        let mut adopted = outbox.adopt(&buffers, |_, _| {});
        let task = Drawer(None, Rc::clone(&drawn));
        group
            .insert(Timestamp::EPOCH, task, &mut adopted)
            .expect("there is room");
    }
    let drawn = drawn.borrow();
    assert_eq!(drawn[0], drawn[1]);
    assert_ne!(drawn[0], drawn[2]);
}
