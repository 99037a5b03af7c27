//! WHIP and WHEP over HTTP: who may come, where to, and who has gone.
//!
//! It knows which sessions there are; what they do is their port's business. Each request that opens
//! one is put to a port, and answered when the port has.

use core::fmt;
use core::net::SocketAddr;
use core::time::Duration;
use std::collections::BTreeMap;

use serde_json::json;
use stillpoint::http::header::{
    ACCEPT, ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, CONTENT_TYPE, ETAG,
    LOCATION, RETRY_AFTER, WWW_AUTHENTICATE,
};
use stillpoint::http::{
    Exchange, HeaderValue, HttpConfig, HttpServer, Method, Request, Response, StaleExchange,
    StatusCode, answer, bearer_token, media_type, only, problem as http_problem,
};
use stillpoint::{
    Buffer, BufferPool, BusEvent, Counter, Deadline, Gauge, Input, MetricName, NetworkEvent,
    NoRoom, Outbox, Output, Resend, Task, TaskId, Timestamp, Token, TransmitBuffer, WorkerStatus,
    metrics,
};
use subtle::ConstantTimeEq;

use crate::registry::{Entry, Registry};
use crate::room::Room;
use crate::{
    Channel, Ended, Message, Open, Opened, Problem, Report, Role, SessionAt, SessionId, SfuApp,
    files,
};

/// What the signaling is made from.
pub struct SignalingConfig {
    /// Where to listen. Port 0 lets the system choose one.
    pub bind: SocketAddr,
    /// The limits of HTTP.
    pub http: HttpConfig,
    /// Who publishes has to know it, if there is one.
    pub publish_token: Option<String>,
    /// Who watches has to know it, if there is one.
    pub watch_token: Option<String>,
    /// How long a port may take to answer.
    pub answer_max: Duration,
    /// What `/metrics` tells of the runtime.
    pub statuses: Box<dyn FnMut() -> Vec<WorkerStatus> + Send>,
}

impl SignalingConfig {
    /// For everybody, and with 5 seconds for a port to answer.
    #[must_use]
    pub fn new(bind: SocketAddr) -> Self {
        Self {
            bind,
            http: HttpConfig::new(),
            publish_token: None,
            watch_token: None,
            answer_max: Duration::from_secs(5),
            statuses: Box::new(Vec::new),
        }
    }
}

/// Tokens are not for traces.
impl fmt::Debug for SignalingConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignalingConfig")
            .field("bind", &self.bind)
            .finish_non_exhaustive()
    }
}

/// The task that speaks HTTP.
#[derive(Debug)]
pub struct Signaling<A: SfuApp> {
    config: SignalingConfig,
    http: HttpServer,
    registry: Registry,
    /// What ports were asked for, by token.
    waiting: BTreeMap<Token, Waiting>,
    last_token: u64,
    ended: BTreeMap<Ended, Counter>,
    /// Sessions, rooms, and requests that wait for a port.
    gauges: [Gauge; 3],
    buffers: BufferPool,
    resend: Resend<A>,
    outbox: Outbox<A>,
}

/// What a port was asked for.
#[derive(Debug, Clone, Copy)]
enum Waiting {
    /// A session. Somebody waits for its answer.
    Open(SessionId, Exchange),
    /// To be there.
    Attend(TaskId),
}

/// An answer, unless it comes later.
type Answer = Result<Option<Response<Buffer>>, Problem>;

impl<A: SfuApp> Signaling<A> {
    /// Signaling that is to listen.
    #[must_use]
    pub fn new(config: SignalingConfig) -> Self {
        Self {
            http: HttpServer::new(config.http),
            config,
            registry: Registry::default(),
            waiting: BTreeMap::new(),
            last_token: 0,
            ended: BTreeMap::new(),
            gauges: Default::default(),
            buffers: BufferPool::new(),
            resend: Resend::new(),
            outbox: Outbox::new(),
        }
    }

    /// The part that speaks HTTP, and what it has counted.
    #[must_use]
    pub const fn http(&self) -> &HttpServer {
        &self.http
    }

