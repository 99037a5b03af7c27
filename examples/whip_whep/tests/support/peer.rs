//! A browser without a screen: publishes by WHIP or watches by WHEP, with str0m in the client's role.
//!
//! Its stages are what a user would be shown. It does nothing by itself but to join: all else it is
//! asked for, by commands.

use core::net::{IpAddr, SocketAddr};
use core::ops::RangeInclusive;
use std::collections::VecDeque;

use stillpoint::{
    Context, Deadline, Epoch, Input, NetworkEvent, Outbox, Output, SocketId, Task, Timestamp,
    Token, TransmitBuffer, UdpOpen,
};

use super::call::{Call, Happened};
use super::camera::{Camera, CameraConfig};
use super::frames::Screen;
use super::http::{self, Answer};
use super::line::{Heard, Line};
use super::{Ask, Certificate, Lab, throw};

/// A peer to be.
#[derive(Debug, Clone)]
pub struct PeerConfig {
    pub epoch: Epoch,
    /// Where the server listens for requests.
    pub server: SocketAddr,
    /// Our address.
    pub local: IpAddr,
    pub room: String,
    pub role: Role,
    /// What it says to be let in.
    pub token: Option<String>,
    pub certificate: Certificate,
    pub codecs: Codecs,
    /// How many of the datagrams that it has sent are kept.
    pub kept_max: usize,
    /// Datagrams that begin with one of these bytes are not sent: see RFC 7983.
    pub unsent: Option<RangeInclusive<u8>>,
}

/// What it can decode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Codecs {
    /// All that str0m knows.
    All,
    /// Opus, and of video H.264 alone.
    H264,
}

#[derive(Debug, Clone)]
pub enum Role {
    Publish(CameraConfig),
    Watch,
}

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// There is no answer yet.
    Asking,
    /// There is an answer, and no way for media yet.
    Joining,
    /// Media may flow.
    Joined,
    /// The server said no, with this status.
    Refused(u16),
    /// The connection for requests ended before there was an answer.
    Unanswered,
    /// The server has ended the session, and said so.
    Told,
    /// Nothing came from the server for too long.
    Lost,
    /// It has left: the server was told, and has said yes.
    Left,
    /// It has vanished without a word.
    Vanished,
}

/// How it gets another address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Roam {
    /// A NAT on the way maps it to another address, and it knows nothing of it.
    Unaware,
    /// It has another address, and not the one before.
    Aware,
}

pub struct Peer {
    config: PeerConfig,
    context: Option<Context>,
    pub stage: Stage,
    line: Line,
    /// What requests are about that have no answer yet.
    asked: VecDeque<Asked>,
    /// All answers that came.
    pub answers: Vec<Answer>,
    /// Where its session is, as the server says.
    pub session: Option<String>,
    call: Option<Call>,
    socket: Option<SocketId>,
    roam: Option<Roam>,
    /// What it publishes.
    pub camera: Option<Camera>,
    /// What it sees and hears.
    pub video: Screen,
    pub audio: Screen,
    /// Key frames that it has asked for.
    pub wished: u32,
    /// What str0m complained of.
    pub errors: Vec<String>,
    /// The last datagrams that it has sent.
    pub kept: VecDeque<(SocketAddr, Vec<u8>)>,
    /// When it had joined.
    pub joined_at: Option<Timestamp>,
    outbox: Outbox<Lab>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    Offer,
    Leave,
}

impl Peer {
    pub fn new(config: PeerConfig) -> Self {
        Self {
            line: Line::new(config.server, LINE),
            config,
            context: None,
            stage: Stage::Asking,
            asked: VecDeque::new(),
            answers: Vec::new(),
            session: None,
            call: None,
            socket: None,
            roam: None,
            camera: None,
            video: Screen::default(),
            audio: Screen::default(),
            wished: 0,
            errors: Vec::new(),
            kept: VecDeque::new(),
            joined_at: None,
            outbox: Outbox::new(),
        }
    }

    /// Sends a request, with a body if there is a type of one.
    fn request(&mut self, asked: Asked, method: &str, target: &str, body: Option<(&str, &[u8])>) {
        let token = self.config.token.as_deref();
        let header = |token| ("Authorization".to_owned(), format!("Bearer {token}"));
        let headers: Vec<_> = token.map(header).into_iter().collect();
        let request = http::request(method, target, &headers, body);
        let buffers = &self.context.as_ref().expect("started").buffers;
        self.line.send(request, buffers, &mut self.outbox);
        self.asked.push_back(asked);
    }

