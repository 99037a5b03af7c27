//! Instructions per operation of the core, counted by valgrind: the same on every run of one
//! binary, so a change shows at once.
//!
//! `cargo bench --bench instructions` prints a table. It runs itself under
//! `valgrind --tool=callgrind` once for each number, counting only what happens inside
//! `counted_operation`, and leaves each profile in `target/instructions/` for
//! `callgrind_annotate`.
//!
//! With `--check` behind `--` it compares the numbers with those in `benches/instructions.budget`,
//! and fails if one has grown by more than 5 %; with `--bless` it writes them there. Features of
//! the workspace count: both are for `cargo bench --workspace`, as CI runs it.
//!
//! What would make the numbers differ between machines is kept out: the environment, and the
//! processor's choice among glibc's ways to copy memory. That of the trace hash is left, so a
//! processor without AVX2 counts more for a simulated delivery.
#![expect(clippy::print_stdout, reason = "a benchmark prints")]
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "what is not counted does not matter"
)]

use core::hint::black_box;
use core::net::SocketAddr;
use core::time::Duration;
use std::fs;
use std::path::Path;
use std::process::Command;

use stillpoint::{
    Buffer, DatagramRun, Deadline, End, Entity, Entropy, GroupConfig, GroupOutputs, Input,
    NetworkCommand, NetworkEvent, Outbox, Output, RecordRing, Recorder, SocketId, Task, TaskGroup,
    TaskId, Timestamp, Token, Transmit, TransmitBuffer, UdpOpen, Worker, WorkerConfig, WorkerInput,
    WorkerOutput, WorkerOutputs,
};

#[path = "instructions/budget.rs"]
mod budget;
#[path = "instructions/bus.rs"]
mod bus;
#[path = "instructions/simulated.rs"]
mod simulated;

use budget::Budget;

const SIZES: [u32; 3] = [1, 1_000, 100_000];
const OPERATIONS: u32 = 1_000;
const CASES: [Case; 11] = [
    Case {
        name: "datagram",
        description: "one datagram in, one transmit out",
        run: |tasks| datagrams(tasks, None),
    },
    Case {
        name: "datagram-timer",
        description: "the same, and the task re-arms its timer",
        run: |tasks| datagrams(tasks, Some(Duration::from_secs(1))),
    },
    Case {
        name: "datagram-hosted",
        description: "the first, where a recorder might be and is not",
        run: |tasks| recorded(tasks, None),
    },
    Case {
        name: "datagram-recorded",
        description: "the first, recorded to a ring of 16 MiB",
        run: |tasks| recorded(tasks, Some(RecordRing::new(16 << 20))),
    },
    Case {
        name: "tick",
        description: "the next due task is ticked and re-arms its timer",
        run: ticks,
    },
    Case {
        name: "insert-remove",
        description: "one task is inserted, started and removed",
        run: inserts,
    },
    Case {
        name: "command",
        description: "one command in, one report out",
        run: |tasks| bus::messages(tasks, bus::Counted::Command),
    },
    Case {
        name: "message-within",
        description: "one command in, one message to a task of the worker",
        run: |tasks| bus::messages(tasks, bus::Counted::Within),
    },
    Case {
        name: "message-out",
        description: "one command in, one message to another worker",
        run: |tasks| bus::messages(tasks, bus::Counted::Out),
    },
    Case {
        name: "message-in",
        description: "one message from another worker",
        run: |tasks| bus::messages(tasks, bus::Counted::In),
    },
    Case {
        name: "simulated-delivery",
        description: "one datagram sent and delivered in a simulation of nodes",
        run: simulated::deliveries,
    },
];

struct Case {
    name: &'static str,
    description: &'static str,
    /// Does the counted operation [`OPERATIONS`] times among so many tasks.
    run: fn(u32),
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let case = |name: &String| CASES.into_iter().find(|case| case.name == name);
    if let [name, tasks] = &arguments[..]
        && let (Some(case), Ok(tasks)) = (case(name), tasks.parse())
    {
        return (case.run)(tasks);
    }
    if !arguments.iter().any(|argument| argument == "--bench") {
        // `cargo test --benches`: they work, and nothing is counted.
        return CASES.into_iter().for_each(|case| (case.run)(10));
    }
    if Command::new("valgrind").arg("--version").output().is_err() {
        println!("valgrind is missing, so no instructions can be counted.");
        println!("Install it: `apt-get install valgrind`, or `dnf install valgrind`.");
        std::process::exit(1);
    }
    let asks_for = |flag| arguments.iter().any(|argument| argument == flag);
    let counted = count_all();
    if asks_for("--bless") {
        counted.write();
    } else if asks_for("--check") && !is_within_budget(&counted) {
        std::process::exit(1);
    }
}

