//! The neutral client.

use core::net::SocketAddr;
use core::time::Duration;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::fd::AsRawFd;
use std::time::Instant;

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};

use crate::ROUND;

/// The median round trip of one message at a time, in microseconds.
pub(crate) fn median_round_trip(server: SocketAddr, bytes: usize) -> f64 {
    let mut stream = TcpStream::connect(server).expect("connected");
    stream.set_nodelay(true).expect("a TCP socket");
    let (message, mut answer) = (vec![7; bytes], vec![0; bytes]);
    let mut round_trips = Vec::new();
    let end = Instant::now() + ROUND;
    while Instant::now() < end {
        let sent = Instant::now();
        stream.write_all(&message).expect("sent");
        stream.read_exact(&mut answer).expect("an answer");
        round_trips.push(sent.elapsed().as_nanos() as f64 / 1_000.0);
    }
    round_trips.sort_by(f64::total_cmp);
    round_trips[round_trips.len() / 2]
}

/// Answers a second, with a window of messages in flight on each of some connections.
pub(crate) fn per_second(
    server: SocketAddr,
    bytes: usize,
    connections: usize,
    window: usize,
) -> f64 {
    let (answers, elapsed) = windows(server, bytes, connections, window);
    answers as f64 / elapsed.as_secs_f64()
}

/// What the server's thread spends of its CPU on an answer, in nanoseconds. Hardly depends on what
/// else the machine does meanwhile.
pub(crate) fn server_cpu(
    server: SocketAddr,
    bytes: usize,
    connections: usize,
    window: usize,
) -> f64 {
    let before = others_cpu();
    let (answers, _) = windows(server, bytes, connections, window);
    (others_cpu() - before) as f64 / answers as f64
}

/// CPU time of all threads but the main one, in nanoseconds (`/proc/pid/task/tid/schedstat`, see
/// the kernel's `Documentation/scheduler/sched-stats.rst`).
fn others_cpu() -> u64 {
    let main = std::process::id().to_string();
    let threads = std::fs::read_dir("/proc/self/task").expect("Linux");
    let spent = threads.filter_map(|thread| {
        let thread = thread.expect("a thread");
        if *thread.file_name() == *main {
            return None;
        }
        let stat = std::fs::read_to_string(thread.path().join("schedstat")).ok()?;
        stat.split(' ').next()?.parse::<u64>().ok()
    });
    spent.sum()
}

fn windows(
    server: SocketAddr,
    bytes: usize,
    connections: usize,
    window: usize,
) -> (usize, Duration) {
    let mut poll = Poll::new().expect("a queue");
    let mut connections: Vec<Connection> = (0..connections)
        .map(|number| Connection::new(server, &poll, number, bytes))
        .collect();
    let message = vec![7; window * bytes];
    let mut memory = vec![0; 1 << 17];
    let mut events = Events::with_capacity(1_024);
    let (start, mut answers) = (Instant::now(), 0);
    for connection in &mut connections {
        connection.owed = window * bytes;
        connection.send(&message);
    }
    while start.elapsed() < ROUND {
        poll.poll(&mut events, Some(ROUND)).expect("an event");
        for event in &events {
            let connection = &mut connections[event.token().0];
            if event.is_readable() {
                let count = connection.receive(&mut memory);
                answers += count;
                connection.owed += count * bytes;
            }
            connection.send(&message);
        }
    }
    (answers, start.elapsed())
}

struct Connection {
    stream: TcpStream,
    bytes: usize,
    /// What came of the answer that is not whole yet.
    part: usize,
    /// Bytes that are to be sent.
    owed: usize,
}

impl Connection {
    fn new(server: SocketAddr, poll: &Poll, number: usize, bytes: usize) -> Self {
        let stream = TcpStream::connect(server).expect("connected");
        stream.set_nodelay(true).expect("a TCP socket");
        stream.set_nonblocking(true).expect("non-blocking");
        let interest = Interest::READABLE | Interest::WRITABLE;
        let registry = poll.registry();
        let registered =
            registry.register(&mut SourceFd(&stream.as_raw_fd()), Token(number), interest);
        registered.expect("registered");
        Self {
            stream,
            bytes,
            part: 0,
            owed: 0,
        }
    }

    /// Reads all that is there, and says how many answers are whole with it.
    fn receive(&mut self, memory: &mut [u8]) -> usize {
        let mut answers = 0;
        loop {
            match self.stream.read(memory) {
                Ok(0) => panic!("the server ended"),
                Ok(count) => {
                    self.part += count;
                    answers += self.part / self.bytes;
                    self.part %= self.bytes;
                    if count < memory.len() {
                        return answers;
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return answers,
                Err(error) => panic!("receive failed: {error}"),
            }
        }
    }

    fn send(&mut self, message: &[u8]) {
        while self.owed > 0 {
            match self.stream.write(&message[..self.owed.min(message.len())]) {
                Ok(count) => self.owed -= count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) => panic!("send failed: {error}"),
            }
        }
    }
}
