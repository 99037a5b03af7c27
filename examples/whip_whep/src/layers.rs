//! Which layer of a simulcast a viewer gets, and when it may change.
//!
//! A viewer gets one layer at a time: the largest that fits the bandwidth it has. It changes with a
//! key frame, and the times of what it gets go on as if there were one stream only: each layer has a
//! clock that began anywhere.

use core::time::Duration;

use stillpoint::Timestamp;
use str0m::media::{MediaTime, Rid};

use crate::media::{Frame, Kind};

/// The layers of one publisher's video, for one viewer.
#[derive(Debug)]
pub(crate) struct Layers {
    seen: Vec<Layer>,
    /// Which one the viewer gets. `None` until a key frame has come.
    current: Option<Option<Rid>>,
    /// Whether nothing goes out until the next key frame.
    is_broken: bool,
    /// Bits per second that the viewer's network carries, as far as is known.
    bandwidth: u64,
    /// When a key frame was last asked for.
    asked_at: Option<Timestamp>,
    timeline: Timeline,
}

#[derive(Debug)]
struct Layer {
    rid: Option<Rid>,
    seen_at: Timestamp,
    /// Since when it is measured, and what came since, in bytes.
    since: Timestamp,
    bytes: u64,
    /// What it took in the last second, in bits per second.
    bitrate: u64,
}

/// What is to be done with a frame.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It goes out, with this time.
    Forward(MediaTime),
    /// It does not.
    Skip,
    /// It does not, and this layer's publisher is to send a key frame.
    SkipAndAsk(Option<Rid>),
}

impl Layers {
    pub(crate) const fn new(bandwidth: u64) -> Self {
        Self {
            seen: Vec::new(),
            current: None,
            is_broken: false,
            bandwidth,
            asked_at: None,
            timeline: Timeline::NEW,
        }
    }

    pub(crate) const fn set_bandwidth(&mut self, bits_per_second: u64) {
        self.bandwidth = bits_per_second;
    }

    /// Bits per second that it takes to find out whether more would fit: what the next larger layer
    /// needs, or a little more than the largest takes. No more than that, since whoever looks for room
    /// in a narrow network fills it.
    pub(crate) fn next(&self) -> u64 {
        let current = self
            .seen
            .iter()
            .find(|layer| self.current == Some(layer.rid));
        let current = current.map_or(0, |layer| layer.bitrate);
        let larger = self
            .seen
            .iter()
            .map(|layer| layer.bitrate)
            .filter(|&bitrate| bitrate > current);
        let next = larger.min().unwrap_or(current);
        next + next / 2
    }

    /// Bits per second below which nothing can go out: what the smallest layer takes, and something for
    /// sound and for what is sent again.
    pub(crate) fn floor(&self) -> u64 {
        let smallest = self.seen.iter().map(|layer| layer.bitrate).min();
        smallest.map_or(0, |smallest| smallest + smallest / 4 + SOUND)
    }

    /// The layer that the viewer gets, if one goes out.
    pub(crate) const fn current(&self) -> Option<Option<Rid>> {
        self.current
    }

    /// What is to be done with a frame of one of the layers.
    pub(crate) fn judge(&mut self, now: Timestamp, frame: &Frame) -> Verdict {
        self.note(now, frame);
        let wanted = self.wanted();
        let is_current = self.current == Some(frame.rid);
        if frame.kind == Kind::KeyFrame && (frame.rid == wanted || is_current) {
            self.current = Some(frame.rid);
            self.is_broken = false;
        } else if is_current && frame.kind == Kind::Broken {
            self.is_broken = true;
        }
        let needs_key_frame = self.is_broken || self.current != Some(wanted);
        if self.current == Some(frame.rid) && !self.is_broken {
            return Verdict::Forward(self.timeline.place(frame));
        }
        if needs_key_frame && frame.rid == wanted && self.may_ask(now) {
            return Verdict::SkipAndAsk(wanted);
        }
        Verdict::Skip
    }

    fn note(&mut self, now: Timestamp, frame: &Frame) {
        self.seen
            .retain(|layer| now.since(layer.seen_at) < LAYER_SILENCE_MAX);
        let place = self.seen.iter().position(|layer| layer.rid == frame.rid);
        let place = place.unwrap_or_else(|| {
            self.seen.push(Layer {
                rid: frame.rid,
                seen_at: now,
                since: now,
                bytes: 0,
                bitrate: 0,
            });
            self.seen.len() - 1
        });
        let layer = &mut self.seen[place];
        layer.seen_at = now;
        layer.bytes += frame.data.len() as u64;
        let passed = now.since(layer.since);
        if passed >= MEASURED_FOR {
            let millis = u64::try_from(passed.as_millis()).unwrap_or(u64::MAX);
            layer.bitrate = layer.bytes * 8_000 / millis;
            (layer.since, layer.bytes) = (now, 0);
        }
    }

    /// The largest layer that fits, or the smallest if none does. The one that goes out already is
    /// kept as long as it fits at all, others have to fit easily.
    fn wanted(&self) -> Option<Rid> {
        let fits = |layer: &&Layer| {
            let slack = if self.current == Some(layer.rid) {
                0
            } else {
                layer.bitrate / 4
            };
            layer.bitrate + slack <= self.bandwidth
        };
        let largest = self
            .seen
            .iter()
            .filter(fits)
            .max_by_key(|layer| layer.bitrate);
        let smallest = || self.seen.iter().min_by_key(|layer| layer.bitrate);
        largest.or_else(smallest).and_then(|layer| layer.rid)
    }

    fn may_ask(&mut self, now: Timestamp) -> bool {
        let may = self.asked_at.is_none_or(|at| now.since(at) >= ASK_AGAIN);
        if may {
            self.asked_at = Some(now);
        }
        may
    }
}

/// The times of what a viewer gets, in ticks of its clock.
#[derive(Debug)]
struct Timeline {
    /// Whose clock it follows.
    layer: Option<Option<Rid>>,
    /// What is added to that clock.
    offset: u64,
    /// The last frame: its time, and when it came.
    last: u64,
    last_at: Timestamp,
}

impl Timeline {
    const NEW: Self = Self {
        layer: None,
        offset: 0,
        last: 0,
        last_at: Timestamp::EPOCH,
    };

    /// The time of a frame that goes out. With another layer, time goes on by as much as has passed.
    fn place(&mut self, frame: &Frame) -> MediaTime {
        let time = frame.time.numer();
        if self.layer.is_some() && self.layer != Some(frame.rid) {
            let passed = frame.at.since(self.last_at).as_nanos() * u128::from(frame.time.denom());
            let passed = u64::try_from(passed / 1_000_000_000)
                .unwrap_or(u64::MAX)
                .max(1);
            self.offset = self.last.wrapping_add(passed).wrapping_sub(time);
        }
        self.layer = Some(frame.rid);
        self.last = time.wrapping_add(self.offset);
        self.last_at = frame.at;
        MediaTime::new(self.last, frame.time.frequency())
    }
}

/// A layer of which nothing came for so long has ended.
const LAYER_SILENCE_MAX: Duration = Duration::from_secs(3);

/// How long a layer is looked at to know what it takes.
const MEASURED_FOR: Duration = Duration::from_secs(1);

/// Bits per second that sound takes.
const SOUND: u64 = 48_000;

/// How long to wait for a key frame before asking again.
const ASK_AGAIN: Duration = Duration::from_millis(500);
