//! The load: a publisher that sends as much as it is told, and viewers that count what comes.

use core::net::{Ipv4Addr, SocketAddr};
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use core::time::Duration;
use std::io::ErrorKind;
use std::net::UdpSocket;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Instant;

use str0m::change::SdpAnswer;
use str0m::format::Codec;
use str0m::media::{Direction, MediaKind, MediaTime, Mid};
use str0m::net::{Protocol, Receive};
use str0m::{Candidate, Event, Input, Output, Rtc};

use crate::Contestant;

/// A publisher and its viewers, all connected.
pub struct Load {
    publisher: Peer,
    received: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    crowd: Option<JoinHandle<()>>,
    frames: u64,
}

/// Frames a second.
const FRAMES: u32 = 30;

/// Bytes of a frame that make one packet.
const PACKET_BYTES: u32 = 1_120;

impl Load {
    pub fn connect(contestant: &mut dyn Contestant, viewers: usize) -> Self {
        let mut publisher = Peer::join(Direction::SendOnly, |offer| contestant.publish(offer));
        publisher.connect();
        let mut crowd = Vec::new();
        for _ in 0..viewers {
            let mut viewer = Peer::join(Direction::RecvOnly, |offer| contestant.watch(offer));
            viewer.connect();
            publisher.turn(); // It stays in touch.
            crowd.push(viewer);
        }
        let (received, stop) = (
            Arc::new(AtomicU64::new(0)),
            Arc::new(AtomicBool::new(false)),
        );
        let crowd = {
            let (received, stop) = (Arc::clone(&received), Arc::clone(&stop));
            thread::spawn(move || count(&mut crowd, &received, &stop))
        };
        Self {
            publisher,
            received,
            stop,
            crowd: Some(crowd),
            frames: 0,
        }
    }

    /// Sends so many packets a second for so long. How many were sent, how many arrived at all viewers
    /// together, and how long it took.
    pub fn run(&mut self, rate: u32, how_long: Duration) -> (u64, u64, Duration) {
        let packets = rate / FRAMES;
        let began = Instant::now();
        let received = self.received.load(Ordering::Relaxed);
        let mut sent = 0;
        let mut next = began;
        while began.elapsed() < how_long {
            self.publisher.write(self.frames, packets);
            self.frames += 1;
            sent += u64::from(packets);
            next += Duration::from_secs(1) / FRAMES;
            while Instant::now() < next {
                self.publisher.turn();
            }
        }
        let took = began.elapsed();
        (sent, self.received.load(Ordering::Relaxed) - received, took)
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.crowd.take().unwrap().join().unwrap();
    }
}

/// Looks at all viewers' sockets in turn. Packets of media are counted and not decrypted: the load is to
/// be light beside what it measures. All else is the viewer's.
fn count(crowd: &mut [Peer], received: &AtomicU64, stop: &AtomicBool) {
    let mut datagram = [0; 2_000];
    while !stop.load(Ordering::Relaxed) {
        let mut counted = 0;
        for viewer in &mut *crowd {
            while let Ok((len, source)) = viewer.socket.recv_from(&mut datagram) {
                let is_media =
                    (128..192).contains(&datagram[0]) && !(192..=223).contains(&datagram[1]);
                counted += u64::from(is_media && len > 600);
                if !is_media {
                    viewer.receive(source, &datagram[..len]);
                }
            }
            if viewer.due <= Instant::now() {
                viewer.turn();
            }
        }
        received.fetch_add(counted, Ordering::Relaxed);
        if counted == 0 {
            thread::sleep(Duration::from_millis(1));
        }
    }
}

/// One peer with a socket of its own.
struct Peer {
    rtc: Rtc,
    socket: UdpSocket,
    local: SocketAddr,
    video: Mid,
    is_connected: bool,
    due: Instant,
}

impl Peer {
    fn join(direction: Direction, answer: impl FnOnce(String) -> String) -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        socket.set_nonblocking(true).unwrap();
        let local = socket.local_addr().unwrap();
        let mut rtc = Rtc::builder()
            .clear_codecs()
            .enable_vp8(true)
            .build(Instant::now());
        rtc.add_local_candidate(Candidate::host(local, Protocol::Udp).unwrap());
        let mut api = rtc.sdp_api();
        let video = api.add_media(MediaKind::Video, direction, None, None, None);
        let (offer, pending) = api.apply().unwrap();
        let answer = answer(offer.to_sdp_string());
        let answer = SdpAnswer::from_sdp_string(&answer).unwrap();
        rtc.sdp_api().accept_answer(pending, answer).unwrap();
        Self {
            rtc,
            socket,
            local,
            video,
            is_connected: false,
            due: Instant::now(),
        }
    }

    fn connect(&mut self) {
        let began = Instant::now();
        while !self.is_connected {
            self.turn();
            assert!(began.elapsed() < Duration::from_secs(20), "cannot connect");
        }
    }

    /// Takes what has come, or waits for it for a moment.
    fn turn(&mut self) {
        let mut datagram = [0; 2_000];
        let mut idle = true;
        loop {
            match self.socket.recv_from(&mut datagram) {
                Ok((len, source)) => {
                    idle = false;
                    self.receive(source, &datagram[..len]);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => panic!("{error}"),
            }
        }
        let now = Instant::now();
        if self.due <= now {
            self.rtc.handle_input(Input::Timeout(now)).unwrap();
            self.drain();
        } else if idle {
            thread::sleep((self.due - now).min(Duration::from_millis(1)));
        }
    }

    fn receive(&mut self, source: SocketAddr, datagram: &[u8]) {
        if let Ok(receive) = Receive::new(Protocol::Udp, source, self.local, datagram) {
            self.rtc
                .handle_input(Input::Receive(Instant::now(), receive))
                .unwrap();
            self.drain();
        }
    }

    fn drain(&mut self) {
        loop {
            match self.rtc.poll_output().unwrap() {
                Output::Transmit(transmit) => {
                    // What finds no room is lost.
                    drop(
                        self.socket
                            .send_to(&transmit.contents, transmit.destination),
                    );
                }
                Output::Event(Event::Connected) => self.is_connected = true,
                Output::Event(_) => {}
                Output::Timeout(at) if at <= Instant::now() => {
                    self.rtc
                        .handle_input(Input::Timeout(Instant::now()))
                        .unwrap();
                }
                Output::Timeout(at) => return self.due = at,
            }
        }
    }

    /// Sends a frame of video of so many packets. All are key frames, so that none waits for another.
    fn write(&mut self, number: u64, packets: u32) {
        let mut frame = vec![0_u8; (packets * PACKET_BYTES) as usize];
        // A key frame of 16 by 16 (RFC 6386, 9.1).
        frame[..10].copy_from_slice(&[0x10, 0, 0, 0x9d, 0x01, 0x2a, 16, 0, 16, 0]);
        let now = Instant::now();
        let writer = self.rtc.writer(self.video).unwrap();
        let vp8 = writer
            .payload_params()
            .find(|params| params.spec().codec == Codec::Vp8);
        let pt = vp8.unwrap().pt();
        let time = MediaTime::from_90khz(number * u64::from(90_000 / FRAMES));
        writer.write(pt, now, time, frame).unwrap();
        self.rtc.handle_input(Input::Timeout(now)).unwrap();
        self.drain();
    }
}
