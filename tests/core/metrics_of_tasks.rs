//! What tasks count themselves, as the status of their worker tells it.

use stillpoint::{
    App, Children, Context, Counter, Entropy, Held, Input, MetricKind, MetricName, Outbox, Output,
    Spawned, Spawner, Task, Timestamp, TransmitBuffer, Worker, WorkerConfig, WorkerInput,
    WorkerOutput, WorkerOutputs, WorkerStatus,
};

#[derive(Debug)]
struct Lab;

impl App for Lab {
    type Channel = ();
    type Message = ();
    type Command = ();
    type Report = ();
    type Spawn = Spawn;
}

#[derive(Debug)]
enum Spawn {
    Child,
    /// A child that leaves at once.
    Guest,
    Parent,
}

/// Counts that it lives, and how many timeouts it gets: by itself, or by its child.
struct Child(Option<(Counter, Held)>, Outbox<Lab>);

impl Task for Child {
    type App = Lab;
    fn handle_input(&mut self, _: Timestamp, input: Input<Lab>) {
        if let Input::Started(context) = input {
            let living = context.gauge(MetricName::new("living", "Those who live."));
            let counter = context.counter(BORN.with_label("kind", "child"));
            counter.add(1);
            self.0 = Some((counter, living.hold()));
        }
    }
    fn poll_output(&mut self, _: Timestamp, _: &mut TransmitBuffer<'_>) -> Option<Output<Lab>> {
        self.1.pop()
    }
}

struct Parent(Option<Children<Child>>, Outbox<Lab>);

impl Parent {
    fn start(&mut self, now: Timestamp, context: &Context) {
        context.counter(BORN.with_label("kind", "parent")).add(1);
        let mut children = Children::new(context.children());
        for _ in 0..3 {
            let child = Child(None, Outbox::new());
            let outbox = &mut self.1;
            children.insert(now, child, outbox).expect("there is room");
        }
        self.0 = Some(children);
    }
}

impl Task for Parent {
    type App = Lab;
    fn handle_input(&mut self, now: Timestamp, input: Input<Lab>) {
        if let Input::Started(context) = input {
            self.start(now, &context);
        }
    }
    fn poll_output(&mut self, _: Timestamp, _: &mut TransmitBuffer<'_>) -> Option<Output<Lab>> {
        self.1.pop()
    }
}

const BORN: MetricName = MetricName::new("born_total", "Those who were born.");

struct Nowhere;

impl WorkerOutputs<Lab> for Nowhere {
    fn lend(&mut self) -> TransmitBuffer<'_> {
        TransmitBuffer::new(&mut [])
    }
    fn push(&mut self, _: WorkerOutput<Lab>) {}
}

fn spawn(spawn: Spawn, spawner: Spawner<'_, Lab>) -> Spawned {
    match spawn {
        Spawn::Child => spawner.insert(Child(None, Outbox::new())),
        Spawn::Guest => {
            let mut outbox = Outbox::new();
            outbox.finish();
            spawner.insert(Child(None, outbox))
        }
        Spawn::Parent => spawner.insert(Parent(None, Outbox::new())),
    }
}

/// Name, label, kind and value of each metric.
fn metrics(worker: &Worker<Lab>) -> Vec<(&'static str, Option<&'static str>, MetricKind, u64)> {
    let mut status = WorkerStatus::default();
    // A status is written over the last one.
    worker.write_status(&mut status);
    worker.write_status(&mut status);
    let metrics = status.metrics.iter();
    metrics
        .map(|metric| {
            let label = metric.name.label.map(|(_, value)| value);
            (metric.name.name, label, metric.kind, metric.value)
        })
        .collect()
}

#[test]
fn tasks_of_one_type_share_a_metric_and_workers_do_not() {
    let config = WorkerConfig::new(0, Entropy::from_seed(1));
    let mut other_config = config.clone();
    other_config.entity = other_config.entity.part(1);
    let mut worker = Worker::new(config, spawn);
    let other = Worker::new(other_config, spawn);
    for _ in 0..2 {
        worker.handle_input(
            Timestamp::EPOCH,
            WorkerInput::Spawn(Spawn::Child),
            &mut Nowhere,
        );
    }
    let expected = [
        ("born_total", Some("child"), MetricKind::Counter, 2),
        ("living", None, MetricKind::Gauge, 2),
    ];
    assert_eq!(metrics(&worker), expected);
    assert_eq!(metrics(&other), []);
}

#[test]
fn what_is_held_is_counted_while_it_lives() {
    let mut worker = Worker::new(WorkerConfig::new(0, Entropy::from_seed(1)), spawn);
    let mut status = WorkerStatus::default();
    for spawn in [Spawn::Child, Spawn::Guest] {
        worker.handle_input(Timestamp::EPOCH, WorkerInput::Spawn(spawn), &mut Nowhere);
    }
    worker.write_status(&mut status);
    assert_eq!(
        (status.metric("living"), status.metric("born_total")),
        (1, 2)
    );
}

#[test]
fn children_count_as_their_parent_does() {
    let mut worker = Worker::new(WorkerConfig::new(0, Entropy::from_seed(1)), spawn);
    worker.handle_input(
        Timestamp::EPOCH,
        WorkerInput::Spawn(Spawn::Parent),
        &mut Nowhere,
    );
    let expected = [
        ("born_total", Some("child"), MetricKind::Counter, 3),
        ("born_total", Some("parent"), MetricKind::Counter, 1),
        ("living", None, MetricKind::Gauge, 3),
    ];
    assert_eq!(metrics(&worker), expected);
}

#[test]
fn what_a_worker_counted_ends_with_it() {
    let config = WorkerConfig::new(0, Entropy::from_seed(1));
    let mut worker = Worker::new(config.clone(), spawn);
    worker.handle_input(
        Timestamp::EPOCH,
        WorkerInput::Spawn(Spawn::Child),
        &mut Nowhere,
    );
    drop(worker);
    let mut again = Worker::new(config, spawn);
    again.handle_input(
        Timestamp::EPOCH,
        WorkerInput::Spawn(Spawn::Child),
        &mut Nowhere,
    );
    assert_eq!(metrics(&again)[0].3, 1);
}
