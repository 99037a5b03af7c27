//! UDP over wires, between hosts that are network namespaces. Needs root; says so and does nothing
//! otherwise.
//!
//! Three hosts: `a` and `b` have a wire between them, and a way over a router `r`. A test makes the
//! namespaces, runs this program again inside two of them (the tests marked as ignored are what it
//! runs there), and removes them.
#![allow(
    clippy::wildcard_enum_match_arm,
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::print_stdout,
    reason = "these are tests"
)]
#![cfg(all(feature = "poll", target_os = "linux"))]

use core::net::{IpAddr, SocketAddr, SocketAddrV6};
use core::sync::atomic::{AtomicU32, Ordering};
use core::time::Duration;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use stillpoint::backend::{Backend, BackendKind};
use stillpoint::{
    Buffer, DatagramRun, Dscp, Interface, InterfaceIndex, Membership, NetworkError, NetworkEvent,
    Transmit, WhenFull,
};

#[path = "conformance/lab.rs"]
mod lab;
#[path = "conformance/udp.rs"]
mod udp;

use lab::{Inner, Kind, Lab, Puppet};
use udp::{Opened, at, bound};

/// Where `b` listens. The namespace is its own, so nobody else does.
const PORT: u16 = 7;

/// The addresses of the wire between `a` and `b`.
const A: IpAddr = IpAddr::V4(core::net::Ipv4Addr::new(10, 77, 3, 1));
const B: IpAddr = IpAddr::V4(core::net::Ipv4Addr::new(10, 77, 3, 2));

/// The address of `b` behind the router.
const FAR: IpAddr = IpAddr::V4(core::net::Ipv4Addr::new(10, 77, 2, 1));

const GROUP: IpAddr = IpAddr::V4(core::net::Ipv4Addr::new(239, 77, 3, 9));
const GROUP_V6: IpAddr = IpAddr::V6(core::net::Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0x4d, 0x39));

/// Makes the hosts, and a test of what each story does on host `a`.
macro_rules! over_a_wire {
    ($($story:ident,)*) => {
        $(#[test] fn $story() { Hosts::run(stringify!($story)); })*

        /// What the tests above run on host `a`.
        mod on_host_a {
            $(#[test] #[ignore = "run on a host of its own"] fn $story() {
                crate::stories::wait_for_the_wire();
                for &kind in stillpoint::backend::BackendKind::ALL {
                    crate::stories::$story(kind);
                }
            })*
        }
    };
}

over_a_wire! {
    groups_are_heard_over_a_wire_and_tell_their_interface,
    without_loop_a_group_is_not_heard_at_home,
    with_a_hop_limit_of_0_a_group_is_heard_at_home_alone,
    a_broadcast_is_answered_from_the_receivers_own_address,
    link_local_addresses_keep_their_scope_both_ways,
    a_hop_limit_ends_at_the_router_and_says_so,
    a_code_point_passes_a_router,
    a_slow_wire_fills_the_queues_and_each_policy_does_as_it_says,
}

/// Namespaces that are removed with this.
struct Hosts {
    names: [String; 3],
}

impl Hosts {
    /// Runs a story on host `a`, with host `b` answering.
    fn run(story: &str) {
        if !is_root() {
            println!("skipped: {story}: needs root");
            return;
        }
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let number = format!("{}-{number}", std::process::id());
        let names = ["a", "b", "r"].map(|host| format!("udp-{number}-{host}"));
        let hosts = Self { names };
        hosts.build();
        let [a, b, _] = &hosts.names;
        let mut answering = Running(inside(b, "host_b_answers").spawn().unwrap());
        let lines = BufReader::new(answering.0.stdout.take().unwrap()).lines();
        let ready = lines.map_while(Result::ok).any(|line| line.contains(READY));
        assert!(ready, "host b did not begin to listen");
        let told = inside(a, &format!("on_host_a::{story}")).output().unwrap();
        let text = String::from_utf8_lossy(&told.stdout);
        let errors = String::from_utf8_lossy(&told.stderr);
        assert!(told.status.success(), "{text}\n{errors}");
        assert!(text.contains("1 passed"), "nothing was run: {text}");
    }

