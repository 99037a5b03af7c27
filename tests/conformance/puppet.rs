//! Puppets: tasks that do what they are told, and tell what they hear.

use core::fmt;

use stillpoint::{
    App, Deadline, Input, NetworkEvent, Outbox, Output, Spawner, Task, Timestamp, TransmitBuffer,
};

#[derive(Debug)]
pub(crate) struct Probe;

impl App for Probe {
    type Channel = ();
    type Message = ();
    type Command = Act;
    type Report = Told;
    type Spawn = ();
}

/// What a puppet is to do.
pub(crate) struct Act(pub(crate) Box<dyn FnOnce(&mut Hands) + Send>);

impl fmt::Debug for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Act")
    }
}

/// What a puppet says, and when it did.
#[derive(Debug)]
pub(crate) struct Told(pub(crate) Timestamp, pub(crate) News);

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum News {
    Started,
    Acted,
    Timeout,
    Network(NetworkEvent),
}

/// What a puppet can do things with.
pub(crate) struct Hands {
    pub(crate) now: Timestamp,
    pub(crate) outbox: Outbox<Probe>,
    pub(crate) deadline: Option<Timestamp>,
    #[expect(clippy::type_complexity, reason = "a function, in a box")]
    pub(crate) react: Option<Box<dyn FnMut(&NetworkEvent, &mut Self) + Send>>,
}

struct PuppetTask(Hands);

pub(crate) fn spawn((): (), spawner: Spawner<'_, Probe>) -> stillpoint::Spawned {
    spawner.insert(PuppetTask(Hands {
        now: Timestamp::EPOCH,
        outbox: Outbox::new(),
        deadline: None,
        react: None,
    }))
}

impl PuppetTask {
    fn tell(&mut self, news: News) {
        self.0.outbox.report(Told(self.0.now, news));
    }
}

impl Task for PuppetTask {
    type App = Probe;

    fn handle_input(&mut self, now: Timestamp, input: Input<Probe>) {
        self.0.now = now;
        match input {
            Input::Started(_) => self.tell(News::Started),
            Input::Timeout => {
                self.0.deadline = None;
                self.tell(News::Timeout);
            }
            Input::Network(event) => {
                if let Some(mut react) = self.0.react.take() {
                    react(&event, &mut self.0);
                    self.0.react.get_or_insert(react);
                }
                self.tell(News::Network(event));
            }
            Input::Command(Act(act)) => {
                act(&mut self.0);
                self.tell(News::Acted);
            }
            Input::Shutdown => self.0.outbox.finish(),
            _ => {}
        }
    }

    fn poll_output(&mut self, _: Timestamp, _: &mut TransmitBuffer<'_>) -> Option<Output<Probe>> {
        self.0.outbox.pop()
    }

    fn poll_timeout(&self) -> Option<Deadline> {
        self.0
            .deadline
            .map(|at| Deadline::new(at, "as it was told"))
    }
}
