//! HTTP/1.1 for tasks that serve it, as a part that such a task holds.
//!
//! An [`HttpServer`] is a sans-I/O machine like any other: the task hands it the network's events
//! and the timeouts, it asks the network through the task's [`Outbox`](crate::Outbox), and gives
//! one [`Request`] after the other, whole, each with the [`Exchange`] under which it is to be
//! answered: at once, or later, when another task has said what to answer.
//!
//! It deals with connections that stay open, requests that come in one go (answered in their
//! order), bodies with a length or in chunks, `Expect: 100-continue`, `HEAD`, half-closed
//! connections, and with clients that are slow, silent, too many, or send what is no request: see
//! [`HttpConfig`] for the limits. Whatever leaves doubt about where a request ends is refused, and
//! the connection with it, so that nobody before this server can be led to see other requests than
//! it does.
//!
//! What it does not: TLS, compression, upgrades, `CONNECT`, bodies of unknown length in answers. It
//! knows no date, so answers have none unless the task gives one.
//!
//! Sources: RFC 9110 (HTTP), RFC 9112 (HTTP/1.1), RFC 9457 (problem details).
//!
//! # Example
//!
//! A task that says how often it was asked.
//!
//! ```
//! use core::net::SocketAddr;
//! use stillpoint::http::{HttpConfig, HttpServer, Method, StatusCode, problem, text};
//! use stillpoint::*;
//!
//! # #[derive(Debug)]
//! # struct Demo;
//! # impl App for Demo { type Channel = (); type Message = (); type Command = (); type Report = Result<SocketAddr, NetworkError>; type Spawn = (); }
//! struct Counter { bind: SocketAddr, asked: u64, http: HttpServer, outbox: Outbox<Demo> }
//!
//! impl Counter {
//!     fn new(bind: SocketAddr) -> Self {
//!         let http = HttpServer::new(HttpConfig::new());
//!         Self { bind, asked: 0, http, outbox: Outbox::new() }
//!     }
//!
//!     /// Answers all that has been asked.
//!     fn answer(&mut self, now: Timestamp) {
//!         while let Some((exchange, request)) = self.http.poll_request() {
//!             let response = match (request.method(), request.uri().path()) {
//!                 (&Method::GET | &Method::HEAD, "/") => {
//!                     self.asked += 1;
//!                     text(StatusCode::OK, &format!("You are number {}.\n", self.asked))
//!                 }
//!                 (_, "/") => problem(StatusCode::METHOD_NOT_ALLOWED, "This can be read only."),
//!                 _ => problem(StatusCode::NOT_FOUND, "There is nothing but /."),
//!             };
//!             // Who does not wait any more gets no answer.
//!             let _gone = self.http.respond(now, exchange, response, &mut self.outbox);
//!         }
//!     }
//! }
//!
//! impl Task for Counter {
//!     type App = Demo;
//!
//!     fn handle_input(&mut self, now: Timestamp, input: Input<Demo>) {
//!         let outbox = &mut self.outbox;
//!         match input {
//!             Input::Started(context) => {
//!                 self.http.count_as_metrics(&context);
//!                 self.http.listen(self.bind, context.buffers, outbox);
//!             }
//!             Input::Network(event) => match self.http.handle_event(now, event, outbox) {
//!                 Some(NetworkEvent::Listening { local, .. }) => outbox.report(Ok(local)),
//!                 Some(NetworkEvent::ListenFailed { error, .. }) => {
//!                     outbox.report(Err(error));
//!                     outbox.finish();
//!                 }
//!                 _ => {}
//!             },
//!             Input::Timeout => self.http.handle_timeout(now, outbox),
//!             Input::Shutdown => self.http.shut_down(now, outbox),
//!             _ => {}
//!         }
//!         self.answer(now);
//!         if self.http.is_shut_down() {
//!             self.outbox.finish();
//!         }
//!     }
//!
//!     fn poll_output(&mut self, _: Timestamp, _: &mut TransmitBuffer<'_>) -> Option<Output<Demo>> {
//!         self.outbox.pop()
//!     }
//!
//!     fn poll_timeout(&self) -> Option<Deadline> {
//!         self.http.poll_timeout()
//!     }
//! }
//! ```

mod answer;
mod chunked;
mod config;
mod connection;
mod counted;
mod head;
mod intake;
mod server;

pub use ::http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
pub use ::http::{Uri, Version, header};
pub use answer::{answer, bearer_token, media_type, only, problem, text};
pub use config::{HttpConfig, HttpCounters};
pub use server::{Exchange, HttpServer, StaleExchange};
