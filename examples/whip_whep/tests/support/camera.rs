//! What a publisher has to show and to say: pictures and sound, and when they are due.

use core::ops::RangeInclusive;
use core::time::Duration;
use std::collections::{BTreeSet, VecDeque};

use stillpoint::{Context, Timestamp};
use str0m::media::MediaTime;

use super::frames::{Frame, FrameKind};

/// How a publisher films.
#[derive(Debug, Clone)]
pub struct CameraConfig {
    /// Layers of the simulcast, from the smallest; with 1, there is none.
    pub layers: u32,
    /// Between two pictures.
    pub picture_every: Duration,
    /// Between two key frames, if nobody asks for any.
    pub key_every: Duration,
    /// Bytes of a picture that builds upon the one before. Each layer has twice those of the last.
    pub delta_bytes: RangeInclusive<u64>,
    pub key_bytes: RangeInclusive<u64>,
}

impl Default for CameraConfig {
    /// 30 pictures a second, some 330 kbit/s of them, and speech. Few key frames, so that they have
    /// to be asked for.
    fn default() -> Self {
        Self {
            layers: 1,
            picture_every: Duration::from_nanos(33_333_333),
            key_every: Duration::from_secs(30),
            delta_bytes: 300..=2_400,
            key_bytes: 4_000..=9_000,
        }
    }
}

/// The names of layers in offers.
pub const RIDS: [&str; 3] = ["q", "h", "f"];

/// Pictures and sound, as they become due.
#[derive(Debug)]
pub struct Camera {
    pub config: CameraConfig,
    /// Whose frames they are; drawn.
    pub source: u32,
    /// How many there were.
    pub pictures: u32,
    pub sounds: u32,
    /// Key frames among the pictures, of all layers.
    pub keys: u32,
    /// How often a key frame was asked for.
    pub asked: u32,
    /// Layers whose next picture is to be a key frame.
    wanted: BTreeSet<u32>,
    began_at: Timestamp,
    picture_at: Timestamp,
    sound_at: Timestamp,
    key_at: Timestamp,
    ready: VecDeque<Shot>,
}

/// A frame on its way out.
#[derive(Debug)]
pub struct Shot {
    pub kind: FrameKind,
    pub layer: u32,
    pub time: MediaTime,
    pub bytes: Vec<u8>,
}

impl Camera {
    /// One that begins now.
    pub fn new(now: Timestamp, config: CameraConfig, context: &mut Context) -> Self {
        Self {
            source: u32::try_from(context.random.below(1 << 32)).expect("32 bits"),
            pictures: 0,
            sounds: 0,
            keys: 0,
            asked: 0,
            wanted: (0..config.layers).collect(),
            began_at: now,
            picture_at: now,
            sound_at: now,
            key_at: now.after(config.key_every),
            ready: VecDeque::new(),
            config,
        }
    }

    /// When something is due.
    pub fn next_at(&self) -> Timestamp {
        self.picture_at.min(self.sound_at)
    }

    /// Somebody wants a key frame of the layer of this name, or of all.
    pub fn ask_for_key(&mut self, rid: Option<&str>) {
        self.asked += 1;
        let is_meant = |layer: &u32| rid.is_none_or(|rid| RIDS[*layer as usize] == rid);
        self.wanted.extend((0..self.config.layers).filter(is_meant));
    }

    /// The next frame that is due, if one is.
    pub fn shoot(&mut self, now: Timestamp, context: &mut Context) -> Option<Shot> {
        if now >= self.sound_at {
            self.sound_at = next(now, self.sound_at, SOUND_EVERY);
            self.record(now, context);
        }
        if now >= self.picture_at {
            self.picture_at = next(now, self.picture_at, self.config.picture_every);
            if now >= self.key_at {
                self.key_at = now.after(self.config.key_every);
                self.wanted.extend(0..self.config.layers);
            }
            self.film(now, context);
        }
        self.ready.pop_front()
    }

    /// A sound of 20 ms.
    fn record(&mut self, now: Timestamp, context: &mut Context) {
        let frame = Frame {
            source: self.source,
            layer: 0,
            number: self.sounds,
            kind: FrameKind::Audio,
            at: now,
        };
        let len = context.random.range(60..=160);
        self.sounds += 1;
        self.ready.push_back(Shot {
            kind: FrameKind::Audio,
            layer: 0,
            time: MediaTime::from_secs(0),
            bytes: frame.write(usize::try_from(len).expect("a length")),
        });
        let time = self.media_time(now, 48_000);
        self.ready.back_mut().expect("pushed").time = time;
    }

    /// A picture of each layer.
    fn film(&mut self, now: Timestamp, context: &mut Context) {
        let time = self.media_time(now, 90_000);
        for layer in 0..self.config.layers {
            let (kind, bytes) = match self.wanted.remove(&layer) {
                true => (FrameKind::Key, self.config.key_bytes.clone()),
                false => (FrameKind::Delta, self.config.delta_bytes.clone()),
            };
            let len = context.random.range(bytes) << layer;
            let frame = Frame {
                source: self.source,
                layer,
                number: self.pictures,
                kind,
                at: now,
            };
            self.keys += u32::from(kind == FrameKind::Key);
            self.ready.push_back(Shot {
                kind,
                layer,
                time,
                bytes: frame.write(usize::try_from(len).expect("a length")),
            });
        }
        self.pictures += 1;
    }

    fn media_time(&self, now: Timestamp, rate: u32) -> MediaTime {
        let nanos = u128::from(now.as_nanos() - self.began_at.as_nanos());
        let ticks = nanos * u128::from(rate) / 1_000_000_000;
        let frequency = str0m::media::Frequency::new(rate).expect("a rate");
        MediaTime::new(u64::try_from(ticks).expect("a while"), frequency)
    }
}

/// When the next one is due. Those that nobody was there to make are not made up for.
fn next(now: Timestamp, due: Timestamp, every: Duration) -> Timestamp {
    let next = due.after(every);
    if next > now { next } else { now.after(every) }
}

/// Between two sounds.
const SOUND_EVERY: Duration = Duration::from_millis(20);
