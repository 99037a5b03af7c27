//! A timeline to look at: one file that a browser opens, without a network.
//!
//! The page is `timeline.html`, its script `timeline.js`; both stand beside this file. What happened is
//! data within it: tables of names and texts, and then a column for each property of the events.

use core::fmt::Write as _;
use std::collections::BTreeMap;
use std::io::{self, Write};

use super::{Lanes, or_less, write_json_text, write_list};
use crate::trace::{LogEvent, TraceKind, TraceLog};

impl TraceLog {
    /// Writes a page that shows the run: a space-time diagram with a lane for each worker and an arrow
    /// for all that travels, with zoom, search, steps from event to event and from cause to effect,
    /// and the states of tasks. It is one file, opens without a network, and shows first the event
    /// after which the run has failed.
    ///
    /// # Errors
    ///
    /// Those of `to`.
    pub fn write_html(&self, mut to: impl Write) -> io::Result<()> {
        let to = &mut to;
        let [before, title, failure, data, after] = parts();
        to.write_all(before.as_bytes())?;
        if let Some(name) = self.name() {
            write_html_text(to, name)?;
            to.write_all(b", ")?;
        }
        let seed = self.seed();
        write!(to, "seed {seed:#x}")?;
        to.write_all(title.as_bytes())?;
        if let Some((text, _)) = self.failure() {
            write_html_text(to, text)?;
        }
        to.write_all(failure.as_bytes())?;
        self.write_data(to)?;
        to.write_all(data.as_bytes())?;
        to.write_all(include_str!("timeline.js").as_bytes())?;
        to.write_all(after.as_bytes())?;
        to.flush()
    }

    fn write_data(&self, to: &mut impl Write) -> io::Result<()> {
        let lanes = Lanes::of(self);
        write!(
            to,
            "{{\"seed\":\"{:#x}\",\"trace\":\"{}\",",
            self.seed(),
            self.hash()
        )?;
        write!(to, "\"leftOut\":{},\"nodes\":", self.left_out().payloads)?;
        write_list(to, self.nodes(), |mut to, (_, name)| {
            write_json_text(&mut to, name)
        })?;
        to.write_all(b",\"workers\":")?;
        write_list(to, &lanes.nodes, |to, (_, count)| write!(to, "{count}"))?;
        to.write_all(b",\"kinds\":")?;
        write_list(to, TraceKind::all(), |to, kind| write!(to, "\"{kind:?}\""))?;
        to.write_all(b",\"roles\":")?;
        write_list(to, TraceKind::all(), |to, kind| {
            write!(to, "\"{:?}\"", kind.role())
        })?;
        to.write_all(b",\"tasks\":")?;
        write_list(to, 0..self.tasks().count(), |mut to, task| {
            let task = u32::try_from(task).unwrap_or_default();
            write_json_text(&mut to, &self.task_name(task))
        })?;
        to.write_all(b",\"taskNodes\":")?;
        write_list(to, self.tasks(), |to, (node, ..)| {
            write!(to, "{}", node.index())
        })?;
        match self.failure() {
            None => to.write_all(b",\"failure\":null")?,
            Some((text, index)) => {
                write!(to, ",\"failure\":{{\"index\":{index},\"text\":")?;
                write_json_text(to, text)?;
                to.write_all(b"}")?;
            }
        }
        self.write_events(to, &lanes)?;
        to.write_all(b"}")
    }

