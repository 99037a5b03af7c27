//! The cases: what is measured, and which of them a run has unless it is told otherwise.

/// A load, and how it is called.
#[derive(Debug, Clone)]
pub struct Case {
    pub name: String,
    pub load: Load,
    pub part_of: Selection,
}

/// The smallest selection that a case is part of; each is part of the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Selection {
    Quick,
    Usual,
    All,
}

/// What the generator does.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Load {
    UdpEcho {
        bytes: usize,
        peers: usize,
        run: usize,
    },
    UdpSink {
        bytes: usize,
        peers: usize,
        run: usize,
    },
    FanOut {
        bytes: usize,
        frame: usize,
    },
    TcpEcho {
        connections: usize,
        bytes: usize,
        depth: usize,
    },
    UdpLatency {
        bytes: usize,
        rate: u32,
    },
    TcpLatency {
        bytes: usize,
        rate: u32,
    },
    TcpMemory {
        connections: usize,
    },
    TcpIdle {
        connections: usize,
    },
    UdpIdle {
        peers: usize,
    },
}

/// What a figure is, and which is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unit {
    pub name: &'static str,
    pub better: Better,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Better {
    More,
    Less,
}

impl Load {
    pub const fn unit(&self) -> Unit {
        let (name, better) = match self {
            Self::UdpEcho { .. } | Self::UdpSink { .. } | Self::FanOut { .. } => {
                ("datagrams/s", Better::More)
            }
            Self::TcpEcho { .. } => ("messages/s", Better::More),
            Self::UdpLatency { .. } | Self::TcpLatency { .. } => ("us, p50", Better::Less),
            Self::TcpMemory { .. } => ("B/connection", Better::Less),
            Self::TcpIdle { .. } | Self::UdpIdle { .. } => ("us of CPU/s", Better::Less),
        };
        Unit { name, better }
    }

    /// Whether it is about single round trips.
    pub const fn is_latency(&self) -> bool {
        matches!(self, Self::UdpLatency { .. } | Self::TcpLatency { .. })
    }

    /// What its group is called in tables and charts.
    pub const fn group(&self) -> &'static str {
        match self {
            Self::UdpEcho { .. } => "udp-echo",
            Self::UdpSink { .. } => "udp-receive",
            Self::FanOut { .. } => "udp-fan-out",
            Self::TcpEcho { .. } => "tcp-echo",
            Self::UdpLatency { .. } | Self::TcpLatency { .. } => "latency",
            Self::TcpMemory { .. } => "memory",
            Self::TcpIdle { .. } | Self::UdpIdle { .. } => "idle",
        }
    }

    fn name(&self) -> String {
        let group = self.group();
        match *self {
            Self::UdpEcho { bytes, peers, run } | Self::UdpSink { bytes, peers, run } => {
                format!("{group}/{bytes}B/{peers}-peers/run-{run}")
            }
            Self::FanOut { bytes, frame } => format!("{group}/{bytes}B/100-viewers/frame-{frame}"),
            Self::TcpEcho {
                connections,
                bytes,
                depth,
            } => format!("{group}/{bytes}B/{connections}-connections/depth-{depth}"),
            Self::UdpLatency { bytes, rate } => format!("{group}/udp/{bytes}B/{rate}-a-second"),
            Self::TcpLatency { bytes, rate } => format!("{group}/tcp/{bytes}B/{rate}-a-second"),
            Self::TcpMemory { connections } | Self::TcpIdle { connections } => {
                format!("{group}/tcp/{connections}-connections")
            }
            Self::UdpIdle { peers } => format!("{group}/udp/{peers}-peers"),
        }
    }
}

impl Case {
    /// All that there are, in the order of the tables.
    pub fn all() -> Vec<Self> {
        let mut all = Vec::new();
        let mut add = |load: Load, part_of: Selection| {
            all.push(Self {
                name: load.name(),
                load,
                part_of,
            });
        };
        for bytes in [64, 200, 1_200] {
            for peers in [1, 1_000] {
                for run in [1, 2, 4, 8, 16, 32] {
                    let part_of = match (bytes, peers, run) {
                        (1_200, 1_000, 1 | 4 | 32) => Selection::Quick,
                        (64, 1_000, 1 | 32)
                        | (200 | 1_200, 1_000, _)
                        | (200 | 1_200, 1, 1 | 32) => Selection::Usual,
                        _ => Selection::All,
                    };
                    add(Load::UdpEcho { bytes, peers, run }, part_of);
                }
            }
        }
        for bytes in [64, 200, 1_200] {
            for peers in [1, 1_000] {
                for run in [1, 2, 4, 8, 16, 32] {
                    let part_of = match (bytes, peers, run) {
                        (1_200, 1_000, 1 | 32) => Selection::Quick,
                        (1_200, 1_000, 8) | (200, 1_000, 1 | 32) | (1_200, 1, 1 | 32) => {
                            Selection::Usual
                        }
                        _ => Selection::All,
                    };
                    add(Load::UdpSink { bytes, peers, run }, part_of);
                }
            }
        }
        for bytes in [200, 1_200] {
            for frame in [1, 4, 32] {
                let part_of = match (bytes, frame) {
                    (1_200, 1 | 32) => Selection::Quick,
                    (1_200, _) | (200, 32) => Selection::Usual,
                    _ => Selection::All,
                };
                add(Load::FanOut { bytes, frame }, part_of);
            }
        }
        streams(&mut add);
        all
    }
}

/// The cases of streams, and those that are no throughput.
fn streams(add: &mut impl FnMut(Load, Selection)) {
    for connections in [100, 2_000] {
        for bytes in [64, 4_096, 65_536] {
            for depth in [1, 16] {
                let part_of = match (connections, bytes, depth) {
                    (100, 64, _) | (100, 4_096, 1) => Selection::Quick,
                    // That is two gigabytes under way.
                    (2_000, 65_536, 16) => continue,
                    _ => Selection::Usual,
                };
                let load = Load::TcpEcho {
                    connections,
                    bytes,
                    depth,
                };
                add(load, part_of);
            }
        }
    }
    let (bytes, rate) = (200, 2_000);
    add(Load::UdpLatency { bytes, rate }, Selection::Quick);
    add(Load::TcpLatency { bytes: 64, rate }, Selection::Usual);
    add(Load::TcpMemory { connections: 2_000 }, Selection::Quick);
    add(Load::TcpIdle { connections: 1_000 }, Selection::Quick);
    add(Load::UdpIdle { peers: 1_000 }, Selection::Quick);
}
