//! Which families there are, and what of a status goes into them.
//!
//! Each part of a status is taken apart field by field, so that one that is added later and not
//! served does not compile.

use super::text::{Families, Family, Labels, Number, counter, gauge, histogram};
use crate::bus::BusCounters;
use crate::counters::{DeviceCounters, NetworkCounters, StreamCounters};
use crate::metric::{MetricKind, MetricStatus};
use crate::status::{
    Durations, GroupCounters, GroupStatus, QueueDepths, RunnerStatus, WorkerStatus,
};

/// Writes what can be seen of workers, in the text format of Prometheus (version 0.0.4). Served
/// as [`CONTENT_TYPE`](super::CONTENT_TYPE).
///
/// That is some 110 lines, or 6 KB, for each worker, and eight lines for each of its groups. A
/// group is labelled with the short name of its type, or with the full one if several groups
/// share the short one.
///
/// # Example
///
/// ```
/// use stillpoint::WorkerStatus;
///
/// let mut text = String::new();
/// stillpoint::metrics::render(&[WorkerStatus::default()], &mut text);
/// assert!(text.contains("\nstillpoint_datagrams_in_total{worker=\"0\"} 0\n"));
/// ```
pub fn render(statuses: &[WorkerStatus], text: &mut String) {
    let mut families = Families::default();
    let info = gauge("stillpoint_info", "The version of the runtime.");
    families.add(info, &[("version", env!("CARGO_PKG_VERSION"))], 1_u64);
    for status in statuses {
        let worker = status.worker.to_string();
        let mut sheet = Sheet {
            families: &mut families,
            worker: &worker,
        };
        sheet.worker(status, statuses);
    }
    families.write(text);
}

/// Where the samples of one worker go.
struct Sheet<'a> {
    families: &'a mut Families,
    worker: &'a str,
}

