//! One peer: a str0m `Rtc`, and what it gives and is given.
//!
//! A child of its port. The port hands it datagrams, frames and commands; it says on the port's
//! behalf what it has to say. Whatever a peer's bytes do to the protocol's code happens in its own
//! turn, so a panic ends this session and no other.

use core::net::{IpAddr, SocketAddr};
use core::time::Duration;
use std::rc::Rc;
use std::sync::Arc;

use stillpoint::http::StatusCode;
use stillpoint::{
    BufferPool, BusEvent, DatagramRun, Deadline, Epoch, Held, Input, NetworkEvent, NoRoom, Outbox,
    Output, RequestId, SocketId, Task, TaskId, Timestamp, Transmit, TransmitBuffer,
};
use str0m::bwe::{Bitrate, BweKind};
use str0m::change::SdpOffer;
use str0m::media::{KeyframeRequestKind, MediaData, MediaKind, Mid, Rid};
use str0m::net::{Protocol, Receive};
use str0m::{Candidate, Event, IceCreds, Rtc, RtcConfig};

use crate::layers::{Layers, Verdict};
use crate::media::{Frame, Kind};
use crate::metrics::Metrics;
use crate::path::{Path, Proof};
use crate::sources::Sources;
use crate::{
    Channel, Ended, Layering, Message, Open, Opened, Problem, Role, SessionAt, SessionId, SfuApp,
};

/// What a port gives all its sessions.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) epoch: Epoch,
    pub(crate) config: RtcConfig,
    pub(crate) socket: SocketId,
    /// Bits per second that a viewer's network is taken to carry at first.
    pub(crate) bandwidth: u64,
    /// Where peers reach the port.
    pub(crate) candidates: Vec<SocketAddr>,
    pub(crate) connect_max: Duration,
    pub(crate) silence_max: Duration,
    pub(crate) metrics: Metrics,
}

/// Somebody who has asked for a session, and how.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked {
    pub(crate) by: TaskId,
    pub(crate) request: RequestId,
}

/// One peer.
#[derive(Debug)]
pub struct Session<A: SfuApp> {
    id: SessionId,
    role: Role,
    asked: Asked,
    /// Taken when it is answered.
    offer: String,
    ufrag: String,
    shared: Rc<Shared>,
    rtc: Rtc,
    state: State,
    /// That it is counted among the publishers or viewers, and among the connected.
    counted: [Option<Held>; 2],
    heard_at: Timestamp,
    /// When str0m wants to be asked again.
    due: Timestamp,
    /// Where the peer is, and which address of ours it wants to write to.
    path: Path,
    sources: Sources,
    /// Who has just written, if it is the peer.
    written_by: Option<SocketAddr>,
    audio: Option<Mid>,
    video: Option<Mid>,
    /// Of a viewer.
    layers: Layers,
    desired: u64,
    /// When its bandwidth may be estimated anew at the soonest.
    begin_anew_at: Timestamp,
    /// Of a publisher: the layers that a key frame was asked for lately, and when.
    asked_for: Vec<(Option<Rid>, Timestamp)>,
    buffers: BufferPool,
    outbox: Outbox<A>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Connecting,
    Connected,
    Over,
}

impl<A: SfuApp> Session<A> {
    pub(crate) fn new(
        open: Open,
        asked: Asked,
        creds: IceCreds,
        now: Timestamp,
        shared: Rc<Shared>,
    ) -> Self {
        let mut config = shared.config.clone();
        if let Role::Watch(_, Layering::Simulcast) = open.role {
            // It costs: packets are spread over time, and more are sent to probe.
            config = config.enable_bwe(Some(Bitrate::bps(shared.bandwidth)));
        }
        let ufrag = creds.ufrag.clone();
        let rtc = config
            .set_local_ice_credentials(creds)
            .build(shared.epoch.instant(now));
        Self {
            id: open.id,
            role: open.role,
            asked,
            offer: open.offer,
            ufrag,
            rtc,
            state: State::Connecting,
            counted: [None, None],
            heard_at: now,
            due: Timestamp::MAX,
            path: Path::default(),
            sources: Sources::default(),
            written_by: None,
            audio: None,
            video: None,
            layers: Layers::new(shared.bandwidth),
            desired: 0,
            begin_anew_at: Timestamp::EPOCH,
            asked_for: Vec::new(),
            buffers: BufferPool::new(),
            outbox: Outbox::new(),
            shared,
        }
    }

