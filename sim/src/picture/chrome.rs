//! A trace as Chrome writes them: opens in Perfetto and in `chrome://tracing`.
//!
//! Nodes are processes and workers threads. Events are slices of a nanosecond; what travels is a flow
//! from the slice of its sender to that of who gets it. The format is that of the "Trace Event
//! Format" document of the Chromium project.

use std::io::{self, Write};

use super::{Lanes, write_json_text};
use crate::trace::{LogEvent, Role, TraceLog};

impl TraceLog {
    /// Writes the run as Chrome trace JSON, for <https://ui.perfetto.dev>: processes are nodes,
    /// threads are workers, and flows are what travels.
    ///
    /// # Errors
    ///
    /// Those of `to`.
    pub fn write_chrome(&self, mut to: impl Write) -> io::Result<()> {
        let to = &mut to;
        write!(
            to,
            "{{\"displayTimeUnit\":\"ns\",\"otherData\":{{\"seed\":\"{:#x}\",",
            self.seed()
        )?;
        writeln!(to, "\"trace\":\"{}\"}},\"traceEvents\":[", self.hash())?;
        let lanes = Lanes::of(self);
        let mut is_first = true;
        for ((node, name), &(_, workers)) in self.nodes().zip(&lanes.nodes) {
            let process = node.index() + 1;
            comma(to, &mut is_first)?;
            write!(
                to,
                "{{\"ph\":\"M\",\"name\":\"process_name\",\"pid\":{process},\"args\":{{\"name\":"
            )?;
            write_json_text(to, name)?;
            to.write_all(b"}}")?;
            for worker in 0..workers {
                comma(to, &mut is_first)?;
                let thread = worker + 1;
                write!(
                    to,
                    "{{\"ph\":\"M\",\"name\":\"thread_name\",\"pid\":{process},\"tid\":{thread},\
                    \"args\":{{\"name\":\"worker {worker}\"}}}}"
                )?;
            }
        }
        for event in self.events() {
            comma(to, &mut is_first)?;
            self.write_slice(to, &event)?;
        }
        self.write_flows(to, &mut is_first)?;
        writeln!(to, "\n]}}")?;
        to.flush()
    }

    fn write_slice(&self, to: &mut impl Write, event: &LogEvent<'_>) -> io::Result<()> {
        let what = &event.event;
        write!(
            to,
            "{{\"ph\":\"X\",\"name\":\"{:?}\",\"cat\":\"{:?}\",",
            what.kind,
            what.kind.role()
        )?;
        write_place(to, event)?;
        write!(
            to,
            ",\"dur\":0.001,\"args\":{{\"index\":{},\"what\":",
            event.index
        )?;
        write_json_text(to, &self.line(event.index))?;
        if let Some(cause) = event.cause {
            write!(to, ",\"cause\":{cause}")?;
        }
        if let Some(task) = event.task {
            write!(to, ",\"task\":\"{task}\"")?;
        }
        to.write_all(b"}}")
    }

    /// What has travelled and led to something elsewhere.
    fn write_flows(&self, to: &mut impl Write, is_first: &mut bool) -> io::Result<()> {
        for event in self.events() {
            let cause = event.cause.and_then(|cause| self.event(cause));
            let Some(sent) = cause.filter(|cause| cause.event.kind.role() == Role::Travel) else {
                continue;
            };
            // Of a copy for several, each is a flow of its own.
            let head = format!(
                "\"name\":\"{:?}\",\"cat\":\"flow\",\"id\":{},",
                sent.event.kind, event.index
            );
            comma(to, is_first)?;
            write!(to, "{{\"ph\":\"s\",{head}")?;
            write_place(to, &sent)?;
            write!(to, "}},\n{{\"ph\":\"f\",\"bp\":\"e\",{head}")?;
            write_place(to, &event)?;
            to.write_all(b"}")?;
        }
        Ok(())
    }
}

/// Where and when, the time in microseconds.
fn write_place(to: &mut impl Write, event: &LogEvent<'_>) -> io::Result<()> {
    let what = &event.event;
    let (process, thread) = (what.node.index() + 1, what.worker + 1);
    let nanos = what.at.as_nanos();
    let (micros, rest) = (nanos / 1_000, nanos % 1_000);
    write!(
        to,
        "\"pid\":{process},\"tid\":{thread},\"ts\":{micros}.{rest:03}"
    )
}

fn comma(to: &mut impl Write, is_first: &mut bool) -> io::Result<()> {
    if *is_first {
        *is_first = false;
        return Ok(());
    }
    to.write_all(b",\n")
}