impl Sheet<'_> {
    fn add(&mut self, family: Family, value: impl Into<Number>) {
        self.families.add(family, &[("worker", self.worker)], value);
    }

    /// One sample of several that differ in a label.
    fn add_of(&mut self, family: Family, label: (&'static str, &str), value: impl Into<Number>) {
        let labels: &Labels<'_> = &[("worker", self.worker), label];
        self.families.add(family, labels, value);
    }

    fn add_durations(&mut self, family: Family, durations: &Durations) {
        let labels = [("worker", self.worker)];
        self.families.add_durations(family, &labels, durations);
    }

    fn worker(&mut self, status: &WorkerStatus, all: &[WorkerStatus]) {
        let WorkerStatus {
            worker: _,
            at,
            groups,
            metrics,
            resources,
            subscriptions,
            requests,
            queues,
            bus,
            network,
            buffers_live,
            buffers_free,
            lateness,
            runner,
        } = status;
        self.add(STATUS_AT, at.since(crate::Timestamp::EPOCH));
        for group in groups {
            self.group(group, group_label(group, all));
        }
        for metric in metrics {
            self.metric(metric);
        }
        self.add(RESOURCES, *resources);
        self.add(SUBSCRIPTIONS, *subscriptions);
        self.add(REQUESTS_WAITING, *requests);
        self.queues(*queues);
        self.bus(*bus);
        self.network(*network);
        self.add_of(BUFFERS, ("state", "live"), *buffers_live);
        self.add_of(BUFFERS, ("state", "free"), *buffers_free);
        self.add_durations(LATENESS, lateness);
        self.runner(runner);
    }

    fn group(&mut self, status: &GroupStatus, name: &str) {
        let GroupStatus {
            name: _,
            tasks,
            counters,
        } = status;
        let GroupCounters {
            started,
            finished,
            panicked,
            runaway,
            removed,
            inputs,
            timeouts,
        } = *counters;
        self.add_of(TASKS, ("group", name), *tasks);
        self.add_of(TASKS_STARTED, ("group", name), started);
        for (end, count) in [
            ("finished", finished),
            ("panicked", panicked),
            ("runaway", runaway),
            ("removed", removed),
        ] {
            let labels: &Labels<'_> = &[("worker", self.worker), ("group", name), ("end", end)];
            self.families.add(TASKS_ENDED, labels, count);
        }
        self.add_of(INPUTS, ("group", name), inputs);
        self.add_of(TIMEOUTS, ("group", name), timeouts);
    }

    /// What tasks count themselves.
    fn metric(&mut self, status: &MetricStatus) {
        let MetricStatus { name, kind, value } = *status;
        let family = match kind {
            MetricKind::Counter => counter(name.name, name.help),
            MetricKind::Gauge => gauge(name.name, name.help),
        };
        match name.label {
            None => self.add(family, value),
            Some(label) => self.add_of(family, label, value),
        }
    }

    fn queues(&mut self, depths: QueueDepths) {
        let QueueDepths {
            bus,
            bus_most,
            bus_in,
            bus_in_most,
            control,
            control_most,
            pending,
            pending_most,
            events,
        } = depths;
        for (queue, depth, most) in [
            ("bus", bus, Some(bus_most)),
            ("bus_in", bus_in, Some(bus_in_most)),
            ("control", control, Some(control_most)),
            ("pending", pending, Some(pending_most)),
            ("events", events, None),
        ] {
            self.add_of(QUEUE_DEPTH, ("queue", queue), depth);
            if let Some(most) = most {
                self.add_of(QUEUE_DEPTH_MAX, ("queue", queue), most);
            }
        }
    }

    fn bus(&mut self, counters: BusCounters) {
        let BusCounters {
            sent,
            received,
            delivered,
            dropped,
            refused,
            untold,
            stale,
            unheard,
            lost,
            requests,
            replies,
            requests_failed,
        } = counters;
        self.add(BUS_SENT, sent);
        self.add(BUS_RECEIVED, received);
        self.add(BUS_DELIVERED, delivered);
        self.add(BUS_REFUSED, refused);
        for (cause, count) in [
            ("no_room", dropped),
            ("untold", untold),
            ("stale", stale),
            ("unheard", unheard),
            ("lost", lost),
        ] {
            self.add_of(BUS_DROPPED, ("cause", cause), count);
        }
        self.add(REQUESTS, requests);
        self.add(REPLIES, replies);
        self.add(REQUESTS_FAILED, requests_failed);
    }

    fn network(&mut self, counters: NetworkCounters) {
        let NetworkCounters {
            datagrams_in,
            bytes_in,
            datagrams_out,
            bytes_out,
            send_failed,
            queue_dropped,
            receive_dropped,
            undelivered,
            socket_errors,
            streams,
            devices,
        } = counters;
        self.add(DATAGRAMS_IN, datagrams_in);
        self.add(DATAGRAM_BYTES_IN, bytes_in);
        self.add(DATAGRAMS_OUT, datagrams_out);
        self.add(DATAGRAM_BYTES_OUT, bytes_out);
        for (cause, count) in [
            ("send_failed", send_failed),
            ("send_queue", queue_dropped),
            ("receive_queue", receive_dropped),
            ("undelivered", undelivered),
        ] {
            self.add_of(DATAGRAMS_DROPPED, ("cause", cause), count);
        }
        self.add(SOCKET_ERRORS, socket_errors);
        self.streams(streams);
        self.devices(devices);
    }

    fn streams(&mut self, counters: StreamCounters) {
        let StreamCounters {
            connected,
            connect_failed,
            accepted,
            refused,
            accepts_paused,
            failed,
            bytes_in,
            bytes_out,
            bytes_unsent,
            bytes_refused,
        } = counters;
        self.add(STREAMS_CONNECTED, connected);
        self.add(STREAMS_CONNECT_FAILED, connect_failed);
        self.add(STREAMS_ACCEPTED, accepted);
        self.add(STREAMS_REFUSED, refused);
        self.add(ACCEPTS_PAUSED, accepts_paused);
        self.add(STREAMS_FAILED, failed);
        self.add(STREAM_BYTES_IN, bytes_in);
        self.add(STREAM_BYTES_OUT, bytes_out);
        self.add(STREAM_BYTES_UNSENT, bytes_unsent);
        self.add(STREAM_BYTES_REFUSED, bytes_refused);
    }

    fn devices(&mut self, counters: DeviceCounters) {
        let DeviceCounters {
            packets_in,
            bytes_in,
            packets_out,
            bytes_out,
            send_failed,
            undelivered,
        } = counters;
        self.add(PACKETS_IN, packets_in);
        self.add(PACKET_BYTES_IN, bytes_in);
        self.add(PACKETS_OUT, packets_out);
        self.add(PACKET_BYTES_OUT, bytes_out);
        self.add_of(PACKETS_DROPPED, ("cause", "send_failed"), send_failed);
        self.add_of(PACKETS_DROPPED, ("cause", "undelivered"), undelivered);
    }

    fn runner(&mut self, status: &RunnerStatus) {
        let RunnerStatus {
            wake_ups,
            loops,
            wall,
            busy,
            spun,
            spins_paid,
            spins_failed,
            utilization,
            loop_latency,
            events_dropped,
        } = status;
        self.add(WAKE_UPS, *wake_ups);
        self.add(LOOPS, *loops);
        self.add(WALL, *wall);
        self.add(BUSY, *busy);
        self.add(SPUN, *spun);
        self.add_of(SPINS, ("outcome", "paid"), *spins_paid);
        self.add_of(SPINS, ("outcome", "failed"), *spins_failed);
        self.add(UTILIZATION, *utilization);
        self.add_durations(LOOP_LATENCY, loop_latency);
        self.add(EVENTS_DROPPED, *events_dropped);
    }
}

