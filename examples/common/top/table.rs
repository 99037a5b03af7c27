//! The table that `top` shows, and the same as JSON.

use serde_json::{Value, json};

use super::sample::{Group, Snapshot, Worker};
use super::units::{age, bar, bytes, count, duration};

/// Two pages of one server, and what lies between them.
#[derive(Debug)]
pub struct View {
    server: String,
    version: String,
    /// The number of a worker, how it is now, and what has come in each second since before.
    workers: Vec<(u64, Worker, Option<Worker>)>,
}

impl View {
    pub fn new(server: &str, now: &Snapshot, before: Option<&Snapshot>) -> Self {
        let workers = now.workers.iter().map(|(&number, worker)| {
            let before = before.and_then(|before| before.workers.get(&number));
            let rates = before.and_then(|before| worker.since(before));
            (number, worker.clone(), rates)
        });
        Self {
            server: server.to_owned(),
            version: now.version.clone(),
            workers: workers.collect(),
        }
    }

    /// All workers together: as they are, and what has come in each second.
    fn total(&self) -> (Worker, Option<Worker>) {
        let (mut now, mut rates) = (Worker::default(), None);
        for (_, worker, since) in &self.workers {
            now.add(worker);
            if let Some(since) = since {
                rates.get_or_insert_with(Worker::default).add(since);
            }
        }
        #[expect(clippy::cast_precision_loss, reason = "a few workers")]
        let workers = self.workers.len().max(1) as f64;
        now.utilization /= workers;
        if let Some(rates) = &mut rates {
            rates.utilization /= workers;
        }
        (now, rates)
    }

    /// The lines to show.
    pub fn lines(&self) -> Vec<String> {
        let (total, total_rates) = self.total();
        let mut lines = vec![format!(
            "{}   stillpoint {}   {} workers   {} tasks   up {}",
            self.server,
            self.version,
            self.workers.len(),
            count(total.tasks().tasks),
            age(total.at),
        )];
        let mut rows = vec![WORKER_HEADS.map(|[over, _]| over.to_owned()).to_vec()];
        rows.push(WORKER_HEADS.map(|[_, head]| head.to_owned()).to_vec());
        for (number, worker, rates) in &self.workers {
            rows.push(worker_row(&number.to_string(), worker, rates.as_ref()));
        }
        if self.workers.len() > 1 {
            rows.push(worker_row("all", &total, total_rates.as_ref()));
        }
        lines.push(String::new());
        lines.extend(aligned(&rows));
        let mut rows = vec![GROUP_HEADS.map(str::to_owned).to_vec()];
        for (name, group) in &total.groups {
            let rates = total_rates
                .as_ref()
                .and_then(|rates| rates.groups.get(name));
            rows.push(group_row(name, group, rates));
        }
        lines.push(String::new());
        lines.extend(aligned(&rows));
        lines
    }

    /// The same for programs: rates are null where they are not known yet, durations are seconds.
    pub fn json(&self) -> Value {
        let (total, rates) = self.total();
        let workers = self.workers.iter().map(|(number, worker, rates)| {
            let mut object = worker_json(worker, rates.as_ref());
            object["worker"] = json!(number);
            object
        });
        let groups = total.groups.iter().map(|(name, group)| {
            let rates = rates.as_ref().and_then(|rates| rates.groups.get(name));
            json!({
                "group": name,
                "tasks": group.tasks,
                "inputs_per_second": rates.map(|rates| rates.inputs),
                "timeouts_per_second": rates.map(|rates| rates.timeouts),
                "panics": group.failed,
            })
        });
        json!({
            "server": self.server,
            "version": self.version,
            "workers": workers.collect::<Vec<_>>(),
            "groups": groups.collect::<Vec<_>>(),
            "total": worker_json(&total, rates.as_ref()),
        })
    }
}

