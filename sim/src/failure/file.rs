//! A failure as a file: all it takes to have it again.

use core::fmt::Write;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use miniserde::json::Value;
use stillpoint::Timestamp;

use super::FailureClass;
use crate::check::RunSummary;
use crate::choice::{ChoiceLog, Drift, Driver, Rest};
use crate::drive::{Run, Scenario, Watch};
use crate::json::{self, FormatError, field, quote, read};
use crate::trace::TraceHash;

/// A failure that was written down: the file `failure.json` of its folder.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct FailureFile {
    /// The name of the scenario.
    pub scenario: String,
    /// What failed.
    pub class: FailureClass,
    /// What was said of it.
    pub message: String,
    /// How far the run came.
    pub summary: RunSummary,
    /// What was decided in it.
    pub choices: ChoiceLog,
    /// What it was run with: versions, the profile, the machine. Nothing depends on it but the
    /// reader.
    pub made_with: BTreeMap<String, String>,
}

/// Why a file is no [`FailureFile`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FailureFileError {
    /// It cannot be read.
    #[error(
        "{}: {reason}. Give the folder of a failure, or its `{FILE}`", path.display()
    )]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        reason: String,
    },
    /// Something is wrong with it.
    #[error("{}: {error}", path.display())]
    Format {
        /// Which file.
        path: PathBuf,
        /// What.
        error: FormatError,
    },
    /// It was written by another version.
    #[error(
        "{}: has format {format}, and this version reads {FORMAT}. Its seed may still fail: {seed}",
        path.display()
    )]
    Version {
        /// Which file.
        path: PathBuf,
        /// Its format.
        format: u64,
        /// Its seed, if it says so.
        seed: String,
    },
}

/// From what a failure is run again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum ReplayFrom {
    /// From its choices: what the code still asks for is decided as it was.
    #[default]
    Choices,
    /// From its seed alone.
    Seed,
}

/// What became of a failure that was run again. Prints it.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Replayed {
    /// The run.
    pub run: Run,
    /// How it compares with what was recorded.
    pub outcome: Outcome,
}

/// How a run compares with the failure that it was to bring back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Outcome {
    /// It is the same, event by event.
    Same,
    /// It fails in the same way, but on another path: the code has changed.
    Alike,
    /// It fails in another way.
    Other,
    /// It fails no more, and makes the choices that were recorded: it is mended, if the code that
    /// failed is still reached.
    Passed,
    /// It fails no more, but it makes other choices, too: it may just have drifted away.
    Drifted,
}

impl FailureFile {
    /// What is to be written of a run. `None` if it has not failed.
    #[must_use]
    pub fn of(scenario: impl Into<String>, run: &Run) -> Option<Self> {
        let failure = run.failure.as_ref()?;
        let made_with = [
            ("stillpoint-sim", env!("CARGO_PKG_VERSION")),
            (
                "profile",
                if cfg!(debug_assertions) {
                    "debug"
                } else {
                    "release"
                },
            ),
            ("os", std::env::consts::OS),
            ("arch", std::env::consts::ARCH),
        ];
        let made_with = made_with.map(|(name, value)| (name.to_owned(), value.to_owned()));
        Some(Self {
            scenario: scenario.into(),
            class: failure.class(),
            message: failure.to_string(),
            summary: run.summary,
            choices: run.choices.clone(),
            made_with: BTreeMap::from(made_with),
        })
    }

    /// As JSON.
    #[must_use]
    pub fn to_json(&self) -> String {
        let RunSummary {
            seed,
            events,
            at,
            trace_hash,
        } = self.summary;
        let mut text = format!(
            "{{\n\"format\": {FORMAT},\n\"scenario\": {},\n",
            quote(&self.scenario)
        );
        let class = (quote(&self.class.kind), quote(&self.class.what));
        text += &format!(
            "\"seed\": \"{seed:#x}\",\n\"kind\": {},\n\"what\": {},\n",
            class.0, class.1
        );
        text += &format!("\"message\": {},\n", quote(&self.message));
        text += &format!("\"events\": {events},\n\"at\": {},\n", at.as_nanos());
        text += &format!("\"trace\": \"{trace_hash}\",\n\"made_with\": {{");
        for (number, (name, value)) in self.made_with.iter().enumerate() {
            let comma = if number == 0 { "" } else { ", " };
            text += &format!("{comma}{}: {}", quote(name), quote(value));
        }
        text += "},\n\"choices\": ";
        text += &self.choices.to_json();
        text.push_str("\n}\n");
        text
    }

    /// Reads what [`FailureFile::to_json`] has written.
    ///
    /// # Errors
    ///
    /// [`FormatError`], with the place that is wrong.
    pub fn from_json(text: &str) -> Result<Self, FormatError> {
        Self::from_value(&json::parse(text)?)
    }