    fn build(&self) {
        let [a, b, r] = &self.names;
        for name in &self.names {
            ip(&format!("netns add {name}"));
            ip(&format!("-n {name} link set lo up"));
        }
        for (one, its, other, others) in [
            (a, "a-b", b, "b-a"),
            (a, "a-r", r, "r-a"),
            (b, "b-r", r, "r-b"),
        ] {
            ip(&format!(
                "link add name {its} netns {one} type veth peer name {others} netns {other}"
            ));
        }
        for (host, device, addresses) in [
            (a, "a-b", &["10.77.3.1/24 brd +", "fe80::a/64 nodad"][..]),
            (b, "b-a", &["10.77.3.2/24 brd +", "fe80::b/64 nodad"]),
            (a, "a-r", &["10.77.1.1/24"]),
            (r, "r-a", &["10.77.1.254/24"]),
            (b, "b-r", &["10.77.2.1/24"]),
            (r, "r-b", &["10.77.2.254/24"]),
        ] {
            // Only the addresses that are given: else the system makes up one more, a second later.
            ip(&format!("-n {host} link set {device} addrgenmode none"));
            for address in addresses {
                ip(&format!("-n {host} address add {address} dev {device}"));
            }
            ip(&format!("-n {host} link set {device} up"));
        }
        ip(&format!("-n {a} route add 10.77.2.0/24 via 10.77.1.254"));
        ip(&format!("-n {b} route add 10.77.1.0/24 via 10.77.2.254"));
        // It forwards, and says what it drops however often: with its usual limit it falls silent
        // after six.
        for (setting, value) in [("ip_forward", 1), ("icmp_ratelimit", 0)] {
            ip(&format!(
                "netns exec {r} sh -c echo\u{a0}{value}\u{a0}>/proc/sys/net/ipv4/{setting}"
            ));
        }
    }
}

impl Drop for Hosts {
    fn drop(&mut self) {
        for name in &self.names {
            let removed = Command::new("ip").args(["netns", "delete", name]).status();
            if !removed.is_ok_and(|status| status.success()) {
                println!("{name} could not be removed");
            }
        }
    }
}

/// A child that ends with this.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output().unwrap();
    id.stdout.trim_ascii() == b"0"
}

/// Runs `ip` with these words; a space that does not break is one within a word.
fn ip(words: &str) {
    let words: Vec<String> = words
        .split(' ')
        .map(|word| word.replace('\u{a0}', " "))
        .collect();
    let told = Command::new("ip").args(&words).output().unwrap();
    let errors = String::from_utf8_lossy(&told.stderr);
    assert!(told.status.success(), "ip {words:?}: {errors}");
}

/// One of the ignored tests of this program, inside a namespace.
fn inside(name: &str, test: &str) -> Command {
    let mut command = Command::new("ip");
    command
        .args(["netns", "exec", name])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "--ignored", "--nocapture", test])
        .stdout(Stdio::piped());
    command
}

const READY: &str = "host b listens";

/// Host `b`: answers each datagram with what it was told of it. Runs until it is killed.
#[test]
#[ignore = "run on a host of its own"]
fn host_b_answers() {
    let mut lab = Lab::new(Kind::Sockets(BackendKind::default()));
    let puppet = lab.puppet();
    lab.react(puppet, |event, hands| {
        if let NetworkEvent::Datagrams { socket, run } = event {
            let mut answer = Transmit::reply(*socket, run.clone());
            answer.payload = Buffer::copy_from(seen(run).as_bytes()).into();
            hands.outbox.transmit(answer);
        }
    });
    let open = lab.open_with(puppet, at(bound("[::]:0").bind.ip(), PORT));
    for group in [GROUP, GROUP_V6] {
        lab.join(
            puppet,
            Membership::new(open.socket, group).at(Interface::Address(B)),
        )
        .unwrap();
    }
    println!("{READY}");
    loop {
        lab.pass(Duration::from_secs(1));
        lab.unasked(puppet);
    }
}

