//! The seed from outside, and the line that replays one.

use std::env::VarError;
use std::path::Path;

/// The environment variable that asks for one failure, by its folder.
pub(crate) const REPLAY_VARIABLE: &str = "STILLPOINT_REPLAY";

/// The environment variable that says how long seeds are run.
pub(crate) const BUDGET_VARIABLE: &str = "STILLPOINT_BUDGET";

/// The environment variable that asks for one seed.
pub(crate) const SEED_VARIABLE: &str = "STILLPOINT_SEED";

/// The seed that the environment asks for, if it does.
///
/// # Panics
///
/// If the variable is set to something that is no seed.
pub(crate) fn seed_from_environment() -> Option<u64> {
    let value = variable(SEED_VARIABLE)?;
    let seed = parse_seed(&value).map_err(|error| format!("{SEED_VARIABLE}={error}"));
    Some(seed.unwrap_or_else(|error| panic!("{error}")))
}

/// A variable of the environment.
#[expect(
    clippy::disallowed_methods,
    reason = "the one place where a test run is told something from outside"
)]
pub(crate) fn variable(name: &str) -> Option<String> {
    match std::env::var(name) {
        Ok(value) => Some(value),
        Err(VarError::NotPresent) => None,
        Err(VarError::NotUnicode(value)) => Some(value.to_string_lossy().into_owned()),
    }
}

/// The line that runs just this seed of the scenario of the current test.
pub(crate) fn replay_line(seed: u64, scenario: &str) -> String {
    let package = variable("CARGO_PKG_NAME");
    let program = std::env::args_os().next().unwrap_or_default();
    let thread = std::thread::current();
    Test {
        package: package.as_deref(),
        program: &program.to_string_lossy(),
        test: thread.name().filter(|&name| name != "main"),
        scenario,
        release: !cfg!(debug_assertions),
    }
    .replay_line(seed)
}

/// The line that runs this program, if arguments are put behind it.
#[cfg(feature = "cli")]
pub(crate) fn program_line() -> String {
    let package = variable("CARGO_PKG_NAME");
    let program = std::env::args_os().next().unwrap_or_default();
    Test {
        package: package.as_deref(),
        program: &program.to_string_lossy(),
        test: None,
        scenario: "",
        release: !cfg!(debug_assertions),
    }
    .program_line()
}

/// Whether cargo has built this program as a test.
#[cfg(feature = "cli")]
pub(crate) fn is_test_program() -> bool {
    let program = std::env::args_os().next().unwrap_or_default();
    split_hash(Path::new(&program)).is_some()
}

/// A hash of this program: what was written by another one may come of other scenarios. It is of its
/// length and of pages from all over it, as a whole program is long.
#[cfg(feature = "cli")]
pub(crate) fn build_of_program() -> String {
    use std::io::{Read, Seek, SeekFrom};
    const PAGE: u64 = 4_096;
    const PAGES: u64 = 64;
    let sample = || -> std::io::Result<u64> {
        let mut file = std::fs::File::open(std::env::current_exe()?)?;
        let len = file.metadata()?.len();
        let mut pages = len.to_le_bytes().to_vec();
        for number in 0..PAGES {
            file.seek(SeekFrom::Start(len / PAGES * number))?;
            (&mut file).take(PAGE).read_to_end(&mut pages)?;
        }
        Ok(xxhash_rust::xxh3::xxh3_64(&pages))
    };
    sample().map_or_else(|_| "unknown".to_owned(), |hash| format!("{hash:016x}"))
}

/// The name of a program that cargo has built as a test, and the hash behind it.
fn split_hash(program: &Path) -> Option<&str> {
    let (name, hash) = program.file_stem()?.to_str()?.rsplit_once('-')?;
    let hashed = hash.len() == 16 && hash.bytes().all(|digit| digit.is_ascii_hexdigit());
    (hashed && program.parent()?.file_name()? == "deps").then_some(name)
}

