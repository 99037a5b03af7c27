// What the examples of the guide share: an application of two tasks. It is included by them,
// hidden, so that each shows only what it is about.

pub use core::net::SocketAddr;
pub use core::time::Duration;
pub use stillpoint::*;
pub use stillpoint_sim::*;

/// The application.
#[derive(Debug)]
pub struct Demo;

impl App for Demo {
    type Channel = ();
    type Message = String;
    type Command = String;
    type Report = String;
    type Spawn = Make;
}

/// What tasks are made from.
#[derive(Debug, Clone)]
pub enum Make {
    /// Answers each datagram with the same.
    Server,
    /// Sends `count` datagrams to the server, one every 10 ms, and reports what comes back.
    Client { count: u32 },
}

pub fn spawn(make: Make, spawner: Spawner<'_, Demo>) -> Spawned {
    let outbox = Outbox::new();
    match make {
        Make::Server => spawner.insert(Server { heard: 0, outbox }),
        Make::Client { count } => spawner.insert(Client { count, sent: 0, answers: 0, socket: None, at: None, outbox }),
    }
}

/// Where the server is.
pub fn server_address() -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 1], 7))
}

pub struct Server {
    pub heard: u32,
    outbox: Outbox<Demo>,
}

impl Task for Server {
    type App = Demo;
    fn handle_input(&mut self, _: Timestamp, input: Input<Demo>) {
        match input {
            Input::Started(_) => {
                let bind = SocketAddr::from(([0, 0, 0, 0], 7));
                self.outbox.open_udp(UdpOpen::new(Token(0), bind).shared());
                self.outbox.become_agent();
            }
            Input::Network(NetworkEvent::Datagrams { socket, run }) => {
                self.heard += run.count() as u32;
                self.outbox.reply(socket, run);
            }
            Input::Bus(BusEvent::Message { message, .. }) => self.outbox.report(message),
            Input::Command(text) => self.outbox.broadcast(text, NoRoom::Drop),
            Input::Shutdown => self.outbox.finish(),
            _ => {}
        }
    }
    fn poll_output(&mut self, _: Timestamp, _: &mut TransmitBuffer<'_>) -> Option<Output<Demo>> {
        self.outbox.pop()
    }
}

pub struct Client {
    count: u32,
    pub sent: u32,
    pub answers: u32,
    socket: Option<SocketId>,
    at: Option<Timestamp>,
    outbox: Outbox<Demo>,
}

impl Task for Client {
    type App = Demo;
    fn handle_input(&mut self, now: Timestamp, input: Input<Demo>) {
        match input {
            Input::Started(_) => {
                let bind = SocketAddr::from(([0, 0, 0, 0], 0));
                self.outbox.open_udp(UdpOpen::new(Token(0), bind));
            }
            Input::Network(NetworkEvent::UdpOpened { socket, .. }) => {
                self.socket = Some(socket);
                self.at = Some(now);
            }
            Input::Network(NetworkEvent::Datagrams { run, .. }) => {
                for text in run.iter() {
                    self.answers += 1;
                    self.outbox.report(String::from_utf8_lossy(text).into_owned());
                }
            }
            Input::Shutdown => self.outbox.finish(),
            _ => {}
        }
        if let (Some(socket), Some(at)) = (self.socket, self.at)
            && at <= now
        {
            let text = format!("hello {}", self.sent);
            self.outbox.send(socket, server_address(), Buffer::copy_from(text.as_bytes()));
            self.sent += 1;
            self.at = (self.sent < self.count).then(|| now.after(Duration::from_millis(10)));
        }
    }
    fn poll_output(&mut self, _: Timestamp, _: &mut TransmitBuffer<'_>) -> Option<Output<Demo>> {
        self.outbox.pop()
    }
    fn poll_timeout(&self) -> Option<Deadline> {
        self.at.map(|at| Deadline::new(at, "next hello"))
    }
}

pub const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}
