//! The same without a runtime: a thread, a blocking socket, and a map of sessions.

use core::net::{Ipv4Addr, SocketAddr};
use core::time::Duration;
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Instant;

use str0m::change::SdpOffer;
use str0m::crypto;
use str0m::ice::StunMessage;
use str0m::media::{KeyframeRequestKind, MediaData, Mid};
use str0m::net::{Protocol, Receive};
use str0m::{Candidate, Event, Input, Output, Rtc, RtcConfig};
use whip_whep::rtc_config;

use crate::Contestant;

pub struct Plain {
    wishes: Sender<Wish>,
}

/// Somebody wants a session.
struct Wish {
    role: Role,
    offer: String,
    answer: Sender<String>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Publish,
    Watch,
}

impl Plain {
    pub fn start() -> Self {
        let (wishes, wished) = channel();
        let thread = thread::Builder::new().name(THREAD.to_owned());
        thread.spawn(move || Server::new(wished).run()).unwrap();
        Self { wishes }
    }

    fn ask(&self, role: Role, offer: String) -> String {
        let (answer, answered) = channel();
        self.wishes
            .send(Wish {
                role,
                offer,
                answer,
            })
            .unwrap();
        answered.recv().unwrap()
    }
}

impl Contestant for Plain {
    fn thread(&self) -> &'static str {
        THREAD
    }

    fn publish(&mut self, offer: String) -> String {
        self.ask(Role::Publish, offer)
    }

    fn watch(&mut self, offer: String) -> String {
        self.ask(Role::Watch, offer)
    }
}

const THREAD: &str = "plain-0";

struct Session {
    role: Role,
    rtc: Rtc,
    video: Option<Mid>,
    ufrag: String,
    due: Instant,
}

struct Server {
    wished: Receiver<Wish>,
    socket: UdpSocket,
    local: SocketAddr,
    config: RtcConfig,
    sessions: Vec<Session>,
    by_address: BTreeMap<SocketAddr, usize>,
}

impl Server {
    fn new(wished: Receiver<Wish>) -> Self {
        let provider = crypto::from_feature_flags();
        let certificate = provider.dtls_provider.generate_certificate().unwrap();
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        Self {
            wished,
            local: socket.local_addr().unwrap(),
            socket,
            config: rtc_config(certificate),
            sessions: Vec::new(),
            by_address: BTreeMap::new(),
        }
    }

    /// Until whoever started it is gone.
    fn run(mut self) {
        let mut datagram = [0; 2_000];
        loop {
            loop {
                match self.wished.try_recv() {
                    Ok(wish) => self.open(wish),
                    Err(std::sync::mpsc::TryRecvError::Empty) => break,
                    Err(std::sync::mpsc::TryRecvError::Disconnected) => return,
                }
            }
            let due = self.sessions.iter().map(|session| session.due).min();
            let now = Instant::now();
            let wait = due.map_or(WAIT_MAX, |due| {
                due.saturating_duration_since(now).min(WAIT_MAX)
            });
            self.socket
                .set_read_timeout(Some(wait.max(Duration::from_micros(1))))
                .unwrap();
            match self.socket.recv_from(&mut datagram) {
                Ok((len, source)) => self.receive(source, &datagram[..len]),
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(error) => panic!("{error}"),
            }
            let now = Instant::now();
            for number in 0..self.sessions.len() {
                if self.sessions[number].due <= now {
                    self.sessions[number]
                        .rtc
                        .handle_input(Input::Timeout(now))
                        .unwrap();
                    self.drain(number);
                }
            }
        }
    }

    fn open(&mut self, wish: Wish) {
        let mut rtc = self.config.clone().build(Instant::now());
        rtc.add_local_candidate(Candidate::host(self.local, Protocol::Udp).unwrap());
        let offer = SdpOffer::from_sdp_string(&wish.offer).unwrap();
        let answer = rtc.sdp_api().accept_offer(offer).unwrap().to_sdp_string();
        let ufrag = rtc.direct_api().local_ice_credentials().ufrag;
        let due = Instant::now();
        self.sessions.push(Session {
            role: wish.role,
            rtc,
            video: None,
            ufrag,
            due,
        });
        self.drain(self.sessions.len() - 1);
        wish.answer.send(answer).unwrap();
    }

    fn receive(&mut self, source: SocketAddr, datagram: &[u8]) {
        let number = if datagram.first().is_some_and(|&first| first < 4) {
            let message = StunMessage::parse(datagram).ok();
            let ufrag = message.as_ref().and_then(StunMessage::split_username);
            let number = self
                .sessions
                .iter()
                .position(|session| ufrag.is_some_and(|(ours, _)| session.ufrag == ours));
            if let Some(number) = number {
                self.by_address.insert(source, number);
            }
            number
        } else {
            self.by_address.get(&source).copied()
        };
        let Some(number) = number else { return };
        if let Ok(receive) = Receive::new(Protocol::Udp, source, self.local, datagram) {
            self.sessions[number]
                .rtc
                .handle_input(Input::Receive(Instant::now(), receive))
                .unwrap();
            self.drain(number);
        }
    }

    fn drain(&mut self, number: usize) {
        loop {
            match self.sessions[number].rtc.poll_output().unwrap() {
                Output::Transmit(transmit) => {
                    self.socket
                        .send_to(&transmit.contents, transmit.destination)
                        .unwrap();
                }
                Output::Event(Event::MediaAdded(added)) => {
                    self.sessions[number].video = Some(added.mid)
                }
                Output::Event(Event::MediaData(data)) => self.forward(&data),
                Output::Event(Event::KeyframeRequest(_)) => self.ask_for_key_frame(),
                Output::Event(_) => {}
                Output::Timeout(at) if at <= Instant::now() => {
                    self.sessions[number]
                        .rtc
                        .handle_input(Input::Timeout(Instant::now()))
                        .unwrap();
                }
                Output::Timeout(at) => return self.sessions[number].due = at,
            }
        }
    }

    fn forward(&mut self, data: &MediaData) {
        for number in 0..self.sessions.len() {
            let session = &mut self.sessions[number];
            if session.role == Role::Publish {
                continue;
            }
            let Some(writer) = session.video.and_then(|video| session.rtc.writer(video)) else {
                continue;
            };
            let Some(pt) = writer.match_params(data.params) else {
                continue;
            };
            writer
                .write(pt, data.network_time, data.time, Arc::clone(&data.data))
                .unwrap();
            session
                .rtc
                .handle_input(Input::Timeout(Instant::now()))
                .unwrap();
            self.drain(number);
        }
    }

    fn ask_for_key_frame(&mut self) {
        for session in &mut self.sessions {
            if session.role == Role::Publish
                && let Some(mut writer) = session.video.and_then(|video| session.rtc.writer(video))
            {
                // There may be nothing of it yet.
                drop(writer.request_keyframe(None, KeyframeRequestKind::Pli));
            }
        }
    }
}

/// How long a wish may wait.
const WAIT_MAX: Duration = Duration::from_millis(2);