/// How a group is called: by its short name, unless another one has the same.
fn group_label(group: &GroupStatus, all: &[WorkerStatus]) -> &'static str {
    let short = group.short_name();
    let mut groups = all.iter().flat_map(|status| &status.groups);
    if groups.any(|other| other.short_name() == short && other.name != group.name) {
        group.name
    } else {
        short
    }
}

const STATUS_AT: Family = gauge(
    "stillpoint_status_seconds",
    "When the worker looked like this, since the start of its runner.",
);
const TASKS: Family = gauge("stillpoint_tasks", "Tasks that live.");
const TASKS_STARTED: Family = counter("stillpoint_tasks_started_total", "Tasks that started.");
const TASKS_ENDED: Family = counter(
    "stillpoint_tasks_ended_total",
    "Tasks that ended: finished by themselves, panicked, stopped because their output did not \
     end (runaway), or removed from outside.",
);
const INPUTS: Family = counter(
    "stillpoint_inputs_total",
    "Inputs that tasks were given, timeouts included.",
);
const TIMEOUTS: Family = counter(
    "stillpoint_timeouts_total",
    "Timeouts that tasks were given.",
);
const RESOURCES: Family = gauge(
    "stillpoint_resources",
    "Sockets, listeners, streams and devices that are open, being opened or being closed.",
);
const SUBSCRIPTIONS: Family = gauge("stillpoint_subscriptions", "Subscriptions of tasks.");
const REQUESTS_WAITING: Family = gauge(
    "stillpoint_requests_waiting",
    "Requests that wait for an answer, put by tasks or to them.",
);
const QUEUE_DEPTH: Family = gauge(
    "stillpoint_queue_depth",
    "What waits: messages within the worker (bus), from other workers (bus_in), inputs from the \
     controller (control), inputs of the worker's own (pending), events for the controller \
     (events).",
);
const QUEUE_DEPTH_MAX: Family = gauge(
    "stillpoint_queue_depth_max",
    "The most that ever waited in a queue.",
);
const BUS_SENT: Family = counter("stillpoint_bus_sent_total", "Messages put into queues.");
const BUS_RECEIVED: Family = counter(
    "stillpoint_bus_received_total",
    "Messages taken out of queues.",
);
const BUS_DELIVERED: Family = counter(
    "stillpoint_bus_delivered_total",
    "Messages given to tasks: once for each subscriber.",
);
const BUS_REFUSED: Family = counter(
    "stillpoint_bus_refused_total",
    "Messages given back to their sender for want of room.",
);
const BUS_DROPPED: Family = counter(
    "stillpoint_bus_dropped_total",
    "Messages that nobody got: no_room, as their sender wished; untold, when the sender could not \
     be told that they were refused; stale, when the receiver is no more; unheard, when nobody \
     subscribes; lost, in the queues of a worker that is no more.",
);
const REQUESTS: Family = counter("stillpoint_requests_total", "Requests that were put.");
const REPLIES: Family = counter("stillpoint_replies_total", "Requests that were answered.");
const REQUESTS_FAILED: Family = counter(
    "stillpoint_requests_failed_total",
    "Requests that failed, for whatever reason.",
);
const DATAGRAMS_IN: Family = counter(
    "stillpoint_datagrams_in_total",
    "Datagrams received and handed to a task.",
);
const DATAGRAM_BYTES_IN: Family = counter(
    "stillpoint_datagram_bytes_in_total",
    "Bytes of datagrams received and handed to a task.",
);
const DATAGRAMS_OUT: Family = counter(
    "stillpoint_datagrams_out_total",
    "Datagrams handed to the network.",
);
const DATAGRAM_BYTES_OUT: Family = counter(
    "stillpoint_datagram_bytes_out_total",
    "Bytes of datagrams handed to the network.",
);
const DATAGRAMS_DROPPED: Family = counter(
    "stillpoint_datagrams_dropped_total",
    "Datagrams lost: refused by the network (send_failed), in a full send_queue, in a full \
     receive_queue, or arrived and undelivered.",
);
const SOCKET_ERRORS: Family = counter(
    "stillpoint_socket_errors_total",
    "Errors that sockets were told of.",
);
const STREAMS_CONNECTED: Family = counter(
    "stillpoint_streams_connected_total",
    "Connections made to others.",
);
const STREAMS_CONNECT_FAILED: Family = counter(
    "stillpoint_streams_connect_failed_total",
    "Connections that could not be made.",
);
const STREAMS_ACCEPTED: Family =
    counter("stillpoint_streams_accepted_total", "Connections taken in.");
