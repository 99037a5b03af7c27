//! Serves by HTTP from user space, behind a TUN device: the system's own programs reach it, and
//! the TCP that they talk to is a task.
#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "the enums are non-exhaustive"
)]

mod common;
#[path = "common/smoltcp/mod.rs"]
mod user_space;

use core::net::{IpAddr, SocketAddr};

use clap::Parser;
use common::output::{fail, line, table};
use common::serve::{start, stop, wait_for_interrupt};
use serde_json::json;
use stillpoint::backend::BackendKind;
use stillpoint::runtime::{Controller, ControllerEvent, RuntimeConfig};
use stillpoint::{DeviceOpen, Token};
use user_space::server::Served;
use user_space::{Report, Spawn, UserSpace};

/// An HTTP server on a TCP/IP stack in user space (smoltcp), behind a TUN device.
///
/// It answers `ping`, and `curl http://10.64.0.2/bytes/1000` gets it 1,000 bytes. Making the device
/// needs CAP_NET_ADMIN. Ctrl-C ends it and prints what passed.
#[derive(Parser)]
#[command(version, verbatim_doc_comment)]
struct Options {
    /// Name of the device; the system chooses one if there is none
    #[arg(long)]
    name: Option<String>,
    /// Address of the system's side of the device, and how many bits are the network's
    #[arg(long, default_value = "10.64.0.1/24", value_parser = network)]
    address: (IpAddr, u8),
    /// Address and port of the server, in that network
    #[arg(long, default_value = "10.64.0.2:80")]
    serve: SocketAddr,
    /// The longest packet in bytes
    #[arg(long, default_value_t = 1_500, value_parser = clap::value_parser!(u16).range(1_280..))]
    mtu: u16,
    /// How to reach the kernel: mio, polling or poll
    #[arg(long, default_value_t)]
    backend: BackendKind,
    /// Print the statistics as one JSON object
    #[arg(long)]
    json: bool,
}

fn main() {
    let options = Options::parse();
    let (host, prefix_len) = options.address;
    if options.serve.is_ipv4() != host.is_ipv4() || options.serve.ip() == host {
        fail(format_args!(
            "the server needs an address of its own beside {host}, of the same family, \
            and has {}: give --address and --serve",
            options.serve.ip()
        ));
    }
    if options.serve.port() == 0 {
        fail("the server needs a port other than 0: give it with --serve");
    }
    let mut open = DeviceOpen::tun(Token(0))
        .with_address(host, prefix_len)
        .with_mtu(options.mtu);
    if let Some(name) = &options.name {
        open = open.with_name(name);
    }
    let config = RuntimeConfig::new(options.backend);
    let mut controller = start(config, user_space::spawn);
    let address = options.serve;
    controller
        .spawn(0, Spawn::Server { open, address })
        .unwrap_or_else(|error| fail(error));
    wait_for_interrupt(&mut controller, |report| match report {
        Report::Listening { device, at } => {
            line(format_args!("serving http://{at}/ behind {device}"));
        }
        Report::DeviceFailed(error) => fail(error),
        Report::Downloaded(_) | Report::Served(_) => {}
    });
    end(controller, &options);
}

fn end(controller: Controller<UserSpace>, options: &Options) {
    let (summary, total) = stop(controller);
    let mut served = Served::default();
    for event in &summary.events {
        if let ControllerEvent::Report {
            report: Report::Served(said),
            ..
        } = event
        {
            served = *said;
        }
    }
    let devices = total.devices;
    if options.json {
        line(json!({
            "connections": served.connections,
            "answered": served.answered,
            "broken": served.broken,
            "open": served.open,
            "body_bytes": served.body_bytes,
            "packets_received": devices.packets_in,
            "packets_sent": devices.packets_out,
            "dropped": {
                "send_failed": devices.send_failed,
                "undelivered": devices.undelivered,
            },
        }));
        return;
    }
    let rows = [
        ("connections", served.connections.to_string()),
        ("requests answered", served.answered.to_string()),
        ("connections broken off", served.broken.to_string()),
        ("connections not over", served.open.to_string()),
        ("bytes of bodies", served.body_bytes.to_string()),
        ("packets received", devices.packets_in.to_string()),
        ("packets sent", devices.packets_out.to_string()),
        ("dropped: send failed", devices.send_failed.to_string()),
        ("dropped: undelivered", devices.undelivered.to_string()),
    ];
    table("stopped", &rows);
}

/// Reads `ADDRESS/BITS`.
fn network(text: &str) -> Result<(IpAddr, u8), String> {
    let (address, bits) = text
        .split_once('/')
        .ok_or("give an address and the network's bits, as 10.64.0.1/24")?;
    let address: IpAddr = address
        .parse()
        .map_err(|error| format!("`{address}`: {error}"))?;
    let bits: u8 = bits.parse().map_err(|error| format!("`{bits}`: {error}"))?;
    let bits_max = if address.is_ipv4() { 32 } else { 128 };
    if bits > bits_max {
        return Err(format!("{bits} bits of an address of {bits_max}"));
    }
    Ok((address, bits))
}
