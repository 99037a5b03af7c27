//! What can be typed.

use core::ops::Range;
use core::time::Duration;
use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

use crate::campaign::{Shard, parse_seeds};
use crate::replay::parse_seed;
use crate::wall::parse_duration;

/// Scenarios that are simulated: one seed decides all that happens in a run.
#[derive(Debug, Parser)]
#[command(
    max_term_width = 100,
    subcommand_required = true,
    arg_required_else_help = true,
    after_help = AFTER_HELP
)]
pub(super) struct Args {
    #[command(subcommand)]
    pub(super) command: Command,
}

const AFTER_HELP: &str = "\
Exit codes: 0 nothing found, 1 a scenario has failed, 2 what was asked for cannot be done, the sweep was \
interrupted, or it is broken.

Examples:
  list                                        which scenarios there are
  sweep --seeds 0..10000                      all scenarios, on all cores
  sweep echo --seeds 0.. --budget 5m          one scenario, as many seeds as five minutes take
  sweep --until-failure                       up to the first failure
  sweep --seeds 0..1000000 --out sweep.jsonl  written as it goes; if it is killed, go on with
  sweep --resume sweep.jsonl
  sweep --seeds 0..1000000 --shard 2/4 --out sweep-{shard}.jsonl
  merge sweep-*.jsonl                         what all shards have found
  run echo --seed 0x2a                        one seed
  replay target/stillpoint/echo-0x2a          a failure, from the choices that were recorded
  replay target/stillpoint/echo-0x2a --event 120 --task server
  shrink target/stillpoint/echo-0x2a --test   the smallest run that fails so, as a test
  blame echo@0x2a                             when the run turned
  diff echo@1 echo@2                          where two runs part";

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Say which scenarios there are
    List(ListArgs),
    /// Run one seed of a scenario
    Run(RunArgs),
    /// Run many seeds side by side, and group what fails
    Sweep(Box<SweepArgs>),
    /// Run a failure again from its folder
    Replay(ReplayArgs),
    /// Make a failure as small as it can be, and tell it on one screen
    Shrink(ShrinkArgs),
    /// Find the event that turned a run towards its failure
    Blame(BlameArgs),
    /// Show where two runs part, and what led to it
    Diff(DiffArgs),
    /// Join what the shards of a sweep have written, and report it
    Merge(MergeArgs),
}