/// What a task was told of a datagram, in words.
fn seen(run: &DatagramRun) -> String {
    let text = String::from_utf8_lossy(&run.payload);
    format!("{text} from {} to {:?} {}", run.peer, run.local, run.dscp)
}

/// What happens on host `a`.
mod stories {
    use super::*;

    /// The number of the wire's interface here.
    fn wire() -> InterfaceIndex {
        let number = std::fs::read_to_string("/sys/class/net/a-b/ifindex").unwrap();
        InterfaceIndex::new(number.trim().parse().unwrap()).unwrap()
    }

    fn new(kind: BackendKind) -> (Lab, Puppet) {
        let mut lab = Lab::new(Kind::Sockets(kind));
        let puppet = lab.puppet();
        (lab, puppet)
    }

    /// A wire that was just made drops what is sent for about a second: asks until `b` answers.
    pub(crate) fn wait_for_the_wire() {
        let (mut lab, puppet) = new(BackendKind::default());
        let open = bound("[::]:0").with_multicast_interface(Interface::Index(wire()));
        let from = lab.open_with(puppet, open);
        lab.pump_until(|lab| {
            lab.send(
                puppet,
                from.socket,
                SocketAddr::new(GROUP_V6, PORT),
                b"there?",
            );
            lab.pass(Duration::from_millis(20));
            !lab.unasked(puppet).is_empty()
        });
    }

    /// What comes back next: from whom, in words.
    fn answer(lab: &mut Lab, puppet: Puppet, to: Opened) -> (SocketAddr, String) {
        let run = lab.hear(puppet, to.socket);
        (run.peer, String::from_utf8_lossy(&run.payload).into_owned())
    }

    pub(crate) fn groups_are_heard_over_a_wire_and_tell_their_interface(kind: BackendKind) {
        let (mut lab, puppet) = new(kind);
        for interface in [Interface::Address(A), Interface::Index(wire())] {
            let open = bound("[::]:0").with_multicast_interface(interface);
            let from = lab.open_with(puppet, open);
            lab.send(puppet, from.socket, SocketAddr::new(GROUP, PORT), b"four");
            let (peer, told) = answer(&mut lab, puppet, from);
            assert_eq!(peer, SocketAddr::new(B, PORT));
            let port = from.local.port();
            assert_eq!(
                told,
                format!("four from {A}:{port} to Some({GROUP}) CS0"),
                "through {interface:?}"
            );
            lab.send(puppet, from.socket, SocketAddr::new(GROUP_V6, PORT), b"six");
            let (peer, told) = answer(&mut lab, puppet, from);
            assert_eq!(
                peer,
                format!("[fe80::b%{}]:{PORT}", wire().number())
                    .parse()
                    .unwrap()
            );
            assert!(told.starts_with("six from [fe80::a%"), "{told}");
            assert!(
                told.ends_with(&format!("to Some({GROUP_V6}) CS0")),
                "{told}"
            );
        }
        // And the other way: what arrives says where.
        for group in [GROUP, GROUP_V6] {
            let to = lab.open_with(puppet, bound("[::]:0"));
            let membership = Membership::new(to.socket, group).at(Interface::Address(A));
            lab.join(puppet, membership).unwrap();
            let loud = bound("[::]:0").with_multicast_interface(Interface::Address(A));
            let loud = lab.open_with(puppet, loud);
            let target = SocketAddr::new(group, to.local.port());
            lab.send(puppet, loud.socket, target, b"here");
            let run = lab.hear(puppet, to.socket);
            assert_eq!((run.interface, run.local), (Some(wire()), Some(group)));
        }
    }

