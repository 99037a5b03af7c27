//! Takes messages off sockets and hands them over.

use std::os::fd::AsFd;

use super::socket::RECEIVE_HINT_MIN;
use super::{Left, STRANGE_ERRORS_MAX, SocketPort, unnamed};
use crate::backend::BackendConfig;
use crate::backend::readiness::{Ready, Taken};
use crate::backend::received::take_received_datagrams;
use crate::backend::sys::{self, Origin, ReceiveBatch, Received, Whole};
use crate::buffer::{Buffer, BufferPool};
use crate::datagram::{DatagramRun, segment_count};
use crate::id::SocketId;
use crate::net::NetworkEvent;
use crate::time::Timestamp;
use crate::traffic::{Dscp, Ecn};

/// The receiving half: memory that messages are received into, kept from one call to the next.
///
/// A short message is copied out, so that a task that keeps it does not keep 64 KiB, and so that
/// the same few blocks, warm in the cache, take the next ones. A long one is handed on where it
/// is.
pub(in crate::backend) struct Receiver {
    batch: ReceiveBatch,
    /// One for each message of a batch, without memory until it is needed.
    buffers: Vec<Buffer>,
    pool: BufferPool,
}

impl Receiver {
    pub(in crate::backend) fn new(config: &BackendConfig) -> Self {
        let batch_max = config.receive_batch_max.clamp(1, BATCH_MAX);
        Self {
            batch: ReceiveBatch::new(batch_max),
            buffers: vec![Buffer::empty(); batch_max],
            pool: config.buffers.clone(),
        }
    }

    /// Does what a socket is ready for: a bounded batch of each.
    pub(in crate::backend) fn handle_ready(
        &mut self,
        now: Timestamp,
        id: SocketId,
        ready: Ready,
        port: &mut SocketPort,
        on_event: &mut impl FnMut(Timestamp, NetworkEvent, &mut SocketPort),
    ) {
        let mut left = Left::Nothing;
        if ready.error {
            left = left.or(hand_over_errors(now, id, port, on_event));
        }
        if ready.readable {
            left = left.or(self.receive(now, id, port, on_event));
        }
        if ready.writable {
            left = left.or(port.send_backlog(id));
        }
        if left == Left::Something {
            port.udp_again(id);
        }
    }

    /// Hands over what has arrived at a socket: a bounded batch, or less if the socket is closed
    /// meanwhile.
    fn receive(
        &mut self,
        now: Timestamp,
        id: SocketId,
        port: &mut SocketPort,
        on_event: &mut impl FnMut(Timestamp, NetworkEvent, &mut SocketPort),
    ) -> Left {
        let mut left = self.buffers.len();
        match take_in(&mut left, now, id, port, on_event) {
            Some(left) => return left,
            None if left == 0 => return Left::Something,
            None => {}
        }
        let mut errors = 0;
        while left > 0 {
            let batching = port.udp.batching;
            let Some(socket) = port.udp.sockets.get_mut(id.key()) else {
                return Left::Nothing;
            };
            let asked = socket.receive_hint.min(left);
            let buffers = prepare(&mut self.buffers, &self.pool, asked);
            let got = match self.batch.receive(socket.fd.as_fd(), buffers, batching) {
                Ok(got) => got,
                Err(error) if error.is_empty() => {
                    port.readiness.asked(id.into());
                    return Left::Nothing;
                }
                Err(_) if errors < STRANGE_ERRORS_MAX => {
                    // That is about a datagram we sent; its peer is in the error queue.
                    errors += 1;
                    continue;
                }
                Err(error) => {
                    let event = port.socket_error(id, &unnamed(error));
                    on_event(now, event, port);
                    return Left::Something;
                }
            };
            if got == asked {
                socket.receive_hint = (asked * 4).min(self.buffers.len());
            } else if got * 4 < asked {
                socket.receive_hint = (asked / 2).max(RECEIVE_HINT_MIN);
            }
            self.hand_over(now, id, got, port, on_event);
            if got < asked {
                port.readiness.asked(id.into());
                return Left::Nothing; // If more came meanwhile, the next wait says so.
            }
            left -= got;
        }
        Left::Something
    }

    fn hand_over(
        &mut self,
        now: Timestamp,
        id: SocketId,
        got: usize,
        port: &mut SocketPort,
        on_event: &mut impl FnMut(Timestamp, NetworkEvent, &mut SocketPort),
    ) {
        for index in 0..got {
            let received = self.batch.received(index);
            let payload =
                || take_received_datagrams(&mut self.buffers[index], 0, &received, &self.pool);
            hand_over(now, id, received, payload, port, on_event);
        }
    }
}

