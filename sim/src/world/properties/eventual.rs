//! Properties with a deadline: when they are owed, and what becomes of that.

use core::time::Duration;

use stillpoint::{App, Timestamp};

use super::{Ask, World};
use crate::failure::Failure;

/// A property with a deadline.
pub(super) struct Eventual<A: App> {
    pub(super) name: String,
    pub(super) within: Duration,
    pub(super) kind: Kind<A>,
    pub(super) holds: Box<Ask<A>>,
    /// From when on it is owed, if it is.
    pub(super) owed_since: Option<Timestamp>,
    /// Of the disturbances that it knows of, the last.
    pub(super) disturbed_at: Timestamp,
    /// How many faults lasted when it was declared. As long as more do, nothing is owed.
    pub(super) lasting: usize,
    pub(super) suspended: bool,
    pub(super) saw: String,
}

pub(super) enum Kind<A: App> {
    /// Must hold at a moment.
    Once,
    /// Must hold from a moment on.
    Settled,
    /// Must hold at a moment after each at which this holds.
    After(Box<Ask<A>>),
}

impl<A: App> Eventual<A> {
    pub(super) fn due(&self) -> Option<Timestamp> {
        let owed = self.owed_since.filter(|_| !self.suspended);
        Some(owed?.after(self.within))
    }

    /// Whether a fault lasts that somebody is to end. Once it is over, all is owed from then on.
    fn is_suspended(&mut self, world: &World<A>, lasting: usize) -> bool {
        let lasts = lasting > self.lasting;
        if self.suspended && !lasts {
            self.hear_of(world.now());
        }
        self.suspended = lasts;
        lasts
    }

    /// What was disturbed is owed anew, or for longer.
    fn hear_of(&mut self, disturbed_at: Timestamp) {
        if disturbed_at <= self.disturbed_at {
            return;
        }
        self.disturbed_at = disturbed_at;
        let is_owed = self.owed_since.is_some();
        if is_owed || !matches!(self.kind, Kind::After(_)) {
            self.owed_since = Some(disturbed_at);
        }
    }

    /// Asks about a world in which something has happened. Gives what is wrong for good.
    pub(super) fn look(
        &mut self,
        world: &World<A>,
        lasting: usize,
        closing: bool,
    ) -> Option<Failure> {
        let now = world.now();
        if self.is_suspended(world, lasting) {
            return None;
        }
        self.hear_of(world.outside.disturbed_at);
        match (&self.kind, self.owed_since) {
            (Kind::Once, None) => None,
            (_, Some(since)) if now < since => None, // What it is to recover from lasts.
            (Kind::Settled, Some(_)) => None,        // Asked when it is due.
            (Kind::Settled, None) => self.ask(world).err(),
            (Kind::Once | Kind::After(_), Some(_)) => {
                if self.ask(world).is_ok() {
                    self.owed_since = None;
                }
                None
            }
            (Kind::After(premise), None) => {
                if !closing && premise(world).is_ok() && self.ask(world).is_err() {
                    self.owed_since = Some(now);
                }
                None
            }
        }
    }

    /// Asks about a world in which nothing more happens by the time that it is due.
    pub(super) fn decide(&mut self, world: &World<A>, lasting: usize) -> Option<Failure> {
        if self.is_suspended(world, lasting) {
            return None;
        }
        self.hear_of(world.outside.disturbed_at);
        let due = self.due()?;
        if due > world.now() {
            return None;
        }
        match self.ask(world) {
            Ok(()) => {
                self.owed_since = None;
                None
            }
            Err(failure) => Some(failure),
        }
    }

    fn ask(&mut self, world: &World<A>) -> Result<(), Failure> {
        let Err(saw) = (self.holds)(world) else {
            return Ok(());
        };
        self.saw = saw;
        Err(Failure::Eventually {
            name: self.name.clone(),
            at: world.now(),
            since: self.owed_since.unwrap_or(self.disturbed_at),
            saw: self.saw.clone(),
            waiting: Vec::new(),
        })
    }
}
