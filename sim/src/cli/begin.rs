//! Where a sweep begins: anew, or in a file that another has left.

use core::ops::Range;
use std::path::{Path, PathBuf};

use super::args::SweepArgs;
use super::{CliError, say, with_shard};
use crate::campaign::plan::chunk_of;
use crate::campaign::{Header, Plan, Shard, SweepFile, SweepFileError, canary};
use crate::drive::Scenarios;
use crate::replay::{build_of_program, variable};

/// Where a sweep begins.
pub(super) enum Beginning {
    New(Option<PathBuf>),
    Again(Box<SweepFile>),
}

/// What is swept, and where it begins.
pub(super) fn begin(
    scenarios: &Scenarios,
    args: &SweepArgs,
) -> Result<(Header, Beginning), CliError> {
    let asked = match args.shard {
        Some(_) => None,
        None => Shard::from_environment(variable, args.shards)?,
    };
    let shard = args.shard.or(asked.as_ref().map(|asked| asked.shard));
    if let Some(asked) = &asked {
        say(format_args!("shard {}, as {} say", asked.shard, asked.by));
    }
    let in_shard = |path: &PathBuf| with_shard(path, shard.unwrap_or(Shard::WHOLE));
    let (out, resume) = (
        args.out.as_ref().map(in_shard),
        args.resume.as_ref().map(in_shard),
    );
    if let (Some(out), Some(resume)) = (&out, &resume)
        && out != resume
    {
        return Err(CliError::new(format!(
            "--out {} and --resume {}: a sweep goes on in the file where it ended",
            out.display(),
            resume.display()
        )));
    }
    let wanted = header(scenarios, args, shard.unwrap_or(Shard::WHOLE))?;
    match resume {
        Some(path) if out.is_none() || path.exists() => {
            let file = read_again(&path, out.is_some())?;
            let Some(file) = file else {
                return Ok((wanted, Beginning::New(Some(path))));
            };
            check_again(scenarios, &file, &wanted, args, shard)?;
            Ok((file.header.clone(), Beginning::Again(Box::new(file))))
        }
        Some(path) => Ok((wanted, Beginning::New(Some(path)))),
        None => Ok((wanted, Beginning::New(out))),
    }
}

/// A file that is to be gone on with. `None` if it has nothing, and may be begun again.
fn read_again(path: &Path, may_begin: bool) -> Result<Option<SweepFile>, CliError> {
    let file = match SweepFile::read(path) {
        Ok(file) => file,
        Err(SweepFileError::Empty { path }) if may_begin => {
            std::fs::remove_file(&path)
                .map_err(|error| CliError::new(format!("{}: {error}", path.display())))?;
            return Ok(None);
        }
        Err(error) => return Err(error.into()),
    };
    tell_of_cut(&file);
    Ok(Some(file))
}

/// Says that a last line was dropped.
pub(super) fn tell_of_cut(file: &SweepFile) {
    if file.cut_bytes > 0 {
        say(format_args!(
            "{}: the last line was cut off and is dropped ({} bytes); its seeds are run again",
            file.path.display(),
            file.cut_bytes
        ));
    }
}

fn header(scenarios: &Scenarios, args: &SweepArgs, shard: Shard) -> Result<Header, CliError> {
    let mut names = Vec::new();
    for name in &args.names {
        let name = scenarios.get(name)?.name();
        if !names.iter().any(|known| known == name) {
            names.push(name.to_owned());
        }
    }
    if names.is_empty() {
        names.extend(scenarios.iter().map(|scenario| scenario.name().to_owned()));
    }
    names.sort();
    if names.is_empty() {
        return Err(CliError::new(
            "there are no scenarios: see `Scenarios::add`",
        ));
    }
    let built_in = canary::built_in();
    let canaries = scenarios.canaries().iter().chain([&built_in]);
    Ok(Header {
        plan: Plan {
            scenarios: names,
            seeds: args.seeds.clone(),
            chunk: args.chunk.unwrap_or_else(|| chunk_of(&args.seeds)),
            shard,
        },
        canaries: canaries
            .map(|canary| (canary.scenario.name().to_owned(), canary.within))
            .collect(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        build: build_of_program(),
    })
}

/// Whether a sweep can go on in this file, with this program and what was typed.
fn check_again(
    scenarios: &Scenarios,
    file: &SweepFile,
    wanted: &Header,
    args: &SweepArgs,
    shard: Option<Shard>,
) -> Result<(), CliError> {
    let (path, header) = (file.path.display(), &file.header);
    let differs = |what: &str, is: &dyn core::fmt::Display, asked: &dyn core::fmt::Display| {
        CliError::new(format!(
            "{path}: {what} {is}, and not {asked}, so it cannot be gone on with"
        ))
    };
    if header.version != wanted.version {
        return Err(differs(
            "was written by version",
            &header.version,
            &wanted.version,
        ));
    }
    let list = |names: &[String]| format!("`{}`", names.join("`, `"));
    for name in &header.plan.scenarios {
        scenarios
            .get(name)
            .map_err(|error| CliError::new(format!("{path}: {error}")))?;
    }
    if header.canaries != wanted.canaries {
        let names = |canaries: &[(String, u64)]| {
            let names = canaries.iter();
            let names: Vec<String> = names
                .map(|(name, within)| format!("`{name}` within {within}"))
                .collect();
            names.join(", ")
        };
        return Err(differs(
            "has canaries",
            &names(&header.canaries),
            &names(&wanted.canaries),
        ));
    }
    let (plan, asked) = (&header.plan, &wanted.plan);
    if !args.names.is_empty() && plan.scenarios != asked.scenarios {
        let (is, asked) = (list(&plan.scenarios), list(&asked.scenarios));
        return Err(differs("is a sweep of", &is, &asked));
    }
    if let Some(shard) = shard
        && shard != plan.shard
    {
        return Err(differs("is of shard", &plan.shard, &shard));
    }
    if args.chunk.is_some_and(|chunk| chunk != plan.chunk) {
        return Err(differs("has chunks of", &plan.chunk, &asked.chunk));
    }
    // What was not typed is 0..1000.
    if asked.seeds != (0..1_000) && asked.seeds != plan.seeds {
        let shown = |seeds: &Range<u64>| format!("{:#x}..{:#x}", seeds.start, seeds.end);
        return Err(differs(
            "is of seeds",
            &shown(&plan.seeds),
            &shown(&asked.seeds),
        ));
    }
    if header.build != wanted.build {
        say(format_args!(
            "{path}: was written by another build of this program. If the scenarios have changed, its \
            report is of both"
        ));
    }
    Ok(())
}
