//! The floor: the system calls that it takes, by hand, with nothing around them.
//!
//! Waits, receives a batch that the kernel has joined where it could (GRO), and sends what that
//! caused with one call, joined where datagrams for one peer follow each other (GSO). Bytes are sent
//! from where they were received. Nothing is counted, checked or kept. It asks for the same control
//! messages as ours, but for the bare one, which asks for none that an echo does not need.

use std::io::{self, ErrorKind};
use std::net::UdpSocket;
use std::os::fd::{AsFd, OwnedFd};

use core::net::Ipv4Addr;
use rustix::buffer::spare_capacity;
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, epoll, eventfd, poll};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, timerfd_create, timerfd_settime,
};

use super::listening;
use crate::job::{Job, QUESTION_BYTES, answer, viewers};
use crate::socket;
use crate::sys::uring::Uring;
use crate::sys::{Messages, Peer, Receive, Send, Sending, Wish, turn_on};

/// How it waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waiting {
    Epoll,
    Poll,
    /// With all that the crate `polling` does around a wait.
    Polling,
    /// With io_uring, which receives by itself meanwhile.
    Uring,
}

/// What it asks the kernel to tell with each message, beside what GRO says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    Nothing,
    AsOurs,
}

/// A socket that is waited for.
enum Waiter {
    Epoll(Queue),
    Poll,
}

/// An epoll queue, and perhaps what is around it.
pub(super) struct Queue {
    fd: OwnedFd,
    events: Vec<epoll::Event>,
    around: Option<Around>,
}

/// What the crate `polling` has in its queue besides.
struct Around {
    bell: OwnedFd,
    timer: OwnedFd,
}

impl Queue {
    pub(super) fn new(waiting: Waiting) -> io::Result<Self> {
        let fd = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let around = match waiting {
            Waiting::Polling => Some(Around::new(&fd)?),
            Waiting::Epoll | Waiting::Poll | Waiting::Uring => None,
        };
        Ok(Self {
            fd,
            events: Vec::with_capacity(EVENTS_MAX),
            around,
        })
    }

    pub(super) fn add(&self, fd: impl AsFd, name: u64, flags: epoll::EventFlags) -> io::Result<()> {
        Ok(epoll::add(
            &self.fd,
            fd,
            epoll::EventData::new_u64(name),
            flags,
        )?)
    }

    /// Waits, and gives the names of those that are ready.
    pub(super) fn wait(&mut self) -> io::Result<impl Iterator<Item = u64>> {
        if let Some(around) = &self.around {
            around.before(&self.fd)?;
        }
        self.events.clear();
        epoll::wait(&self.fd, spare_capacity(&mut self.events), None)?;
        if let Some(around) = &self.around {
            around.after(&self.fd)?;
        }
        Ok(self.events.drain(..).map(|event| event.data.u64()))
    }
}

impl Around {
    fn new(queue: &OwnedFd) -> io::Result<Self> {
        let bell = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        let data = epoll::EventData::new_u64(u64::MAX);
        epoll::add(queue, &bell, data, ONCE)?;
        epoll::add(queue, &timer, data, ONCE)?;
        Ok(Self { bell, timer })
    }

    fn before(&self, queue: &OwnedFd) -> io::Result<()> {
        let never = Itimerspec {
            it_interval: Timespec::default(),
            it_value: Timespec::default(),
        };
        timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &never)?;
        let data = epoll::EventData::new_u64(u64::MAX);
        Ok(epoll::modify(queue, &self.timer, data, ONCE)?)
    }

    fn after(&self, queue: &OwnedFd) -> io::Result<()> {
        // Nobody has rung it.
        let _ = rustix::io::read(&self.bell, &mut [0; 8]);
        let data = epoll::EventData::new_u64(u64::MAX);
        Ok(epoll::modify(queue, &self.bell, data, ONCE)?)
    }
}

impl Waiter {
    fn new(waiting: Waiting, socket: &UdpSocket) -> io::Result<Self> {
        if waiting == Waiting::Poll {
            return Ok(Self::Poll);
        }
        let queue = Queue::new(waiting)?;
        queue.add(socket, 0, epoll::EventFlags::IN)?;
        Ok(Self::Epoll(queue))
    }

    fn wait(&mut self, socket: &UdpSocket) -> io::Result<()> {
        match self {
            Self::Epoll(queue) => drop(queue.wait()?),
            Self::Poll => {
                poll(&mut [PollFd::new(socket, PollFlags::IN)], None)?;
            }
        }
        Ok(())
    }
}