    /// How often it has connected to say what it wanted.
    pub fn connections(&self) -> u32 {
        self.line.connections
    }

    /// How it stands, for people who read failures.
    pub fn describe(&self) -> String {
        let camera = self
            .camera
            .as_ref()
            .map(|camera| (camera.pictures, camera.keys, camera.asked));
        let refusal = self.answers.last().filter(|answer| answer.status >= 400);
        format!(
            "{:?} since {:?} ({}), has filmed {camera:?}, sees {:?}, hears {} of {}, complains {:?}",
            self.stage,
            self.joined_at,
            refusal.map(Answer::text).unwrap_or_default(),
            self.video,
            self.audio.shown,
            self.audio.shown + self.audio.missing,
            self.errors
        )
    }

    fn handle_event(&mut self, now: Timestamp, event: NetworkEvent) {
        match event {
            NetworkEvent::UdpOpened { socket, local, .. } => self.open(now, socket, local),
            NetworkEvent::UdpOpenFailed { error, bind, .. } => {
                self.errors.push(format!("{bind}: {error}"));
            }
            NetworkEvent::Datagrams { socket, run } => {
                if self.socket != Some(socket) {
                    return;
                }
                for datagram in run.iter() {
                    if let Some(call) = &mut self.call {
                        call.receive(now, run.peer, datagram);
                        self.drive(now);
                    }
                }
            }
            NetworkEvent::SendFailed { .. } | NetworkEvent::SocketError { .. } => {}
            event => {
                let buffers = &self.context.as_ref().expect("started").buffers;
                match self.line.handle_event(event, buffers, &mut self.outbox) {
                    Heard::Nothing => {}
                    Heard::Answers(answers) => {
                        for answer in answers {
                            self.handle_answer(now, answer);
                        }
                    }
                    Heard::Ended => {
                        if self.stage == Stage::Asking {
                            self.stop(Stage::Unanswered);
                        }
                        self.asked.clear();
                    }
                }
            }
        }
    }

    /// A socket is open: the first one, or the one at the next address.
    fn open(&mut self, now: Timestamp, socket: SocketId, local: SocketAddr) {
        if let Some(before) = self.socket.replace(socket) {
            self.outbox.close(before);
        }
        match self.roam.take() {
            Some(Roam::Unaware) => return,
            Some(Roam::Aware) => {
                if let Some(call) = &mut self.call {
                    call.move_to(local);
                    self.drive(now);
                }
                return;
            }
            None => {}
        }
        let (call, offer) = Call::new(now, local, &self.config);
        self.call = Some(call);
        let (verb, room) = match self.config.role {
            Role::Publish(_) => ("whip", &self.config.room),
            Role::Watch => ("whep", &self.config.room),
        };
        let target = format!("/{verb}/{room}");
        let body = Some((http::SDP, offer.as_bytes()));
        self.request(Asked::Offer, "POST", &target, body);
    }

    fn handle_answer(&mut self, now: Timestamp, answer: Answer) {
        match self.asked.pop_front() {
            Some(Asked::Offer) if answer.status == 201 => {
                self.session = answer.header("location").map(str::to_owned);
                if let Some(call) = &mut self.call {
                    call.accept(&answer.text());
                    self.stage = Stage::Joining;
                    self.drive(now);
                }
            }
            Some(Asked::Offer) => self.stop(Stage::Refused(answer.status)),
            Some(Asked::Leave) => {
                if let Some(call) = &mut self.call {
                    call.close();
                    self.drive(now);
                }
                self.stop(Stage::Left);
            }
            None => panic!("nobody has asked for {answer:?}"),
        }
        self.answers.push(answer);
    }

