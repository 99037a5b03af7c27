//! What happens to packets of devices at gateways.

use core::net::SocketAddr;

use stillpoint::{App, DeviceId, DeviceKind, Packet, PacketHeaders};

use super::outside::Outside;
use crate::counters::DropCause;
use crate::gateway::Protocol;
use crate::gateway::rewrite::rewrite;
use crate::network::{Addressed, Carrier, Entrance};
use crate::trace::{Place, TraceKind, peer, size};

impl<A: App> Outside<A> {
    /// A packet is at a gateway. It was completed when it left its node.
    pub(super) fn forward_packet(
        &mut self,
        at: u32,
        entrance: Entrance,
        id: DeviceId,
        mut packet: Packet,
    ) {
        let place = Place {
            at: self.now,
            node: at,
            worker: 0,
        };
        if self.network.hosts[at as usize].is_down {
            return self.drop_packet(place, id, DropCause::NodeDown, &packet);
        }
        let Ok(headers) = PacketHeaders::parse(DeviceKind::Tun, &packet.payload) else {
            return self.drop_packet(place, id, DropCause::Malformed, &packet);
        };
        let protocol = if headers.protocol == PacketHeaders::TCP {
            Protocol::Tcp
        } else {
            Protocol::Udp
        };
        let ports = headers.ports(&packet.payload);
        if ports.is_none() && self.network.looks_at_ports(at) {
            return self.drop_packet(place, id, DropCause::Untranslatable, &packet);
        }
        let (source_port, target_port) = ports.unwrap_or_default();
        let addressed = Addressed {
            carrier: Carrier::Device,
            protocol,
            source: SocketAddr::new(headers.source, source_port),
            target: SocketAddr::new(headers.destination, target_port),
        };
        let crossing = match self.network.cross(self.now, at, entrance, addressed) {
            Ok(crossing) => crossing,
            Err(denied) => return self.drop_packet(place, id, denied.cause, &packet),
        };
        let (source, target) = (crossing.source, crossing.target);
        let is_new = (source, target) != (addressed.source, addressed.target);
        if is_new && !rewrite(packet.payload.make_mut(), &headers, source, target) {
            return self.drop_packet(place, id, DropCause::Malformed, &packet);
        }
        let goal = self
            .network
            .packet_goal_at(id, at, crossing.next, target.ip());
        let Some(goal) = goal else {
            return self.drop_packet(place, id, DropCause::NoRoute, &packet);
        };
        let words = [peer(source), peer(target), size(packet.payload.len(), 1)];
        self.trace.push(place, TraceKind::Forwarded, 0, words);
        self.carry_single(place, id, goal, packet);
    }
}