const WORKER_HEADS: [[&str; 2]; 17] = [
    ["", "worker"],
    ["", "busy      "],
    ["", ""],
    ["", "tasks"],
    ["loop", "p50"],
    ["", "p99"],
    ["late", "p99"],
    ["wakes", "/s"],
    ["datagrams", "in /s"],
    ["", "out /s"],
    ["bytes", "in /s"],
    ["", "out /s"],
    ["bus", "/s"],
    ["queue", "now"],
    ["", "most"],
    ["drops", "/s"],
    ["", "panics"],
];

const GROUP_HEADS: [&str; 5] = ["group", "tasks", "inputs /s", "timeouts /s", "panics"];

const UNKNOWN: &str = "-";

fn worker_row(name: &str, now: &Worker, rates: Option<&Worker>) -> Vec<String> {
    let utilization = rates.unwrap_or(now).utilization;
    let rate = |unit: fn(f64) -> String, of: fn(&Worker) -> f64| {
        rates.map_or(UNKNOWN.to_owned(), |rates| unit(of(rates)))
    };
    // Before there is anything to compare with, durations are those of all time.
    let recent = rates.unwrap_or(now);
    let time = |quantile: Option<f64>| quantile.map_or(UNKNOWN.to_owned(), duration);
    let tasks = now.tasks();
    vec![
        name.to_owned(),
        bar(utilization, 10),
        format!("{:.0}%", utilization * 100.0),
        count(tasks.tasks),
        time(recent.loops.quantile(0.5)),
        time(recent.loops.quantile(0.99)),
        time(recent.lateness.quantile(0.99)),
        rate(count, |rates| rates.wake_ups),
        rate(count, |rates| rates.datagrams_in),
        rate(count, |rates| rates.datagrams_out),
        rate(bytes, |rates| rates.bytes_in),
        rate(bytes, |rates| rates.bytes_out),
        rate(count, |rates| rates.messages),
        count(now.queued),
        count(now.queued_max),
        rate(count, |rates| rates.dropped),
        count(tasks.failed),
    ]
}

fn group_row(name: &str, now: &Group, rates: Option<&Group>) -> Vec<String> {
    let rate = |of: fn(&Group) -> f64| rates.map_or(UNKNOWN.to_owned(), |rates| count(of(rates)));
    vec![
        name.to_owned(),
        count(now.tasks),
        rate(|rates| rates.inputs),
        rate(|rates| rates.timeouts),
        count(now.failed),
    ]
}

fn worker_json(now: &Worker, rates: Option<&Worker>) -> Value {
    let recent = rates.unwrap_or(now);
    let rate = |of: fn(&Worker) -> f64| rates.map(of);
    json!({
        "at_seconds": now.at,
        "utilization": recent.utilization,
        "tasks": now.tasks().tasks,
        "loop_p50_seconds": recent.loops.quantile(0.5),
        "loop_p99_seconds": recent.loops.quantile(0.99),
        "lateness_p99_seconds": recent.lateness.quantile(0.99),
        "wake_ups_per_second": rate(|rates| rates.wake_ups),
        "datagrams_in_per_second": rate(|rates| rates.datagrams_in),
        "datagrams_out_per_second": rate(|rates| rates.datagrams_out),
        "bytes_in_per_second": rate(|rates| rates.bytes_in),
        "bytes_out_per_second": rate(|rates| rates.bytes_out),
        "messages_per_second": rate(|rates| rates.messages),
        "queued": now.queued,
        "queued_max": now.queued_max,
        "drops_per_second": rate(|rates| rates.dropped),
        "panics": now.tasks().failed,
    })
}

/// Rows with their columns below each other: the first to the left, all others to the right.
fn aligned(rows: &[Vec<String>]) -> Vec<String> {
    let columns = rows.first().map_or(0, Vec::len);
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let lines = rows.iter().map(|row| {
        let cells = row.iter().zip(&widths).enumerate();
        let cells = cells.map(|(column, (cell, &width))| match column {
            0 => format!("{cell:<width$}"),
            _ => format!("{cell:>width$}"),
        });
        let line = cells.collect::<Vec<_>>().join("  ");
        line.trim_end().to_owned()
    });
    lines.collect()
}
