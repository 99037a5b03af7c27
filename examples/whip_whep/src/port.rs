//! The media port of a worker: one UDP socket, and the sessions of those who come there.

use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

use stillpoint::{
    BusEvent, Context, Deadline, Destination, Epoch, Input, NetworkEvent, NoRoom, Outbox, Output,
    Resend, SocketId, Task, Timestamp, Token, TransmitBuffer, UdpOpen,
};
use str0m::RtcConfig;
use str0m::config::DtlsCert;

use crate::metrics::Metrics;
use crate::session::{Asked, Shared};
use crate::switch::Switch;
use crate::{Channel, Message, Report, SfuApp};

/// What a media port is made from.
#[derive(Debug, Clone)]
pub struct MediaConfig {
    /// Where media is taken. Port 0 lets the system choose one.
    pub bind: SocketAddr,
    /// Addresses that peers are told to come to, if not the one in `bind`.
    pub public: Vec<IpAddr>,
    /// What the runner's epoch is for str0m.
    pub epoch: Epoch,
    /// Proves to peers that we are whom signaling has told them of.
    pub certificate: DtlsCert,
    /// What the network of a viewer with layers to choose from is taken to carry until that is
    /// known, in bits per second.
    pub bandwidth: u64,
    /// Sessions that may be there at a time.
    pub sessions_max: usize,
    /// How long a peer may take to connect.
    pub connect_max: Duration,
    /// How long a connected peer may be silent.
    pub silence_max: Duration,
}

impl MediaConfig {
    /// Up to 2,000 sessions, with 15 seconds to connect and 20 seconds of silence.
    #[must_use]
    pub const fn new(bind: SocketAddr, epoch: Epoch, certificate: DtlsCert) -> Self {
        Self {
            bind,
            public: Vec::new(),
            epoch,
            certificate,
            bandwidth: 3_000_000,
            sessions_max: 2_000,
            connect_max: Duration::from_secs(15),
            silence_max: Duration::from_secs(20),
        }
    }
}

/// The media port of a worker.
#[derive(Debug)]
pub struct MediaPort<A: SfuApp> {
    config: MediaConfig,
    context: Option<Context>,
    /// Once the socket is open.
    switch: Option<Switch<A>>,
    resend: Resend<A>,
    outbox: Outbox<A>,
}

impl<A: SfuApp> MediaPort<A> {
    /// A port that is to be opened.
    #[must_use]
    pub fn new(config: MediaConfig) -> Self {
        Self {
            config,
            context: None,
            switch: None,
            resend: Resend::new(),
            outbox: Outbox::new(),
        }
    }

    fn opened(&mut self, socket: SocketId, local: SocketAddr) {
        let Some(context) = &self.context else { return };
        let public = match &self.config.public[..] {
            [] => vec![local.ip()],
            public => public.to_vec(),
        };
        let shared = Shared {
            epoch: self.config.epoch,
            config: rtc_config(self.config.certificate.clone()),
            bandwidth: self.config.bandwidth,
            socket,
            candidates: public
                .into_iter()
                .map(|ip| SocketAddr::new(ip, local.port()))
                .collect(),
            connect_max: self.config.connect_max,
            silence_max: self.config.silence_max,
            metrics: Metrics::new(context),
        };
        self.switch = Some(Switch::new(
            shared,
            context.children(),
            self.config.sessions_max,
        ));
        self.outbox.report(Report::MediaAt(local));
        self.outbox
            .publish(Channel::Ports, Message::Here, NoRoom::Wait);
    }

    fn handle_bus(&mut self, now: Timestamp, event: BusEvent<Channel, Message>) {
        let event = self.resend.handle_event(event, &mut self.outbox);
        let (Some(event), Some(switch)) = (event, &mut self.switch) else {
            return; // Who asks before the port is open hears of it when it is.
        };
        let outbox = &mut self.outbox;
        match event {
            BusEvent::Message {
                to: Destination::Channel(Channel::Media(publisher)),
                message,
                ..
            } => {
                switch.hand_out(publisher, message);
            }
            BusEvent::Message {
                from: Some(from),
                message: Message::WhoIsThere,
                ..
            } => {
                outbox.send_to(from, Message::Here, NoRoom::Wait);
            }
            BusEvent::Message { message, .. } => switch.tell(now, message, outbox),
            BusEvent::Request {
                from,
                request,
                message: Message::Open(open),
                ..
            } => {
                let asked = Asked { by: from, request };
                switch.open(now, *open, asked, outbox);
            }
            _ => {}
        }
    }

    fn handle_event(&mut self, now: Timestamp, event: NetworkEvent) {
        match event {
            NetworkEvent::Datagrams { run, .. } => {
                if let Some(switch) = &mut self.switch {
                    switch.receive(now, run, &mut self.outbox);
                }
            }
            NetworkEvent::UdpOpened { socket, local, .. } => self.opened(socket, local),
            NetworkEvent::UdpOpenFailed { bind, error, .. } => {
                self.outbox.report(Report::BindFailed { bind, error });
                self.outbox.finish();
            }
            // What could not be sent is lost as on the way, and counted by the runtime.
            _ => {}
        }
    }

    fn shut_down(&mut self, now: Timestamp) {
        if let Some(switch) = &mut self.switch {
            switch.shut_down(now, &mut self.outbox);
        }
        self.outbox.finish();
    }
}

impl<A: SfuApp> Task for MediaPort<A> {
    type App = A;

    /// Sessions end once nobody asks for new ones.
    const SHUTDOWN_PHASE: u8 = 1;

    fn handle_input(&mut self, now: Timestamp, input: Input<A>) {
        match input {
            Input::Started(context) => {
                self.context = Some(context);
                self.outbox.become_agent();
                let open = UdpOpen::new(Token(0), self.config.bind);
                self.outbox
                    .open_udp(open.with_buffers(SOCKET_BYTES, SOCKET_BYTES));
            }
            Input::Network(event) => self.handle_event(now, event),
            Input::Bus(event) => self.handle_bus(now, event),
            Input::Timeout => {
                if let Some(switch) = &mut self.switch {
                    switch.handle_timeout(now, &mut self.outbox);
                }
            }
            Input::Shutdown => self.shut_down(now),
            _ => {}
        }
    }

    /// What is published is handed to one viewer after the other as its outputs are taken: a key frame
    /// for many is never a pile of datagrams.
    fn poll_output(&mut self, now: Timestamp, _: &mut TransmitBuffer<'_>) -> Option<Output<A>> {
        while self.outbox.is_empty() && self.switch.as_mut()?.hand_to_next(now, &mut self.outbox) {}
        self.outbox.pop()
    }

    fn poll_timeout(&self) -> Option<Deadline> {
        self.switch.as_ref()?.poll_timeout()
    }
}

/// How str0m is set up for all sessions: ICE-lite, and the codecs that are forwarded.
#[must_use]
pub fn rtc_config(certificate: DtlsCert) -> RtcConfig {
    RtcConfig::new()
        .set_ice_lite(true)
        .set_dtls_cert(certificate)
        .clear_codecs()
        .enable_opus(true, false)
        .enable_vp8(true)
        .enable_vp9(true)
        .enable_h264(true)
        .set_reordering_size_video(VIDEO_REORDERING)
}

/// Bytes of each system buffer of the socket: a key frame for a few hundred viewers.
const SOCKET_BYTES: u32 = 4 << 20;

/// Packets that may wait for one before them: a key frame of some 300 KB.
const VIDEO_REORDERING: usize = 300;
