//! Who of several that share a port gets what comes, where that is asked for.

use core::net::{IpAddr, SocketAddr};

use stillpoint::{
    NetworkError, NetworkEvent, Sharing, SocketId, TcpConnect, TcpListen, Token, UdpOpen,
};

use super::lab::{Kind, Lab, Puppet};

/// Where the byte is that says whom a datagram is for.
const OFFSET: u16 = 3;

const fn by_byte(sockets: u16) -> Sharing {
    Sharing::ByByte {
        offset: OFFSET,
        sockets,
    }
}

/// Sockets of one puppet that share a port, and somebody who sends to it.
struct Shared {
    lab: Lab,
    puppet: Puppet,
    sender: Puppet,
    address: SocketAddr,
    /// In the order in which they were opened.
    sockets: Vec<SocketId>,
}

impl Shared {
    fn new(kind: Kind, ip: fn(&Lab, Puppet) -> IpAddr, sharing: Sharing, count: usize) -> Self {
        let mut lab = Lab::new(kind);
        let (sender, puppet) = (lab.puppet(), lab.puppet());
        let bind = SocketAddr::new(ip(&lab, puppet), 0);
        let first = lab.open_with(puppet, UdpOpen::new(Token(0), bind).with_sharing(sharing));
        let mut shared = Self {
            lab,
            puppet,
            sender,
            address: first.local,
            sockets: vec![first.socket],
        };
        for _ in 1..count {
            let _: SocketId = shared.open(sharing);
        }
        shared
    }

    /// One more that shares the port.
    fn open(&mut self, sharing: Sharing) -> SocketId {
        let open = UdpOpen::new(Token(0), self.address).with_sharing(sharing);
        let opened = self.lab.open_with(self.puppet, open);
        assert_eq!(opened.local, self.address);
        self.sockets.push(opened.socket);
        opened.socket
    }

    /// Closes one, and waits until that is so.
    fn close(&mut self, socket: SocketId) {
        self.lab.close(self.puppet, socket);
        self.lab.open(self.puppet);
    }

    /// At which socket of the puppet something arrives that comes from an address of its own.
    fn heard_at(&mut self, payload: &[u8]) -> SocketId {
        let from = self.new_flow();
        self.heard_from(from, payload)
    }

    fn new_flow(&mut self) -> (SocketId, SocketAddr) {
        let local = SocketAddr::new(self.address.ip(), 0);
        let elsewhere = if self.address.is_ipv4() {
            SocketAddr::new(self.lab.ip(self.sender.host), 0)
        } else {
            SocketAddr::new(self.lab.ip_v6(self.sender.host), 0)
        };
        assert_eq!(local.is_ipv4(), elsewhere.is_ipv4());
        let open = UdpOpen::new(Token(0), elsewhere);
        let opened = self.lab.open_with(self.sender, open);
        (opened.socket, opened.local)
    }

    fn heard_from(&mut self, from: (SocketId, SocketAddr), payload: &[u8]) -> SocketId {
        self.lab.send(self.sender, from.0, self.address, payload);
        self.lab.next(self.puppet, |event| match event {
            NetworkEvent::Datagrams { socket, run } if run.peer == from.1 => Some(*socket),
            _ => None,
        })
    }
}

/// A datagram for the socket of this place.
const fn to(place: u8) -> [u8; 8] {
    let mut payload = *b"abcdefgh";
    payload[OFFSET as usize] = place;
    payload
}

fn v4(lab: &Lab, puppet: Puppet) -> IpAddr {
    lab.ip(puppet.host)
}

fn v6(lab: &Lab, puppet: Puppet) -> IpAddr {
    lab.ip_v6(puppet.host)
}

pub(crate) fn a_byte_of_the_payload_says_which_socket_gets_a_datagram(kind: Kind) {
    for ip in [v4, v6] {
        let mut shared = Shared::new(kind, ip, by_byte(3), 3);
        let flow = shared.new_flow();
        for round in 0..30_u8 {
            let byte = round.wrapping_mul(37);
            let wanted = shared.sockets[usize::from(byte % 3)];
            // Whoever sends it, and from wherever.
            assert_eq!(shared.heard_at(&to(byte)), wanted, "byte {byte}");
            assert_eq!(shared.heard_from(flow, &to(byte)), wanted, "byte {byte}");
        }
    }
}

pub(crate) fn a_datagram_without_the_byte_goes_by_flow(kind: Kind) {
    let mut shared = Shared::new(kind, v4, by_byte(2), 2);
    let mut heard = Vec::new();
    for _ in 0..40 {
        let flow = shared.new_flow();
        let at = shared.heard_from(flow, b"abc");
        assert_eq!(
            shared.heard_from(flow, b""),
            at,
            "a flow changed its socket"
        );
        heard.push(at);
    }
    let sockets = shared.sockets.clone();
    assert!(sockets.iter().all(|socket| heard.contains(socket)));
}

pub(crate) fn what_is_for_a_place_that_nobody_has_goes_by_flow(kind: Kind) {
    let mut shared = Shared::new(kind, v4, by_byte(5), 2);
    assert_eq!(shared.heard_at(&to(0)), shared.sockets[0]);
    assert_eq!(shared.heard_at(&to(1)), shared.sockets[1]);
    let mut heard = Vec::new();
    for _ in 0..40 {
        heard.push(shared.heard_at(&to(4)));
    }
    let sockets = shared.sockets.clone();
    assert!(sockets.iter().all(|socket| heard.contains(socket)));
}

