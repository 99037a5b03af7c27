//! The task that serves metrics.

use core::fmt;
use core::net::SocketAddr;
use core::time::Duration;

use crate::buffer::Buffer;
use crate::http::{HeaderValue, HttpConfig, HttpServer, Method, Request, Response, StatusCode};
use crate::http::{header, text};
use crate::net::{NetworkError, NetworkEvent};
use crate::status::WorkerStatus;
use crate::task::{App, Input, Outbox, Output, Task};
use crate::time::{Deadline, Timestamp};
use crate::transmit::TransmitBuffer;

use super::CONTENT_TYPE;
use super::pages::Pages;

/// Serves metrics by HTTP/1.1: `GET /metrics`, for Prometheus and for people.
///
/// It is given a place to listen, and a closure that it asks for the status of all workers when
/// somebody wants to see it. The text is made on the worker that the server lives on, at most
/// twenty times a second; those who ask at a time share it.
///
/// Whatever a client does, it holds one answer and what one read brings, and no longer than it
/// takes part: see [`MetricsServer::with_idle_max`]. Those who come when
/// [as many as may be](MetricsServer::with_connections_max) are there get a 503. A shutdown tells
/// it last of all to finish, so that the shutdown can be watched; it finishes the answers that are
/// on their way.
///
/// # Example
///
/// ```
/// use core::net::SocketAddr;
/// use stillpoint::metrics::MetricsServer;
/// use stillpoint::*;
///
/// #[derive(Debug)]
/// struct Demo;
/// impl App for Demo {
///     type Channel = ();
///     type Message = ();
///     type Command = ();
///     type Report = Result<SocketAddr, NetworkError>; // where the metrics are
///     type Spawn = SocketAddr;
/// }
///
/// fn spawn(bind: SocketAddr, spawner: Spawner<'_, Demo>) -> Spawned {
///     let statuses = || vec![WorkerStatus::default()]; // the runtime's reader, in a program
///     spawner.insert(MetricsServer::<Demo>::new(bind, statuses, Some))
/// }
/// ```
pub struct MetricsServer<A: App> {
    bind: SocketAddr,
    config: HttpConfig,
    http: HttpServer,
    listening: Option<Listening<A>>,
    pages: Pages,
    outbox: Outbox<A>,
}

/// Makes a report of the listener's address or failure.
type Listening<A> = Box<dyn FnOnce(Result<SocketAddr, NetworkError>) -> Option<<A as App>::Report>>;

impl<A: App> MetricsServer<A> {
    /// Listens at `bind` (port 0 lets the system choose one) and serves what `statuses` gives.
    ///
    /// `listening` is told once where it listens, or why it does not, and may make a report of it.
    /// A server that cannot listen finishes.
    #[must_use]
    pub fn new(
        bind: SocketAddr,
        statuses: impl FnMut() -> Vec<WorkerStatus> + 'static,
        listening: impl FnOnce(Result<SocketAddr, NetworkError>) -> Option<A::Report> + 'static,
    ) -> Self {
        let config = HttpConfig::new()
            .with_head_bytes_max(8 << 10)
            .with_body_bytes_max(0)
            .with_connections_max(64)
            .with_request_max(HttpConfig::new().idle_max);
        Self {
            bind,
            config,
            http: HttpServer::new(config),
            listening: Some(Box::new(listening)),
            pages: Pages::new(statuses),
            outbox: Outbox::new(),
        }
    }

    /// The same, for so many connections at a time (at least one) in place of 64. As many again
    /// may be there to be told that they are too many; whoever comes then is closed at once.
    #[must_use]
    pub fn with_connections_max(mut self, connections_max: usize) -> Self {
        self.config = self.config.with_connections_max(connections_max);
        self.http = HttpServer::new(self.config);
        self
    }

    /// The same, with this in place of 30 seconds: for how long a connection may be silent, take
    /// for the head of a request, and take nothing of an answer.
    #[must_use]
    pub fn with_idle_max(mut self, idle_max: Duration) -> Self {
        self.config = self.config.with_idle_max(idle_max);
        self.config = self.config.with_request_max(idle_max);
        self.http = HttpServer::new(self.config);
        self
    }

    /// Connections that are open.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.http.connections()
    }

    fn handle_event(&mut self, now: Timestamp, event: NetworkEvent) {
        match self.http.handle_event(now, event, &mut self.outbox) {
            Some(NetworkEvent::Listening { local, .. }) => self.tell(Ok(local)),
            Some(NetworkEvent::ListenFailed { error, .. }) => {
                self.tell(Err(error));
                self.outbox.finish();
            }
            _ => {}
        }
    }

    fn tell(&mut self, listening: Result<SocketAddr, NetworkError>) {
        let report = self.listening.take().and_then(|tell| tell(listening));
        if let Some(report) = report {
            self.outbox.report(report);
        }
    }

    fn response(&mut self, now: Timestamp, request: &Request<Buffer>) -> Response<Buffer> {
        let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
        match request.uri().path() {
            "/" | "/metrics" if !is_read => {
                let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "Only GET and HEAD.\n");
                let allowed = HeaderValue::from_static("GET, HEAD");
                response.headers_mut().insert(header::ALLOW, allowed);
                response
            }
            "/" => text(StatusCode::OK, WELCOME),
            "/metrics" => {
                let mut response = Response::new(self.pages.metrics(now));
                let content_type = HeaderValue::from_static(CONTENT_TYPE);
                let headers = response.headers_mut();
                headers.insert(header::CONTENT_TYPE, content_type);
                response
            }
            _ => text(StatusCode::NOT_FOUND, NOT_FOUND),
        }
    }
}

impl<A: App> Task for MetricsServer<A> {
    type App = A;

    const SHUTDOWN_PHASE: u8 = u8::MAX;

    fn handle_input(&mut self, now: Timestamp, input: Input<A>) {
        match input {
            Input::Network(event) => self.handle_event(now, event),
            Input::Timeout => self.http.handle_timeout(now, &mut self.outbox),
            Input::Started(context) => {
                self.pages.set_buffers(context.buffers.clone());
                self.http
                    .listen(self.bind, context.buffers, &mut self.outbox);
            }
            Input::Shutdown => self.http.shut_down(now, &mut self.outbox),
            Input::Bus(_) | Input::Command(_) => {}
        }
        while let Some((exchange, request)) = self.http.poll_request() {
            let response = self.response(now, &request);
            let answered = self.http.respond(now, exchange, response, &mut self.outbox);
            debug_assert!(answered.is_ok(), "it has just been asked");
        }
        if self.http.connections() == 0 {
            self.pages.forget();
        }
        if self.http.is_shut_down() {
            self.outbox.finish();
        }
    }

    fn poll_output(&mut self, _: Timestamp, _: &mut TransmitBuffer<'_>) -> Option<Output<A>> {
        self.outbox.pop()
    }

    fn poll_timeout(&self) -> Option<Deadline> {
        self.http.poll_timeout()
    }
}

impl<A: App> fmt::Debug for MetricsServer<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MetricsServer")
            .field("bind", &self.bind)
            .field("http", &self.http)
            .finish_non_exhaustive()
    }
}

const WELCOME: &str = "A stillpoint runtime. Its metrics are at /metrics.\n";
const NOT_FOUND: &str = "No such page. The metrics are at /metrics.\n";
