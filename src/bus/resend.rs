//! Messages that came back for want of room, and are sent again when there is some.

use std::collections::{BTreeMap, VecDeque};

use crate::task::{App, Outbox};

use super::{BusCommand, BusEvent};

/// Keeps messages that came back for want of room, in order, and sends them again when there is some.
///
/// For what a task sends with [`NoRoom::Wait`](super::NoRoom::Wait) and need not think of again. What
/// it keeps is bounded by what its task sends: a task that has to bound that looks at
/// [`Resend::waiting`], or takes [`BusEvent::NoRoom`] itself.
///
/// # Example
///
/// ```
/// use stillpoint::*;
///
/// # #[derive(Debug)]
/// # struct Demo;
/// # impl App for Demo { type Channel = (); type Message = u64; type Command = (); type Report = (); type Spawn = (); }
/// struct Teller { resend: Resend<Demo>, outbox: Outbox<Demo> }
///
/// impl Teller {
///     fn handle_bus(&mut self, event: BusEvent<(), u64>) {
///         match self.resend.handle_event(event, &mut self.outbox) {
///             Some(BusEvent::Message { message, .. }) => { /* ... */ }
///             _ => {}
///         }
///     }
/// }
/// ```
#[derive(Debug)]
pub struct Resend<A: App> {
    /// By the worker whose queue was full.
    waiting: BTreeMap<u16, VecDeque<Command<A>>>,
}

type Command<A> = BusCommand<<A as App>::Channel, <A as App>::Message>;

impl<A: App> Resend<A> {
    /// Nothing waits.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            waiting: BTreeMap::new(),
        }
    }

    /// Messages that wait for room.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiting.values().map(VecDeque::len).sum()
    }

    /// Takes [`BusEvent::NoRoom`] and [`BusEvent::Room`], and gives all other events back.
    pub fn handle_event(
        &mut self,
        event: BusEvent<A::Channel, A::Message>,
        outbox: &mut Outbox<A>,
    ) -> Option<BusEvent<A::Channel, A::Message>> {
        match event {
            BusEvent::NoRoom { worker, command } => {
                self.waiting.entry(worker).or_default().push_back(command);
                None
            }
            BusEvent::Room { worker } => {
                for command in self.waiting.remove(&worker).into_iter().flatten() {
                    outbox.bus(command);
                }
                None
            }
            BusEvent::Message { .. }
            | BusEvent::Request { .. }
            | BusEvent::Reply { .. }
            | BusEvent::RequestFailed { .. }
            | BusEvent::Subscribed(_)
            | BusEvent::TooManySubscriptions { .. }
            | BusEvent::Agent(_)
            | BusEvent::Undelivered { .. }
            | BusEvent::StaleRequest(_) => Some(event),
        }
    }
}

impl<A: App> Default for Resend<A> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bus::{Destination, NoRoom};
    use crate::task::Output;

    #[derive(Debug, PartialEq)]
    struct Post;

    impl App for Post {
        type Channel = ();
        type Message = u8;
        type Command = ();
        type Report = ();
        type Spawn = ();
    }

    fn letter(message: u8) -> BusCommand<(), u8> {
        BusCommand::Send {
            to: Destination::Workers,
            message,
            no_room: NoRoom::Wait,
        }
    }

    #[test]
    fn what_came_back_is_sent_again_in_order_once_its_worker_has_room() {
        let (mut resend, mut outbox) = (Resend::<Post>::new(), Outbox::new());
        for (worker, message) in [(1, 10), (2, 20), (1, 11)] {
            let command = letter(message);
            let event = BusEvent::NoRoom { worker, command };
            assert_eq!(resend.handle_event(event, &mut outbox), None);
        }
        assert!(outbox.is_empty());
        assert_eq!(resend.waiting(), 3);

        assert_eq!(
            resend.handle_event(BusEvent::Room { worker: 1 }, &mut outbox),
            None
        );
        assert_eq!(outbox.pop(), Some(Output::Bus(letter(10))));
        assert_eq!(outbox.pop(), Some(Output::Bus(letter(11))));
        assert!(outbox.is_empty());
        assert_eq!(resend.waiting(), 1);
    }

    #[test]
    fn other_events_are_for_the_task() {
        let (mut resend, mut outbox) = (Resend::<Post>::new(), Outbox::new());
        let event = BusEvent::Subscribed(());
        assert_eq!(resend.handle_event(event.clone(), &mut outbox), Some(event));
    }
}
