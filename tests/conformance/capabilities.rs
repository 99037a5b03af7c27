//! What each world can do, and what it says of what it cannot.

use core::fmt::Write;
use core::net::SocketAddr;

use stillpoint::backend::BackendKind;
use stillpoint::{
    Capabilities, DeviceError, DeviceOpen, NetworkError, NetworkEvent, TcpConnect, TcpListen, Token,
};

use super::lab::{Kind, Lab};

pub(crate) fn what_a_world_cannot_do_it_refuses_and_what_it_can_do_it_does(kind: Kind) {
    let mut lab = Lab::new(kind);
    let Capabilities {
        streams, devices, ..
    } = lab.capabilities();
    let puppet = lab.puppet();
    let bind = SocketAddr::new(lab.ip(puppet.host), 0);
    lab.act(puppet, move |hands| {
        hands.outbox.listen(TcpListen::new(Token(1), bind));
    });
    let listened = lab.next(puppet, |event| match event {
        NetworkEvent::Listening { .. } => Some(Ok(())),
        NetworkEvent::ListenFailed { error, .. } => Some(Err(*error)),
        _ => None,
    });
    let refusal = Err(NetworkError::Unsupported);
    assert_eq!(listened, if streams { Ok(()) } else { refusal });

    if !streams {
        lab.act(puppet, move |hands| {
            hands.outbox.connect(TcpConnect::new(Token(2), bind));
        });
        let connected = lab.next(puppet, |event| match event {
            NetworkEvent::ConnectFailed { error, .. } => Some(Err(*error)),
            _ => None,
        });
        assert_eq!(connected, refusal);
    }

    // A name that no system takes: whoever has devices says that it is bad.
    lab.act(puppet, |hands| {
        let open = DeviceOpen::tun(Token(3)).with_name("no/name");
        hands.outbox.open_device(open);
    });
    let error = lab.next(puppet, |event| match event {
        NetworkEvent::DeviceOpenFailed { error, .. } => Some(*error),
        _ => None,
    });
    let expected = if devices {
        DeviceError::BadName
    } else {
        DeviceError::Unsupported
    };
    assert_eq!(error, expected);
}

/// The table of the README, as it is to be.
fn table(worlds: &[(&str, Capabilities)]) -> String {
    let mut table = String::from("| |");
    for (name, _) in worlds {
        write!(table, " {name} |").unwrap();
    }
    table += "\n| --- |";
    table += &" --- |".repeat(worlds.len());
    table += "\n| UDP |";
    table += &" yes |".repeat(worlds.len());
    for (row, (name, _)) in Capabilities::ALL.rows().iter().enumerate() {
        write!(table, "\n| {name} |").unwrap();
        for (_, capabilities) in worlds {
            let has = capabilities.rows()[row].1;
            table += if has { " yes |" } else { " no |" };
        }
    }
    table
}

#[test]
#[cfg(all(target_os = "linux", feature = "mio", feature = "polling"))]
fn the_readme_says_what_each_world_can_do() {
    let mut worlds = Vec::new();
    for kind in BackendKind::ALL {
        let name = format!("`{kind}`");
        let capabilities = Lab::new(Kind::Sockets(*kind)).capabilities();
        worlds.push((name, capabilities));
    }
    worlds.push(("the simulator".to_owned(), stillpoint_sim::capabilities()));
    let worlds: Vec<(&str, Capabilities)> = worlds
        .iter()
        .map(|(name, capabilities)| (name.as_str(), *capabilities))
        .collect();
    let table = table(&worlds);
    let readme = include_str!("../../README.md");
    assert!(
        readme.contains(&table),
        "README.md is to have this table:\n\n{table}\n"
    );
}
