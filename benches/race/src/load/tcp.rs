//! Streams: messages under way on each of some connections.
//!
//! What comes back is counted, not copied (`MSG_TRUNC`, `tcp(7)`).

use core::time::Duration;
use std::io::{self, ErrorKind, Write};
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::time::Instant;

use rustix::event::{Timespec, epoll};
use rustix::net::{RecvFlags, recv};

use super::{Measured, Occupation, Times, cpu_of_each};
use crate::server::Server;

/// A connection to the server.
struct Connection {
    stream: TcpStream,
    /// Bytes that came of the answer that is not whole yet.
    part: usize,
    /// Bytes that are to be sent.
    owed: usize,
}

/// Connects, so many times.
pub(super) fn connect(server: &Server, count: usize) -> io::Result<Vec<TcpStream>> {
    let connection = |_| {
        let stream = TcpStream::connect(server.address())?;
        stream.set_nodelay(true)?;
        Ok(stream)
    };
    (0..count).map(connection).collect()
}

/// Messages of `bytes`, of which each connection has `depth` under way.
pub(super) fn echo(
    server: &Server,
    connections: usize,
    bytes: usize,
    depth: usize,
    times: Times,
) -> io::Result<Measured> {
    let queue = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let mut connections = register(&queue, connect(server, connections)?)?;
    let message = vec![7; bytes * depth];
    let mut memory = vec![0; 1 << 20];
    for connection in &mut connections {
        connection.owed = message.len();
        connection.send(&message)?;
    }
    let mut events: Vec<epoll::Event> = Vec::with_capacity(EVENTS_MAX);
    let mut occupation = Occupation::begin();
    let (mut came, mut cpu, mut measuring) = (0u64, server.cpu()?, false);
    loop {
        events.clear();
        let at_once = Timespec::default();
        epoll::wait(
            &queue,
            rustix::buffer::spare_capacity(&mut events),
            Some(&at_once),
        )?;
        for event in &events {
            let connection = &mut connections[event.data.u64() as usize];
            if { event.flags }.contains(epoll::EventFlags::IN) {
                let count = connection.receive(&mut memory, bytes)?;
                came += count as u64;
                connection.owed += count * bytes;
            }
            connection.send(&message)?;
        }
        let now = Instant::now();
        if events.is_empty() {
            occupation.was_idle(now);
        } else {
            occupation.was_busy(now);
        }
        let elapsed = now - occupation.since;
        // Whoever makes memory for each connection has made it then.
        let is_warm = came >= connections.len() as u64 || elapsed >= WARM_UP_MAX;
        if !measuring && elapsed >= times.warm_up && is_warm {
            (came, cpu, measuring) = (0, server.cpu()?, true);
            occupation = Occupation::begin();
        } else if measuring && elapsed >= times.round {
            let cpu: Duration = server.cpu()? - cpu;
            return Ok(Measured {
                figure: came as f64 / elapsed.as_secs_f64(),
                cpu: cpu_of_each(cpu, came),
                busy: Some(occupation.busy()),
                lost: None,
                more: Vec::new(),
            });
        }
    }
}

fn register(queue: &OwnedFd, streams: Vec<TcpStream>) -> io::Result<Vec<Connection>> {
    use epoll::EventFlags as Flags;
    let connection = |(number, stream): (usize, TcpStream)| {
        stream.set_nonblocking(true)?;
        let data = epoll::EventData::new_u64(number as u64);
        epoll::add(queue, &stream, data, Flags::IN | Flags::OUT | Flags::ET)?;
        Ok(Connection {
            stream,
            part: 0,
            owed: 0,
        })
    };
    streams.into_iter().enumerate().map(connection).collect()
}

impl Connection {
    /// Takes all that is there, and says how many answers are whole with it.
    fn receive(&mut self, memory: &mut [u8], bytes: usize) -> io::Result<usize> {
        let mut answers = 0;
        loop {
            match recv(&self.stream, &mut *memory, RecvFlags::TRUNC) {
                Ok((_, 0)) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok((_, count)) => {
                    self.part += count;
                    answers += self.part / bytes;
                    self.part %= bytes;
                    if count < memory.len() {
                        return Ok(answers);
                    }
                }
                Err(rustix::io::Errno::AGAIN) => return Ok(answers),
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn send(&mut self, message: &[u8]) -> io::Result<()> {
        while self.owed > 0 {
            match self.stream.write(&message[..self.owed.min(message.len())]) {
                Ok(count) => self.owed -= count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// After so long it is measured, whatever has come.
const WARM_UP_MAX: Duration = Duration::from_secs(2);
/// Connections of which one wait tells.
const EVENTS_MAX: usize = 1_024;