/// Counts all cases, and prints them.
fn count_all() -> Budget {
    println!("instructions per operation, among so many tasks of one group, mean of {OPERATIONS}");
    println!("{:60}{:>9}{:>9}{:>9}", "", SIZES[0], SIZES[1], SIZES[2]);
    let mut all = Budget::new();
    for Case {
        name, description, ..
    } in CASES
    {
        let counted = SIZES.map(|tasks| count(name, tasks));
        println!(
            "{description:60}{:>9}{:>9}{:>9}",
            counted[0], counted[1], counted[2]
        );
        for (size, count) in SIZES.into_iter().zip(counted) {
            all.insert(name, size, count);
        }
    }
    all
}

/// Compares with what is checked in, and says what is beyond.
fn is_within_budget(counted: &Budget) -> bool {
    budget::prove();
    let budget = match Budget::read() {
        Ok(budget) => budget,
        Err(error) => {
            println!("{error}");
            return false;
        }
    };
    let verdict = budget.compare(counted);
    for line in &verdict.under {
        println!("note: {line}: lower the budget");
    }
    for line in &verdict.over {
        println!("error: {line}");
    }
    let is_within = verdict.over.is_empty();
    if !is_within || !verdict.under.is_empty() {
        println!("`callgrind_annotate target/instructions/NAME-SIZE.out` says where they go.");
        println!("If it is as it should be, write the new budget, and say why in the commit:");
        println!("  cargo bench --workspace --bench instructions -- --bless");
    }
    is_within
}

/// Runs one case under callgrind. Instructions per operation.
fn count(name: &str, tasks: u32) -> u64 {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/instructions");
    fs::create_dir_all(&folder).expect("the folder for profiles can be made");
    let profile = folder.join(format!("{name}-{tasks}.out"));
    let ran = Command::new("valgrind")
        .args([
            "--tool=callgrind",
            "--collect-atstart=no",
            "--toggle-collect=*counted_operation*",
        ])
        .env_clear()
        .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
        .env("GLIBC_TUNABLES", PLAIN_COPIES)
        .arg(format!("--callgrind-out-file={}", profile.display()))
        .arg(std::env::current_exe().expect("this program knows where it is"))
        .args([name, &tasks.to_string()])
        .output()
        .expect("valgrind runs");
    let said = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "valgrind failed: {said}");
    let written = fs::read_to_string(&profile).expect("valgrind wrote a profile");
    let total = written
        .lines()
        .find_map(|line| line.strip_prefix("totals: "));
    let total: u64 = total
        .and_then(|total| total.trim().parse().ok())
        .expect("it has a total");
    assert!(total > 0, "nothing was counted: {said}");
    total / u64::from(OPERATIONS)
}

/// Has glibc copy memory the same way on every x86-64.
const PLAIN_COPIES: &str = "glibc.cpu.hwcaps=-AVX,-AVX2,-AVX512F,-AVX512VL,-ERMS,-FSRM";

/// All that is counted is what `operation` does.
#[inline(never)]
fn counted_operation<R>(operation: impl FnOnce() -> R) -> R {
    black_box(operation())
}

#[derive(Debug)]
struct App;

impl stillpoint::App for App {
    type Channel = ();
    type Message = ();
    type Command = ();
    type Report = ();
    type Spawn = Duration;
}

/// Sends back what it gets, and re-arms its timer if it has one.
struct Echo {
    wait: Option<Duration>,
    due: Option<Timestamp>,
    /// Its first deadline is this much later than those of the others.
    stagger: Duration,
    outbox: Outbox<App>,
}

impl Echo {
    fn new(wait: Option<Duration>, stagger: Duration) -> Self {
        Self {
            wait,
            due: None,
            stagger,
            outbox: Outbox::new(),
        }
    }
}

impl Task for Echo {
    type App = App;

    fn handle_input(&mut self, now: Timestamp, input: Input<App>) {
        self.due = self.wait.map(|wait| now.after(wait));
        match input {
            Input::Started(_) => {
                self.due = self.due.map(|due| due.after(self.stagger));
                let bind = SocketAddr::from(([0, 0, 0, 0], 0));
                self.outbox.open_udp(UdpOpen::new(Token(0), bind));
            }
            Input::Network(NetworkEvent::Datagrams { socket, run }) => {
                self.outbox.transmit(Transmit::reply(socket, run));
            }
            _ => {}
        }
    }

    fn poll_output(&mut self, _: Timestamp, _: &mut TransmitBuffer<'_>) -> Option<Output<App>> {
        self.outbox.pop()
    }

    fn poll_timeout(&self) -> Option<Deadline> {
        self.due.map(|due| Deadline::new(due, "echo"))
    }
}

/// Keeps the ids of sockets and the last transmit.
#[derive(Default)]
struct Driver {
    sockets: Vec<SocketId>,
    sent: Option<Transmit>,
}