    /// A member at home, and a socket that sends to the group.
    fn member_and_sender(
        lab: &mut Lab,
        puppet: Puppet,
        group: IpAddr,
        open: stillpoint::UdpOpen,
    ) -> (Opened, Opened) {
        let member = lab.open_with(puppet, at(bound("[::]:0").bind.ip(), PORT));
        let membership = Membership::new(member.socket, group).at(Interface::Address(A));
        lab.join(puppet, membership).unwrap();
        let open = open.with_multicast_interface(Interface::Address(A));
        (member, lab.open_with(puppet, open))
    }

    pub(crate) fn without_loop_a_group_is_not_heard_at_home(kind: BackendKind) {
        for group in [GROUP, GROUP_V6] {
            let (mut lab, puppet) = new(kind);
            let open = bound("[::]:0").without_multicast_loop();
            let (member, from) = member_and_sender(&mut lab, puppet, group, open);
            let target = SocketAddr::new(group, PORT);
            lab.send(puppet, from.socket, target, b"away");
            let (_, told) = answer(&mut lab, puppet, from);
            assert!(told.starts_with("away from"), "{told}");
            let home = SocketAddr::new(A, PORT);
            lab.send(puppet, from.socket, home, b"home");
            lab.hear_only(puppet, member.socket, b"home");
        }
    }

    pub(crate) fn with_a_hop_limit_of_0_a_group_is_heard_at_home_alone(kind: BackendKind) {
        for group in [GROUP, GROUP_V6] {
            let (mut lab, puppet) = new(kind);
            let open = bound("[::]:0").with_multicast_hop_limit(0);
            let (member, from) = member_and_sender(&mut lab, puppet, group, open);
            let target = SocketAddr::new(group, PORT);
            lab.send(puppet, from.socket, target, b"home");
            lab.hear_only(puppet, member.socket, b"home");
            lab.send(puppet, from.socket, SocketAddr::new(B, PORT), b"away");
            let (_, told) = answer(&mut lab, puppet, from);
            assert!(told.starts_with("away from"), "{told}");
        }
    }

    pub(crate) fn a_broadcast_is_answered_from_the_receivers_own_address(kind: BackendKind) {
        let (mut lab, puppet) = new(kind);
        let from = lab.open_with(puppet, at(A, 0).with_broadcast());
        let to: SocketAddr = "10.77.3.255:7".parse().unwrap();
        lab.send(puppet, from.socket, to, b"all");
        let (peer, told) = answer(&mut lab, puppet, from);
        assert_eq!(peer, SocketAddr::new(B, PORT));
        let port = from.local.port();
        assert_eq!(told, format!("all from {A}:{port} to Some({B}) CS0"));
        let plain = lab.open_with(puppet, at(A, 0));
        lab.send(puppet, plain.socket, to, b"all");
        assert_eq!(lab.failed(puppet).error, NetworkError::PermissionDenied);
    }

    pub(crate) fn link_local_addresses_keep_their_scope_both_ways(kind: BackendKind) {
        let (mut lab, puppet) = new(kind);
        let here = SocketAddrV6::new("fe80::a".parse().unwrap(), 0, 0, wire().number());
        let there = SocketAddrV6::new("fe80::b".parse().unwrap(), PORT, 0, wire().number());
        for bind in [SocketAddr::V6(here), bound("[::]:0").bind] {
            let open = stillpoint::UdpOpen::new(stillpoint::Token(0), bind);
            for open in [open, open.connected(there.into())] {
                let from = lab.open_with(puppet, open);
                if let (SocketAddr::V6(bound), SocketAddr::V6(local)) = (bind, from.local)
                    && !bound.ip().is_unspecified()
                {
                    assert_eq!(local.scope_id(), wire().number());
                }
                lab.send(puppet, from.socket, there.into(), b"near");
                let run = lab.hear(puppet, from.socket);
                assert_eq!(run.peer, SocketAddr::V6(there));
                assert_eq!(run.interface, Some(wire()));
                assert_eq!(run.local, Some((*here.ip()).into()));
                // The answer came from the address that was asked; so does ours.
                lab.transmit(puppet, Transmit::reply(from.socket, run));
                assert_eq!(lab.hear(puppet, from.socket).peer, SocketAddr::V6(there));
            }
        }
    }