    /// Answers all that was asked.
    fn answer_all(&mut self, now: Timestamp) {
        while let Some((exchange, request)) = self.http.poll_request() {
            match self.handle_request(now, exchange, &request) {
                Ok(Some(response)) => {
                    let _nobody_waits = self.respond(now, exchange, response);
                }
                Ok(None) => {}
                Err(problem) => self.refuse(now, exchange, &problem),
            }
        }
    }

    /// Answers. `Err` if nobody waits for it any more, which mostly matters to nobody.
    fn respond(
        &mut self,
        now: Timestamp,
        exchange: Exchange,
        mut response: Response<Buffer>,
    ) -> Result<(), StaleExchange> {
        let headers = response.headers_mut();
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        headers.insert(
            ACCESS_CONTROL_EXPOSE_HEADERS,
            HeaderValue::from_static("Location, ETag, Accept-Post"),
        );
        self.http.respond(now, exchange, response, &mut self.outbox)
    }

    fn refuse(&mut self, now: Timestamp, exchange: Exchange, problem: &Problem) {
        let mut response = http_problem(problem.status, &problem.detail);
        let headers = response.headers_mut();
        let hint = match problem.status {
            StatusCode::UNAUTHORIZED => Some((WWW_AUTHENTICATE, "Bearer")),
            StatusCode::SERVICE_UNAVAILABLE => Some((RETRY_AFTER, "5")),
            StatusCode::UNSUPPORTED_MEDIA_TYPE => Some((ACCEPT, "application/sdp")),
            _ => None,
        };
        headers.extend(hint.map(|(name, value)| (name, HeaderValue::from_static(value))));
        let _nobody_waits = self.respond(now, exchange, response);
    }

    fn handle_request(
        &mut self,
        now: Timestamp,
        exchange: Exchange,
        request: &Request<Buffer>,
    ) -> Answer {
        let path = request.uri().path();
        let mut parts = path.trim_start_matches('/').splitn(3, '/');
        let parts = (parts.next().unwrap_or_default(), parts.next(), parts.next());
        let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
        Ok(Some(match (parts, request.method().as_str()) {
            ((kind @ ("whip" | "whep"), Some(room), None), "POST") => {
                self.open(now, exchange, request, kind, room)?;
                return Ok(None);
            }
            (("whip" | "whep", Some(_), None), _) => only("POST, OPTIONS", request),
            (("sessions", Some(secret), None), "DELETE") => self.close(request, secret)?,
            (("sessions", Some(_), None), _) => only("DELETE, OPTIONS", request),
            (("rooms", room, None), _) if is_read => self.rooms(room)?,
            (("metrics", None, None), _) if is_read => self.metrics(),
            (parts, _) => match files::get(path) {
                Some(file) if is_read => file,
                None if !matches!(parts, ("rooms", _, None) | ("metrics", None, None)) => {
                    let detail = format!("There is nothing at {path}.");
                    return Err(Problem::new(StatusCode::NOT_FOUND, detail));
                }
                _ => only("GET, HEAD, OPTIONS", request),
            },
        }))
    }