pub(crate) fn the_last_socket_takes_the_place_of_one_that_is_closed(kind: Kind) {
    let mut shared = Shared::new(kind, v4, by_byte(4), 4);
    let [first, second, third, fourth] = shared.sockets[..] else {
        panic!("four were opened");
    };
    shared.close(second);
    for (place, socket) in [(0, first), (1, fourth), (2, third)] {
        assert_eq!(shared.heard_at(&to(place)), socket, "place {place}");
    }
    // Whoever comes anew is the last.
    let anew = shared.open(by_byte(4));
    for (place, socket) in [(0, first), (1, fourth), (2, third), (3, anew)] {
        assert_eq!(shared.heard_at(&to(place)), socket, "place {place}");
    }
}

pub(crate) fn who_binds_behind_an_earlier_process_hears_nothing_until_that_is_gone(kind: Kind) {
    let mut shared = Shared::new(kind, v4, by_byte(2), 2);
    let earlier = shared.sockets.clone();
    let later = [shared.open(by_byte(2)), shared.open(by_byte(2))];
    for place in 0..20 {
        let heard = shared.heard_at(&to(place));
        assert_eq!(heard, earlier[usize::from(place % 2)]);
    }
    // The last takes the place of the first to go, so they are the other way round then.
    earlier.into_iter().for_each(|socket| shared.close(socket));
    for place in 0..20 {
        let heard = shared.heard_at(&to(place));
        assert_eq!(heard, later[usize::from((place + 1) % 2)]);
    }
}

pub(crate) fn what_was_asked_for_last_holds_for_all_who_share_a_port(kind: Kind) {
    let mut shared = Shared::new(kind, v4, by_byte(1), 1);
    let first = shared.sockets[0];
    // Who asks for nothing is steered as the others are.
    let second = shared.open(Sharing::Shared);
    for place in 0..20 {
        assert_eq!(shared.heard_at(&to(place)), first);
    }
    let third = shared.open(by_byte(3));
    for place in 0..20 {
        let wanted = [first, second, third][usize::from(place % 3)];
        assert_eq!(shared.heard_at(&to(place)), wanted);
    }
}

pub(crate) fn nothing_is_lost_where_processors_choose(kind: Kind) {
    let mut shared = Shared::new(kind, v4, Sharing::ByCpu { sockets: 3 }, 3);
    for _ in 0..30 {
        let at = shared.heard_at(b"x");
        assert!(shared.sockets.contains(&at));
    }
}

pub(crate) fn steering_that_cannot_be_is_refused(kind: Kind) {
    let mut lab = Lab::new(kind);
    let puppet = lab.puppet();
    let bind = SocketAddr::new(lab.ip(puppet.host), 0);
    for sharing in [by_byte(0), Sharing::ByCpu { sockets: 0 }] {
        let open = UdpOpen::new(Token(1), bind).with_sharing(sharing);
        let refused = lab.try_open(puppet, open).err();
        assert_eq!(refused, Some(NetworkError::InvalidOption));
    }
    for sharing in [by_byte(2), Sharing::ByCpu { sockets: 0 }] {
        lab.act(puppet, move |hands| {
            let listen = TcpListen::new(Token(2), bind).with_sharing(sharing);
            hands.outbox.listen(listen);
        });
        let refused = lab.next(puppet, |event| match event {
            NetworkEvent::ListenFailed { token, error, .. } => Some((*token, *error)),
            _ => None,
        });
        assert_eq!(refused, (Token(2), NetworkError::InvalidOption));
    }
    // One that does not share cannot have the port of those who do.
    let open = UdpOpen::new(Token(3), bind).with_sharing(by_byte(2));
    let local = lab.open_with(puppet, open).local;
    let alone = lab.try_open(puppet, UdpOpen::new(Token(4), local));
    assert_eq!(alone.err(), Some(NetworkError::AddressInUse));
}

pub(crate) fn listeners_are_steered_by_processors(kind: Kind) {
    let mut lab = Lab::new(kind);
    let (client, first) = (lab.puppet(), lab.puppet());
    let second = lab.puppet_on(first.host);
    let bind = SocketAddr::new(lab.ip(first.host), 0);
    let listening = |event: &NetworkEvent| match event {
        NetworkEvent::Listening { local, .. } => Some(*local),
        _ => None,
    };
    // All processors are for the first.
    let sharing = Sharing::ByCpu { sockets: 1 };
    let listen = move |bind| TcpListen::new(Token(1), bind).with_sharing(sharing);
    lab.act(first, move |hands| hands.outbox.listen(listen(bind)));
    let address = lab.next(first, listening);
    lab.act(second, move |hands| hands.outbox.listen(listen(address)));
    assert_eq!(lab.next(second, listening), address);
    for token in 0..20 {
        lab.act(client, move |hands| {
            hands.outbox.connect(TcpConnect::new(Token(token), address));
        });
        lab.next(first, |event| {
            matches!(event, NetworkEvent::Accepted { .. }).then_some(())
        });
    }
}