    /// Where the last datagram came from, if it was the peer's.
    pub(crate) const fn written_by(&self) -> Option<SocketAddr> {
        self.written_by
    }

    fn open(&mut self, now: Timestamp) {
        let request = self.asked.request;
        match self.accept(now) {
            Ok(answer) => {
                let metrics = &self.shared.metrics;
                metrics.opened.add(1);
                self.counted[0] = Some(match self.role {
                    Role::Publish => metrics.publishers.hold(),
                    Role::Watch(..) => metrics.viewers.hold(),
                });
                let ufrag = self.ufrag.clone();
                let layering = if answer.contains("\na=simulcast:recv ") {
                    Layering::Simulcast
                } else {
                    Layering::Single
                };
                let opened = Message::Opened(Box::new(Opened {
                    answer,
                    ufrag,
                    layering,
                }));
                self.outbox.answer(request, opened);
            }
            Err(problem) => {
                self.shared.metrics.refused.add(1);
                self.outbox.answer(request, Message::Refused(problem));
                self.finish();
            }
        }
    }

    /// The answer to the peer's offer.
    fn accept(&mut self, now: Timestamp) -> Result<String, Problem> {
        let unprocessable = |detail| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, detail);
        let offer = core::mem::take(&mut self.offer);
        self.sources = Sources::of(&offer);
        let offer = SdpOffer::from_sdp_string(&offer).map_err(|error| {
            // Its first line names a place in memory.
            let error = error.to_string();
            let expected: Vec<_> = error.lines().skip(1).collect();
            let detail = format!("The offer is no SDP. {}.", expected.join(". "));
            Problem::new(StatusCode::BAD_REQUEST, detail)
        })?;
        for &address in &self.shared.candidates {
            if let Ok(candidate) = Candidate::host(address, Protocol::Udp) {
                self.rtc.add_local_candidate(candidate);
            }
        }
        let answer = self.rtc.sdp_api().accept_offer(offer);
        let answer = answer
            .map_err(|error| unprocessable(format!("The offer cannot be accepted: {error}")))?;
        let answer = answer.to_sdp_string();
        self.find_media(&answer);
        self.drain(now);
        if self.audio.is_none() && self.video.is_none() {
            return Err(unprocessable(match self.role {
                Role::Publish => "The offer sends neither audio nor video in a codec that is known here: Opus, VP8, VP9, H.264.",
                Role::Watch(..) => "The offer receives neither audio nor video.",
            }.to_owned()));
        }
        Ok(answer)
    }

    fn receive(&mut self, now: Timestamp, run: &DatagramRun) {
        self.written_by = None;
        let at = self.shared.epoch.instant(now);
        let destination = self.destination(run.local);
        for datagram in run.iter() {
            let Ok(receive) = Receive::new(Protocol::Udp, run.peer, destination, datagram) else {
                self.shared.metrics.malformed.add(1);
                continue;
            };
            let input = str0m::Input::Receive(at, receive);
            let proof = if self.sources.excludes(datagram) || !self.rtc.accepts(&input) {
                Proof::Nothing
            } else {
                self.path.hear(run.peer, run.local, datagram)
            };
            match proof {
                Proof::Nothing => {
                    self.shared.metrics.not_the_peers.add(1);
                    continue;
                }
                // Who only ever checks the path has so long as anybody to connect.
                Proof::Alive if self.state == State::Connected => self.heard_at = now,
                Proof::Alive | Proof::Perhaps => {}
            }
            self.written_by = Some(run.peer);
            let taken = self.rtc.handle_input(input);
            self.go_on(now, taken);
        }
    }

    /// Which of our candidates a datagram came to. If none has the address, there is somebody in
    /// between who translates it.
    fn destination(&self, local: Option<IpAddr>) -> SocketAddr {
        let candidates = &self.shared.candidates;
        let exact = candidates
            .iter()
            .find(|candidate| Some(candidate.ip()) == local);
        *exact.unwrap_or(&candidates[0])
    }

    /// After each thing that str0m was told.
    fn go_on<T, E>(&mut self, now: Timestamp, told: Result<T, E>) {
        match told {
            Ok(_) => self.drain(now),
            Err(_) => self.end(Ended::Failed),
        }
    }

    /// Takes all that str0m has to give. What it wants to be asked again at once belongs to it.
    fn drain(&mut self, now: Timestamp) {
        for _ in 0..ROUNDS_MAX {
            while self.state != State::Over {
                match self.rtc.poll_output() {
                    Ok(str0m::Output::Transmit(transmit)) => self.transmit(&transmit),
                    Ok(str0m::Output::Event(event)) => self.handle_event(now, event),
                    Ok(str0m::Output::Timeout(at)) => {
                        self.due = self.shared.epoch.timestamp(at);
                        break;
                    }
                    Err(_) => self.over(Ended::Failed),
                }
            }
            if !self.rtc.is_alive() {
                self.over(Ended::ClosedByPeer);
            }
            if self.state == State::Over || self.due > now {
                return;
            }
            let at = self.shared.epoch.instant(now);
            if self.rtc.handle_input(str0m::Input::Timeout(at)).is_err() {
                return self.over(Ended::Failed);
            }
        }
        self.due = now.after(TICK_MIN);
    }

    fn transmit(&mut self, transmit: &str0m::net::Transmit) {
        let payload = self.buffers.copy_from(&transmit.contents);
        let (peer, local) = self.path.route(transmit.destination, &payload);
        let mut out = Transmit::new(self.shared.socket, peer, payload);
        out.source = local;
        self.outbox.transmit(out);
        self.shared.metrics.datagrams_out.add(1);
    }

    fn handle_event(&mut self, now: Timestamp, event: Event) {
        match event {
            Event::Connected => {
                self.state = State::Connected;
                self.heard_at = now;
                self.counted[1] = Some(self.shared.metrics.connected.hold());
                if let Role::Watch(publisher, _) = self.role {
                    self.repair_much();
                    self.ask_for_key_frame(publisher, None);
                }
            }
            Event::MediaData(data) => self.publish(now, data),
            Event::KeyframeRequest(_) => {
                if let Role::Watch(publisher, _) = self.role {
                    self.ask_for_key_frame(publisher, self.layers.current().flatten());
                }
            }
            Event::EgressBitrateEstimate(
                BweKind::Twcc { estimate, .. } | BweKind::Remb { estimate, .. },
            ) => {
                let floor = self.layers.floor();
                // Less is of no use: the smallest layer goes out all the same. str0m would hold it back
                // for two seconds and send it in one go, and take what is lost for a sign of still less.
                if estimate.as_u64() < floor && now >= self.begin_anew_at {
                    self.begin_anew_at = now.after(BEGIN_ANEW);
                    self.rtc.bwe().reset(Bitrate::bps(floor + floor / 2));
                    self.desired = 0;
                }
                self.layers.set_bandwidth(estimate.as_u64().max(floor));
            }
            _ => {}
        }
    }

    /// Has str0m repair what a bad network loses, of video: left to itself, it gives up beyond a tenth.
    fn repair_much(&mut self) {
        let Some(video) = self.video else { return };
        if let Some(stream) = self.rtc.direct_api().stream_tx_by_mid(video, None) {
            stream.set_rtx_cache(RTX_PACKETS_MAX, RTX_AGE_MAX, Some(RTX_SHARE_MAX));
        }
    }

    /// Looks for the audio and the video of this session among all that was answered. (The event that
    /// tells of media comes only when they can flow.)
    fn find_media(&mut self, answer: &str) {
        let mids = answer
            .lines()
            .filter_map(|line| line.strip_prefix("a=mid:"));
        for media in mids.filter_map(|mid| self.rtc.media(Mid::from(mid.trim()))) {
            let fits = match self.role {
                Role::Publish => media.direction().is_receiving(),
                Role::Watch(..) => media.direction().is_sending(),
            };
            let place = match media.kind() {
                MediaKind::Audio => &mut self.audio,
                MediaKind::Video => &mut self.video,
            };
            if fits && place.is_none() && !media.remote_pts().is_empty() {
                *place = Some(media.mid());
            }
        }
    }

    /// Something came from a publisher.
    fn publish(&mut self, now: Timestamp, data: MediaData) {
        let is_video = Some(data.mid) == self.video;
        if self.role != Role::Publish || !(is_video || Some(data.mid) == self.audio) {
            return;
        }
        let kind = match () {
            () if !is_video => Kind::Audio,
            () if data.is_keyframe() => Kind::KeyFrame,
            () if data.contiguous => Kind::Delta,
            () => Kind::Broken,
        };
        if kind == Kind::Broken {
            self.request_key_frame(now, data.rid);
        }
        let frame = Frame {
            kind,
            params: data.params,
            rid: data.rid,
            time: data.time,
            at: self.shared.epoch.timestamp(data.network_time),
            orientation: data.ext_vals.video_orientation,
            data: data.data,
        };
        self.shared.metrics.frames_in.add(1);
        let message = Message::Media(self.id, Arc::new(frame));
        self.outbox
            .publish(Channel::Media(self.id), message, NoRoom::Drop);
    }

    /// Has a publisher send a key frame, unless it was asked a moment ago.
    fn request_key_frame(&mut self, now: Timestamp, rid: Option<Rid>) {
        let Some(mid) = self.video else { return };
        self.asked_for.retain(|(_, at)| now.since(*at) < ASK_AGAIN);
        if self.asked_for.iter().any(|(of, _)| *of == rid) {
            return;
        }
        self.asked_for.push((rid, now));
        // There may be no such layer, or nothing of it yet: a viewer asks again.
        let asked = self.rtc.writer(mid).is_some_and(|mut writer| {
            writer
                .request_keyframe(rid, KeyframeRequestKind::Pli)
                .is_ok()
        });
        self.shared.metrics.key_frames.add(asked.into());
    }

    /// A viewer needs a key frame.
    fn ask_for_key_frame(&mut self, publisher: SessionAt, rid: Option<Rid>) {
        let message = Message::KeyFrame(publisher.id, rid);
        self.outbox.send_to(publisher.port, message, NoRoom::Drop);
    }

    /// Something goes out to a viewer.
    fn watch(&mut self, now: Timestamp, publisher: SessionAt, frame: &Frame) {
        let (mid, time) = if frame.kind == Kind::Audio {
            (self.audio, frame.time)
        } else {
            match self.layers.judge(now, frame) {
                Verdict::Forward(time) => {
                    self.desire();
                    (self.video, time)
                }
                Verdict::Skip => return,
                Verdict::SkipAndAsk(rid) => return self.ask_for_key_frame(publisher, rid),
            }
        };
        let Some(writer) = mid.and_then(|mid| self.rtc.writer(mid)) else {
            return;
        };
        let pt = writer.match_params(frame.params);
        let Some(pt) = pt.filter(|pt| writer.payload_params().any(|params| params.pt() == *pt))
        else {
            self.shared.metrics.other_codec.add(1);
            return;
        };
        let writer = match frame.orientation {
            Some(orientation) => writer.video_orientation(orientation),
            None => writer,
        };
        // Drained at once: of frames that wait, str0m would send first what came first, and not what
        // was sent first.
        let at = self.shared.epoch.instant(frame.at);
        let written = writer.write(pt, at, time, Arc::clone(&frame.data));
        self.shared.metrics.frames_out.add(1);
        self.go_on(now, written);
    }

    /// Has str0m find out whether there is bandwidth for a larger layer.
    fn desire(&mut self) {
        let next = self.layers.next();
        if next.abs_diff(self.desired) > self.desired / 8 {
            self.desired = next;
            self.rtc.bwe().set_desired_bitrate(Bitrate::bps(next));
        }
    }

    fn handle_message(&mut self, now: Timestamp, message: Message) {
        match (message, self.role) {
            (Message::Media(_, frame), Role::Watch(publisher, _))
                if self.state == State::Connected =>
            {
                self.watch(now, publisher, &frame);
            }
            (Message::KeyFrame(_, rid), Role::Publish) => {
                self.request_key_frame(now, rid);
                self.drain(now);
            }
            (Message::Gone(_), Role::Watch(..)) => self.end(Ended::PublisherGone),
            (Message::Close(_), _) => self.end(Ended::Closed),
            _ => {}
        }
    }

    fn handle_timeout(&mut self, now: Timestamp) {
        if now >= self.until() {
            let why = if self.state == State::Connected {
                Ended::Silent
            } else {
                Ended::NeverConnected
            };
            self.end(why);
        } else {
            let taken = self
                .rtc
                .handle_input(str0m::Input::Timeout(self.shared.epoch.instant(now)));
            self.go_on(now, taken);
        }
    }

    /// By when something must be heard.
    fn until(&self) -> Timestamp {
        match self.state {
            State::Connecting => self.heard_at.after(self.shared.connect_max),
            State::Connected | State::Over => self.heard_at.after(self.shared.silence_max),
        }
    }

    /// Tells the peer that it is over, as far as that is possible.
    fn end(&mut self, why: Ended) {
        if self.state != State::Over && self.rtc.close().is_ok() {
            while let Ok(output) = self.rtc.poll_output() {
                match output {
                    str0m::Output::Transmit(transmit) => self.transmit(&transmit),
                    str0m::Output::Timeout(_) => break,
                    str0m::Output::Event(_) => {}
                }
            }
        }
        self.over(why);
    }

    fn over(&mut self, why: Ended) {
        if self.state != State::Over {
            let message = Message::Ended(self.id, why);
            self.outbox.send_to(self.asked.by, message, NoRoom::Wait);
            self.finish();
        }
    }

    fn finish(&mut self) {
        self.state = State::Over;
        self.outbox.finish();
    }
}