    /// Takes out of str0m whatever there is, and has it do what follows.
    fn drive(&mut self, now: Timestamp) {
        let Some(mut call) = self.call.take() else {
            return;
        };
        while let Some(happened) = call.poll(now) {
            match happened {
                Happened::Transmit(peer, datagram) => self.transmit(peer, &datagram),
                Happened::Joined => {
                    self.stage = Stage::Joined;
                    self.joined_at = Some(now);
                    let context = self.context.as_mut().expect("started");
                    if let Role::Publish(config) = &self.config.role {
                        self.camera = Some(Camera::new(now, config.clone(), context));
                    }
                }
                Happened::Picture(bytes) => {
                    if self.video.look(now, &bytes) == super::frames::Wish::KeyFrame {
                        self.wished += u32::from(call.wish_for_key(now));
                    }
                }
                Happened::Sound(bytes) => {
                    self.audio.look(now, &bytes);
                }
                Happened::KeyWished(rid) => {
                    if let Some(camera) = &mut self.camera {
                        camera.ask_for_key(rid.as_deref());
                    }
                }
                Happened::Closed => self.stage = Stage::Told,
                Happened::Silent => self.stage = Stage::Lost,
                Happened::Error(error) => self.errors.push(error),
            }
        }
        self.call = Some(call);
        if matches!(self.stage, Stage::Told | Stage::Lost) {
            self.stop(self.stage);
        }
    }

    fn transmit(&mut self, peer: SocketAddr, datagram: &[u8]) {
        let unsent = self.config.unsent.as_ref();
        if unsent.is_some_and(|unsent| unsent.contains(&datagram[0])) {
            return;
        }
        let buffers = &self.context.as_ref().expect("started").buffers;
        if let Some(socket) = self.socket {
            self.outbox.send(socket, peer, buffers.copy_from(datagram));
        }
        if self.config.kept_max > 0 {
            self.kept.push_back((peer, datagram.to_vec()));
            let surplus = self.kept.len().saturating_sub(self.config.kept_max);
            self.kept.drain(..surplus);
        }
    }

    /// Nothing follows: what is open is closed.
    fn stop(&mut self, stage: Stage) {
        self.stage = stage;
        self.call = None;
        if let Some(socket) = self.socket.take() {
            self.outbox.close(socket);
        }
        self.line.end(&mut self.outbox);
    }

    /// Films and records what is due.
    fn shoot(&mut self, now: Timestamp) {
        let (Some(call), Some(camera)) = (&mut self.call, &mut self.camera) else {
            return;
        };
        let context = self.context.as_mut().expect("started");
        if let Some(shot) = camera.shoot(now, context) {
            call.write(now, shot);
            self.drive(now);
            self.shoot(now);
        }
    }

    fn handle_ask(&mut self, now: Timestamp, ask: Ask) {
        match ask {
            Ask::Leave => match self.session.clone() {
                Some(session) if self.call.is_some() => {
                    self.request(Asked::Leave, "DELETE", &session, None);
                }
                _ => self.stop(Stage::Left),
            },
            Ask::Vanish => {
                self.call = None;
                self.stage = Stage::Vanished;
            }
            Ask::Roam(how, to) => {
                self.roam = Some(how);
                self.outbox
                    .open_udp(UdpOpen::new(MEDIA, SocketAddr::new(to, 0)));
            }
            Ask::Throw(to, datagrams) => {
                let socket = self.socket.expect("a socket");
                throw(&mut self.outbox, socket, to, &datagrams);
            }
            Ask::Finish => self.outbox.finish(),
            other => panic!("a peer was asked to {other:?}, at {now}"),
        }
    }
}

impl Task for Peer {
    type App = Lab;

    fn handle_input(&mut self, now: Timestamp, input: Input<Lab>) {
        match input {
            Input::Started(context) => {
                self.context = Some(context);
                let bind = SocketAddr::new(self.config.local, 0);
                self.outbox.open_udp(UdpOpen::new(MEDIA, bind));
            }
            Input::Network(event) => self.handle_event(now, event),
            Input::Timeout => {
                if let Some(call) = &mut self.call {
                    call.handle_timeout(now);
                    self.drive(now);
                }
                self.shoot(now);
            }
            Input::Command(ask) => self.handle_ask(now, ask),
            Input::Shutdown => self.outbox.finish(),
            _ => {}
        }
    }

    fn poll_output(&mut self, _: Timestamp, _: &mut TransmitBuffer<'_>) -> Option<Output<Lab>> {
        self.outbox.pop()
    }

    fn poll_timeout(&self) -> Option<Deadline> {
        let call = self.call.as_ref()?;
        let due = Deadline::new(call.due_at(), "str0m");
        let camera = self
            .camera
            .as_ref()
            .map(|camera| Deadline::new(camera.next_at(), "a frame"));
        Some(camera.filter(|camera| camera.at < due.at).unwrap_or(due))
    }
}

/// The connection for requests.
const LINE: Token = Token(0);
/// The socket for media.
const MEDIA: Token = Token(1);
