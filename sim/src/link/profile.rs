//! Links that everybody knows, by name.

use core::time::Duration;

use super::{Latency, Link, Loss, Oversize, Queue};

/// There is no profile of this name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no profile `{name}`: there are {}", names())]
#[non_exhaustive]
pub struct UnknownProfile {
    /// The name.
    pub name: String,
}

impl Link {
    /// A machine's way to itself: 10 to 50 microseconds, which is what two processes measure over
    /// Linux's loopback device, with its MTU of 65,536 bytes.
    #[must_use]
    pub fn loopback() -> Self {
        Self::new(us(10)..=us(50)).mtu(65_536).fragmented()
    }

    /// One switch in between: gigabit Ethernet (IEEE 802.3ab), 100 to 300 microseconds with what
    /// both hosts add, an MTU of 1,500 bytes.
    #[must_use]
    pub fn lan() -> Self {
        Self::new(us(100)..=us(300))
            .bandwidth(1_000_000_000)
            .mtu(1_500)
            .fragmented()
    }

    /// Two servers in one data centre: 25 Gbit/s, half of a round trip of 250 microseconds in the
    /// median and 1.3 ms at the 99th percentile, and one of 50,000 datagrams lost. Round trips and
    /// loss are those between racks in C. Guo et al., "Pingmesh" (SIGCOMM 2015), rounded.
    #[must_use]
    pub fn data_center() -> Self {
        Self::default()
            .latency(Latency::log_normal(us(125), 0.7))
            .loss(0.000_02)
            .bandwidth(25_000_000_000)
            .mtu(1_500)
            .fragmented()
    }

    /// From a laptop to the access point at home: 100 Mbit/s; 2 ms in the median and 20 ms at the
    /// 99th percentile, since the air is shared; half a percent lost, in bursts of two, after
    /// the radio's own attempts. The shape, with its long tail, is that of K. Sui et al.,
    /// "Characterizing and Improving WiFi Latency in Large-Scale Operational Networks" (MobiSys
    /// 2016); CoDel is what Linux's Wi-Fi has in front (RFC 8290), here without its queues by flow.
    #[must_use]
    pub fn home_wifi() -> Self {
        Self::default()
            .latency(Latency::log_normal(ms(2), 1.0))
            .loss_model(Loss::bursts(0.005, 2.0))
            .bandwidth(100_000_000)
            .queue(Queue::codel(ms(20), ms(100)))
            .mtu(1_500)
            .fragmented()
    }

    /// A phone on LTE: half of a round trip of 70 ms in the median, 12 Mbit/s, which are the medians
    /// of J. Huang et al., "A Close Examination of Performance and Power Characteristics of 4G LTE
    /// Networks" (MobiSys 2012); little loss, and a queue of a second instead, as H. Jiang et al.
    /// found in "Tackling Bufferbloat in 3G/4G Networks" (IMC 2012). Uplinks had 5 Mbit/s: set them
    /// with [`World::one_way`](crate::World::one_way).
    #[must_use]
    pub fn mobile_4g() -> Self {
        Self::default()
            .latency(Latency::log_normal(ms(35), 0.3))
            .loss(0.001)
            .bandwidth(12_000_000)
            .queue(Queue::tail_drop(1_500_000))
            .mtu(1_500)
            .fragmented()
    }

    /// A geostationary satellite: at least 279 ms one way (RFC 2488, section 2: a round trip of 558
    /// ms), and up to 40 ms for access to the shared channel; 25 Mbit/s, which the United States
    /// called broadband in 2015; one in 200 lost, five in a row, as weather has it.
    #[must_use]
    pub fn satellite() -> Self {
        Self::new(ms(279)..=ms(319))
            .loss_model(Loss::bursts(0.005, 5.0))
            .bandwidth(25_000_000)
            .queue(Queue::tail_drop(2_000_000))
            .mtu(1_500)
            .fragmented()
    }

    /// The link of this name: `loopback`, `lan`, `data-center`, `home-wifi`, `4g` or `satellite`.
    ///
    /// # Errors
    ///
    /// If there is none; the error lists the names.
    ///
    /// # Example
    ///
    /// ```
    /// use stillpoint_sim::Link;
    ///
    /// assert_eq!(Link::profile("4g"), Ok(Link::mobile_4g()));
    /// let error = Link::profile("5g").expect_err("none yet");
    /// assert!(error.to_string().contains("`4g`, `satellite`"));
    /// ```
    pub fn profile(name: &str) -> Result<Self, UnknownProfile> {
        let found = PROFILES.iter().find(|&&(known, _)| known == name);
        let (_, make) = found.ok_or_else(|| UnknownProfile { name: name.into() })?;
        Ok(make())
    }

    /// What hosts send by default over IPv4 is fragmented where it must be.
    const fn fragmented(self) -> Self {
        self.oversize(Oversize::Fragment)
    }
}

/// What makes a link.
type Make = fn() -> Link;

const PROFILES: [(&str, Make); 6] = [
    ("loopback", Link::loopback),
    ("lan", Link::lan),
    ("data-center", Link::data_center),
    ("home-wifi", Link::home_wifi),
    ("4g", Link::mobile_4g),
    ("satellite", Link::satellite),
];

fn names() -> String {
    PROFILES.map(|(name, _)| format!("`{name}`")).join(", ")
}

const fn us(micros: u64) -> Duration {
    Duration::from_micros(micros)
}

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}
