//! A recording, given to a worker anew.

use core::fmt;

use super::LENT_MAX;
use super::code::{Recordable, RecordedBytes};
use super::input::RecordedApp;
use super::notes::Notes;
use super::output::{self, Shortener, item};
use super::recording::{Entry, Items, Recording, Turn};
use crate::bus::BusItem;
use crate::datagram::Transmit;
use crate::group::guard;
use crate::task::App;
use crate::time::Timestamp;
use crate::transmit::TransmitBuffer;
use crate::worker::{Worker, WorkerConfig, WorkerInput, WorkerOutput, WorkerOutputs};

/// What came of a replay in which nothing differed.
#[derive(Debug)]
#[non_exhaustive]
pub struct Replayed<A: App> {
    /// How many inputs were given.
    pub inputs: u64,
    /// How many outputs came.
    pub outputs: u64,
    /// The worker, as the last input left it.
    pub worker: Worker<A>,
}

/// Why a replay did not come to the end of its recording.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReplayError {
    /// An output is another.
    #[error("{0}")]
    Differs(Box<Difference>),
    /// The next inputs are not in the recording, and no worker can be had as it is behind them.
    #[error(
        "behind input {inputs}, {missing} are missing: a replay begins with the first one and \
        comes as far as the first that is missing"
    )]
    Missing {
        /// How many were given until then.
        inputs: u64,
        /// How many are missing.
        missing: u64,
    },
    /// The bytes of an input are none of this application.
    #[error("input {input} cannot be read: it is of another application, or of another version")]
    Unreadable {
        /// The input's number, from 1.
        input: u64,
    },
    /// The worker itself panicked.
    #[error("at input {input}, the worker panicked: {message}")]
    Panicked {
        /// The input's number, from 1.
        input: u64,
        /// The panic's message.
        message: String,
    },
}

/// The first output that is not what it was when the recording was made.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Difference {
    /// The number of the input that it follows from, from 1.
    pub input: u64,
    /// When that was given.
    pub now: Timestamp,
    /// What that was.
    pub given: String,
    /// How many outputs of that input were the same before it.
    pub outputs: u64,
    /// What came when it was recorded. `None` if no more.
    pub recorded: Option<String>,
    /// What came now. `None` if no more.
    pub came: Option<String>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |output: &Option<String>| match output {
            Some(output) => output.clone(),
            None => "no more output".to_owned(),
        };
        writeln!(
            f,
            "input {} at {}, output {}, is not as recorded",
            self.input,
            self.now,
            self.outputs + 1
        )?;
        writeln!(f, "  input:    {}", self.given)?;
        writeln!(f, "  recorded: {}", text(&self.recorded))?;
        write!(f, "  came now: {}", text(&self.came))
    }
}

impl Recording {
    /// Gives all of its inputs, at their times, to the worker that `make` makes, and compares what
    /// comes out.
    ///
    /// # Errors
    ///
    /// [`ReplayError`]: the first output that differs, or why it cannot be told.
    pub fn replay<A: RecordedApp>(
        &self,
        make: impl FnOnce(WorkerConfig) -> Worker<A>,
    ) -> Result<Replayed<A>, ReplayError> {
        let mut replay = Replayer::new(self, make);
        while replay.step()?.is_some() {}
        Ok(replay.into_replayed())
    }
}

/// A replay that goes on when it is asked to, for looks at the worker in between.
pub struct Replayer<'a, A: RecordedApp> {
    entries: Box<dyn Iterator<Item = Entry<'a>> + 'a>,
    worker: Worker<A>,
    inputs: u64,
    check: Check<'a>,
}

impl<'a, A: RecordedApp> Replayer<'a, A> {
    /// A replay that has given nothing yet.
    pub fn new(recording: &'a Recording, make: impl FnOnce(WorkerConfig) -> Worker<A>) -> Self {
        let (mut config, noted) = recording.read_head();
        let notes = Notes::default();
        notes.tell(noted, &mut config);
        Self {
            entries: Box::new(recording.entries()),
            worker: make(config),
            inputs: 0,
            check: Check::new(notes),
        }
    }

    /// Gives the next input. Its number, from 1; `None` if there is none left.
    ///
    /// # Errors
    ///
    /// [`ReplayError`]. Whoever goes on nevertheless has what follows from it.
    pub fn step(&mut self) -> Result<Option<u64>, ReplayError> {
        let turn = match self.entries.next() {
            None | Some(Entry::End) => return Ok(None),
            Some(Entry::Gap(missing)) => {
                let inputs = self.inputs;
                return Err(ReplayError::Missing { inputs, missing });
            }
            Some(Entry::Turn(turn)) => turn,
        };
        let number = self.inputs + 1;
        let from = &mut RecordedBytes::new(turn.input);
        let input = WorkerInput::<A>::read(from).filter(|_| from.is_empty());
        let Some(input) = input else {
            return Err(ReplayError::Unreadable { input: number });
        };
        self.inputs = number;
        self.check.begin(number, turn.clone());
        let (worker, check) = (&mut self.worker, &mut self.check);
        let given = guard(|| worker.handle_input(turn.now, input, check));
        // A worker that panicked when it was recorded was told no more.
        if let Err(end) = given {
            let message = end.into_message();
            let input = number;
            return Err(ReplayError::Panicked { input, message });
        }
        match self.check.end() {
            None => Ok(Some(number)),
            Some(difference) => Err(ReplayError::Differs(difference)),
        }
    }

