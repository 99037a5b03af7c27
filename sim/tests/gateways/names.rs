//! Names, and the addresses that they stand for.

use core::net::IpAddr;

use stillpoint::UdpOpen;
use stillpoint_sim::{Names, Nat, World};

use super::lab::{Call, spawn};

fn found(names: &Names, name: &str) -> Vec<String> {
    let found = names.lookup(name).into_iter();
    found.map(|ip| ip.to_string()).collect()
}

#[test]
fn a_node_is_found_by_its_name_wherever_it_goes() {
    let mut world = World::<Call>::new(1);
    let names = world.names();
    assert_eq!(found(&names, "phone"), [""; 0]);
    let home = world
        .gateway("home")
        .address([203, 0, 113, 7])
        .nat(Nat::full_cone())
        .build();
    let phone = world
        .node("phone", [10, 0, 0, 1])
        .address([10, 0, 0, 3])
        .spawner(spawn);
    assert_eq!(found(&names, "phone"), ["10.0.0.1", "10.0.0.3"]);
    assert_eq!(found(&names, "home"), ["203.0.113.7"]);
    world.add_address(phone, [10, 0, 0, 4]);
    assert_eq!(found(&names, "phone"), ["10.0.0.4", "10.0.0.1", "10.0.0.3"]);
    world.remove_address(phone, [10, 0, 0, 1]);
    assert_eq!(found(&names, "phone"), ["10.0.0.4", "10.0.0.3"]);
    world.move_behind(phone, Some(home), [192, 168, 1, 2]);
    assert_eq!(found(&names, "phone"), ["192.168.1.2"]);
    world.set_gateway_address(home, [203, 0, 113, 8]);
    assert_eq!(found(&names, "home"), ["203.0.113.8"]);
    assert_eq!(names.all(), ["home", "phone"]);
}

#[test]
fn a_name_that_is_set_comes_before_that_of_a_node() {
    let mut world = World::<Call>::new(1);
    let names = world.names();
    world.node("api", [10, 0, 0, 1]).spawner(spawn);
    world.set_name(
        "api",
        [IpAddr::from([10, 0, 0, 9]), IpAddr::from([10, 0, 0, 2])],
    );
    assert_eq!(
        found(&names, "api"),
        ["10.0.0.9", "10.0.0.2"],
        "in the order given"
    );
    world.set_name("api", [] as [IpAddr; 0]);
    assert_eq!(found(&names, "api"), [""; 0]);
    world.remove_name("api");
    assert_eq!(found(&names, "api"), ["10.0.0.1"]);
}

#[test]
fn tasks_look_names_up_when_they_are_made() {
    let mut world = World::<Call>::new(1);
    let names = world.names();
    let node = world
        .node("phone", [10, 0, 0, 1])
        .spawner(move |open: UdpOpen, spawner| {
            // A phone that binds to the address that its node has under this name.
            let ip = names.lookup("phone")[0];
            let bind = core::net::SocketAddr::new(ip, open.bind.port());
            spawn(UdpOpen::new(open.token, bind), spawner)
        });
    world.add_address(node, [10, 0, 0, 77]);
    super::lab::Lab::start(&mut world, node, "0.0.0.0:5000");
    let phone = super::lab::Lab::first(&world, node);
    assert_eq!(phone.local.unwrap().to_string(), "10.0.0.77:5000");
}
