//! How devices come to be, and how they end.

use std::net::UdpSocket;

use stillpoint::backend::BackendKind;
use stillpoint::{DeviceError, DeviceOpen, NetworkEvent, PacketTransmit, Token};

use crate::host::{Host, eventually};
use crate::system::{exists, give_up_network_administration, ip, netlink_sockets};
use crate::wire;

pub(crate) fn a_device_has_the_name_addresses_and_mtu_that_were_asked_for_and_is_up(
    kind: BackendKind,
) {
    let mut host = Host::new(kind);
    let opened = host.open(
        DeviceOpen::tun(Token(7))
            .with_name("asked")
            .with_mtu(1_400)
            .with_address([10, 7, 0, 1].into(), 24)
            .with_address([10, 7, 1, 1].into(), 16)
            .with_address("fd07::1".parse().unwrap(), 64),
    );
    assert_eq!((&*opened.name, opened.mtu), ("asked", 1_400));
    let shown: serde_json::Value =
        serde_json::from_str(&ip("-json address show dev asked")).unwrap();
    let shown = &shown[0];
    assert_eq!(shown["mtu"], 1_400);
    assert!(shown["flags"].as_array().unwrap().contains(&"UP".into()));
    let addresses: Vec<String> = shown["addr_info"]
        .as_array()
        .unwrap()
        .iter()
        .map(|address| {
            let ip = address["local"].as_str().unwrap();
            format!("{ip}/{}", address["prefixlen"])
        })
        .collect();
    for address in ["10.7.0.1/24", "10.7.1.1/16", "fd07::1/64"] {
        assert!(
            addresses.iter().any(|has| has == address),
            "{address} of {addresses:?}"
        );
    }
}

pub(crate) fn a_device_without_a_name_gets_one(kind: BackendKind) {
    let mut host = Host::new(kind);
    let tun = host.open(DeviceOpen::tun(Token(0)));
    let tap = host.open(DeviceOpen::tap(Token(1)));
    assert_eq!((&*tun.name, tun.mtu), ("tun0", 1_500));
    assert_eq!((&*tap.name, tap.mtu), ("tap0", 1_500));
    assert!(exists("tun0") && exists("tap0"));
}

pub(crate) fn a_bad_name_is_refused(kind: BackendKind) {
    let mut host = Host::new(kind);
    for name in [
        "",
        "sixteen-bytes-00",
        "a/b",
        "tun%d",
        "a:1",
        "a b",
        "a\0b",
        ".",
        "..",
        "tab\t",
    ] {
        let refused = host.opened(DeviceOpen::tun(Token(0)).with_name(name));
        assert_eq!(refused, Err(DeviceError::BadName), "{name:?}");
    }
    let longest = host.open(DeviceOpen::tun(Token(0)).with_name("fifteen-bytes-0"));
    assert_eq!(longest.name, "fifteen-bytes-0");
}

pub(crate) fn a_device_that_is_open_or_of_another_kind_is_busy(kind: BackendKind) {
    let mut host = Host::new(kind);
    host.open(DeviceOpen::tun(Token(0)).with_name("single"));
    host.open(DeviceOpen::tun(Token(0)).with_name("many").shared());
    for open in [
        DeviceOpen::tun(Token(0)).with_name("single"),
        DeviceOpen::tun(Token(0)).with_name("single").shared(),
        DeviceOpen::tap(Token(0)).with_name("single"),
        DeviceOpen::tun(Token(0)).with_name("many"),
        DeviceOpen::tun(Token(0)).with_name("lo"),
    ] {
        assert_eq!(
            host.opened(open.clone()),
            Err(DeviceError::Busy),
            "{open:?}"
        );
    }
}

pub(crate) fn settings_that_the_kernel_does_not_take_leave_nothing_behind(kind: BackendKind) {
    let mut host = Host::new(kind);
    let sockets = netlink_sockets();
    let open = || DeviceOpen::tun(Token(0)).with_name("short-lived");
    for open in [
        open().with_mtu(10),
        open().with_address([10, 7, 0, 1].into(), 33),
        open().with_address("fd07::1".parse().unwrap(), 129),
        open()
            .with_mtu(1_000)
            .with_address("fd07::1".parse().unwrap(), 64),
    ] {
        let refused = host.opened(open.clone());
        assert!(
            matches!(refused, Err(DeviceError::BadSetting(_))),
            "{open:?}: {refused:?}"
        );
        eventually(|| !exists("short-lived"));
        eventually(|| netlink_sockets() == sockets);
    }
    host.open(open());
}