    /// The worker, as the last input left it.
    #[must_use]
    pub const fn worker(&self) -> &Worker<A> {
        &self.worker
    }

    /// What came of it so far.
    #[must_use]
    pub fn into_replayed(self) -> Replayed<A> {
        Replayed {
            inputs: self.inputs,
            outputs: self.check.outputs,
            worker: self.worker,
        }
    }
}

impl<A: RecordedApp> fmt::Debug for Replayer<'_, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replayer")
            .field("inputs", &self.inputs)
            .field("worker", &self.worker)
            .finish_non_exhaustive()
    }
}

/// Compares what a worker gives out with what it gave out before.
struct Check<'a> {
    turn: Turn<'a>,
    number: u64,
    same: u64,
    outputs: u64,
    difference: Option<Box<Difference>>,
    lent_max: usize,
    notes: Notes,
    short: Shortener,
}

impl<'a> Check<'a> {
    fn new(notes: Notes) -> Self {
        let turn = Turn {
            broken: false,
            now: Timestamp::EPOCH,
            input: &[],
            items: Items::NONE,
        };
        Self {
            turn,
            number: 0,
            same: 0,
            outputs: 0,
            difference: None,
            lent_max: 0,
            notes,
            short: Shortener::default(),
        }
    }

    fn begin(&mut self, number: u64, turn: Turn<'a>) {
        self.notes.clear();
        for (kind, bytes) in turn.items.clone() {
            if kind == item::DECIDED
                && let Some(decision) = u64::read(&mut RecordedBytes::new(&bytes))
            {
                self.notes.push(decision);
            }
        }
        (self.turn, self.number) = (turn, number);
        (self.same, self.difference) = (0, None);
    }

    /// Takes what was noted of lent memory and of decisions, which are no output.
    fn skip_notes(&mut self) {
        while let Some((kind @ (item::LENT | item::DECIDED), bytes)) = self.turn.items.peek() {
            let len = usize::read(&mut RecordedBytes::new(&bytes));
            if kind == item::LENT {
                self.lent_max = len.unwrap_or_default().min(LENT_MAX);
            }
            self.turn.items.next();
        }
    }

    /// Whether this comes next in the recording.
    fn compare(&mut self, kind: u8, bytes: &[u8]) {
        self.outputs += 1;
        self.skip_notes();
        if self.difference.is_some() {
            return;
        }
        match self.turn.items.next() {
            Some((same, recorded)) if same == kind && *recorded == *bytes => self.same += 1,
            None if self.turn.broken => {}
            next => {
                let recorded = next.and_then(|(kind, bytes)| output::describe(kind, &bytes));
                self.differ(recorded, output::describe(kind, bytes));
            }
        }
    }

    fn differ(&mut self, recorded: Option<String>, came: Option<String>) {
        self.difference = Some(Box::new(Difference {
            input: self.number,
            now: self.turn.now,
            given: self.turn.input_text(),
            outputs: self.same,
            recorded,
            came,
        }));
    }

    /// The first difference, now that nothing more comes.
    fn end(&mut self) -> Option<Box<Difference>> {
        self.skip_notes();
        if self.difference.is_none()
            && let Some((kind, bytes)) = self.turn.items.next()
        {
            self.differ(output::describe(kind, &bytes), None);
        }
        self.difference.take()
    }
}

impl<A: RecordedApp> WorkerOutputs<A> for Check<'_> {
    fn lend(&mut self) -> TransmitBuffer<'_> {
        self.skip_notes();
        TransmitBuffer::growing(&mut self.short.lent, self.lent_max)
    }

    fn push(&mut self, output: WorkerOutput<A>) {
        let mut short = core::mem::take(&mut self.short);
        let (kind, bytes) = short.output(&output, None);
        self.compare(kind, bytes);
        self.short = short;
    }

    fn transmit(&mut self, transmit: &mut Transmit) {
        let (kind, fields) = self.short.transmit(transmit, None);
        self.compare(kind, fields.bytes());
    }

    fn bus_room(&mut self, worker: u16) -> usize {
        self.skip_notes();
        if let Some((item::ROOM, bytes)) = self.turn.items.peek()
            && let Some((asked, room)) = <(u16, usize)>::read(&mut RecordedBytes::new(&bytes))
            && asked == worker
        {
            self.turn.items.next();
            return room;
        }
        if self.difference.is_none() && !self.turn.broken {
            let next = self.turn.items.peek();
            let recorded = next.and_then(|(kind, bytes)| output::describe(kind, &bytes));
            self.differ(recorded, Some(format!("asks for room to worker {worker}")));
        }
        0
    }

    fn push_bus(&mut self, worker: u16, item: BusItem<A::Channel, A::Message>) {
        let fields = self.short.bus(worker, |to| item.write(to));
        self.compare(item::BUS, fields.bytes());
    }

    fn want_bus_room(&mut self, worker: u16) {
        self.compare(item::WANT_ROOM, &worker.to_le_bytes());
    }
}
