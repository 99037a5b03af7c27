//! str0m in the client's role, told of what happens and asked for what follows.

use core::net::SocketAddr;
use core::time::Duration;
use std::collections::VecDeque;

use stillpoint::{Epoch, Timestamp};
use str0m::change::{SdpAnswer, SdpPendingOffer};
use str0m::format::Codec;
use str0m::media::{
    Direction, KeyframeRequestKind, MediaKind, Mid, Rid, Simulcast, SimulcastLayer,
};
use str0m::net::{Protocol, Receive};
use str0m::{Candidate, Event, IceConnectionState, Rtc};

use super::camera::{RIDS, Shot};
use super::frames::FrameKind;
use super::peer::{Codecs, PeerConfig, Role};

/// A session, on the client's side.
pub struct Call {
    epoch: Epoch,
    rtc: Rtc,
    /// What waits for an answer.
    pending: Option<SdpPendingOffer>,
    /// Our address, as str0m knows it.
    local: SocketAddr,
    audio: Mid,
    video: Mid,
    is_simulcast: bool,
    due_at: Timestamp,
    /// What is to be told before str0m is asked again.
    happened: VecDeque<Happened>,
    /// str0m has said all that it had to say.
    is_drained: bool,
    wished_at: Option<Timestamp>,
}

/// What comes of it.
#[derive(Debug)]
pub enum Happened {
    Transmit(SocketAddr, Vec<u8>),
    Joined,
    Picture(Vec<u8>),
    Sound(Vec<u8>),
    /// The other side wants a key frame, of one layer or of all.
    KeyWished(Option<String>),
    /// The other side has ended the session.
    Closed,
    /// The other side has not been heard of for too long.
    Silent,
    Error(String),
}

impl Call {
    /// A session to be, and its offer.
    pub fn new(now: Timestamp, local: SocketAddr, config: &PeerConfig) -> (Self, String) {
        let certificate = config.certificate.0.clone();
        let mut builder = Rtc::builder().set_dtls_cert(certificate);
        if config.codecs == Codecs::H264 {
            builder = builder.clear_codecs().enable_opus(true, false);
            builder = builder.enable_h264(true);
        }
        let mut rtc = builder.build(config.epoch.instant(now));
        rtc.add_local_candidate(host(local));
        let mut changes = rtc.sdp_api();
        let (direction, simulcast) = match &config.role {
            Role::Watch => (Direction::RecvOnly, None),
            Role::Publish(camera) if camera.layers == 1 => (Direction::SendOnly, None),
            Role::Publish(camera) => {
                let mut simulcast = Simulcast::new();
                for rid in &RIDS[..camera.layers as usize] {
                    simulcast.add_send_layer(SimulcastLayer::new(rid));
                }
                (Direction::SendOnly, Some(simulcast))
            }
        };
        let is_simulcast = simulcast.is_some();
        let audio = changes.add_media(MediaKind::Audio, direction, None, None, None);
        let video = changes.add_media(MediaKind::Video, direction, None, None, simulcast);
        let (offer, pending) = changes.apply().expect("media were added");
        let call = Self {
            epoch: config.epoch,
            rtc,
            pending: Some(pending),
            local,
            audio,
            video,
            is_simulcast,
            due_at: Timestamp::MAX,
            happened: VecDeque::new(),
            is_drained: true,
            wished_at: None,
        };
        (call, offer.to_sdp_string())
    }

    /// When it wants to be told of the time.
    pub const fn due_at(&self) -> Timestamp {
        self.due_at
    }

    /// The other side has answered.
    pub fn accept(&mut self, answer: &str) {
        let pending = self.pending.take().expect("one answer to one offer");
        let accepted = match SdpAnswer::from_sdp_string(answer) {
            Ok(answer) => self.rtc.sdp_api().accept_answer(pending, answer),
            Err(error) => panic!("{error} in the answer `{answer}`"),
        };
        self.note(accepted);
    }

    pub fn receive(&mut self, now: Timestamp, from: SocketAddr, datagram: &[u8]) {
        let taken = match Receive::new(Protocol::Udp, from, self.local, datagram) {
            Ok(receive) => {
                let input = str0m::Input::Receive(self.epoch.instant(now), receive);
                if !self.rtc.accepts(&input) {
                    return;
                }
                self.rtc.handle_input(input)
            }
            Err(error) => return self.happened.push_back(Happened::Error(error.to_string())),
        };
        self.note(taken);
    }

    pub fn handle_timeout(&mut self, now: Timestamp) {
        let told = self
            .rtc
            .handle_input(str0m::Input::Timeout(self.epoch.instant(now)));
        self.note(told);
    }