    /// Reads a file; of a folder, its `failure.json`.
    ///
    /// # Errors
    ///
    /// [`FailureFileError`], with the path.
    pub fn read(path: &Path) -> Result<Self, FailureFileError> {
        let path = if path.is_dir() {
            path.join(FILE)
        } else {
            path.to_owned()
        };
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) => {
                let reason = error.to_string();
                return Err(FailureFileError::Unreadable { path, reason });
            }
        };
        let found = json::parse(&text).and_then(|value| {
            let format = read(&value, "format", "a number", json::number)?;
            Ok((value, format))
        });
        match found {
            Ok((value, format)) if format != FORMAT => {
                let seed = json::text(field(&value, "seed"))
                    .unwrap_or("unknown")
                    .to_owned();
                Err(FailureFileError::Version { path, format, seed })
            }
            Ok((value, _)) => {
                Self::from_value(&value).map_err(|error| FailureFileError::Format { path, error })
            }
            Err(error) => Err(FailureFileError::Format { path, error }),
        }
    }

    fn from_value(value: &Value) -> Result<Self, FormatError> {
        let text = |name: &str| {
            let text = read(value, name, "a text", json::text);
            text.map(str::to_owned)
        };
        let hash = |value| u128::from_str_radix(json::text(value)?, 16).ok();
        let made_with = read(value, "made_with", "an object", json::object)?;
        let made_with = made_with
            .iter()
            .filter_map(|(name, value)| Some((name.clone(), json::text(value)?.to_owned())));
        Ok(Self {
            scenario: text("scenario")?,
            class: FailureClass {
                kind: text("kind")?,
                what: text("what")?,
            },
            message: text("message")?,
            summary: RunSummary {
                seed: read(value, "seed", "a number as \"0x2a\"", json::hex)?,
                events: read(value, "events", "a number", json::number)?,
                at: read(value, "at", "nanoseconds", json::number).map(Timestamp::from_nanos)?,
                trace_hash: TraceHash(read(value, "trace", "a hexadecimal hash", hash)?),
            },
            choices: ChoiceLog::from_value(field(value, "choices"))?,
            made_with: made_with.collect(),
        })
    }

    /// What decides when it is run again.
    #[must_use]
    pub const fn driver(&self, from: ReplayFrom) -> Driver<'_> {
        match from {
            ReplayFrom::Choices if self.choices.is_whole() => Driver::Log(&self.choices),
            ReplayFrom::Choices | ReplayFrom::Seed => Driver::Seed(self.summary.seed),
        }
    }

    /// Runs it again. If it then has drifted away from its choices, it is tried once more, with the
    /// quiet choice wherever the code asks for something new: what is new is the likeliest to be in
    /// the way.
    #[must_use]
    pub fn replay(&self, scenario: &Scenario, from: ReplayFrom, watch: Watch) -> Replayed {
        self.replay_by(from, |driver| scenario.run(driver, watch))
    }

    pub(crate) fn replay_by(&self, from: ReplayFrom, run: impl Fn(Driver<'_>) -> Run) -> Replayed {
        let replayed = |run| Replayed {
            outcome: self.compare(&run),
            run,
        };
        let first = replayed(run(self.driver(from)));
        if first.fails() || first.run.drift.fresh == 0 {
            return first;
        }
        let quiet = self.choices.clone().with_rest(Rest::Quiet);
        let second = replayed(run(Driver::Log(&quiet)));
        if second.fails() { second } else { first }
    }

    /// How a run compares with the one that has failed.
    #[must_use]
    pub fn compare(&self, run: &Run) -> Outcome {
        let is_same = run.summary.trace_hash == self.summary.trace_hash;
        match run.class() {
            Some(class) if class == self.class && is_same => Outcome::Same,
            Some(class) if class == self.class => Outcome::Alike,
            Some(_) => Outcome::Other,
            None if run.drift.is_none() => Outcome::Passed,
            None => Outcome::Drifted,
        }
    }
}

impl Replayed {
    /// Whether it fails as it did.
    #[must_use]
    pub fn fails(&self) -> bool {
        self.outcome <= Outcome::Alike
    }

    /// All there is to say of it.
    #[must_use]
    pub fn report(&self) -> String {
        let Drift { matched, .. } = self.run.drift;
        let mut text = match self.outcome {
            Outcome::Same => "it fails as it did, event by event".to_owned(),
            Outcome::Alike => {
                "it fails in the same way, but not with the same events: the code has changed"
                    .to_owned()
            }
            Outcome::Other => "it fails in another way".to_owned(),
            Outcome::Passed => {
                "it fails no more, with the very choices that were recorded".to_owned()
            }
            Outcome::Drifted => "it fails no more, but it has DRIFTED: this is not the run that \
                was recorded, so it says little about whether the bug is mended. Sweep more seeds"
                .to_owned(),
        };
        if matched > 0 || !self.run.drift.is_none() {
            write!(text, "\n{}", self.run.drift).expect("a `String` takes any text");
        }
        if let Some(failure) = &self.run.failure {
            write!(text, "\n{failure}").expect("a `String` takes any text");
        }
        text
    }
}

/// The name of the file in its folder.
pub(crate) const FILE: &str = "failure.json";

/// The format that is written and read.
const FORMAT: u64 = 1;
