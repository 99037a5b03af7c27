//! What `top` takes from a page, and what two pages say of the time between them.

use std::collections::BTreeMap;

use super::page::samples;

/// What a page says, as far as it is shown.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Snapshot {
    pub version: String,
    pub workers: BTreeMap<u64, Worker>,
}

/// What a page says of one worker.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Worker {
    /// When this was so, in seconds since the start of the worker's runner.
    pub at: f64,
    pub utilization: f64,
    pub busy_seconds: f64,
    pub wall_seconds: f64,
    pub wake_ups: f64,
    pub datagrams_in: f64,
    pub datagrams_out: f64,
    /// Bytes of datagrams, streams and devices.
    pub bytes_in: f64,
    pub bytes_out: f64,
    pub messages: f64,
    /// All queues together, and of each the most that ever waited.
    pub queued: f64,
    pub queued_max: f64,
    /// Datagrams, messages, packets and events.
    pub dropped: f64,
    pub loops: Histogram,
    pub lateness: Histogram,
    pub groups: BTreeMap<String, Group>,
}

/// What a page says of the tasks of one type.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Group {
    pub tasks: f64,
    pub inputs: f64,
    pub timeouts: f64,
    /// Panicked, or stopped because their output did not end.
    pub failed: f64,
}

/// How many durations did not exceed each limit, which is in seconds.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Histogram(Vec<(f64, f64)>);

impl Snapshot {
    /// Reads a page. It has to be of a stillpoint runtime.
    pub fn read(page: &str) -> Result<Self, String> {
        let mut snapshot = Self::default();
        let mut is_ours = false;
        for sample in samples(page) {
            let Some(name) = sample.name.strip_prefix("stillpoint_") else {
                continue;
            };
            is_ours = true;
            if name == "info" {
                let version = sample.label("version").unwrap_or_default();
                version.clone_into(&mut snapshot.version);
            }
            let worker = sample
                .label("worker")
                .and_then(|worker| worker.parse().ok());
            let Some(worker) = worker else {
                continue;
            };
            let worker: &mut Worker = snapshot.workers.entry(worker).or_default();
            match sample.label("group") {
                Some(group) => {
                    let end = sample.label("end").unwrap_or_default();
                    let group = worker.groups.entry(group.to_owned()).or_default();
                    group.take(name, end, sample.value);
                }
                None => worker.take(name, sample.label("le"), sample.value),
            }
        }
        if is_ours {
            Ok(snapshot)
        } else {
            Err("these are not the metrics of a stillpoint runtime".to_owned())
        }
    }
}

impl Worker {
    fn take(&mut self, name: &str, limit: Option<&str>, value: f64) {
        let field = match name {
            "status_seconds" => &mut self.at,
            "utilization_ratio" => &mut self.utilization,
            "busy_seconds_total" => &mut self.busy_seconds,
            "wall_seconds_total" => &mut self.wall_seconds,
            "wake_ups_total" => &mut self.wake_ups,
            "datagrams_in_total" => &mut self.datagrams_in,
            "datagrams_out_total" => &mut self.datagrams_out,
            "datagram_bytes_in_total" | "stream_bytes_in_total" | "device_bytes_in_total" => {
                &mut self.bytes_in
            }
            "datagram_bytes_out_total" | "stream_bytes_out_total" | "device_bytes_out_total" => {
                &mut self.bytes_out
            }
            "bus_delivered_total" => &mut self.messages,
            "queue_depth" => &mut self.queued,
            "queue_depth_max" => {
                self.queued_max = self.queued_max.max(value);
                return;
            }
            "datagrams_dropped_total"
            | "bus_dropped_total"
            | "device_packets_dropped_total"
            | "events_dropped_total" => &mut self.dropped,
            "loop_latency_seconds_bucket" => return self.loops.take(limit, value),
            "timeout_lateness_seconds_bucket" => return self.lateness.take(limit, value),
            _ => return,
        };
        *field += value;
    }

    /// All tasks together.
    pub fn tasks(&self) -> Group {
        let mut sum = Group::default();
        for group in self.groups.values() {
            sum.add(*group);
        }
        sum
    }

