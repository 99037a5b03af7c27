//! Where failures are written to, and where seeds are kept.
//!
//! A failure that `check` has found goes into a folder of its own under the target folder. Seeds
//! that are to be run first, every time, stand in a file beside the test, which is checked in.

use core::panic::Location;
use std::fs;
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};

use crate::drive::Run;
use crate::failure::{FILE, FailureFile};
use crate::replay::{parse_seed, variable};
use crate::story::Story;

/// The environment variable that says where the folders of failures are to be.
const FOLDER_VARIABLE: &str = "STILLPOINT_FOLDER";

/// Writes a failure to its folder, and gives that: the file that brings it back, what happened as a
/// story, and of a run that was [watched](crate::Watch::Trace) its trace, as it is and as pictures.
pub(crate) fn write(file: &FailureFile, run: &Run) -> io::Result<PathBuf> {
    let name = file.scenario.chars();
    let name = name.map(|char| if char.is_alphanumeric() { char } else { '_' });
    let name: String = name.take(NAME_MAX).collect();
    let folder = root().join(format!("{name}-{:#x}", file.summary.seed));
    fs::create_dir_all(&folder)?;
    fs::write(folder.join(FILE), file.to_json())?;
    fs::write(
        folder.join("story.txt"),
        Story::of(&file.scenario, run).to_string(),
    )?;
    if let Some(log) = &run.trace {
        fs::write(folder.join("trace.bin"), log.to_bytes())?;
        let open = |name| fs::File::create(folder.join(name)).map(BufWriter::new);
        log.write_html(open("timeline.html")?)?;
        log.write_pcapng(open("capture.pcapng")?)?;
        log.write_chrome(open("chrome-trace.json")?)?;
    }
    Ok(folder)
}

/// Where all folders of failures are: in the folder `stillpoint` of the target folder.
fn root() -> PathBuf {
    if let Some(folder) = variable(FOLDER_VARIABLE) {
        return PathBuf::from(folder);
    }
    // Cargo puts programs somewhere below the target folder, which it marks so.
    let program = std::env::current_exe().unwrap_or_default();
    let mut above = program.ancestors();
    let target = above.find(|folder| folder.join("CACHEDIR.TAG").is_file());
    target.unwrap_or(Path::new("target")).join("stillpoint")
}

/// A run that is to be had again, every time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kept {
    Seed(u64),
    /// A failure with its choices.
    File(Box<FailureFile>),
}

/// What is kept for a test, and where that is written.
#[derive(Debug, Default)]
pub(crate) struct Keepsakes {
    /// Beside the source of the test. `None` if that was not found.
    pub(crate) path: Option<PathBuf>,
    pub(crate) kept: Vec<Kept>,
}

impl Keepsakes {
    /// Reads what is kept for a scenario of the test at this place in the code.
    ///
    /// # Panics
    ///
    /// If the file has something that cannot be read.
    pub(crate) fn of(scenario: &str, test: &Location<'_>) -> Self {
        let Some(path) = beside(Path::new(test.file())) else {
            return Self::default();
        };
        let kept = match fs::read_to_string(&path) {
            Ok(text) => parse(scenario, &text, &path).unwrap_or_else(|error| panic!("{error}")),
            Err(_) => Vec::new(),
        };
        let path = Some(path);
        Self { path, kept }
    }
}

/// The file of seeds beside a source file, whose path may be relative to a folder above the
/// package's.
fn beside(source: &Path) -> Option<PathBuf> {
    let package = variable("CARGO_MANIFEST_DIR")?;
    let above = Path::new(&package).ancestors();
    let mut paths = above.map(|folder| folder.join(source));
    let source = paths.find(|path| path.is_file());
    Some(source?.with_extension("seeds"))
}

/// Lines of a scenario's name and a seed, or the path of a failure file from there.
fn parse(scenario: &str, text: &str, path: &Path) -> Result<Vec<Kept>, String> {
    let mut kept = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default().trim();
        if line.is_empty() {
            continue;
        }
        let place = format!("{}:{}", path.display(), number + 1);
        let Some((name, what)) = line.rsplit_once(char::is_whitespace) else {
            return Err(format!(
                "{place}: `{line}` has one word: give the scenario's name, and then a seed or the \
                path of a `{FILE}`"
            ));
        };
        if name.trim() != scenario {
            continue;
        }
        kept.push(if what.ends_with(".json") {
            let file = path.with_file_name(what);
            let file = FailureFile::read(&file).map_err(|error| format!("{place}: {error}"))?;
            Kept::File(Box::new(file))
        } else {
            Kept::Seed(parse_seed(what).map_err(|error| format!("{place}: {error}"))?)
        });
    }
    Ok(kept)
}

/// Characters of a scenario's name in that of its folder.
const NAME_MAX: usize = 60;

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<Kept>, String> {
        parse("every call ends", text, Path::new("tests/calls.seeds"))
    }

    #[test]
    fn seeds_of_the_scenario_are_read() {
        let text = "# found in May\nevery call ends 0x2a\nanother 7\n\nevery call ends 3 # slow\n";
        assert_eq!(read(text), Ok(vec![Kept::Seed(42), Kept::Seed(3)]));
    }

    #[test]
    fn what_cannot_be_read_is_told_with_its_line() {
        for (text, told) in [
            ("# one\nseed", "tests/calls.seeds:2: `seed` has one word"),
            ("every call ends 0y", "tests/calls.seeds:1: "),
            ("every call ends no/failure.json", "no/failure.json: "),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(told), "{error}");
        }
    }

    #[test]
    fn the_file_is_beside_the_source_of_the_test() {
        let path = beside(Path::new("sim/src/folder.rs")).expect("cargo says where the package is");
        assert!(path.ends_with("sim/src/folder.seeds"), "{}", path.display());
        assert_eq!(beside(Path::new("sim/src/no_such_file.rs")), None);
    }
}
