//! The contestants: echo servers with one thread each.

use core::net::SocketAddr;
use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use std::io::{ErrorKind, IoSliceMut};
use std::net::UdpSocket;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::thread::JoinHandle;

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use quinn_udp::{RecvMeta, Transmit, UdpSockRef, UdpSocketState};
use stillpoint::backend::BackendKind;
use stillpoint::runtime::{Controller, ControllerEvent, RecorderConfig, RuntimeConfig};

use crate::common::echo::{Echo, Report, Spawn, spawn};

/// A server that runs until it is dropped.
pub(crate) enum Server {
    Ours {
        address: SocketAddr,
        _controller: Box<Controller<Echo>>,
    },
    Other(Loop),
}

impl Server {
    pub(crate) fn address(&self) -> SocketAddr {
        match self {
            Self::Ours { address, .. } => *address,
            Self::Other(other) => other.address,
        }
    }

    /// Ours, with one worker.
    pub(crate) fn ours(backend: BackendKind) -> Self {
        let config = RuntimeConfig::new(backend);
        let controller = Controller::start(config, spawn);
        Self::over(controller.expect("the runtime starts"))
    }

    /// Ours, with a worker that looks on for so long before it sleeps.
    pub(crate) fn spinning(backend: BackendKind, spin_max: Duration) -> Self {
        let mut config = RuntimeConfig::new(backend);
        config.spin_max = spin_max;
        let controller = Controller::start(config, spawn);
        Self::over(controller.expect("the runtime starts"))
    }

    /// Ours, recorded.
    pub(crate) fn recorded(recorder: RecorderConfig) -> Self {
        let config = RuntimeConfig::new(BackendKind::default());
        let controller = Controller::start_recorded(config, recorder, spawn);
        Self::over(controller.expect("the runtime starts"))
    }

    fn over(mut controller: Controller<Echo>) -> Self {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let open = stillpoint::UdpOpen::new(stillpoint::Token(0), any);
        let spawned = controller.spawn(0, Spawn::Server(open));
        spawned.expect("the queue is empty");
        loop {
            let event = controller.wait(None).expect("an event");
            if let ControllerEvent::Report {
                report: Report::Listening(address),
                ..
            } = event
            {
                return Self::Ours {
                    address,
                    _controller: Box::new(controller),
                };
            }
        }
    }

    /// The floor: a blocking loop that does nothing but the two calls.
    pub(crate) fn blocking() -> Self {
        Self::Other(Loop::start(|socket, stopped| {
            let mut buffer = [0; 65_535];
            while !stopped() {
                let (len, peer) = socket.recv_from(&mut buffer).expect("a datagram");
                // A client that is gone is no reason to stop.
                drop(socket.send_to(&buffer[..len], peer));
            }
        }))
    }

    /// tokio, on a runtime of one thread.
    pub(crate) fn tokio() -> Self {
        Self::Other(Loop::start(|socket, stopped| {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_io()
                .build()
                .expect("a runtime");
            runtime.block_on(async {
                socket.set_nonblocking(true).expect("non-blocking");
                let socket = tokio::net::UdpSocket::from_std(socket).expect("registered");
                let mut buffer = [0; 65_535];
                while !stopped() {
                    let received = socket.recv_from(&mut buffer).await;
                    let (len, peer) = received.expect("a datagram");
                    drop(socket.send_to(&buffer[..len], peer).await);
                }
            });
        }))
    }

    /// mio, by hand.
    pub(crate) fn mio() -> Self {
        Self::Other(Loop::start(|socket, stopped| {
            let mut buffer = [0; 65_535];
            each_wake(&socket, &stopped, || {
                loop {
                    match socket.recv_from(&mut buffer) {
                        Ok((len, peer)) => drop(socket.send_to(&buffer[..len], peer)),
                        Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                        Err(error) => panic!("receive failed: {error}"),
                    }
                }
            });
        }))
    }

    /// mio and quinn-udp by hand: what arrives joined (GRO) goes back joined (GSO).
    pub(crate) fn runs() -> Self {
        Self::Other(Loop::start(|socket, stopped| {
            let state = UdpSocketState::new(UdpSockRef::from(&socket)).expect("a UDP socket");
            let size = state.set_recv_buffer_size(UdpSockRef::from(&socket), 4 << 20);
            size.expect("a larger receive buffer");
            let mut memory = vec![vec![0; 65_535]; quinn_udp::BATCH_SIZE];
            let mut meta = vec![RecvMeta::default(); quinn_udp::BATCH_SIZE];
            each_wake(&socket, &stopped, || {
                loop {
                    let mut areas: Vec<IoSliceMut<'_>> = memory
                        .iter_mut()
                        .map(|area| IoSliceMut::new(area))
                        .collect();
                    let count = match state.recv(UdpSockRef::from(&socket), &mut areas, &mut meta) {
                        Ok(count) => count,
                        Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                        Err(error) => panic!("receive failed: {error}"),
                    };
                    for (received, area) in meta[..count].iter().zip(&memory) {
                        let transmit = Transmit {
                            destination: received.addr,
                            ecn: None,
                            contents: &area[..received.len],
                            segment_size: (received.stride < received.len)
                                .then_some(received.stride),
                            src_ip: None,
                        };
                        drop(state.try_send(UdpSockRef::from(&socket), &transmit));
                    }
                }
            });
        }))
    }
}

/// Waits for the socket with mio, and calls `receive` each time there is something.
fn each_wake(socket: &UdpSocket, stopped: &dyn Fn() -> bool, mut receive: impl FnMut()) {
    socket.set_nonblocking(true).expect("non-blocking");
    let mut poll = Poll::new().expect("a queue");
    let fd = socket.as_raw_fd();
    let registered = poll
        .registry()
        .register(&mut SourceFd(&fd), Token(0), Interest::READABLE);
    registered.expect("registered");
    let mut events = Events::with_capacity(16);
    while !stopped() {
        match poll.poll(&mut events, None) {
            Ok(()) => receive(),
            // Somebody looks at this process.
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => panic!("waiting failed: {error}"),
        }
    }
}

/// A thread that serves until it is told to stop.
pub(crate) struct Loop {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Loop {
    #[expect(clippy::disallowed_methods, reason = "the contestant is a thread")]
    fn start(serve: impl FnOnce(UdpSocket, &dyn Fn() -> bool) + Send + 'static) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
        let address = socket.local_addr().expect("an address");
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || serve(socket, &|| stopped.load(Ordering::Relaxed)));
        Self {
            address,
            stop,
            thread: Some(thread),
        }
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let last =
            UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.send_to(b"", self.address));
        last.expect("one more datagram ends the loop");
        let thread = self.thread.take().expect("joined once");
        thread.join().expect("the loop ends");
    }
}
