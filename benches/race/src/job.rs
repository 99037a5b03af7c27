//! What a server does, whoever it is.

use core::fmt;
use core::net::{Ipv4Addr, SocketAddrV4};
use core::str::FromStr;

/// The work of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Job {
    /// Sends each datagram back to where it came from.
    UdpEcho,
    /// Counts datagrams. One of [`QUESTION_BYTES`] asks how many there were ([`answer`]).
    UdpSink,
    /// Sends each datagram to all viewers, whose addresses follow from this port.
    UdpFanOut { port: u16 },
    /// Sends bytes back on the connection that they came by.
    TcpEcho,
}

/// Bytes of a datagram that asks a sink for its count: a number, which no other question has.
pub const QUESTION_BYTES: usize = 8;

/// What a sink answers: the question, and its count, little endian.
pub fn answer(question: &[u8], count: u64) -> [u8; 2 * QUESTION_BYTES] {
    let mut answer = [0; 2 * QUESTION_BYTES];
    answer[..QUESTION_BYTES].copy_from_slice(question);
    answer[QUESTION_BYTES..].copy_from_slice(&count.to_le_bytes());
    answer
}

/// Viewers of a fan-out.
const VIEWERS: u8 = 100;

/// The addresses of all viewers that have this port: all of one socket of the generator.
pub fn viewers(port: u16) -> Vec<SocketAddrV4> {
    let address = |number| SocketAddrV4::new(Ipv4Addr::new(127, 2, 0, number), port);
    (1..=VIEWERS).map(address).collect()
}

impl fmt::Display for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UdpEcho => f.write_str("udp-echo"),
            Self::UdpSink => f.write_str("udp-sink"),
            Self::UdpFanOut { port } => write!(f, "udp-fan-out:{port}"),
            Self::TcpEcho => f.write_str("tcp-echo"),
        }
    }
}

impl FromStr for Job {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let unknown = || format!("{name} is no job");
        match name.split_once(':') {
            None if name == "udp-echo" => Ok(Self::UdpEcho),
            None if name == "udp-sink" => Ok(Self::UdpSink),
            None if name == "tcp-echo" => Ok(Self::TcpEcho),
            Some(("udp-fan-out", port)) => {
                let port = port.parse().map_err(|_| unknown())?;
                Ok(Self::UdpFanOut { port })
            }
            _ => Err(unknown()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_is_called_as_it_is_written() {
        let jobs = [
            Job::UdpEcho,
            Job::UdpSink,
            Job::UdpFanOut { port: 7 },
            Job::TcpEcho,
        ];
        for job in jobs {
            assert_eq!(job.to_string().parse(), Ok(job));
        }
        assert!("udp-fan-out:".parse::<Job>().is_err());
        assert!("tea".parse::<Job>().is_err());
    }
}