#[derive(Debug, clap::Args)]
pub(super) struct ListArgs {
    /// As JSON
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct RunArgs {
    /// The scenario
    pub(super) name: String,
    /// The seed: 42, or 0x2a
    #[arg(long, value_parser = parse_seed)]
    pub(super) seed: u64,
    /// Show all events, and not just the last
    #[arg(long)]
    pub(super) events: bool,
    /// Run it twice, and fail if the two runs differ
    #[arg(long)]
    pub(super) twice: bool,
    /// As JSON
    #[arg(long, conflicts_with = "events")]
    pub(super) json: bool,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
The seeds of a sweep are cut into chunks, in an order that follows from the seeds, the scenarios and \
--chunk alone. Neither --threads nor shards change what is found; --budget does, as it says how many \
seeds there is time for.

--out writes one JSON record a line: first what is swept, then a record for each chunk as it is done, \
with its failures and its coverage. A process that is killed loses what it had not written; a line \
that was cut off is dropped when the file is read.

Every sweep looks for a canary first: a scenario with a rare bug that is known. If it is not found, \
the sweep is broken (exit code 2).

Shards are asked for by --shard, or else by the variables of job arrays: SLURM_ARRAY_TASK_ID, _COUNT \
and _MIN; JOB_COMPLETION_INDEX (Kubernetes; with JOB_COMPLETIONS or --shards); CI_NODE_INDEX and \
CI_NODE_TOTAL (from 1 on in GitLab, from 0 on elsewhere); CIRCLE_NODE_INDEX and _TOTAL; \
BUILDKITE_PARALLEL_JOB and _COUNT; TEST_SHARD_INDEX and TEST_TOTAL_SHARDS.")]
pub(super) struct SweepArgs {
    /// The scenarios; all if none is named
    pub(super) names: Vec<String>,
    /// The seeds of each: 0..10000, 0x10..0x20, 5.. without an end, or how many from 0 on
    #[arg(long, value_parser = parse_seeds, default_value = "0..1000")]
    pub(super) seeds: Range<u64>,
    /// Stop after this time: 90s, 5m, 1h30m
    #[arg(long, value_parser = parse_duration)]
    pub(super) budget: Option<Duration>,
    /// Stop when this many seeds have failed. In order: those with smaller seeds are found first
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) failures: Option<u64>,
    /// Stop at the first failure
    #[arg(long, conflicts_with = "failures")]
    pub(super) until_failure: bool,
    /// How many threads; as many as there are cores if that is not said
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub(super) threads: Option<u16>,
    /// Which part of the seeds to run: 2/4 for the second of four
    #[arg(long, value_name = "I/N", value_parser = Shard::parse)]
    pub(super) shard: Option<Shard>,
    /// How many shards there are, where the environment says only which this is
    #[arg(long, value_name = "N", conflicts_with = "shard", value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) shards: Option<u64>,
    /// How many seeds of a scenario are one record [default: a thousandth of the seeds]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) chunk: Option<u64>,
    /// Write records to this new file. {shard} stands for the number of the shard
    #[arg(long, value_name = "FILE")]
    pub(super) out: Option<PathBuf>,
    /// Go on where this file ends, with what it says is to be swept. With --out of the same file, begin
    /// it if it is not there
    #[arg(long, value_name = "FILE")]
    pub(super) resume: Option<PathBuf>,
    /// Write the folders of this many failures: one of each kind, as far as they go
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub(super) folders: usize,
    #[command(flatten)]
    pub(super) shown: ReportArgs,
}

/// From what a failure is run again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum From {
    /// The choices that were recorded, as far as the code still asks for them
    Choices,
    /// The seed alone
    Seed,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Gives 1 if it still fails, 0 if it is mended, and 2 if it fails no more but makes other choices than \
were recorded: then it may just have drifted away.")]
pub(super) struct ReplayArgs {
    /// The folder of the failure, or its failure.json
    pub(super) path: PathBuf,
    /// From what it is run
    #[arg(long, value_enum, default_value = "choices")]
    pub(super) from: From,
    /// Step to this event, counted from 0: show it, what led to it, and what tasks are like then
    #[arg(long, value_name = "N")]
    pub(super) event: Option<usize>,
    /// Whose state is shown: NODE for all tasks there, NODE/TYPE, or NODE/ID as in node/0/0/0.0. At the
    /// end of the run, unless --event says otherwise
    #[arg(long, value_name = "NODE/...")]
    pub(super) task: Vec<String>,
    /// As JSON
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
A failure is the folder of one (or its failure.json), or NAME@SEED. In a folder, the smallest run is \
left as shrunk.json, which can be replayed, with its story.txt and its test.rs.

Gives 0 if there is a run to tell of, 2 if nothing fails.")]
pub(super) struct ShrinkArgs {
    /// The failure
    pub(super) failure: String,
    /// Stop after this time: 90s, 5m
    #[arg(long, value_parser = parse_duration, default_value = "60s")]
    pub(super) budget: Duration,
    /// Stop after so many runs
    #[arg(long, value_name = "N", default_value_t = 20_000)]
    pub(super) runs: u64,
    /// Print it as a test that fails until the bug is mended
    #[arg(long)]
    pub(super) test: bool,
    /// As JSON
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
A failure is the folder of one (or its failure.json), or NAME@SEED. The run goes on with other seeds \
from up to 64 of its events, many times each; where the share of those that fail jumps, it turned.

Gives 0 if there is an event to name, 2 if nothing fails.")]
pub(super) struct BlameArgs {
    /// The failure
    pub(super) failure: String,
    /// Stop after this time: 90s, 5m
    #[arg(long, value_parser = parse_duration, default_value = "30s")]
    pub(super) budget: Duration,
    /// Stop after so many runs
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    pub(super) runs: u64,
    /// As JSON
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
A run is the folder of a failure (or its failure.json), which is run again from its choices; a trace \
that was written to a file; or NAME@SEED.

Gives 0 if both are the same, 1 if they differ.

Examples:
  diff echo@1 echo@2
  diff target/stillpoint/echo-0x2a echo@0x2a    has the code changed what this seed does?
  diff old/trace.bin target/stillpoint/echo-0x2a")]
pub(super) struct DiffArgs {
    /// One run
    pub(super) one: String,
    /// The other
    pub(super) other: String,
    /// As JSON
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Chunks that several files have are counted once. If they came out differently, something asks a clock \
or the system, or the files are of other programs: that is told, and the exit code is 2. It is 2 as \
well if seeds are missing, unless --partial says that they may be.")]
pub(super) struct MergeArgs {
    /// What `sweep --out` has written
    #[arg(required = true)]
    pub(super) files: Vec<PathBuf>,
    /// Write all records to this new file
    #[arg(long, value_name = "FILE")]
    pub(super) out: Option<PathBuf>,
    /// Seeds may be missing
    #[arg(long)]
    pub(super) partial: bool,
    #[command(flatten)]
    pub(super) shown: ReportArgs,
}

/// How a report is given out.
#[derive(Debug, clap::Args)]
pub(super) struct ReportArgs {
    /// Show all that was reached, with how many seeds have
    #[arg(long)]
    pub(super) coverage: bool,
    /// The report as JSON
    #[arg(long)]
    pub(super) json: bool,
}
