//! Files of records: written so that a process that is killed loses at most what it had not written,
//! and read with a clear word on whatever is wrong with them.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::plan::Ran;
use super::record::Record;
use super::{CanaryRecord, Chunk, Header};
use crate::json::FormatError;

/// What stands in a file.
#[derive(Debug)]
pub(crate) struct SweepFile {
    pub(crate) path: PathBuf,
    pub(crate) header: Header,
    pub(crate) chunks: Vec<Chunk>,
    pub(crate) canaries: Vec<CanaryRecord>,
    pub(crate) ran: Ran,
    /// How much of it is whole lines.
    whole_bytes: usize,
    /// Bytes of a last line that was cut off.
    pub(crate) cut_bytes: usize,
}

/// Why a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SweepFileError {
    #[error("{}: {error}", path.display())]
    System { path: PathBuf, error: io::Error },
    #[error(
        "{}: there is such a file. Go on with it by `--resume`, or remove it", path.display()
    )]
    Exists { path: PathBuf },
    #[error(
        "{}: has no whole line, so nothing is known of its sweep: it was killed before it began. \
        Remove it", path.display()
    )]
    Empty { path: PathBuf },
    #[error("{}:{line}: {error}{hint}", path.display())]
    Format {
        path: PathBuf,
        line: usize,
        error: FormatError,
        /// What it may be.
        hint: &'static str,
    },
    #[error("{}:{line}: {told}", path.display())]
    Wrong {
        path: PathBuf,
        line: usize,
        told: String,
    },
}

impl SweepFile {
    /// Reads all of it. A last line that was cut off is left out.
    pub(crate) fn read(path: &Path) -> Result<Self, SweepFileError> {
        let path = path.to_owned();
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) => return Err(SweepFileError::System { path, error }),
        };
        let whole_bytes = bytes.iter().rposition(|&byte| byte == b'\n');
        let Some(whole_bytes) = whole_bytes.map(|last| last + 1) else {
            return match bytes.len() {
                0..CUT_MAX => Err(SweepFileError::Empty { path }),
                bytes => Err(SweepFileError::Format {
                    path,
                    line: 1,
                    error: FormatError::Syntax { bytes },
                    hint: FOREIGN,
                }),
            };
        };
        let mut lines = bytes[..whole_bytes - 1].split(|&byte| byte == b'\n');
        let mut parsed = lines.by_ref().enumerate().map(|(number, line)| {
            let hint = if number == 0 { FOREIGN } else { "" };
            let text = String::from_utf8_lossy(line);
            let record = Record::from_line(&text);
            record.map_err(|error| (number + 1, error, hint))
        });
        let first = parsed.next();
        let header = match first {
            Some(Ok(Record::Header(header))) => header,
            Some(Err((line, error, hint))) => {
                return Err(SweepFileError::Format {
                    path,
                    line,
                    error,
                    hint,
                });
            }
            Some(Ok(_)) | None => {
                let told = "the first line should say what the sweep is of".to_owned();
                return Err(SweepFileError::Wrong {
                    path,
                    line: 1,
                    told,
                });
            }
        };
        let mut file = Self {
            path,
            header,
            chunks: Vec::new(),
            canaries: Vec::new(),
            ran: Ran::default(),
            whole_bytes,
            cut_bytes: bytes.len() - whole_bytes,
        };
        for (number, record) in parsed.enumerate() {
            let path = file.path.clone();
            let record = record.map_err(|(line, error, hint)| SweepFileError::Format {
                path: path.clone(),
                line,
                error,
                hint,
            })?;
            let line = number + 2;
            file.add(record)
                .map_err(|told| SweepFileError::Wrong { path, line, told })?;
        }
        Ok(file)
    }

    fn add(&mut self, record: Record) -> Result<(), String> {
        match record {
            Record::Header(_) => return Err("a second sweep begins in this file".to_owned()),
            Record::Canary(canary) => {
                let mut known = self.header.canaries.iter();
                if !known.any(|(name, _)| *name == canary.name) {
                    return Err(format!("there is no canary `{}` in its sweep", canary.name));
                }
                self.canaries.push(canary);
            }
            Record::Chunk(chunk) => {
                let Chunk {
                    scenario, seeds, ..
                } = &*chunk;
                let plan = &self.header.plan;
                let (from, to) = (seeds.start, seeds.end);
                if !plan.scenarios.contains(scenario) {
                    return Err(format!("there is no scenario `{scenario}` in its sweep"));
                }
                if from < plan.seeds.start || to > plan.seeds.end {
                    return Err(format!("seeds {from:#x}..{to:#x} are not of its sweep"));
                }
                if !self.ran.add(scenario, seeds.clone()) {
                    return Err(format!(
                        "some of the seeds {from:#x}..{to:#x} of `{scenario}` are there twice"
                    ));
                }
                self.chunks.push(*chunk);
            }
        }
        Ok(())
    }

    /// Opens it to write on, behind the last whole line.
    pub(crate) fn append(&self) -> Result<Writer, SweepFileError> {
        let open = || {
            let file = OpenOptions::new().append(true).open(&self.path)?;
            file.set_len(self.whole_bytes as u64)?;
            Ok(file)
        };
        let path = self.path.clone();
        match open() {
            Ok(file) => Ok(Writer { path, file }),
            Err(error) => Err(SweepFileError::System { path, error }),
        }
    }
}

/// Writes records to a file, each at once and whole.
#[derive(Debug)]
pub(crate) struct Writer {
    path: PathBuf,
    file: File,
}

impl Writer {
    /// A new file, with folders as needed.
    pub(crate) fn create(path: &Path, header: &Header) -> Result<Self, SweepFileError> {
        let create = || {
            if let Some(folder) = path.parent() {
                fs::create_dir_all(folder)?;
            }
            OpenOptions::new().write(true).create_new(true).open(path)
        };
        let path = path.to_owned();
        let file = match create() {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                return Err(SweepFileError::Exists { path });
            }
            Err(error) => return Err(SweepFileError::System { path, error }),
        };
        let mut writer = Self { path, file };
        writer.write(&Record::Header(header.clone()))?;
        Ok(writer)
    }

    /// One call of the system for each record: who is killed in between leaves whole lines, or one
    /// that is cut off at the end.
    pub(crate) fn write(&mut self, record: &Record) -> Result<(), SweepFileError> {
        let line = record.to_line();
        let written = self.file.write_all(line.as_bytes());
        written.map_err(|error| SweepFileError::System {
            path: self.path.clone(),
            error,
        })
    }
}

/// What a file may be whose first line is none of ours.
const FOREIGN: &str = ". Is it a file that `sweep --out` has written?";

/// No first line is longer.
const CUT_MAX: usize = 1 << 20;