impl WorkerOutputs<App> for Driver {
    fn lend(&mut self) -> TransmitBuffer<'_> {
        TransmitBuffer::new(&mut [])
    }

    fn push(&mut self, output: WorkerOutput<App>) {
        match output {
            WorkerOutput::Network(NetworkCommand::Transmit(sent)) => self.sent = Some(sent),
            WorkerOutput::Network(NetworkCommand::OpenUdp { socket, .. }) => {
                self.sockets.push(socket);
            }
            _ => {}
        }
    }
}

/// A worker with so many tasks, each with a socket, each due one microsecond after the other.
fn worker(tasks: u32, wait: Option<Duration>) -> (Worker<App>, Driver) {
    let config = WorkerConfig::new(0, Entropy::from_seed(0));
    let mut worker = Worker::new(config, move |stagger, spawner| {
        spawner.insert(Echo::new(wait, stagger))
    });
    let mut driver = Driver::default();
    for task in 0..tasks {
        let spawn = WorkerInput::Spawn(Duration::from_micros(task.into()));
        worker.handle_input(Timestamp::EPOCH, spawn, &mut driver);
    }
    (worker, driver)
}

fn datagrams(tasks: u32, wait: Option<Duration>) {
    let (mut worker, mut driver) = worker(tasks, wait);
    let peer = SocketAddr::from(([192, 0, 2, 1], 9));
    let payload = Buffer::copy_from(&[7; 200]);
    // The first datagram to each task makes its outbox allocate; what is counted is the steady
    // load.
    for step in 0..2 * OPERATIONS {
        let counts = step >= OPERATIONS;
        // Strides over all tasks.
        let task = u64::from(step % OPERATIONS) * 7_919 % u64::from(tasks);
        let socket = driver.sockets[usize::try_from(task).expect("it fits")];
        let run = DatagramRun::new(peer, payload.clone(), 0);
        let input = WorkerInput::Network(NetworkEvent::Datagrams { socket, run });
        let now = Timestamp::from_nanos(step.into());
        driver.sent = None;
        if counts {
            counted_operation(|| worker.handle_input(now, input, &mut driver));
        } else {
            worker.handle_input(now, input, &mut driver);
        }
        assert!(driver.sent.is_some(), "the task answers");
    }
}

/// The same, as the runtime has it: with a recorder, or without.
fn recorded(tasks: u32, ring: Option<RecordRing>) {
    let mut config = WorkerConfig::new(0, Entropy::from_seed(0));
    let mut recorder = ring.map(|ring| Recorder::new(&mut config, Box::new(ring)));
    let (mut worker, mut driver) = worker(tasks, None);
    let peer = SocketAddr::from(([192, 0, 2, 1], 9));
    let payload = Buffer::copy_from(&[7; 200]);
    for step in 0..2 * OPERATIONS {
        let counts = step >= OPERATIONS;
        let task = u64::from(step % OPERATIONS) * 7_919 % u64::from(tasks);
        let socket = driver.sockets[usize::try_from(task).expect("it fits")];
        let run = DatagramRun::new(peer, payload.clone(), 0);
        let input = WorkerInput::Network(NetworkEvent::Datagrams { socket, run });
        let now = Timestamp::from_nanos(step.into());
        driver.sent = None;
        let give = || match &mut recorder {
            None => worker.handle_input(now, input, &mut driver),
            Some(recorder) => recorder.handle_input(&mut worker, now, input, &mut driver),
        };
        if counts {
            counted_operation(give);
        } else {
            give();
        }
        assert!(driver.sent.is_some(), "the task answers");
    }
}

fn ticks(tasks: u32) {
    let (mut worker, mut driver) = worker(tasks, Some(Duration::from_secs(1)));
    for _ in 0..OPERATIONS {
        let due = worker.poll_timeout().expect("all wait").at;
        counted_operation(|| worker.handle_input(due, WorkerInput::Timeout, &mut driver));
        assert!(
            worker.poll_timeout().is_some_and(|next| next.at > due),
            "one was ticked"
        );
    }
}

fn inserts(tasks: u32) {
    /// Takes no notice.
    struct Deaf;
    impl GroupOutputs<App> for Deaf {
        fn lend(&mut self) -> TransmitBuffer<'_> {
            TransmitBuffer::new(&mut [])
        }
        fn output(&mut self, _: TaskId, _: Output<App>) {}
        fn ended(&mut self, _: TaskId, _: End) {}
    }
    let wait = Some(Duration::from_secs(1));
    let mut group = TaskGroup::new(GroupConfig::new(Entropy::from_seed(0), Entity::new(0)));
    let now = Timestamp::EPOCH;
    for task in 0..tasks {
        let task = Echo::new(wait, Duration::from_micros(task.into()));
        group.insert(now, task, &mut Deaf).expect("there is room");
    }
    for step in 0..OPERATIONS {
        let task = Echo::new(wait, Duration::from_micros(step.into()));
        let removed = counted_operation(|| {
            let id = group.insert(now, task, &mut Deaf).expect("there is room");
            group.remove(black_box(id), &mut Deaf)
        });
        assert_eq!(removed, Ok(()));
    }
}
