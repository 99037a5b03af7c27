//! The floor: the system calls that it takes, by hand, with nothing around them.
//!
//! Waits, receives a batch that the kernel has joined where it could (GRO), and sends what that
//! caused with one call, joined where datagrams for one peer follow each other (GSO). Bytes are sent
//! from where they were received. Nothing is counted, checked or kept.

use std::io::{self, ErrorKind};
use std::net::UdpSocket;
use std::os::fd::{AsFd, OwnedFd};

use core::net::Ipv4Addr;
use rustix::event::{PollFd, PollFlags, epoll, poll};

use super::listening;
use crate::job::{Job, QUESTION_BYTES, answer, viewers};
use crate::socket;
use crate::sys::{Peer, Receive, Send, Sending};

/// How it waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waiting {
    Epoll,
    Poll,
}

/// A socket that is waited for.
enum Waiter {
    Epoll {
        queue: OwnedFd,
        events: Vec<epoll::Event>,
    },
    Poll,
}

impl Waiter {
    fn new(waiting: Waiting, socket: &UdpSocket) -> io::Result<Self> {
        Ok(match waiting {
            Waiting::Epoll => {
                let queue = epoll::create(epoll::CreateFlags::CLOEXEC)?;
                let data = epoll::EventData::new_u64(0);
                epoll::add(&queue, socket, data, epoll::EventFlags::IN)?;
                Self::Epoll {
                    queue,
                    events: Vec::with_capacity(16),
                }
            }
            Waiting::Poll => Self::Poll,
        })
    }

    fn wait(&mut self, socket: &UdpSocket) -> io::Result<()> {
        match self {
            Self::Epoll { queue, events } => {
                events.clear();
                epoll::wait(queue, rustix::buffer::spare_capacity(events), None)?;
            }
            Self::Poll => {
                poll(&mut [PollFd::new(socket, PollFlags::IN)], None)?;
            }
        }
        Ok(())
    }
}

pub fn serve(waiting: Waiting, job: Job) -> io::Result<()> {
    let socket = socket::udp(Ipv4Addr::LOCALHOST)?;
    socket::join_received(&socket)?;
    let mut waiter = Waiter::new(waiting, &socket)?;
    let mut batch = Receive::new(MESSAGES_MAX, MESSAGE_BYTES_MAX);
    let mut arrays = Send::new(MESSAGES_MAX);
    let viewers: Vec<Peer> = match job {
        Job::UdpFanOut { port } => {
            let peers = viewers(port).into_iter();
            peers.map(|to| Peer::new(*to.ip(), to.port())).collect()
        }
        Job::UdpEcho | Job::UdpSink | Job::TcpEcho => Vec::new(),
    };
    let mut counted = 0;
    listening(socket.local_addr()?)?;
    loop {
        waiter.wait(&socket)?;
        loop {
            let got = match batch.receive(socket.as_fd()) {
                Ok(got) => got,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            };
            match job {
                Job::UdpEcho => echo(&socket, &batch, got, &mut arrays)?,
                Job::UdpSink => count(&socket, &batch, got, &mut counted)?,
                Job::UdpFanOut { .. } => fan_out(&socket, &batch, got, &mut arrays, &viewers)?,
                Job::TcpEcho => unreachable!("that is another floor"),
            }
            if got < MESSAGES_MAX {
                break;
            }
        }
    }
}

fn echo(socket: &UdpSocket, batch: &Receive, got: usize, arrays: &mut Send) -> io::Result<()> {
    let mut sending = arrays.begin();
    // The size, datagrams and bytes of the message that is being joined, and whether its last
    // datagram is as long as the others.
    let (mut size, mut datagrams, mut bytes, mut whole) = (0, 0, 0, false);
    for index in 0..got {
        let (len, own_size, own) = (
            batch.len(index),
            batch.segment_size(index),
            batch.datagrams(index),
        );
        let joins = index > 0
            && whole
            && own_size == size
            && datagrams + own <= SEGMENTS_MAX
            && bytes + len <= RUN_BYTES_MAX
            && batch.peer(index).is(batch.peer(index - 1));
        if joins {
            sending.join(size, batch.bytes(index));
            datagrams += own;
            bytes += len;
        } else {
            let cut = (own > 1).then_some(own_size);
            sending.push(Some(batch.peer(index)), None, cut, batch.bytes(index));
            (size, datagrams, bytes) = (own_size, own, len);
        }
        whole = len == own * own_size;
    }
    send_all(sending, socket)
}

fn count(socket: &UdpSocket, batch: &Receive, got: usize, counted: &mut u64) -> io::Result<()> {
    for index in 0..got {
        if batch.len(index) == QUESTION_BYTES {
            let (mut arrays, answer) = (Send::new(1), answer(batch.bytes(index), *counted));
            let mut sending = arrays.begin();
            sending.push(Some(batch.peer(index)), None, None, &answer);
            send_all(sending, socket)?;
        } else {
            *counted += batch.datagrams(index) as u64;
        }
    }
    Ok(())
}

fn fan_out(
    socket: &UdpSocket,
    batch: &Receive,
    got: usize,
    arrays: &mut Send,
    viewers: &[Peer],
) -> io::Result<()> {
    let mut sending = arrays.begin();
    for index in 0..got {
        let cut = (batch.datagrams(index) > 1).then_some(batch.segment_size(index));
        for viewer in viewers {
            if sending.is_full() {
                send_all(sending, socket)?;
                sending = arrays.begin();
            }
            sending.push(Some(viewer), None, cut, batch.bytes(index));
        }
    }
    send_all(sending, socket)
}

/// Sends; what the system has no room for is lost, as on any path.
fn send_all(sending: Sending<'_, '_>, socket: &UdpSocket) -> io::Result<()> {
    if sending.len() == 0 {
        return Ok(());
    }
    match sending.send(socket.as_fd()) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(()),
        Err(error) => Err(error),
    }
}

/// Messages of one call.
const MESSAGES_MAX: usize = 64;
/// The longest message: what the length field of UDP can say.
const MESSAGE_BYTES_MAX: usize = 65_535;
/// Datagrams that the kernel cuts a message into, and bytes of it, at most (`UDP_MAX_SEGMENTS` was
/// 64 for long, and what fits IPv4).
const SEGMENTS_MAX: usize = 64;
const RUN_BYTES_MAX: usize = 65_507;