    /// The columns. Times and causes are differences: small numbers are few bytes.
    fn write_events(&self, to: &mut impl Write, lanes: &Lanes) -> io::Result<()> {
        let mut texts: BTreeMap<String, usize> = BTreeMap::new();
        let mut words = String::new();
        let mut order = Vec::new();
        let mut number_of = |text: &str| {
            if let Some(&known) = texts.get(text) {
                return known;
            }
            let number = order.len();
            order.push(text.to_owned());
            texts.insert(text.to_owned(), number);
            number
        };
        let whats: Vec<usize> = self
            .events()
            .map(|event| {
                self.write_what(&event, &mut words);
                number_of(&words)
            })
            .collect();
        let states: Vec<(u32, u32, usize)> = self
            .states()
            .map(|(after, task, text)| (after, task, number_of(text)))
            .collect();
        to.write_all(b",\"texts\":")?;
        write_list(to, &order, |mut to, text| write_json_text(&mut to, text))?;
        to.write_all(b",\"what\":")?;
        write_list(to, whats, |to, what| write!(to, "{what}"))?;
        let mut before = 0;
        to.write_all(b",\"at\":")?;
        write_list(to, self.events(), |to, event| {
            let at = event.event.at.as_nanos();
            let passed = i128::from(at) - i128::from(before);
            before = at;
            write!(to, "{passed}")
        })?;
        to.write_all(b",\"lane\":")?;
        write_list(to, self.events(), |to, event| {
            write!(to, "{}", lanes.lane_of(&event))
        })?;
        to.write_all(b",\"kind\":")?;
        write_list(to, self.events(), |to, event| {
            write!(to, "{}", event.event.kind as u8 - 1)
        })?;
        to.write_all(b",\"cause\":")?;
        write_list(to, self.events(), |to, event| {
            let back = event.cause.map_or(0, |cause| event.index - cause);
            write!(to, "{back}")
        })?;
        to.write_all(b",\"task\":")?;
        write_list(to, self.task_numbers(), |to, task| {
            write!(to, "{}", or_less(task))
        })?;
        let targets = lanes.targets(self);
        to.write_all(b",\"to\":")?;
        write_list(to, &targets, |to, target| match target {
            Some(lane) => write!(to, "{lane}"),
            None => to.write_all(b"-1"),
        })?;
        to.write_all(b",\"takes\":")?;
        write_list(to, self.events(), |to, event| {
            let arrival = event.event.arrival();
            let takes = arrival.map_or(0, |arrival| arrival.since(event.event.at).as_nanos());
            write!(to, "{takes}")
        })?;
        to.write_all(b",\"states\":")?;
        write_list(to, states, |to, (after, task, text)| {
            write!(to, "{after},{task},{text}")
        })
    }

    /// What happened, without when it arrives: so many events read alike.
    fn write_what(&self, event: &LogEvent<'_>, words: &mut String) {
        words.clear();
        let line = self.line(event.index);
        // Behind the time, and the node with its worker, which may have spaces in its name.
        let node = self.node_name(event.event.node);
        let head = format!("{} {node}/{} ", event.event.at, event.event.worker);
        let what = line.strip_prefix(&head).unwrap_or(&line);
        let arrives = event.event.arrival().map(|at| format!(", arrives {at}"));
        let what = arrives
            .and_then(|arrives| what.strip_suffix(&arrives))
            .unwrap_or(what);
        let kind = format!("{:?}", event.event.kind);
        let what = what
            .strip_prefix(&kind)
            .unwrap_or(what)
            .trim_start_matches([' ', ',', ':']);
        let written = write!(words, "{what}");
        written.expect("a `String` takes any text");
    }
}

/// The page, cut where something goes in between.
fn parts() -> [&'static str; 5] {
    let page = include_str!("timeline.html");
    let mut left = page;
    let mut cut = |at: &str| {
        let (before, after) = left.split_once(at).expect("the page has a place for each");
        left = after;
        before
    };
    let before = cut("{{title}}");
    let title = cut("{{failure}}");
    let failure = cut("{{data}}");
    let data = cut("{{script}}");
    [before, title, failure, data, left]
}

/// A text of a page.
fn write_html_text(to: &mut impl Write, text: &str) -> io::Result<()> {
    for character in text.chars() {
        match character {
            '<' => to.write_all(b"&lt;")?,
            '>' => to.write_all(b"&gt;")?,
            '&' => to.write_all(b"&amp;")?,
            other => write!(to, "{other}")?,
        }
    }
    Ok(())
}