    /// Puts an offer to a port.
    fn open(
        &mut self,
        now: Timestamp,
        exchange: Exchange,
        request: &Request<Buffer>,
        kind: &str,
        room: &str,
    ) -> Result<(), Problem> {
        let token = if kind == "whip" {
            &self.config.publish_token
        } else {
            &self.config.watch_token
        };
        authorize(request, token.as_deref())?;
        let room = Room::new(room).ok_or_else(|| {
            let detail = format!(
                "A room's name is 1 to {} letters, digits, `-` and `_`.",
                Room::BYTES_MAX
            );
            Problem::new(StatusCode::NOT_FOUND, detail)
        })?;
        if !media_type(request).eq_ignore_ascii_case("application/sdp") {
            let detail = "The body is to be application/sdp, as Content-Type says.";
            return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail));
        }
        let offer = String::from_utf8_lossy(request.body()).into_owned();
        let (id, entry) = if kind == "whip" {
            self.registry.publish(&room)?
        } else {
            self.registry.watch(&room)?
        };
        let (port, role) = (entry.port, entry.role);
        let message = Message::Open(Box::new(Open { id, role, offer }));
        let until = now.after(self.config.answer_max);
        self.ask(port, message, until, Waiting::Open(id, exchange));
        Ok(())
    }

    fn ask(&mut self, port: TaskId, message: Message, until: Timestamp, waiting: Waiting) {
        self.last_token += 1;
        let token = Token(self.last_token);
        self.waiting.insert(token, waiting);
        self.outbox.request(port, token, message, until);
    }

    fn opened(&mut self, now: Timestamp, id: SessionId, exchange: Exchange, opened: Opened) {
        let Opened {
            answer,
            ufrag,
            layering,
        } = opened;
        let Some(secret) = self.registry.opened(id, layering) else {
            return;
        };
        let response = Response::builder()
            .status(StatusCode::CREATED)
            .header(CONTENT_TYPE, "application/sdp")
            .header(LOCATION, format!("/sessions/{secret}"))
            .header(ETAG, format!("\"{ufrag}\""))
            .body(self.buffers.copy_from(answer.as_bytes()));
        let heard = response.map(|response| self.respond(now, exchange, response));
        if !matches!(heard, Ok(Ok(()))) {
            self.end(id); // Whoever wanted it is gone, and nobody else knows where it is.
        }
    }

    /// Ends a session, and those who depend on it.
    fn end(&mut self, id: SessionId) {
        let over = self.registry.remove(id);
        self.close_all(over);
    }

    /// Has ports end sessions.
    fn close_all(&mut self, sessions: impl IntoIterator<Item = SessionAt>) {
        for SessionAt { id, port } in sessions {
            self.outbox.send_to(port, Message::Close(id), NoRoom::Wait);
        }
    }

    fn close(
        &mut self,
        request: &Request<Buffer>,
        secret: &str,
    ) -> Result<Response<Buffer>, Problem> {
        let (id, entry) = self.registry.find(secret)?;
        authorize(request, self.token_of(entry))?;
        self.end(id);
        Ok(Response::default())
    }

    fn token_of(&self, entry: &Entry) -> Option<&str> {
        match entry.role {
            Role::Publish => self.config.publish_token.as_deref(),
            Role::Watch(..) => self.config.watch_token.as_deref(),
        }
    }

    fn rooms(&self, name: Option<&str>) -> Result<Response<Buffer>, Problem> {
        let describe = |(room, viewers): (&Room, usize)| json!({ "room": room.as_str(), "publishing": true, "viewers": viewers });
        let mut rooms = self.registry.rooms();
        let found = match name {
            None => rooms.map(describe).collect(),
            Some(name) => match rooms.find(|(room, _)| room.as_str() == name) {
                Some(room) => describe(room),
                None => return Err(Registry::nobody_publishes(name)),
            },
        };
        Ok(answer(
            StatusCode::OK,
            "application/json",
            &found.to_string(),
        ))
    }

    /// What can be seen of all workers, and what their tasks have counted.
    fn metrics(&mut self) -> Response<Buffer> {
        let mut page = String::new();
        metrics::render(&(self.config.statuses)(), &mut page);
        answer(StatusCode::OK, metrics::CONTENT_TYPE, &page)
    }

    fn handle_bus(&mut self, now: Timestamp, event: BusEvent<Channel, Message>) {
        match self.resend.handle_event(event, &mut self.outbox) {
            // Ports that are there already did not know whom to tell.
            Some(BusEvent::Subscribed(_)) => {
                self.outbox.broadcast(Message::WhoIsThere, NoRoom::Wait)
            }
            Some(BusEvent::Message {
                from: Some(port),
                message: Message::Here,
                ..
            }) if self.registry.add_port(port) => {
                self.ask(port, Message::Attend, Timestamp::MAX, Waiting::Attend(port));
            }
            Some(BusEvent::Message {
                message: Message::Ended(id, how),
                ..
            }) => {
                if let Some(counter) = self.ended.get(&how) {
                    counter.add(1);
                }
                let over = self.registry.remove(id);
                self.close_all(over.into_iter().skip(1));
            }
            Some(BusEvent::Reply { token, message, .. }) => {
                match (self.waiting.remove(&token), message) {
                    (Some(Waiting::Open(id, exchange)), Message::Opened(opened)) => {
                        self.opened(now, id, exchange, *opened);
                    }
                    (Some(Waiting::Open(id, exchange)), Message::Refused(problem)) => {
                        self.registry.remove(id);
                        self.refuse(now, exchange, &problem);
                    }
                    _ => {}
                }
            }
            Some(BusEvent::RequestFailed { token, error, .. }) => match self.waiting.remove(&token)
            {
                Some(Waiting::Open(id, exchange)) => {
                    self.end(id);
                    let detail = format!("The media port has not answered: {error}.");
                    let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail);
                    self.refuse(now, exchange, &problem);
                }
                Some(Waiting::Attend(port)) => {
                    for id in self.registry.remove_port(port) {
                        self.end(id);
                    }
                }
                None => {}
            },
            _ => {}
        }
    }

    fn handle_event(&mut self, now: Timestamp, event: NetworkEvent) {
        match self.http.handle_event(now, event, &mut self.outbox) {
            Some(NetworkEvent::Listening { local, .. }) => {
                self.outbox.report(Report::Listening(local))
            }
            Some(NetworkEvent::ListenFailed { bind, error, .. }) => {
                self.outbox.report(Report::BindFailed { bind, error });
                self.outbox.finish();
            }
            _ => {}
        }
    }
}

