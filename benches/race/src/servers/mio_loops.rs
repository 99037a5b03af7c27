//! mio alone, and quinn-udp alone over it: loops by hand, as their users write them.

use core::net::{Ipv4Addr, SocketAddr};
use std::io::{self, ErrorKind, IoSliceMut};
use std::net::UdpSocket;
use std::os::fd::AsRawFd;

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use quinn_udp::{RecvMeta, Transmit, UdpSockRef, UdpSocketState};

use super::floor_tcp::{Next, Unsent, accept, echo};
use super::listening;
use crate::job::{Job, QUESTION_BYTES, answer, viewers};
use crate::socket;

/// mio: each datagram with a call of its own, until there is none.
pub fn plain(job: Job) -> io::Result<()> {
    if job == Job::TcpEcho {
        return streams();
    }
    let socket = socket::udp(Ipv4Addr::LOCALHOST)?;
    let viewers = viewers_of(job);
    let (mut buffer, mut counted) = ([0; 65_535], 0u64);
    listening(socket.local_addr()?)?;
    each_wake(&socket, || {
        loop {
            let (len, peer) = match socket.recv_from(&mut buffer) {
                Ok(received) => received,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            let datagram = &buffer[..len];
            match job {
                Job::UdpEcho => send(&socket, datagram, peer)?,
                Job::UdpSink if len == QUESTION_BYTES => {
                    send(&socket, &answer(datagram, counted), peer)?;
                }
                Job::UdpSink => counted += 1,
                Job::UdpFanOut { .. } => {
                    for &viewer in &viewers {
                        send(&socket, datagram, viewer)?;
                    }
                }
                Job::TcpEcho => unreachable!("that has no datagrams"),
            }
        }
    })
}

/// quinn-udp over mio: what arrives joined goes out joined.
pub fn quinn(job: Job) -> io::Result<()> {
    let socket = socket::udp(Ipv4Addr::LOCALHOST)?;
    let state = UdpSocketState::new(UdpSockRef::from(&socket))?;
    let viewers = viewers_of(job);
    let mut counted = 0u64;
    let mut memory = vec![vec![0; 65_535]; quinn_udp::BATCH_SIZE];
    let mut meta = vec![RecvMeta::default(); quinn_udp::BATCH_SIZE];
    listening(socket.local_addr()?)?;
    let send = |contents: &[u8], segment_size: usize, destination: SocketAddr| {
        let transmit = Transmit {
            destination,
            ecn: None,
            contents,
            segment_size: (segment_size < contents.len()).then_some(segment_size),
            src_ip: None,
        };
        match state.try_send(UdpSockRef::from(&socket), &transmit) {
            Err(error) if error.kind() != ErrorKind::WouldBlock => Err(error),
            _ => Ok(()),
        }
    };
    each_wake(&socket, || {
        loop {
            let mut areas: Vec<IoSliceMut<'_>> = memory
                .iter_mut()
                .map(|area| IoSliceMut::new(area))
                .collect();
            let count = match state.recv(UdpSockRef::from(&socket), &mut areas, &mut meta) {
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            for (received, area) in meta[..count].iter().zip(&memory) {
                let run = &area[..received.len];
                match job {
                    Job::UdpEcho => send(run, received.stride, received.addr)?,
                    Job::UdpSink if run.len() == QUESTION_BYTES => {
                        let answer = answer(run, counted);
                        send(&answer, answer.len(), received.addr)?;
                    }
                    Job::UdpSink => counted += run.len().div_ceil(received.stride) as u64,
                    Job::UdpFanOut { .. } => {
                        for &viewer in &viewers {
                            send(run, received.stride, viewer)?;
                        }
                    }
                    Job::TcpEcho => unreachable!("that has no datagrams"),
                }
            }
        }
    })
}

/// Streams over mio, with the same reads and writes as the floor.
fn streams() -> io::Result<()> {
    let listener = socket::listener()?;
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(1_024);
    let interest = Interest::READABLE | Interest::WRITABLE;
    let register = |poll: &Poll, fd, name| {
        let registry = poll.registry();
        registry.register(&mut SourceFd(&fd), Token(name), interest)
    };
    let mut connections: Vec<Option<(std::net::TcpStream, Unsent)>> = Vec::new();
    let mut memory = vec![0; 65_536];
    register(&poll, listener.as_raw_fd(), LISTENER)?;
    listening(listener.local_addr()?)?;
    loop {
        poll.poll(&mut events, None)?;
        for event in &events {
            let Token(name) = event.token();
            if name == LISTENER {
                while let Some(stream) = accept(&listener)? {
                    register(&poll, stream.as_raw_fd(), connections.len())?;
                    connections.push(Some((stream, Unsent::default())));
                }
            } else if let Some(place) = connections.get_mut(name)
                && let Some((stream, unsent)) = place
                && echo(stream, unsent, &mut memory) == Next::End
            {
                *place = None;
            }
        }
    }
}

fn each_wake(socket: &UdpSocket, mut receive: impl FnMut() -> io::Result<()>) -> io::Result<()> {
    let mut poll = Poll::new()?;
    let (registry, fd) = (poll.registry(), socket.as_raw_fd());
    registry.register(&mut SourceFd(&fd), Token(0), Interest::READABLE)?;
    let mut events = Events::with_capacity(16);
    loop {
        poll.poll(&mut events, None)?;
        receive()?;
    }
}

/// Sends; what the system has no room for is lost, as on any path.
fn send(socket: &UdpSocket, datagram: &[u8], peer: SocketAddr) -> io::Result<()> {
    match socket.send_to(datagram, peer) {
        Err(error) if error.kind() != ErrorKind::WouldBlock => Err(error),
        _ => Ok(()),
    }
}

fn viewers_of(job: Job) -> Vec<SocketAddr> {
    match job {
        Job::UdpFanOut { port } => viewers(port).into_iter().map(SocketAddr::V4).collect(),
        Job::UdpEcho | Job::UdpSink | Job::TcpEcho => Vec::new(),
    }
}

/// The listener's name in the queue.
const LISTENER: usize = usize::MAX >> 1;