pub fn serve(waiting: Waiting, told: Told, job: Job) -> io::Result<()> {
    let socket = socket::udp(Ipv4Addr::LOCALHOST)?;
    socket::join_received(&socket)?;
    if told == Told::AsOurs {
        turn_on(socket.as_fd(), Wish::LocalAddress)?;
        turn_on(socket.as_fd(), Wish::TypeOfService)?;
    }
    let mut served = Served {
        socket: &socket,
        job,
        viewers: viewers_of(job),
        arrays: Send::new(MESSAGES_MAX),
        counted: 0,
    };
    listening(socket.local_addr()?)?;
    if waiting == Waiting::Uring {
        let mut uring = Uring::new(socket.as_fd())?;
        loop {
            let came = uring.wait()?;
            served.handle(&uring, came)?;
        }
    }
    let mut waiter = Waiter::new(waiting, &socket)?;
    let mut batch = Receive::new(MESSAGES_MAX, MESSAGE_BYTES_MAX);
    loop {
        waiter.wait(&socket)?;
        loop {
            let got = match batch.receive(socket.as_fd()) {
                Ok(got) => got,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            };
            served.handle(&batch, got)?;
            if !batch.is_full() {
                break;
            }
        }
    }
}

/// What is done with messages, whatever they came by.
struct Served<'s> {
    socket: &'s UdpSocket,
    job: Job,
    viewers: Vec<Peer>,
    arrays: Send,
    counted: u64,
}

impl Served<'_> {
    fn handle(&mut self, batch: &impl Messages, got: usize) -> io::Result<()> {
        match self.job {
            Job::UdpEcho => echo(self.socket, batch, got, &mut self.arrays),
            Job::UdpSink => count(self.socket, batch, got, &mut self.counted),
            Job::UdpFanOut { .. } => {
                fan_out(self.socket, batch, got, &mut self.arrays, &self.viewers)
            }
            Job::TcpEcho => unreachable!("that is another floor"),
        }
    }
}

fn viewers_of(job: Job) -> Vec<Peer> {
    match job {
        Job::UdpFanOut { port } => {
            let peers = viewers(port).into_iter();
            peers.map(|to| Peer::new(*to.ip(), to.port())).collect()
        }
        Job::UdpEcho | Job::UdpSink | Job::TcpEcho => Vec::new(),
    }
}

fn echo(
    socket: &UdpSocket,
    batch: &impl Messages,
    got: usize,
    arrays: &mut Send,
) -> io::Result<()> {
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
            && batch.peer(index).is(&batch.peer(index - 1));
        if joins {
            sending.join(size, batch.bytes(index));
            datagrams += own;
            bytes += len;
        } else {
            let cut = (own > 1).then_some(own_size);
            sending.push(Some(&batch.peer(index)), None, cut, batch.bytes(index));
            (size, datagrams, bytes) = (own_size, own, len);
        }
        whole = len == own * own_size;
    }
    send_all(sending, socket)
}

fn count(
    socket: &UdpSocket,
    batch: &impl Messages,
    got: usize,
    counted: &mut u64,
) -> io::Result<()> {
    for index in 0..got {
        if batch.len(index) == QUESTION_BYTES {
            let (mut arrays, answer) = (Send::new(1), answer(batch.bytes(index), *counted));
            let mut sending = arrays.begin();
            sending.push(Some(&batch.peer(index)), None, None, &answer);
            send_all(sending, socket)?;
        } else {
            *counted += batch.datagrams(index) as u64;
        }
    }
    Ok(())
}

fn fan_out(
    socket: &UdpSocket,
    batch: &impl Messages,
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

/// How it waits for what rarely happens.
const ONCE: epoll::EventFlags = epoll::EventFlags::IN.union(epoll::EventFlags::ONESHOT);
/// Descriptors of which one wait tells.
const EVENTS_MAX: usize = 1_024;
/// Messages of one call.
const MESSAGES_MAX: usize = 64;
/// The longest message: what the length field of UDP can say.
const MESSAGE_BYTES_MAX: usize = 65_535;
/// Datagrams that the kernel cuts a message into, and bytes of it, at most (`UDP_MAX_SEGMENTS` was
/// 64 for long, and what fits IPv4).
const SEGMENTS_MAX: usize = 64;
const RUN_BYTES_MAX: usize = 65_507;
