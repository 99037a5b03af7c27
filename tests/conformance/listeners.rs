//! How connections are taken in, or are not.

use core::net::SocketAddr;

use stillpoint::{
    NetworkError, NetworkEvent, ResourceId, TcpConnect, TcpListen, Token, WorkerConfig,
};

use super::lab::{Kind, Lab, Puppet};
use super::streams::{Pair, closed, listening};

fn listen_failed(event: &NetworkEvent) -> Option<(Token, NetworkError)> {
    match event {
        NetworkEvent::ListenFailed { token, error, .. } => Some((*token, *error)),
        _ => None,
    }
}

fn listen(lab: &mut Lab, puppet: Puppet, listen: TcpListen) {
    lab.act(puppet, move |hands| hands.outbox.listen(listen));
}

pub(crate) fn a_port_that_is_listened_at_cannot_be_had_again(kind: Kind) {
    let mut lab = Lab::new(kind);
    let first = lab.puppet();
    let second = lab.puppet_on(first.host);
    let (_, address) = listening(&mut lab, first);
    listen(&mut lab, second, TcpListen::new(Token(8), address));
    assert_eq!(
        lab.next(second, listen_failed),
        (Token(8), NetworkError::AddressInUse)
    );
}

pub(crate) fn an_address_of_others_cannot_be_listened_at(kind: Kind) {
    let mut lab = Lab::new(kind);
    let puppet = lab.puppet();
    let elsewhere = SocketAddr::new(lab.nobody(), 0);
    listen(&mut lab, puppet, TcpListen::new(Token(8), elsewhere));
    assert_eq!(
        lab.next(puppet, listen_failed),
        (Token(8), NetworkError::AddressNotAvailable)
    );
}

pub(crate) fn a_port_may_be_listened_at_by_all_who_share_it(kind: Kind) {
    let mut lab = Lab::new(kind);
    let (client, first) = (lab.puppet(), lab.puppet());
    let second = lab.puppet_on(first.host);
    let bind = SocketAddr::new(lab.ip(first.host), 0);
    listen(&mut lab, first, TcpListen::new(Token(1), bind).shared());
    let listening = |event: &NetworkEvent| match event {
        NetworkEvent::Listening { local, .. } => Some(*local),
        _ => None,
    };
    let address = lab.next(first, listening);
    listen(&mut lab, second, TcpListen::new(Token(1), address).shared());
    assert_eq!(lab.next(second, listening), address);
    lab.act(client, move |hands| {
        for token in 0..64 {
            hands.outbox.connect(TcpConnect::new(Token(token), address));
        }
    });
    for _ in 0..64 {
        lab.next(client, |event| {
            matches!(event, NetworkEvent::Connected { .. }).then_some(())
        });
    }
    let mut each = [0, 0];
    lab.pump_until(|lab| {
        for (count, puppet) in each.iter_mut().zip([first, second]) {
            let news = lab.unasked(puppet);
            *count += news
                .iter()
                .filter(|event| matches!(event, NetworkEvent::Accepted { .. }))
                .count();
        }
        each[0] + each[1] == 64
    });
    assert!(each[0] > 0 && each[1] > 0, "not shared: {each:?}");
}

/// A listener at all addresses of both families, and its port.
fn listening_everywhere(lab: &mut Lab, puppet: Puppet) -> u16 {
    let everywhere = "[::]:0".parse().expect("an address");
    listen(lab, puppet, TcpListen::new(Token(1), everywhere));
    lab.next(puppet, |event| match event {
        NetworkEvent::Listening { local, .. } => Some(local.port()),
        _ => None,
    })
}

pub(crate) fn a_listener_at_all_addresses_takes_in_both_families(kind: Kind) {
    let mut lab = Lab::new(kind);
    let (client, server) = (lab.puppet(), lab.puppet());
    let port = listening_everywhere(&mut lab, server);
    for ip in [lab.ip(server.host), lab.ip_v6(server.host)] {
        let address = SocketAddr::new(ip, port);
        lab.act(client, move |hands| {
            hands.outbox.connect(TcpConnect::new(Token(7), address));
        });
        let peer = lab.next(client, |event| match event {
            NetworkEvent::Connected { local, .. } => Some(*local),
            _ => None,
        });
        let accepted = lab.next(server, |event| match event {
            NetworkEvent::Accepted { peer, local, .. } => Some((*peer, *local)),
            _ => None,
        });
        assert_eq!(accepted, (peer, address));
    }
}

