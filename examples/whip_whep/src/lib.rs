//! A selective forwarding unit (SFU) for WebRTC: publishers come in by WHIP, viewers by WHEP.
//!
//! Two kinds of task make it up, in production as in simulation:
//!
//! - [`Signaling`] speaks HTTP, and knows which sessions there are and where. One is enough.
//! - [`MediaPort`] has the UDP port of its worker, and a [`Session`] for each peer there: a child
//!   task around a str0m `Rtc`, so that what breaks one leaves the others alone.
//!
//! What a publisher sends is published once, on the channel of its session. The ports where somebody
//! watches subscribe; they hand each frame to their viewers, who share its bytes. What must not be
//! lost waits for room on the bus ([`Resend`](stillpoint::Resend)), media does not.
//!
//! Sources: RFC 9725 (WHIP), draft-ietf-wish-whep (WHEP), RFC 8445 (ICE, lite), RFC 9457 (problems).
#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "the enums of the library and of str0m are non-exhaustive"
)]

mod files;
mod layers;
mod media;
mod metrics;
mod path;
mod port;
mod registry;
mod room;
mod session;
mod signaling;
mod sources;
mod switch;

use core::fmt;
use core::net::SocketAddr;
use std::sync::Arc;

use stillpoint::http::StatusCode;
use stillpoint::{App, NetworkError, Spawned, Spawner, TaskId};

pub use media::Frame;
pub use port::{MediaConfig, MediaPort, rtc_config};
pub use room::Room;
pub use session::Session;
pub use signaling::{Signaling, SignalingConfig};
pub use str0m::media::Rid;

/// The application, if there is nothing else in it.
#[derive(Debug)]
pub struct Sfu;

impl App for Sfu {
    type Channel = Channel;
    type Message = Message;
    type Command = ();
    type Report = Report;
    type Spawn = Spawn;
}

/// An application that the tasks of this crate fit into: what it is commanded with and made from
/// may be more.
pub trait SfuApp: App<Channel = Channel, Message = Message, Report = Report> {}

impl<A: App<Channel = Channel, Message = Message, Report = Report>> SfuApp for A {}

/// What the tasks are made from.
#[derive(Debug)]
#[expect(clippy::exhaustive_enums, reason = "the tasks there are")]
pub enum Spawn {
    /// The one that speaks HTTP.
    Signaling(Box<SignalingConfig>),
    /// One for each worker.
    MediaPort(Box<MediaConfig>),
}

/// The one `match` that an application owes its workers.
pub fn spawn<A: SfuApp>(spawn: Spawn, spawner: Spawner<'_, A>) -> Spawned {
    match spawn {
        Spawn::Signaling(config) => spawner.insert(Signaling::<A>::new(*config)),
        Spawn::MediaPort(config) => spawner.insert(MediaPort::<A>::new(*config)),
    }
}

/// What tasks tell the controller.
#[derive(Debug)]
#[expect(clippy::exhaustive_enums, reason = "all there is to say")]
pub enum Report {
    /// HTTP is served here.
    Listening(SocketAddr),
    /// Media is taken here.
    MediaAt(SocketAddr),
    /// An address cannot be had. The task has finished.
    BindFailed {
        /// Which.
        bind: SocketAddr,
        /// Why.
        error: NetworkError,
    },
}

/// The name of a session, given by [`Signaling`]. It is no secret.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct SessionId(pub u64);

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "session {}", self.0)
    }
}

/// A session, and the port where it lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionAt {
    /// Its name.
    pub id: SessionId,
    /// Where it lives.
    pub port: TaskId,
}

/// How many streams of its video a publisher sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "one or several")]
pub enum Layering {
    /// One. Viewers get it as it comes: there is nothing to choose, and nothing to wait for.
    Single,
    /// Several of different sizes. Viewers get what their network carries.
    Simulcast,
}

/// What is published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[expect(clippy::exhaustive_enums, reason = "all there are")]
pub enum Channel {
    /// By ports: that they are there. To the signaling.
    Ports,
    /// By the port of a publisher: its media, and its end.
    Media(SessionId),
}

/// What tasks tell each other.
#[derive(Debug, Clone)]
#[expect(clippy::exhaustive_enums, reason = "all there is to say")]
pub enum Message {
    /// To all ports: say that you are [`Message::Here`].
    WhoIsThere,
    /// A port is open. On [`Channel::Ports`], or as the answer to whom asked.
    Here,
    /// A request that is never answered: its failure tells that a port is no more.
    Attend,
    /// A request to a port: open a session.
    Open(Box<Open>),
    /// The answer: it is open.
    Opened(Box<Opened>),
    /// The answer: it cannot be.
    Refused(Problem),
    /// To a port: end a session.
    Close(SessionId),
    /// From a port: a session has ended.
    Ended(SessionId, Ended),
    /// What a publisher has sent.
    Media(SessionId, Arc<Frame>),
    /// A publisher is no more.
    Gone(SessionId),
    /// To the port of a publisher: a viewer needs a key frame of this layer.
    KeyFrame(SessionId, Option<Rid>),
}

/// Why a session has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[expect(clippy::exhaustive_enums, reason = "all the ways there are")]
pub enum Ended {
    /// It was told to.
    Closed,
    /// The peer has closed it.
    ClosedByPeer,
    /// Its publisher is no more.
    PublisherGone,
    /// The peer never connected.
    NeverConnected,
    /// Nothing came from the peer for too long.
    Silent,
    /// Something went wrong in the protocol.
    Failed,
}

impl Ended {
    /// All of them.
    const ALL: [(Self, &'static str); 6] = [
        (Self::Closed, "closed"),
        (Self::ClosedByPeer, "closed_by_peer"),
        (Self::PublisherGone, "publisher_gone"),
        (Self::NeverConnected, "never_connected"),
        (Self::Silent, "silent"),
        (Self::Failed, "failed"),
    ];
}

/// What is wrong with a request, and what to do about it (RFC 9457).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The kind of problem.
    pub status: StatusCode,
    /// What is wrong here, for people.
    pub detail: String,
}

impl Problem {
    fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        Self { status, detail }
    }
}

/// What a session is to be.
#[derive(Debug, Clone)]
pub struct Open {
    /// Its name.
    pub id: SessionId,
    /// What it is for.
    pub role: Role,
    /// The peer's offer: SDP.
    pub offer: String,
}

/// What a session is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "media comes or it goes")]
pub enum Role {
    /// Media comes in.
    Publish,
    /// The media of a publisher, who sends it like this, goes out.
    Watch(SessionAt, Layering),
}

/// A session that was opened.
#[derive(Debug, Clone)]
pub struct Opened {
    /// Our answer: SDP.
    pub answer: String,
    /// Names the ICE session (RFC 9725, 4.3.1): our user name fragment.
    pub ufrag: String,
    /// What a publisher sends.
    pub layering: Layering,
}

/// So many random bytes in hexadecimal, for what nobody is to guess. Not from the tasks' own source of
/// chance, which is no source of key material. `None` if the system has none.
fn secret(bytes: usize) -> Option<String> {
    let mut random = vec![0; bytes];
    getrandom::fill(&mut random).ok()?;
    Some(random.iter().map(|byte| format!("{byte:02x}")).collect())
}