pub(crate) fn without_privilege_the_error_says_what_is_missing(kind: BackendKind) {
    let mut host = Host::new(kind);
    give_up_network_administration();
    let refused = host.opened(DeviceOpen::tun(Token(0))).unwrap_err();
    assert_eq!(refused, DeviceError::PermissionDenied);
    for word in ["CAP_NET_ADMIN", "setcap", "ip tuntap add"] {
        assert!(refused.to_string().contains(word), "{refused}");
    }
}

pub(crate) fn a_device_of_root_may_be_opened_by_its_owner(kind: BackendKind) {
    ip("tuntap add prepared mode tun user root");
    ip("link set prepared up mtu 1300");
    ip("address add 10.7.0.1/24 dev prepared");
    give_up_network_administration();
    let mut host = Host::new(kind);
    let open = DeviceOpen::tun(Token(0)).with_name("prepared");
    let opened = host.open(open.clone().with_mtu(1_300));
    assert_eq!(opened.mtu, 1_300);
    let socket = UdpSocket::bind("10.7.0.1:0").unwrap();
    // The kernel takes its time to see that somebody has plugged in, and drops until then.
    host.turn_until(|host| {
        socket.send_to(b"out", "10.7.0.2:9").unwrap();
        let is_ours = |event: &NetworkEvent| matches!(event, NetworkEvent::Packet { packet, .. } if wire::is_udp_to(packet, 9));
        host.turn_if_any().iter().any(is_ours)
    });
    host.act(move |outbox| outbox.close(opened.id));
    // To change it is not for its owner.
    let refused = host.opened(open.with_mtu(1_200));
    assert_eq!(refused, Err(DeviceError::PermissionDenied));
}

pub(crate) fn a_closed_device_is_gone_with_all_its_descriptors(kind: BackendKind) {
    let sockets = netlink_sockets();
    let mut host = Host::new(kind);
    for _ in 0..20 {
        let open = DeviceOpen::tun(Token(0)).with_name("closed");
        let opened = host.open(open.with_address([10, 7, 0, 1].into(), 24));
        assert!(exists("closed"));
        host.act(move |outbox| outbox.close(opened.id));
        // It lives as long as a descriptor of it does. Programs that other tests start hold all
        // descriptors for a moment.
        eventually(|| !exists("closed"));
    }
    host.open(DeviceOpen::tap(Token(0)).with_name("dropped"));
    drop(host);
    eventually(|| !exists("dropped"));
    eventually(|| netlink_sockets() == sockets);
}

pub(crate) fn a_device_that_is_removed_is_told_of_once(kind: BackendKind) {
    let mut host = Host::new(kind);
    let open = DeviceOpen::tun(Token(0)).with_name("removed");
    let opened = host.open(open.with_address([10, 7, 0, 1].into(), 24));
    ip("link delete removed");
    // It may or may not have been told when the task writes.
    host.act(move |outbox| {
        let packet = wire::udp(
            "10.7.0.2:9".parse().unwrap(),
            "10.7.0.1:9".parse().unwrap(),
            b"late",
        );
        let packet = stillpoint::Buffer::copy_from(&packet);
        outbox.send_packet(PacketTransmit::new(opened.id, packet));
    });
    let closed = host.next(|event| match event {
        NetworkEvent::DeviceClosed { device, error } => Some((*device, *error)),
        _ => None,
    });
    assert_eq!(closed, (opened.id, DeviceError::Gone));
    assert_eq!(host.counters().send_failed, 1);
    assert!(host.is_quiet());
    // The name is free, and an idle device is told of as well.
    let again = host.open(DeviceOpen::tun(Token(0)).with_name("removed"));
    ip("link delete removed");
    let closed = host.next(|event| match event {
        NetworkEvent::DeviceClosed { device, error } => Some((*device, *error)),
        _ => None,
    });
    assert_eq!(closed, (again.id, DeviceError::Gone));
    assert!(host.is_quiet());
}

pub(crate) fn a_device_closed_in_the_middle_of_a_batch_gives_no_more(kind: BackendKind) {
    let mut host = Host::new(kind);
    let mut left = 3;
    host.react(move |event, outbox| {
        if let NetworkEvent::Packet { device, .. } = event {
            left -= 1;
            if left == 0 {
                outbox.close(*device);
            }
        }
    });
    let open = DeviceOpen::tun(Token(0)).with_name("batch");
    host.open(open.with_address([10, 7, 0, 1].into(), 24));
    let socket = UdpSocket::bind("10.7.0.1:0").unwrap();
    for _ in 0..10 {
        socket.send_to(b"out", "10.7.0.2:9").unwrap();
    }
    host.turn_until(|host| host.counters().packets_in == 3);
    assert!(host.is_quiet());
    assert_eq!(host.counters().packets_in, 3);
    eventually(|| !exists("batch"));
}
