//! For test binaries: has third-party code that asks the system for time or entropy get the
//! simulation's.
//!
//! Tasks are given time and chance. Not every crate that a task uses lets itself be given them: some
//! call `Instant::now`, seed a hash table or make a key out of the system's entropy. In a binary
//! that links this crate, those calls end up here: it defines the C library's `getrandom`,
//! `getentropy`, `clock_gettime`, `gettimeofday`, `time` and `syscall`. While a [`Shim`] lives, they
//! answer the thread that made it out of the simulation; all other threads, and this one before and
//! after, get the real answers, by the real system call.
//!
//! # Example
//!
//! ```
//! # use stillpoint::App;
//! # use stillpoint_sim::{Failure, World};
//! use stillpoint_shim::Shim;
//!
//! fn scenario<A: App>(world: &mut World<A>) -> Result<(), Failure> {
//!     let _shim = Shim::simulate(world);
//!     // ... nodes, links; what tasks ask the system for follows from the seed.
//!     Ok(())
//! }
//! ```
//!
//! # What it decides
//!
//! - *Chance* is drawn, keyed by whose turn it is: the worker, and how many inputs it has had. So
//!   neither another node nor what another worker asks for changes anything.
//! - *Clocks* follow the virtual time. It stands still while a worker takes an input.
//!   `CLOCK_REALTIME` begins at [`WALL_EPOCH`], all others at [`MONOTONIC_EPOCH`].
//! - Between inputs the scenario itself gets what is left of the last turn: its time, and draws
//!   behind those of its worker.
//!
//! # What it does not
//!
//! - State that outlives a run: std seeds its hash tables from one pair of keys for each thread,
//!   `rand::rng()` is a generator of the thread, and a `static` stays what it is. [`fresh_thread`]
//!   gives each run a thread of its own; [`self_check`] does it for both of its runs. The crate
//!   fastrand also looks at the thread's number: seed it for each input, as
//!   [`World::before_each_input`] shows.
//! - Instructions that ask no system: `rdrand`, `rdtsc`. Files: `/dev/urandom`. Waiting: a
//!   thread that sleeps, or waits with a timeout, does so in real time, and until a moment of its own
//!   reckoning, which with a [`Shim`] is long past. Tasks do not wait.
//!
//! # Where
//!
//! On Linux, x86-64 and aarch64; see [`SUPPORTED`]. Elsewhere the crate is built, so that workspaces
//! can be, and [`Shim::on`] panics.

mod check;
#[cfg(all(
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "aarch64")
))]
mod raw;
mod state;
#[cfg(all(
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "aarch64")
))]
mod symbols;

use core::cell::Cell;
use core::fmt;
use core::hint::black_box;
use core::marker::PhantomData;
use core::time::Duration;
use std::hash::RandomState;
use std::rc::Rc;

use stillpoint::{App, Clock, Entity, Entropy, Timestamp};
use stillpoint_sim::World;

pub use check::{fresh_thread, self_check};
use state::Answers;

/// Whether the shim works on this system.
pub const SUPPORTED: bool = cfg!(all(
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "aarch64")
));

/// What `CLOCK_REALTIME` says at the epoch of the virtual time, since 1970: the first moment of 2026,
/// UTC.
pub const WALL_EPOCH: Duration = Duration::from_secs(1_767_225_600);

/// What all other clocks say at the epoch of the virtual time: late enough for programs that look
/// back.
pub const MONOTONIC_EPOCH: Duration = Duration::from_secs(1_000_000);

/// The shim, switched on for this thread for as long as it lives.
///
/// One may be made while another lives; the other is back when it ends.
#[must_use = "the shim is off again once this is dropped"]
pub struct Shim {
    /// What was before.
    before: Option<Answers>,
    /// It is this thread's.
    thread: PhantomData<*const ()>,
}

impl Shim {
    /// Switches the shim on. Time comes from `clock`, chance from `entropy`, at first for nobody in
    /// particular: see [`Shim::turn`].
    ///
    /// # Panics
    ///
    /// If the shim does not know this system: see [`SUPPORTED`].
    pub fn on(entropy: &Entropy, clock: impl Clock + 'static) -> Self {
        #[cfg(not(all(
            target_os = "linux",
            any(target_arch = "x86_64", target_arch = "aarch64")
        )))]
        panic!(
            "the shim knows Linux on x86-64 and aarch64: have tests that need it ask `SUPPORTED`"
        );
        // Named here, so that whoever switches it on has linked it.
        #[cfg(all(
            target_os = "linux",
            any(target_arch = "x86_64", target_arch = "aarch64")
        ))]
        symbols::keep();
        // What std takes for the keys of this thread's hash tables, if it has not yet, follows from the
        // seed and is no draw: so the first run on a thread draws what the next ones do.
        let unobserved = Entropy::from_seed(entropy.seed()).site(SITE);
        let clock = Box::new(clock);
        let keys = Answers::new(unobserved, Box::new(SharedClock::default()));
        let before = state::replace(Some(keys));
        black_box(RandomState::new());
        drop(state::replace(Some(Answers::new(
            entropy.site(SITE),
            clock,
        ))));
        Self {
            before,
            thread: PhantomData,
        }
    }

    /// Switches the shim on for a world: before each input of a worker, it takes the time and the
    /// turn of that worker.
    pub fn simulate<A: App>(world: &mut World<A>) -> Self {
        let clock = SharedClock::at(world.now());
        let shim = Self::on(world.entropy(), clock.clone());
        world.before_each_input(move |upcoming| {
            clock.set(upcoming.now);
            state::turn(upcoming.turn());
        });
        shim
    }

    /// From now on, what is drawn is drawn for `entity`, from its first draw on.
    pub fn turn(&self, entity: Entity) {
        state::turn(entity);
    }
}

impl Drop for Shim {
    fn drop(&mut self) {
        drop(state::replace(self.before.take()));
    }
}

impl fmt::Debug for Shim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Shim")
    }
}

/// A clock that is set. Clones are the same clock.
#[derive(Debug, Clone, Default)]
pub struct SharedClock(Rc<Cell<Timestamp>>);

impl SharedClock {
    /// A clock that says `now` until it is set.
    #[must_use]
    pub fn at(now: Timestamp) -> Self {
        Self(Rc::new(Cell::new(now)))
    }

    /// Has it say `now`.
    pub fn set(&self, now: Timestamp) {
        self.0.set(now);
    }
}

impl Clock for SharedClock {
    fn now(&self) -> Timestamp {
        self.0.get()
    }
}

/// Where what third-party code asks for is drawn.
const SITE: &str = "system entropy";
