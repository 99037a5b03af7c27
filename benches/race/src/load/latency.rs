//! Round trips at a low rate, each sent when it is due whatever became of the one before.
//!
//! The generator does not sleep, so that only the server's waking up is in the figures. Each counts
//! from when it was to be sent.

use core::net::Ipv4Addr;
use core::time::Duration;
use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Instant;

use hdrhistogram::Histogram;

use super::{Measured, Times, cpu_of_each};
use crate::server::Server;
use crate::socket;

pub(super) fn udp(server: &Server, bytes: usize, rate: u32, times: Times) -> io::Result<Measured> {
    let socket = socket::udp(Ipv4Addr::LOCALHOST)?;
    socket.connect(server.address())?;
    let mut answer = vec![0; bytes];
    round_trips(server, bytes, rate, times, |message, step| match step {
        Part::Send => socket.send(message).map(|_| false),
        Part::Receive => match socket.recv(&mut answer) {
            // One that was given up on may come yet.
            Ok(count) => Ok(count == bytes && answer[..8] == message[..8]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error),
        },
    })
}

pub(super) fn tcp(server: &Server, bytes: usize, rate: u32, times: Times) -> io::Result<Measured> {
    let mut stream = TcpStream::connect(server.address())?;
    stream.set_nodelay(true)?;
    stream.set_nonblocking(true)?;
    let mut answer = vec![0; bytes];
    let mut left = bytes;
    round_trips(server, bytes, rate, times, |message, step| match step {
        Part::Send => {
            left = bytes;
            stream.write_all(message).map(|()| false)
        }
        Part::Receive => match stream.read(&mut answer[..left]) {
            Ok(0) => Err(ErrorKind::UnexpectedEof.into()),
            Ok(count) => {
                left -= count;
                Ok(left == 0)
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error),
        },
    })
}

/// The parts of a round trip: only the second may be the last.
enum Part {
    Send,
    Receive,
}

fn round_trips(
    server: &Server,
    bytes: usize,
    rate: u32,
    times: Times,
    mut exchange: impl FnMut(&[u8], Part) -> io::Result<bool>,
) -> io::Result<Measured> {
    let period = Duration::from_secs(1) / rate;
    let mut message = vec![7; bytes];
    let mut histogram = Histogram::<u64>::new_with_max(10_000_000_000, 3).expect("in its limits");
    let (mut lost, mut number) = (0u64, 0u64);
    let begin = Instant::now();
    let mut due = begin + period;
    let (mut warm, mut cpu) = (false, Duration::ZERO);
    while due - begin < times.warm_up + times.latency {
        if !warm && due - begin > times.warm_up {
            (warm, cpu) = (true, server.cpu()?);
            histogram.reset();
            lost = 0;
        }
        while Instant::now() < due {
            core::hint::spin_loop();
        }
        number += 1;
        message[..8].copy_from_slice(&number.to_le_bytes());
        exchange(&message, Part::Send)?;
        let until = due + ANSWER_WAIT_MAX;
        loop {
            let done = exchange(&message, Part::Receive)?;
            let now = Instant::now();
            if done {
                histogram.saturating_record((now - due).as_nanos() as u64);
                break;
            }
            if now > until {
                lost += 1;
                break;
            }
        }
        due = (due + period).max(Instant::now());
    }
    let cpu = server.cpu()? - cpu;
    let micros = |quantile: f64| histogram.value_at_quantile(quantile) as f64 / 1_000.0;
    let count = histogram.len().max(1) as f64;
    Ok(Measured {
        figure: micros(0.5),
        cpu: cpu_of_each(cpu, histogram.len()),
        busy: None,
        lost: Some(lost as f64 / (count + lost as f64)),
        more: vec![
            ("p99", micros(0.99)),
            ("p99.9", micros(0.999)),
            ("round trips", histogram.len() as f64),
        ],
    })
}

/// After so long, an answer counts as lost.
const ANSWER_WAIT_MAX: Duration = Duration::from_millis(100);