pub(crate) fn a_listener_at_all_addresses_takes_the_port_of_both_families(kind: Kind) {
    let mut lab = Lab::new(kind);
    let first = lab.puppet();
    let second = lab.puppet_on(first.host);
    let port = listening_everywhere(&mut lab, first);
    for ip in [lab.ip(first.host), [0, 0, 0, 0].into()] {
        let bind = SocketAddr::new(ip, port);
        listen(&mut lab, second, TcpListen::new(Token(8), bind));
        let failed = lab.next(second, listen_failed);
        assert_eq!(failed, (Token(8), NetworkError::AddressInUse));
    }
}

pub(crate) fn a_closed_listener_leaves_its_streams(kind: Kind) {
    let mut pair = Pair::new(kind);
    pair.lab.act(pair.server, |_| {});
    let address = pair.address;
    let listener = pair.listener;
    pair.lab
        .act(pair.server, move |hands| hands.outbox.close(listener));
    pair.write(b"still here");
    assert_eq!(pair.received(10), b"still here");
    pair.lab.act(pair.client, move |hands| {
        hands.outbox.connect(TcpConnect::new(Token(9), address));
    });
    let error = pair.lab.next(pair.client, |event| match event {
        NetworkEvent::ConnectFailed { error, .. } => Some(*error),
        _ => None,
    });
    assert_eq!(error, NetworkError::ConnectionRefused);
}

pub(crate) fn a_worker_that_is_full_refuses_and_goes_on(kind: Kind) {
    let mut lab = Lab::with_limits(kind, |limits: &mut WorkerConfig| limits.resources_max = 2);
    let (client, server) = (lab.puppet(), lab.puppet());
    let other = lab.puppet();
    let (_, address) = listening(&mut lab, server);
    let connect = move |lab: &mut Lab, puppet: Puppet| {
        lab.act(puppet, move |hands| {
            hands.outbox.connect(TcpConnect::new(Token(3), address));
        });
    };
    let accepted = |event: &NetworkEvent| match event {
        NetworkEvent::Accepted { stream, .. } => Some(*stream),
        _ => None,
    };
    connect(&mut lab, client);
    let first = lab.next(server, accepted);
    connect(&mut lab, other);
    let failed = lab.next(server, |event| match event {
        NetworkEvent::AcceptFailed { error, .. } => Some(*error),
        _ => None,
    });
    assert_eq!(failed, NetworkError::TooManySockets);
    // The reset may come before it has noticed that it was connected.
    let error = lab.next(other, |event| match event {
        NetworkEvent::ConnectFailed { error, .. } => Some(Some(*error)),
        _ => closed(event),
    });
    assert_eq!(error, Some(NetworkError::ConnectionReset));
    lab.act(server, move |hands| hands.outbox.reset(first));
    connect(&mut lab, other);
    lab.next(server, accepted);
}

pub(crate) fn a_worker_that_is_full_opens_no_more(kind: Kind) {
    let mut lab = Lab::with_limits(kind, |limits: &mut WorkerConfig| limits.resources_max = 1);
    let puppet = lab.puppet();
    let (_, address) = listening(&mut lab, puppet);
    lab.act(puppet, move |hands| {
        hands.outbox.connect(TcpConnect::new(Token(3), address));
    });
    let error = lab.next(puppet, |event| match event {
        NetworkEvent::ConnectFailed { error, .. } => Some(*error),
        _ => None,
    });
    assert_eq!(error, NetworkError::TooManySockets);
}

pub(crate) fn a_listener_that_is_closed_twice_is_stale(kind: Kind) {
    let mut lab = Lab::new(kind);
    let puppet = lab.puppet();
    let (listener, _) = listening(&mut lab, puppet);
    lab.act(puppet, move |hands| hands.outbox.close(listener));
    lab.act(puppet, move |hands| hands.outbox.close(listener));
    let stale = lab.next(puppet, |event| match event {
        NetworkEvent::Stale { id, .. } => Some(*id),
        _ => None,
    });
    assert_eq!(stale, ResourceId::Listener(listener));
}