impl<A: SfuApp> Task for Session<A> {
    type App = A;

    fn handle_input(&mut self, now: Timestamp, input: Input<A>) {
        match input {
            Input::Started(context) => {
                self.buffers = context.buffers;
                self.open(now);
            }
            Input::Timeout => self.handle_timeout(now),
            Input::Network(NetworkEvent::Datagrams { run, .. }) => self.receive(now, &run),
            Input::Bus(BusEvent::Message { message, .. }) => self.handle_message(now, message),
            Input::Shutdown => self.end(Ended::Closed),
            _ => {}
        }
    }

    fn poll_output(&mut self, _: Timestamp, _: &mut TransmitBuffer<'_>) -> Option<Output<A>> {
        self.outbox.pop()
    }

    fn poll_timeout(&self) -> Option<Deadline> {
        let until = self.until();
        Some(if self.due < until {
            Deadline::new(self.due, "str0m")
        } else {
            Deadline::new(until, "silence of a peer")
        })
    }
}

/// How often a publisher is asked for a key frame of one layer at most.
const ASK_AGAIN: Duration = Duration::from_millis(300);

/// What is kept of each viewer's video, to be sent again: so many packets, and for so long.
const RTX_PACKETS_MAX: usize = 1_024;
const RTX_AGE_MAX: Duration = Duration::from_secs(3);

/// How much of what is sent may be sent again.
const RTX_SHARE_MAX: f32 = 0.5;

/// How often str0m is asked again at once. In truth it is a few times.
const ROUNDS_MAX: usize = 64;

/// How soon after that it is asked again.
const TICK_MIN: Duration = Duration::from_millis(1);

/// How long an estimate of the bandwidth is given to find its way before another one is begun.
const BEGIN_ANEW: Duration = Duration::from_secs(3);