    /// Sends a frame.
    pub fn write(&mut self, now: Timestamp, shot: Shot) {
        let (mid, codec) = match shot.kind {
            FrameKind::Audio => (self.audio, Codec::Opus),
            FrameKind::Key | FrameKind::Delta => (self.video, Codec::Vp8),
        };
        let Some(mut writer) = self.rtc.writer(mid) else {
            return;
        };
        let is_ours = |params: &&str0m::format::PayloadParams| params.spec().codec == codec;
        let Some(pt) = writer
            .payload_params()
            .find(is_ours)
            .map(|params| params.pt())
        else {
            let error = format!("{codec} was not agreed upon");
            return self.happened.push_back(Happened::Error(error));
        };
        if self.is_simulcast && mid == self.video {
            writer = writer.rid(Rid::from(RIDS[shot.layer as usize]));
        }
        let written = writer.write(pt, self.epoch.instant(now), shot.time, shot.bytes);
        self.note(written);
        self.handle_timeout(now);
    }

    /// Asks for a key frame, if it has not done so a moment ago. Whether it did.
    pub fn wish_for_key(&mut self, now: Timestamp) -> bool {
        if self.wished_at.is_some_and(|at| now.since(at) < WISH_EVERY) {
            return false;
        }
        let Some(mut writer) = self.rtc.writer(self.video) else {
            return false;
        };
        self.wished_at = Some(now);
        let wished = writer.request_keyframe(None, KeyframeRequestKind::Pli);
        self.note(wished);
        true
    }

    /// Our address is another one, and the one before is no more.
    pub fn move_to(&mut self, local: SocketAddr) {
        self.rtc
            .direct_api()
            .invalidate_candidate(&host(self.local));
        self.rtc.add_local_candidate(host(local));
        self.local = local;
        self.is_drained = false;
    }

    /// Ends the session from our side.
    pub fn close(&mut self) {
        let closed = self.rtc.close();
        self.note(closed);
    }

    fn note(&mut self, told: Result<(), str0m::RtcError>) {
        self.is_drained = false;
        if let Err(error) = told {
            self.happened.push_back(Happened::Error(error.to_string()));
        }
    }

    /// What comes of what it was told. To be asked until there is nothing, each time.
    pub fn poll(&mut self, now: Timestamp) -> Option<Happened> {
        let mut rounds = 0;
        loop {
            if let Some(happened) = self.happened.pop_front() {
                return Some(happened);
            }
            if self.is_drained {
                return None;
            }
            match self.rtc.poll_output() {
                Ok(str0m::Output::Transmit(transmit)) => {
                    let datagram = transmit.contents.to_vec();
                    return Some(Happened::Transmit(transmit.destination, datagram));
                }
                Ok(str0m::Output::Event(event)) => self.handle_event(event),
                Ok(str0m::Output::Timeout(at)) => {
                    self.due_at = self.epoch.timestamp(at);
                    if self.due_at > now {
                        self.is_drained = true;
                    } else if rounds == ROUNDS_MAX {
                        self.due_at = now.after(Duration::from_millis(1));
                        self.is_drained = true;
                    } else {
                        rounds += 1;
                        self.handle_timeout(now);
                    }
                }
                Err(error) => {
                    self.is_drained = true;
                    return Some(Happened::Error(error.to_string()));
                }
            }
        }
    }

    /// Sends again what was lost, as browsers do: left to itself, str0m gives up beyond a tenth.
    fn repair_much(&mut self) {
        for rid in [None, Some(RIDS[0]), Some(RIDS[1]), Some(RIDS[2])] {
            let rid = rid.map(Rid::from);
            if let Some(stream) = self.rtc.direct_api().stream_tx_by_mid(self.video, rid) {
                stream.set_rtx_cache(1_024, Duration::from_secs(3), Some(0.5));
            }
        }
    }

    fn handle_event(&mut self, event: Event) {
        let happened = match event {
            Event::Connected => {
                self.repair_much();
                Happened::Joined
            }
            Event::IceConnectionStateChange(IceConnectionState::Disconnected) => Happened::Silent,
            Event::MediaData(data) if data.mid == self.video => {
                Happened::Picture(data.data.to_vec())
            }
            Event::MediaData(data) => Happened::Sound(data.data.to_vec()),
            Event::KeyframeRequest(request) => {
                Happened::KeyWished(request.rid.map(|rid| rid.to_string()))
            }
            Event::Closed => Happened::Closed,
            _ => return,
        };
        self.happened.push_back(happened);
    }
}

fn host(address: SocketAddr) -> Candidate {
    Candidate::host(address, "udp").expect("an address of a machine")
}

/// Between two wishes for key frames, at least.
const WISH_EVERY: Duration = Duration::from_millis(300);

/// How often str0m may want to be told of the same time in a row.
const ROUNDS_MAX: u32 = 64;
