//! Events that wait to be handed over.

use std::collections::VecDeque;

use super::udp::Destination;
use crate::id::{DeviceId, ResourceId};
use crate::net::{NetworkError, NetworkEvent};

/// A queue of events, in the order in which they came about.
///
/// Answers to commands always have a place: each command has one answer, and all that wait are
/// handed over at each wait. Failed sends are told as far as there is room; they are counted
/// elsewhere in any case.
pub(super) struct Events {
    queue: VecDeque<NetworkEvent>,
    failures: usize,
}

impl Events {
    pub(super) const fn new() -> Self {
        Self {
            queue: VecDeque::new(),
            failures: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    pub(super) fn push_answer(&mut self, event: NetworkEvent) {
        self.queue.push_back(event);
    }

    /// Tells of datagrams that were not sent; once for a row of the same.
    pub(super) fn push_send_failed(&mut self, to: &Destination, why: NetworkError, count: u64) {
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        if let Some(NetworkEvent::SendFailed {
            socket,
            peer,
            error,
            datagrams,
        }) = self.queue.back_mut()
            && (*socket, *peer, *error) == (to.socket, to.peer, why)
        {
            *datagrams = datagrams.saturating_add(count);
            return;
        }
        self.push_failure(NetworkEvent::SendFailed {
            socket: to.socket,
            peer: to.peer,
            error: why,
            datagrams: count,
        });
    }

    /// Tells of packets that a device has not taken in; once for a row of the same.
    pub(super) fn push_packets_failed(&mut self, id: DeviceId, why: NetworkError, count: u32) {
        if let Some(NetworkEvent::PacketsFailed {
            device,
            error,
            packets,
        }) = self.queue.back_mut()
            && (*device, *error) == (id, why)
        {
            *packets = packets.saturating_add(count);
            return;
        }
        self.push_failure(NetworkEvent::PacketsFailed {
            device: id,
            error: why,
            packets: count,
        });
    }

    fn push_failure(&mut self, event: NetworkEvent) {
        if self.failures < FAILURES_MAX {
            self.failures += 1;
            self.queue.push_back(event);
        }
    }

    pub(super) fn pop(&mut self) -> Option<NetworkEvent> {
        let event = self.queue.pop_front()?;
        if matches!(
            event,
            NetworkEvent::SendFailed { .. } | NetworkEvent::PacketsFailed { .. }
        ) {
            self.failures -= 1;
        }
        Some(event)
    }

    /// Drops the answer that `id` could not be opened.
    pub(super) fn forget(&mut self, id: ResourceId) {
        self.queue
            .retain(|event| !(event.is_last() && event.resource() == id));
    }
}

/// Failed sends that may wait to be told.
const FAILURES_MAX: usize = 1_024;