    pub(crate) fn a_hop_limit_ends_at_the_router_and_says_so(kind: BackendKind) {
        let (mut lab, puppet) = new(kind);
        let far = SocketAddr::new(FAR, PORT);
        for open in [bound("0.0.0.0:0"), bound("[::]:0")] {
            let short = lab.open_with(puppet, open.with_hop_limit(1));
            lab.send(puppet, short.socket, far, b"lost");
            let told = (short.socket, Some(far), NetworkError::HostUnreachable);
            assert_eq!(lab.socket_error(puppet), told);
            let long = lab.open_with(puppet, open.with_hop_limit(2));
            lab.send(puppet, long.socket, far, b"far");
            assert_eq!(answer(&mut lab, puppet, long).0, far);
        }
    }

    pub(crate) fn a_code_point_passes_a_router(kind: BackendKind) {
        let (mut lab, puppet) = new(kind);
        let far = SocketAddr::new(FAR, PORT);
        let from = lab.open_with(puppet, bound("[::]:0").with_dscp(Dscp::AF41));
        lab.send(puppet, from.socket, far, b"x");
        let (_, told) = answer(&mut lab, puppet, from);
        assert!(told.ends_with(" AF41"), "{told}");
        let transmit = Transmit::new(from.socket, far, Buffer::copy_from(b"x"));
        lab.transmit(puppet, transmit.with_dscp(Dscp::EF));
        let (_, told) = answer(&mut lab, puppet, from);
        assert!(told.ends_with(" EF"), "{told}");
    }

    pub(crate) fn a_slow_wire_fills_the_queues_and_each_policy_does_as_it_says(kind: BackendKind) {
        const SENT: u32 = 3_000;
        // So slow that nothing more leaves while the queues fill.
        let slow = "qdisc replace dev a-b root tbf rate 8kbit burst 2000 limit 1000000";
        let shaped = Command::new("tc").args(slow.split(' ')).status().unwrap();
        assert!(shaped.success());
        for policy in [WhenFull::Fail, WhenFull::DropNewest, WhenFull::DropOldest] {
            let (mut lab, puppet) = new(kind);
            let open = at(A, 0).with_buffers(20_000, 20_000).when_full(policy);
            let from = lab.open_with(puppet, open);
            lab.act(puppet, move |hands| {
                for number in 0..SENT {
                    // Each for another port, so that none travel together.
                    let to = SocketAddr::new(B, 1_000 + number as u16);
                    let payload = Buffer::copy_from(&[0; 1_000]);
                    hands.outbox.send(from.socket, to, payload);
                }
            });
            lab.pass(Duration::from_millis(1));
            let Inner::Sockets(machines) = &lab.inner else {
                unreachable!("these are sockets");
            };
            let counters = machines[puppet.host.0].backend.counters();
            let (lost, other) = match policy {
                WhenFull::Fail => (counters.send_failed, counters.queue_dropped),
                _ => (counters.queue_dropped, counters.send_failed),
            };
            // What the system took, what waits (1,024 runs), and what was lost.
            assert_eq!(other, 0, "{policy:?}");
            assert_eq!(
                counters.datagrams_out + 1_024 + lost,
                u64::from(SENT),
                "{policy:?}: {counters:?}"
            );
            let told: u32 = lab
                .unasked(puppet)
                .iter()
                .map(|event| match event {
                    NetworkEvent::SendFailed {
                        error: NetworkError::QueueFull,
                        datagrams,
                        ..
                    } => *datagrams,
                    _ => 0,
                })
                .sum();
            if policy == WhenFull::Fail {
                // Told one by one, since each was for another peer: as far as there is room.
                assert_eq!(u64::from(told), lost.min(1_024));
            } else {
                assert_eq!(told, 0);
            }
        }
        let open = "qdisc delete dev a-b root".split(' ');
        assert!(Command::new("tc").args(open).status().unwrap().success());
    }
}