    /// Adds another one's numbers, for a total.
    pub fn add(&mut self, other: &Self) {
        self.at = self.at.max(other.at);
        self.utilization += other.utilization;
        self.busy_seconds += other.busy_seconds;
        self.wall_seconds += other.wall_seconds;
        self.wake_ups += other.wake_ups;
        self.datagrams_in += other.datagrams_in;
        self.datagrams_out += other.datagrams_out;
        self.bytes_in += other.bytes_in;
        self.bytes_out += other.bytes_out;
        self.messages += other.messages;
        self.queued += other.queued;
        self.queued_max = self.queued_max.max(other.queued_max);
        self.dropped += other.dropped;
        self.loops.add(&other.loops);
        self.lateness.add(&other.lateness);
        for (name, group) in &other.groups {
            self.groups.entry(name.clone()).or_default().add(*group);
        }
    }

    /// What has come since `before`, for each second that has passed. What is no count is as it
    /// is now. `None` if no time has passed, or the program is another one by now.
    pub fn since(&self, before: &Self) -> Option<Self> {
        let seconds = self.at - before.at;
        if seconds <= 0.0 || self.wall_seconds < before.wall_seconds {
            return None;
        }
        let rate = |now: f64, before: f64| (now - before).max(0.0) / seconds;
        let wall = self.wall_seconds - before.wall_seconds;
        let mut groups = self.groups.clone();
        for (name, group) in &mut groups {
            let before = before.groups.get(name).copied().unwrap_or_default();
            group.inputs = rate(group.inputs, before.inputs);
            group.timeouts = rate(group.timeouts, before.timeouts);
        }
        Some(Self {
            at: self.at,
            utilization: if wall > 0.0 {
                ((self.busy_seconds - before.busy_seconds) / wall).clamp(0.0, 1.0)
            } else {
                self.utilization
            },
            busy_seconds: self.busy_seconds,
            wall_seconds: self.wall_seconds,
            wake_ups: rate(self.wake_ups, before.wake_ups),
            datagrams_in: rate(self.datagrams_in, before.datagrams_in),
            datagrams_out: rate(self.datagrams_out, before.datagrams_out),
            bytes_in: rate(self.bytes_in, before.bytes_in),
            bytes_out: rate(self.bytes_out, before.bytes_out),
            messages: rate(self.messages, before.messages),
            queued: self.queued,
            queued_max: self.queued_max,
            dropped: rate(self.dropped, before.dropped),
            loops: self.loops.since(&before.loops),
            lateness: self.lateness.since(&before.lateness),
            groups,
        })
    }
}

impl Group {
    fn take(&mut self, name: &str, end: &str, value: f64) {
        match (name, end) {
            ("tasks", _) => self.tasks += value,
            ("inputs_total", _) => self.inputs += value,
            ("timeouts_total", _) => self.timeouts += value,
            ("tasks_ended_total", "panicked" | "runaway") => self.failed += value,
            _ => {}
        }
    }

    fn add(&mut self, other: Self) {
        self.tasks += other.tasks;
        self.inputs += other.inputs;
        self.timeouts += other.timeouts;
        self.failed += other.failed;
    }
}

impl Histogram {
    fn take(&mut self, limit: Option<&str>, count: f64) {
        let limit = match limit {
            Some("+Inf") => Some(f64::INFINITY),
            Some(limit) => limit.parse().ok(),
            None => None,
        };
        if let Some(limit) = limit {
            self.0.push((limit, count));
        }
    }

    fn add(&mut self, other: &Self) {
        if self.0.is_empty() {
            self.0.clone_from(&other.0);
            return;
        }
        for ((_, count), (_, more)) in self.0.iter_mut().zip(&other.0) {
            *count += more;
        }
    }

    fn since(&self, before: &Self) -> Self {
        let mut since = self.clone();
        for ((_, count), (_, less)) in since.0.iter_mut().zip(&before.0) {
            *count = (*count - less).max(0.0);
        }
        since
    }

    /// A limit in seconds that `quantile` of the durations do not exceed. `None` if there are
    /// none.
    pub fn quantile(&self, quantile: f64) -> Option<f64> {
        let all = self.0.last().map_or(0.0, |(_, count)| *count);
        let wanted = all * quantile;
        let found = self.0.iter().find(|(_, count)| *count >= wanted);
        found.filter(|_| all > 0.0).map(|(limit, _)| *limit)
    }
}
