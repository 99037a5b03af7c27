//! A task that serves HTTP: pages that say what was asked, at once or when it is told to.

use core::cell::RefCell;
use core::net::SocketAddr;
use std::collections::VecDeque;
use std::rc::Rc;

use stillpoint::http::{
    Exchange, HeaderValue, HttpServer, Request, Response, StaleExchange, StatusCode, header, text,
};
use stillpoint::{
    App, Buffer, Deadline, Input, Outbox, Output, Task, Timestamp, Token, TransmitBuffer, UdpOpen,
};

#[derive(Debug)]
pub(crate) struct Web;

impl App for Web {
    type Channel = ();
    type Message = ();
    type Command = Response<Buffer>;
    /// What the server gave back.
    type Report = String;
    type Spawn = SocketAddr;
}

/// What the bench can look into.
#[derive(Debug)]
pub(crate) struct Desk {
    pub(crate) http: HttpServer,
    /// Requests for `/later`, which wait for a command each.
    pub(crate) held: VecDeque<(Exchange, Request<Buffer>)>,
    pub(crate) answered: Vec<Result<(), StaleExchange>>,
    /// What `/long` is.
    pub(crate) long: Buffer,
}

pub(crate) struct Site {
    pub(crate) bind: SocketAddr,
    pub(crate) desk: Rc<RefCell<Desk>>,
    pub(crate) outbox: Outbox<Web>,
}

impl Task for Site {
    type App = Web;

    fn handle_input(&mut self, now: Timestamp, input: Input<Web>) {
        let desk = &mut *self.desk.borrow_mut();
        let outbox = &mut self.outbox;
        match input {
            Input::Started(context) => {
                desk.http.listen(self.bind, context.buffers, outbox);
                outbox.open_udp(UdpOpen::new(Token(9), self.bind));
            }
            Input::Network(event) => {
                if let Some(event) = desk.http.handle_event(now, event, outbox) {
                    outbox.report(format!("{event:?}"));
                }
            }
            Input::Timeout => desk.http.handle_timeout(now, outbox),
            Input::Shutdown => desk.http.shut_down(now, outbox),
            Input::Command(response) => {
                let (exchange, _) = desk.held.pop_front().expect("somebody has asked");
                let answered = desk.http.respond(now, exchange, response, outbox);
                desk.answered.push(answered);
            }
            other => panic!("the site does not know {other:?}"),
        }
        while let Some((exchange, request)) = desk.http.poll_request() {
            assert!(desk.http.peer(exchange).is_some(), "somebody asks");
            if request.uri().path() == "/later" {
                desk.held.push_back((exchange, request));
                continue;
            }
            let response = page(&request, &desk.long);
            let answered = desk.http.respond(now, exchange, response, outbox);
            assert_eq!(answered, Ok(()));
        }
        if desk.http.is_shut_down() {
            outbox.finish();
        }
    }

    fn poll_output(&mut self, _: Timestamp, _: &mut TransmitBuffer<'_>) -> Option<Output<Web>> {
        self.outbox.pop()
    }

    fn poll_timeout(&self) -> Option<Deadline> {
        self.desk.borrow().http.poll_timeout()
    }
}

/// What a request is answered with.
fn page(request: &Request<Buffer>, long: &Buffer) -> Response<Buffer> {
    let path = request.uri().path();
    if let Some(status) = path.strip_prefix("/status/") {
        let status = status.parse().ok();
        let status = status.and_then(|code| StatusCode::from_u16(code).ok());
        let status = status.filter(|status| !status.is_informational());
        return text(status.unwrap_or(StatusCode::NOT_FOUND), "as you wish\n");
    }
    let mut response = match path {
        "/long" => Response::new(long.clone()),
        _ => text(StatusCode::OK, &told(request)),
    };
    if path == "/last" {
        let headers = response.headers_mut();
        headers.insert(header::CONNECTION, HeaderValue::from_static("x, close"));
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from_static("7"));
        headers.insert("keep-alive", HeaderValue::from_static("timeout=5"));
        headers.insert("x-kept", HeaderValue::from_static("yes"));
    }
    response
}

/// A request, as one line.
pub(crate) fn told(request: &Request<Buffer>) -> String {
    let host = request.headers().get(header::HOST);
    let host = host.map_or("nobody", |host| host.to_str().unwrap_or("?"));
    let (method, uri) = (request.method(), request.uri());
    let body = request.body().escape_ascii();
    format!("{method} {uri} of {host} with \"{body}\"\n")
}
