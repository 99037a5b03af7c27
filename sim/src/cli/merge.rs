//! `merge`: what several files say together.

use std::collections::BTreeMap;

use super::args::MergeArgs;
use super::begin::tell_of_cut;
use super::{BROKEN, CliError, give_report, say};
use crate::campaign::file::Writer;
use crate::campaign::record::{Record, range};
use crate::campaign::report::{Extras, Labels};
use crate::campaign::{Chunk, Header, Report, Shard, SweepFile};

pub(super) fn merge(program: &str, args: &MergeArgs) -> Result<u8, CliError> {
    let mut files = Vec::new();
    for path in &args.files {
        let file = SweepFile::read(path)?;
        tell_of_cut(&file);
        files.push(file);
    }
    let Some(header) = join_headers(&files)? else {
        return Err(CliError::new("no files to merge"));
    };
    let mut report = Report::new(&header);
    let mut joined = Joined::default();
    for file in &files {
        for chunk in &file.chunks {
            joined.add(&mut report, file, chunk)?;
        }
        for canary in &file.canaries {
            report.add_canary(file.header.plan.shard, canary);
        }
    }
    joined.tell();
    let plan = &header.plan;
    if !plan.is_open() {
        for name in &plan.scenarios {
            report.want(name, core::slice::from_ref(&plan.seeds));
        }
    }
    tell_of_absent(&files);
    if report.is_whole() {
        report.labels = Labels::Judged;
    }
    if let Some(path) = &args.out {
        let mut writer = Writer::create(path, &header)?;
        for caught in &report.canaries {
            // One is enough to tell, and the worst of them has to.
            let worst = caught.by.iter().min_by_key(|(_, record)| record.found);
            if let Some((_, record)) = worst {
                writer.write(&Record::Canary(record.clone()))?;
            }
        }
        for chunk in joined.chunks.values() {
            writer.write(&Record::Chunk(Box::new((*chunk).clone())))?;
        }
    }
    let extras = Extras {
        program: program.to_owned(),
        ..Extras::default()
    };
    give_report(&report, &extras, &args.shown);
    let is_short = !report.is_whole() && !args.partial;
    if is_short {
        say(format_args!(
            "seeds are missing: `--partial` says that they may be"
        ));
    }
    if joined.differs || is_short {
        return Ok(BROKEN);
    }
    Ok(report.verdict().code())
}

/// What all files are of. `None` if there are none.
fn join_headers(files: &[SweepFile]) -> Result<Option<Header>, CliError> {
    let Some(first) = files.first() else {
        return Ok(None);
    };
    let mut header = first.header.clone();
    header.plan.shard = Shard::WHOLE;
    for file in files {
        let (path, before) = (file.path.display(), first.path.display());
        let refuse = |what: &str, is: String, other: String| {
            CliError::new(format!(
                "{path} {what} {is}, and {before} {other}: they cannot be merged"
            ))
        };
        let (is, other) = (&file.header, &first.header);
        if is.version != other.version {
            let (is, other) = (is.version.clone(), other.version.clone());
            return Err(refuse("is of version", is, other));
        }
        if is.plan.scenarios != other.plan.scenarios {
            let list = |header: &Header| format!("`{}`", header.plan.scenarios.join("`, `"));
            return Err(refuse("is of scenarios", list(is), list(other)));
        }
        if is.canaries != other.canaries {
            let list = |header: &Header| format!("{:?}", header.canaries);
            return Err(refuse("has canaries", list(is), list(other)));
        }
        if is.build != other.build {
            say(format_args!(
                "{path} and {before} were written by other builds. If the scenarios have changed in \
                between, the report is of both"
            ));
        }
        let seeds = &mut header.plan.seeds;
        *seeds = seeds.start.min(is.plan.seeds.start)..seeds.end.max(is.plan.seeds.end);
    }
    Ok(Some(header))
}

/// Says which shards no file is of.
fn tell_of_absent(files: &[SweepFile]) {
    let shards = || files.iter().map(|file| file.header.plan.shard);
    let Some(count) = shards().map(|shard| shard.count).max() else {
        return;
    };
    let absent = (0..count).map(|index| Shard { index, count });
    let absent = absent.filter(|shard| !shards().any(|other| other == *shard));
    let absent: Vec<String> = absent.map(|shard| shard.to_string()).collect();
    if !absent.is_empty() && shards().all(|shard| shard.count == count) {
        say(format_args!("no file is of shard {}", absent.join(", ")));
    }
}

/// Chunks of several files, each once.
#[derive(Default)]
struct Joined<'a> {
    chunks: BTreeMap<(&'a str, u64), &'a Chunk>,
    /// Seeds that were there twice.
    twice: u64,
    /// Whether two files have other results of the same seeds.
    differs: bool,
}

impl<'a> Joined<'a> {
    fn add(
        &mut self,
        report: &mut Report,
        file: &SweepFile,
        chunk: &'a Chunk,
    ) -> Result<(), CliError> {
        let (name, seeds) = (&chunk.scenario, &chunk.seeds);
        let key = (name.as_str(), seeds.start);
        if let Some(known) = self.chunks.get(&key)
            && known.seeds == *seeds
        {
            self.twice += seeds.end - seeds.start;
            if **known != *chunk {
                self.differs = true;
                let path = file.path.display();
                say(format_args!(
                    "{path}: seeds {} of `{name}` came out otherwise than in another file. Either \
                    something asks a clock or the system, or they are of other programs",
                    range(seeds)
                ));
            }
            return Ok(());
        }
        let left: u64 = report
            .ran
            .left(name, seeds.clone())
            .iter()
            .map(|range| range.end - range.start)
            .sum();
        if left < seeds.end - seeds.start {
            return Err(CliError::new(format!(
                "{}: some of the seeds {} of `{name}` are in another file, in other chunks, so they \
                would count twice",
                file.path.display(),
                range(seeds)
            )));
        }
        self.chunks.insert(key, chunk);
        report.add(chunk);
        Ok(())
    }

    fn tell(&self) {
        if self.twice > 0 {
            say(format_args!(
                "{} seeds are in several files, and count once",
                self.twice
            ));
        }
    }
}
