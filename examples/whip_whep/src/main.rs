//! The program: workers over real sockets, until Ctrl-C.

use core::fmt::Display;
use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::time::Duration;
use std::io::{self, Write};
use std::net::UdpSocket;
use std::process::ExitCode;

use clap::Parser;
use serde_json::json;
use stillpoint::backend::BackendKind;
use stillpoint::runtime::{Controller, RuntimeConfig};
use str0m::crypto;
use whip_whep::{MediaConfig, Report, Sfu, SignalingConfig, Spawn, spawn};

/// A small SFU: publishers come in by WHIP, viewers by WHEP, browsers by the pages it serves. Ctrl-C
/// ends it and prints what happened.
#[derive(Parser)]
#[command(version)]
struct Options {
    /// Where HTTP is served; port 0 lets the system choose one
    #[arg(long, default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// Where media is taken: each worker has a port of its own, from this one on; port 0 lets the
    /// system choose
    #[arg(long, default_value = "0.0.0.0:0")]
    media: SocketAddr,
    /// Addresses that peers are told to come to [default: that of this machine on its network, and
    /// the loopback address]
    #[arg(long)]
    public: Vec<IpAddr>,
    /// Who publishes has to know this
    #[arg(long, env = "PUBLISH_TOKEN", hide_env_values = true)]
    publish_token: Option<String>,
    /// Who watches has to know this
    #[arg(long, env = "WATCH_TOKEN", hide_env_values = true)]
    watch_token: Option<String>,
    /// Worker threads
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=1024))]
    workers: u16,
    /// Sessions that each worker takes
    #[arg(long, default_value_t = 2_000)]
    sessions: usize,
    /// How to reach the kernel: mio, polling, poll or io-uring
    #[arg(long, default_value_t)]
    backend: BackendKind,
    /// Print the statistics as one JSON object
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _closed = writeln!(io::stderr(), "error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<(), String> {
    let mut config = RuntimeConfig::new(options.backend).workers(options.workers);
    config.outputs_max = OUTPUTS_MAX;
    let mut controller = Controller::start(config, spawn::<Sfu>).map_err(text)?;
    let interrupter = controller.interrupter();
    ctrlc::set_handler(move || interrupter.interrupt()).map_err(text)?;
    start(&mut controller, options)?;
    while let Some(report) = controller.wait_report().map_err(text)? {
        match report {
            Report::Listening(at) => line(format_args!("open http://{at}/"))?,
            Report::MediaAt(at) => line(format_args!("media at {at}"))?,
            Report::BindFailed { bind, error } => {
                return Err(format!("cannot bind {bind}: {error}"));
            }
        }
    }
    let total = controller.shutdown(Duration::from_secs(5)).network();
    let total = json!({
        "datagrams_in": total.datagrams_in,
        "datagrams_out": total.datagrams_out,
        "bytes_in": total.bytes_in,
        "bytes_out": total.bytes_out,
        "send_failed": total.send_failed,
        "receive_dropped": total.receive_dropped,
    });
    if options.json {
        return line(total);
    }
    let mut rows = total.as_object().into_iter().flatten();
    rows.try_for_each(|(name, count)| line(format_args!("{name:<16}{count:>16}")))
}

/// Makes the tasks: one that speaks HTTP, and a media port for each worker.
fn start(controller: &mut Controller<Sfu>, options: &Options) -> Result<(), String> {
    let epoch = controller.epoch();
    let provider = crypto::from_feature_flags();
    let certificate = provider.dtls_provider.generate_certificate();
    let certificate = certificate.ok_or("no certificate can be made for DTLS")?;
    for worker in 0..options.workers {
        let mut bind = options.media;
        if bind.port() != 0 {
            let port = bind
                .port()
                .checked_add(worker)
                .ok_or("there are not so many ports from --media on")?;
            bind.set_port(port);
        }
        let mut media = MediaConfig::new(bind, epoch, certificate.clone());
        media.public = public(options);
        media.sessions_max = options.sessions;
        controller
            .spawn(worker, Spawn::MediaPort(Box::new(media)))
            .map_err(text)?;
    }
    let mut signaling = SignalingConfig::new(options.listen);
    signaling.publish_token.clone_from(&options.publish_token);
    signaling.watch_token.clone_from(&options.watch_token);
    let reader = controller.status_reader();
    signaling.statuses = Box::new(move || reader.read().to_vec());
    controller
        .spawn(0, Spawn::Signaling(Box::new(signaling)))
        .map_err(text)?;
    Ok(())
}

/// Where peers are told to come to.
fn public(options: &Options) -> Vec<IpAddr> {
    if !options.public.is_empty() {
        return options.public.clone();
    }
    if !options.media.ip().is_unspecified() {
        return vec![options.media.ip()];
    }
    // The address that the system would send from. Nothing is sent.
    let probe = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0));
    let probe = probe.and_then(|probe| probe.connect((ELSEWHERE, 9)).map(|()| probe));
    let own = probe
        .and_then(|probe| probe.local_addr())
        .map(|own| own.ip());
    own.into_iter()
        .chain([Ipv4Addr::LOCALHOST.into()])
        .collect()
}

fn line(text: impl Display) -> Result<(), String> {
    let mut out = io::stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        // Whoever closed the pipe has read enough.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.to_string()),
        _ => Ok(()),
    }
}

fn text(error: impl Display) -> String {
    error.to_string()
}

/// Outputs for one input: a key frame for thousands of viewers is some.
const OUTPUTS_MAX: u32 = 1 << 22;

/// An address of documentation (RFC 5737), to which no packet is sent.
const ELSEWHERE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
