//! The contestants: echo servers with one thread each.

use core::net::SocketAddr;
use core::sync::atomic::{AtomicBool, Ordering};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread::JoinHandle;

use stillpoint::backend::BackendKind;
use stillpoint::runtime::{Controller, ControllerEvent, RuntimeConfig};
use stillpoint::{TcpListen, Token};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::common::tcp_echo::{Report, Spawn, TcpEcho, spawn};

/// A server that runs until it is dropped.
pub(crate) enum Server {
    Ours {
        address: SocketAddr,
        _controller: Box<Controller<TcpEcho>>,
    },
    Tokio(Loop),
}

impl Server {
    pub(crate) const fn address(&self) -> SocketAddr {
        match self {
            Self::Ours { address, .. } => *address,
            Self::Tokio(other) => other.address,
        }
    }

    /// Ours, with one worker.
    pub(crate) fn ours(backend: BackendKind) -> Self {
        let config = RuntimeConfig::new(backend);
        let mut controller = Controller::start(config, spawn).expect("the runtime starts");
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let spawned = controller.spawn(0, Spawn::Server(TcpListen::new(Token(0), any)));
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

    /// tokio, on a runtime of one thread, with a task for each connection.
    pub(crate) fn tokio() -> Self {
        Self::Tokio(Loop::start(|listener, stopped| {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_io()
                .build()
                .expect("a runtime");
            runtime.block_on(async {
                listener.set_nonblocking(true).expect("non-blocking");
                let listener = tokio::net::TcpListener::from_std(listener).expect("registered");
                while !stopped() {
                    let (stream, _) = listener.accept().await.expect("a connection");
                    tokio::spawn(serve(stream));
                }
            });
        }))
    }
}

/// Sends back what a connection brings, until it ends one way or another.
async fn serve(mut stream: tokio::net::TcpStream) {
    stream.set_nodelay(true).expect("a TCP socket");
    let mut memory = vec![0; 65_535];
    while let Ok(count @ 1..) = stream.read(&mut memory).await {
        if stream.write_all(&memory[..count]).await.is_err() {
            return;
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
    fn start(serve: impl FnOnce(TcpListener, &dyn Fn() -> bool) + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread =
            std::thread::spawn(move || serve(listener, &|| stopped.load(Ordering::Relaxed)));
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
        TcpStream::connect(self.address).expect("one more connection ends the loop");
        let thread = self.thread.take().expect("joined once");
        thread.join().expect("the loop ends");
    }
}
