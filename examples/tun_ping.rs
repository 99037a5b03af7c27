//! Answers `ping` from user space, behind a TUN device.
#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "the enums are non-exhaustive"
)]

mod common;

use core::net::IpAddr;

use clap::Parser;
use common::output::{fail, line, table};
use common::ping::{self, Ping, PingStats, Report};
use common::serve::{start, stop, wait_for_interrupt};
use serde_json::json;
use stillpoint::backend::BackendKind;
use stillpoint::runtime::{Controller, ControllerEvent, RuntimeConfig};
use stillpoint::{DeviceOpen, Token};

/// Answers `ping` for every address of a TUN device's networks but the system's own.
///
/// After `tun_ping`, try `ping 10.7.0.2` and `ping fd07::2`. Making the device needs CAP_NET_ADMIN.
/// Ctrl-C ends it and prints what passed.
#[derive(Parser)]
#[command(version, verbatim_doc_comment)]
struct Options {
    /// Name of the device; the system chooses one if there is none
    #[arg(long)]
    name: Option<String>,
    /// Addresses of the system's side of the device, each with the bits of its network
    #[arg(long, value_parser = network, num_args = 1.., default_values = ["10.7.0.1/24", "fd07::1/64"])]
    address: Vec<(IpAddr, u8)>,
    /// How to reach the kernel: mio, polling or poll
    #[arg(long, default_value_t)]
    backend: BackendKind,
    /// Worker threads; each has a queue of the device and gets some of the flows
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    workers: u16,
    /// Print the statistics as one JSON object
    #[arg(long)]
    json: bool,
}

fn main() {
    let options = Options::parse();
    let mut open = DeviceOpen::tun(Token(0));
    for &(ip, bits) in &options.address {
        open = open.with_address(ip, bits);
    }
    if let Some(name) = &options.name {
        open = open.with_name(name);
    }
    if options.workers > 1 {
        open = open.shared();
    }
    let config = RuntimeConfig::new(options.backend).workers(options.workers);
    let mut controller = start(config, ping::spawn);
    for worker in 0..options.workers {
        controller
            .spawn(worker, open.clone())
            .unwrap_or_else(|error| fail(error));
        match wait_until_open(&mut controller) {
            // The first queue's name is everybody's.
            Some(name) => open = open.with_name(name),
            None => return end(controller, &options),
        }
    }
    wait_for_interrupt(&mut controller, |report| {
        if let Report::Closed(error) = report {
            fail(error);
        }
    });
    end(controller, &options);
}

/// The name of the device; `None` if Ctrl-C came first.
fn wait_until_open(controller: &mut Controller<Ping>) -> Option<String> {
    loop {
        match controller.wait(None)? {
            ControllerEvent::Report {
                report: Report::Listening { name, mtu },
                ..
            } => {
                line(format_args!("answering on {name}, MTU {mtu}"));
                return Some(name.into());
            }
            ControllerEvent::Report {
                report: Report::OpenFailed(error),
                ..
            } => fail(format_args!("cannot open the device: {error}")),
            ControllerEvent::Interrupted => return None,
            _ => {}
        }
    }
}

fn end(controller: Controller<Ping>, options: &Options) {
    let (summary, total) = stop(controller);
    let mut stats = PingStats::default();
    for event in &summary.events {
        if let ControllerEvent::Report {
            report: Report::Done(said),
            ..
        } = event
        {
            stats.answered += said.answered;
            stats.ignored += said.ignored;
            stats.failed += said.failed;
        }
    }
    let devices = total.devices;
    if options.json {
        line(json!({
            "packets_received": devices.packets_in,
            "answered": stats.answered,
            "ignored": stats.ignored,
            "packets_sent": devices.packets_out,
            "dropped": {
                "send_failed": devices.send_failed,
                "undelivered": devices.undelivered,
            },
        }));
        return;
    }
    let rows = [
        ("packets received", devices.packets_in.to_string()),
        ("echo requests answered", stats.answered.to_string()),
        ("other packets", stats.ignored.to_string()),
        ("packets sent", devices.packets_out.to_string()),
        ("dropped: send failed", devices.send_failed.to_string()),
        ("dropped: undelivered", devices.undelivered.to_string()),
    ];
    table("stopped", &rows);
}

/// Reads `ADDRESS/BITS`. Whether there are so many bits, the kernel says.
fn network(text: &str) -> Result<(IpAddr, u8), String> {
    let (address, bits) = text
        .split_once('/')
        .ok_or("give an address and the network's bits, as 10.7.0.1/24")?;
    let address = address
        .parse()
        .map_err(|error| format!("`{address}`: {error}"))?;
    let bits = bits.parse().map_err(|error| format!("`{bits}`: {error}"))?;
    Ok((address, bits))
}
