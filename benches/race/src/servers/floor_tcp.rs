//! The floor for streams: epoll or `poll(2)`, reads and writes by hand.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};

use rustix::event::{PollFd, PollFlags, epoll, poll};

use super::floor::{Queue, Waiting};
use super::listening;
use crate::socket;

pub fn serve(waiting: Waiting) -> io::Result<()> {
    let listener = socket::listener()?;
    listening(listener.local_addr()?)?;
    match waiting {
        Waiting::Epoll | Waiting::Polling => with_epoll(&listener, Queue::new(waiting)?),
        Waiting::Poll => with_poll(&listener),
        Waiting::Uring => Err(io::Error::other("streams have no such floor")),
    }
}

/// Told of each connection when something becomes possible, and registered once.
fn with_epoll(listener: &TcpListener, mut queue: Queue) -> io::Result<()> {
    use epoll::EventFlags as Flags;
    queue.add(listener, LISTENER, Flags::IN)?;
    let mut connections: Vec<Option<(TcpStream, Unsent)>> = Vec::new();
    let mut memory = vec![0; READ_BYTES];
    loop {
        let mut knocks = false;
        for name in queue.wait()? {
            knocks |= name == LISTENER;
            if let Some(place) = connections.get_mut(name as usize)
                && let Some((stream, unsent)) = place
                && echo(stream, unsent, &mut memory) == Next::End
            {
                *place = None;
            }
        }
        while knocks && let Some(stream) = accept(listener)? {
            let name = connections.len() as u64;
            queue.add(&stream, name, Flags::IN | Flags::OUT | Flags::ET)?;
            connections.push(Some((stream, Unsent::default())));
        }
    }
}

fn with_poll(listener: &TcpListener) -> io::Result<()> {
    let mut streams: Vec<TcpStream> = Vec::new();
    let mut unsent: Vec<Unsent> = Vec::new();
    let mut memory = vec![0; READ_BYTES];
    loop {
        let (mut came, mut ended) = (Vec::new(), Vec::new());
        // The list stays as it is until somebody comes or goes.
        let mut fds = vec![PollFd::new(listener, PollFlags::IN)];
        let wanted = streams.iter().zip(&unsent);
        fds.extend(wanted.map(|(stream, unsent)| PollFd::new(stream, unsent.wanted())));
        while came.is_empty() && ended.is_empty() {
            let mut left = poll(&mut fds, None)?;
            if !fds[0].revents().is_empty() {
                left -= 1;
                while let Some(stream) = accept(listener)? {
                    came.push(stream);
                }
            }
            for (index, (stream, unsent)) in streams.iter().zip(&mut unsent).enumerate() {
                if left == 0 {
                    break;
                }
                if fds[index + 1].revents().is_empty() {
                    continue;
                }
                left -= 1;
                if echo(stream, unsent, &mut memory) == Next::End {
                    ended.push(index);
                }
                fds[index + 1] = PollFd::new(stream, unsent.wanted());
            }
        }
        drop(fds);
        for index in ended.into_iter().rev() {
            streams.swap_remove(index);
            unsent.swap_remove(index);
        }
        unsent.resize_with(unsent.len() + came.len(), Unsent::default);
        streams.append(&mut came);
    }
}

/// What a connection has brought and not yet taken back.
#[derive(Default)]
pub(super) struct Unsent(Vec<u8>);

impl Unsent {
    /// Nothing is read while something is to be sent.
    fn wanted(&self) -> PollFlags {
        if self.0.is_empty() {
            PollFlags::IN
        } else {
            PollFlags::OUT
        }
    }
}

#[derive(PartialEq, Eq)]
pub(super) enum Next {
    Wait,
    End,
}

/// The next one who wants to connect.
pub(super) fn accept(listener: &TcpListener) -> io::Result<Option<TcpStream>> {
    match listener.accept() {
        Ok((stream, _)) => {
            stream.set_nonblocking(true)?;
            stream.set_nodelay(true)?;
            Ok(Some(stream))
        }
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error),
    }
}

/// Sends back all that is there, as far as the connection takes it.
pub(super) fn echo(mut stream: &TcpStream, unsent: &mut Unsent, memory: &mut [u8]) -> Next {
    if !unsent.0.is_empty() {
        match stream.write(&unsent.0) {
            Ok(count) => drop(unsent.0.drain(..count)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Next::Wait,
            Err(_) => return Next::End,
        }
        if !unsent.0.is_empty() {
            return Next::Wait;
        }
    }
    loop {
        let count = match stream.read(memory) {
            Ok(0) => return Next::End,
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Next::Wait,
            Err(_) => return Next::End,
        };
        let mut sent = 0;
        while sent < count {
            match stream.write(&memory[sent..count]) {
                Ok(more) => sent += more,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    unsent.0.extend_from_slice(&memory[sent..count]);
                    return Next::Wait;
                }
                Err(_) => return Next::End,
            }
        }
        if count < memory.len() {
            return Next::Wait;
        }
    }
}

/// The listener's name in the queue.
const LISTENER: u64 = u64::MAX - 1;
/// Bytes that one read takes at most.
const READ_BYTES: usize = 65_536;