impl<A: SfuApp> Task for Signaling<A> {
    type App = A;

    fn handle_input(&mut self, now: Timestamp, input: Input<A>) {
        match input {
            Input::Started(context) => {
                let ended =
                    MetricName::new("sfu_sessions_ended_total", "Sessions that have ended.");
                let counter = |how| context.counter(ended.with_label("how", how));
                self.ended = Ended::ALL.map(|(end, how)| (end, counter(how))).into();
                let names = [SESSIONS, ROOMS, WAITING];
                self.gauges = names.map(|name| context.gauge(name));
                self.http.count_as_metrics(&context);
                self.buffers = context.buffers.clone();
                self.http
                    .listen(self.config.bind, context.buffers, &mut self.outbox);
                self.outbox.subscribe(Channel::Ports);
            }
            Input::Network(event) => self.handle_event(now, event),
            Input::Bus(event) => self.handle_bus(now, event),
            Input::Timeout => self.http.handle_timeout(now, &mut self.outbox),
            Input::Shutdown => self.http.shut_down(now, &mut self.outbox),
            _ => {}
        }
        self.answer_all(now);
        let [sessions, rooms, ports] = self.registry.counts();
        let waiting = self.waiting.len() - ports; // Each port is asked to be there.
        for (gauge, count) in self.gauges.iter().zip([sessions, rooms, waiting]) {
            gauge.set(count as u64);
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

/// Whether a request may be done: its token is the one that is asked for.
fn authorize(request: &Request<Buffer>, token: Option<&str>) -> Result<(), Problem> {
    let Some(token) = token else { return Ok(()) };
    if bearer_token(request).is_some_and(|given| given.ct_eq(token.as_bytes()).into()) {
        return Ok(());
    }
    let detail = "Send the token: `Authorization: Bearer TOKEN`.";
    Err(Problem::new(StatusCode::UNAUTHORIZED, detail))
}

const SESSIONS: MetricName = MetricName::new("sfu_sessions", "Sessions, also those to come.");
const ROOMS: MetricName = MetricName::new("sfu_rooms", "Rooms where somebody publishes.");
const WAITING: MetricName = MetricName::new("sfu_requests", "Requests that wait for a port.");
