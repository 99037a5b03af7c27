//! What the shim answers on this thread, if it is on.
//!
//! The symbols are called from anywhere: by an allocator, by a thread that is about to end, by std
//! before `main`. So they look at a flag first, which needs neither making nor dropping, and touch
//! what needs both only where a [`Shim`](crate::Shim) has set it.

use core::cell::{Cell, RefCell};
use core::time::Duration;

use stillpoint::{Clock, Entity, Site, Source};

use crate::{MONOTONIC_EPOCH, WALL_EPOCH};

thread_local! {
    static ON: Cell<bool> = const { Cell::new(false) };
    static ANSWERS: RefCell<Option<Answers>> = const { RefCell::new(None) };
}

/// Where answers come from.
pub(crate) struct Answers {
    site: Site,
    source: Source,
    clock: Box<dyn Clock>,
}

impl Answers {
    pub(crate) fn new(site: Site, clock: Box<dyn Clock>) -> Self {
        Self {
            source: site.source(NOBODY),
            site,
            clock,
        }
    }
}

/// Which of the system's clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WhichClock {
    /// The one that says what day it is.
    Wall,
    /// One that goes on steadily from some moment.
    Steady,
}

/// Sets what is answered from now on, and gives what was.
pub(crate) fn replace(answers: Option<Answers>) -> Option<Answers> {
    let on = answers.is_some();
    // Off meanwhile: nobody asks what is being replaced.
    ON.set(false);
    let before = ANSWERS.with_borrow_mut(|slot| core::mem::replace(slot, answers));
    ON.set(on);
    before
}

/// Has draws be those of `entity` from now on, from its first. Nothing if the shim is off.
pub(crate) fn turn(entity: Entity) {
    answer(|answers| answers.source = answers.site.source(entity));
}

/// Fills `bytes` with what is drawn. `None`, and nothing filled, if the shim is off.
pub(crate) fn fill(bytes: &mut [u8]) -> Option<()> {
    answer(|answers| {
        for chunk in bytes.chunks_mut(8) {
            let drawn = answers.source.u64().to_le_bytes();
            chunk.copy_from_slice(&drawn[..chunk.len()]);
        }
    })
}

/// What a clock says. `None` if the shim is off.
pub(crate) fn now(which: WhichClock) -> Option<Duration> {
    let epoch = match which {
        WhichClock::Wall => WALL_EPOCH,
        WhichClock::Steady => MONOTONIC_EPOCH,
    };
    answer(|answers| epoch + Duration::from_nanos(answers.clock.now().as_nanos()))
}

/// Whether the shim is on.
pub(crate) fn is_on() -> bool {
    ON.get()
}

/// Answers out of the simulation, if the shim is on. Who decides the answer (a clock, a list of
/// choices) gets the real ones if he asks the system himself.
fn answer<R>(give: impl FnOnce(&mut Answers) -> R) -> Option<R> {
    if !ON.replace(false) {
        return None;
    }
    // It is no more if a thread ends whose shim was never dropped.
    let given = ANSWERS.try_with(|slot| slot.try_borrow_mut().ok()?.as_mut().map(give));
    ON.set(true);
    given.ok().flatten()
}

/// Who draws before it is anybody's turn.
const NOBODY: Entity = Entity::new(0);