const STREAMS_REFUSED: Family = counter(
    "stillpoint_streams_refused_total",
    "Connections taken in that nobody wanted.",
);
const ACCEPTS_PAUSED: Family = counter(
    "stillpoint_accepts_paused_total",
    "Times that a listener stopped for a while because no descriptor was left.",
);
const STREAMS_FAILED: Family = counter(
    "stillpoint_streams_failed_total",
    "Streams that ended with an error.",
);
const STREAM_BYTES_IN: Family = counter(
    "stillpoint_stream_bytes_in_total",
    "Bytes of streams received and handed to a task.",
);
const STREAM_BYTES_OUT: Family = counter(
    "stillpoint_stream_bytes_out_total",
    "Bytes of streams handed to the network.",
);
const STREAM_BYTES_UNSENT: Family = counter(
    "stillpoint_stream_bytes_unsent_total",
    "Bytes taken from a task and not sent before their stream was no more.",
);
const STREAM_BYTES_REFUSED: Family = counter(
    "stillpoint_stream_bytes_refused_total",
    "Bytes refused because their stream had no room.",
);
const PACKETS_IN: Family = counter(
    "stillpoint_device_packets_in_total",
    "Packets that a device gave out and a task was handed.",
);
const PACKET_BYTES_IN: Family = counter(
    "stillpoint_device_bytes_in_total",
    "Bytes of packets that a device gave out and a task was handed.",
);
const PACKETS_OUT: Family = counter(
    "stillpoint_device_packets_out_total",
    "Packets that a device took in.",
);
const PACKET_BYTES_OUT: Family = counter(
    "stillpoint_device_bytes_out_total",
    "Bytes of packets that a device took in.",
);
const PACKETS_DROPPED: Family = counter(
    "stillpoint_device_packets_dropped_total",
    "Packets lost: not taken in by the system (send_failed), or given out and undelivered.",
);
const BUFFERS: Family = gauge(
    "stillpoint_buffers",
    "Blocks of the worker's memory that buffers hold (live) or that wait to be used again (free).",
);
const LATENESS: Family = histogram(
    "stillpoint_timeout_lateness_seconds",
    "By how much tasks got their timeouts too late.",
);
const WAKE_UPS: Family = counter(
    "stillpoint_wake_ups_total",
    "How often the worker went to sleep and was woken.",
);
const LOOPS: Family = counter(
    "stillpoint_loops_total",
    "How often the worker went round its loop.",
);
const WALL: Family = counter(
    "stillpoint_wall_seconds_total",
    "How long the worker has run.",
);
const BUSY: Family = counter(
    "stillpoint_busy_seconds_total",
    "How long the worker did not sleep.",
);
const SPUN: Family = counter(
    "stillpoint_spun_seconds_total",
    "How long the worker looked whether there is something to do, rather than sleep.",
);
const SPINS: Family = counter(
    "stillpoint_spins_total",
    "How often the worker looked whether there is something to do, rather than sleep: until \
     something came (paid), or in vain (failed).",
);
const UTILIZATION: Family = gauge(
    "stillpoint_utilization_ratio",
    "The share of the last moments in which the worker had something to do, from 0 to 1.",
);
const LOOP_LATENCY: Family = histogram(
    "stillpoint_loop_latency_seconds",
    "How long a loop of the worker took, sleep excluded.",
);
const EVENTS_DROPPED: Family = counter(
    "stillpoint_events_dropped_total",
    "Reports and other events that the controller had no room for.",
);