/// A seed in decimal, or in hexadecimal after `0x`.
pub(crate) fn parse_seed(text: &str) -> Result<u64, String> {
    let digits = text.trim();
    let parsed = match digits
        .strip_prefix("0x")
        .or_else(|| digits.strip_prefix("0X"))
    {
        Some(hex) if !hex.starts_with(['+', '-']) => u64::from_str_radix(hex, 16),
        Some(_) => u64::from_str_radix("", 16),
        None => digits.parse(),
    };
    parsed.map_err(|error| {
        format!(
            "{text} is no seed ({error}): \
            give a number below 2^64, in decimal (42) or in hexadecimal (0x2a)"
        )
    })
}

/// What is known of the test that runs.
struct Test<'a> {
    package: Option<&'a str>,
    /// Path of the running program.
    program: &'a str,
    /// The name of the test, if it is known.
    test: Option<&'a str>,
    scenario: &'a str,
    release: bool,
}

impl Test<'_> {
    fn replay_line(&self, seed: u64) -> String {
        let mut line = format!("{SEED_VARIABLE}={seed:#x} cargo test");
        if let Some(package) = self.package {
            line += &format!(" -p {package}");
        }
        if let Some(target) = self.target() {
            line += &target;
        }
        if self.release {
            line += " --release";
        }
        match self.test {
            Some(test) => line += &format!(" {test} -- --exact"),
            // A test without a thread of its own: the scenario may have its name, or another.
            None => line += &format!(" {}", self.scenario),
        }
        line
    }

    /// The line that runs the program: by cargo, if it is cargo who runs it now.
    #[cfg(feature = "cli")]
    fn program_line(&self) -> String {
        let path = Path::new(self.program);
        let in_examples = path
            .parent()
            .is_some_and(|folder| folder.ends_with("examples"));
        let release = if self.release { " --release" } else { "" };
        match (self.package, self.target(), path.file_stem()) {
            (Some(package), Some(target), _) => {
                format!("cargo test -p {package}{target}{release} --")
            }
            (Some(package), None, Some(name)) if in_examples => {
                let name = name.to_string_lossy();
                format!("cargo run -p {package} --example {name}{release} --")
            }
            _ => self.program.to_owned(),
        }
    }

    /// Which of the package's test programs this is, if that is sure: cargo puts those of
    /// libraries and of `tests/` into `deps`, with a hash behind the name.
    fn target(&self) -> Option<String> {
        let name = split_hash(Path::new(self.program))?;
        if name == self.package?.replace('-', "_") {
            Some(" --lib".to_owned())
        } else {
            Some(format!(" --test {name}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEST: Test<'_> = Test {
        package: Some("my-crate"),
        program: "/target/debug/deps/echo-0123456789abcdef",
        test: Some("every_call_ends"),
        scenario: "calls",
        release: false,
    };

    #[test]
    fn a_seed_is_decimal_or_hexadecimal() {
        assert_eq!(parse_seed("42"), Ok(42));
        assert_eq!(parse_seed(" 0x2a\n"), Ok(42));
        assert_eq!(parse_seed("0XFFFFFFFFFFFFFFFF"), Ok(u64::MAX));
        for wrong in [
            "",
            "2a",
            "0x",
            "-1",
            "0x-1",
            "0x+1",
            "18446744073709551616",
            "1 2",
        ] {
            let error = parse_seed(wrong).unwrap_err();
            let told = format!("{wrong} is no seed");
            assert!(error.contains(&told) && error.contains("0x2a"), "{error}");
        }
    }

    #[test]
    fn the_line_names_package_program_and_test() {
        assert_eq!(
            TEST.replay_line(42),
            "STILLPOINT_SEED=0x2a cargo test -p my-crate --test echo every_call_ends -- --exact"
        );
    }

    #[test]
    fn the_line_knows_the_librarys_own_tests_and_release_builds() {
        let unit = Test {
            program: "/target/release/deps/my_crate-0123456789abcdef",
            test: Some("module::tests::works"),
            release: true,
            ..TEST
        };
        let line = "cargo test -p my-crate --lib --release module::tests::works -- --exact";
        assert_eq!(unit.replay_line(1), format!("STILLPOINT_SEED=0x1 {line}"));
    }

    #[test]
    fn the_line_leaves_out_what_is_not_sure() {
        let unsure = Test {
            package: None,
            program: "/tmp/rust_out",
            test: None,
            ..TEST
        };
        assert_eq!(
            unsure.replay_line(1),
            "STILLPOINT_SEED=0x1 cargo test calls"
        );
    }
}