/// Hands over what was received for a socket already: as much as is `left` of its batch. Says
/// whether there is more, or `None` if the socket is to be asked.
fn take_in(
    left: &mut usize,
    now: Timestamp,
    id: SocketId,
    port: &mut SocketPort,
    on_event: &mut impl FnMut(Timestamp, NetworkEvent, &mut SocketPort),
) -> Option<Left> {
    while *left > 0 {
        match port.readiness.take_received(id) {
            Taken::Message(received, payload) => {
                *left -= 1;
                hand_over(now, id, received, || payload, port, on_event);
            }
            Taken::Failed(error) => {
                let event = port.socket_error(id, &unnamed(error));
                on_event(now, event, port);
                return Some(Left::Something);
            }
            Taken::Nothing => return Some(Left::Nothing),
            Taken::Ask => return None,
        }
    }
    None
}

/// Hands over one message, unless it is for nobody.
fn hand_over(
    now: Timestamp,
    id: SocketId,
    received: Received,
    payload: impl FnOnce() -> Buffer,
    port: &mut SocketPort,
    on_event: &mut impl FnMut(Timestamp, NetworkEvent, &mut SocketPort),
) {
    let (len, info) = (received.len, received.info);
    let datagrams = segment_count(len, info.segment_size) as u64;
    let Some(socket) = port.udp.sockets.get_mut(id.key()) else {
        // An earlier one of the batch had the socket closed.
        port.counters.undelivered += datagrams;
        return;
    };
    if let Some(dropped) = info.dropped {
        let more = dropped.wrapping_sub(socket.dropped);
        socket.dropped = dropped;
        port.counters.receive_dropped += u64::from(more);
    }
    let only = socket.peer;
    let Received {
        peer: Some(peer),
        whole: Whole::Yes,
        ..
    } = received
    else {
        port.counters.undelivered += datagrams;
        return;
    };
    if only.is_some_and(|only| only != peer) {
        // It came after the socket was bound and before it was connected.
        port.counters.undelivered += datagrams;
        return;
    }
    let mut run = DatagramRun::new(peer, payload(), info.segment_size);
    run.local = info.local;
    run.interface = info.interface;
    run.dscp = Dscp::from_traffic_class(info.traffic_class);
    run.ecn = Ecn::from_traffic_class(info.traffic_class);
    port.counters.datagrams_in += datagrams;
    port.counters.bytes_in += len as u64;
    on_event(now, NetworkEvent::Datagrams { socket: id, run }, port);
}

/// Hands over what a socket was told of datagrams it sent: a bounded batch.
///
/// Leaves the socket without a pending error, so that the next wait does not end because of it.
fn hand_over_errors(
    now: Timestamp,
    id: SocketId,
    port: &mut SocketPort,
    on_event: &mut impl FnMut(Timestamp, NetworkEvent, &mut SocketPort),
) -> Left {
    for read in 0..ERRORS_MAX {
        let Some(fd) = port.fd(id) else {
            return Left::Nothing;
        };
        let queued = match sys::read_error(fd) {
            Ok(queued) => queued,
            Err(_) if read > 0 => return Left::Nothing,
            // Nothing is queued, so it is the bare error that ended the wait.
            Err(_) => match sys::take_error(fd) {
                Ok(Some(error)) => unnamed(error),
                Ok(None) | Err(_) => return Left::Nothing,
            },
        };
        // What this machine found out itself, the send has been told already.
        if queued.origin == Origin::Network {
            let event = port.socket_error(id, &queued);
            on_event(now, event, port);
        }
    }
    Left::Something
}

/// Gives the first `count` buffers memory for the longest message.
fn prepare<'a>(buffers: &'a mut [Buffer], pool: &BufferPool, count: usize) -> &'a mut [Buffer] {
    let buffers = &mut buffers[..count];
    for buffer in buffers.iter_mut().filter(|buffer| buffer.memory() == 0) {
        *buffer = pool.take(MESSAGE_BYTES_MAX);
    }
    buffers
}

/// The longest message: what the length field of UDP can say.
const MESSAGE_BYTES_MAX: usize = 65_535;

/// Messages that one call may receive.
const BATCH_MAX: usize = 1_024;

/// Entries of a socket's error queue that are read at one wake-up.
const ERRORS_MAX: usize = 16;
