//! Rules of the house that no compiler checks.
#![allow(clippy::unwrap_used, reason = "these are tests")]

use std::fs;
use std::path::{Path, PathBuf};

/// All Rust sources of the project, with their text.
fn sources() -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    for folder in [
        "src", "sim", "shim", "models", "examples", "tests", "benches", "fuzz",
    ] {
        gather(&root.join(folder), &mut found);
    }
    assert!(
        found.len() > 30,
        "the project has more sources than {}",
        found.len()
    );
    found
        .into_iter()
        .map(|path| {
            let text = fs::read_to_string(&path).unwrap();
            (path.strip_prefix(root).unwrap().to_owned(), text)
        })
        .collect()
}

fn gather(folder: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with("target") {
            gather(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// Lines of code: neither empty nor comment.
fn code(text: &str) -> impl Iterator<Item = &str> {
    text.lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with("//"))
}

#[test]
fn no_file_is_longer_than_600_lines() {
    for (path, text) in sources() {
        let lines = text.lines().count();
        assert!(
            lines <= 600,
            "{}: {lines} lines; cut it by sub-machine",
            path.display()
        );
    }
}

#[test]
fn unsafe_code_is_in_the_backends_and_the_shim_only() {
    for (path, text) in sources() {
        let system = path.starts_with("tests/devices/system.rs");
        // The shim is what the system's library is for others; its tests call it as they do.
        let shim = path.starts_with("shim");
        if path.starts_with("src/backend") || path.ends_with("tidy.rs") || system || shim {
            continue;
        }
        if path.ends_with("tests/support/allocator.rs") {
            continue; // The one way to count allocations is to be the allocator.
        }
        if path.starts_with("benches/race/src/sys") || path.ends_with("benches/race/src/sys.rs") {
            continue; // A floor makes its system calls by hand.
        }
        for line in code(&text) {
            let unsafe_code = line.contains("unsafe {") || line.contains("unsafe fn");
            assert!(!unsafe_code, "{}: {line}", path.display());
        }
    }
}

/// Whether a source is of the core, and not of what comes with a backend.
fn is_core(path: &Path) -> bool {
    let outer = [
        "src/backend.rs",
        "src/backend",
        "src/runtime.rs",
        "src/runtime",
    ];
    path.starts_with("src") && !outer.iter().any(|outer| path.starts_with(outer))
}

#[test]
fn the_core_names_neither_runtime_nor_backend() {
    for (path, text) in sources() {
        let core = is_core(&path) && !path.starts_with("src/lib.rs");
        if !core && !path.starts_with("sim") {
            continue;
        }
        for line in code(&text) {
            for arrow in [
                "crate::backend",
                "crate::runtime",
                "stillpoint::backend",
                "stillpoint::runtime",
            ] {
                assert!(!line.contains(arrow), "{}: {line}", path.display());
            }
        }
    }
}

#[test]
fn the_simulator_does_not_know_the_shim() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for package in [".", "sim"] {
        let manifest = fs::read_to_string(root.join(package).join("Cargo.toml")).unwrap();
        let needs = manifest.split("[dev-dependencies]").next().unwrap();
        assert!(!needs.contains("stillpoint-shim"), "{package}");
    }
}

#[test]
fn the_core_and_the_simulator_ask_neither_clock_nor_system() {
    let asks = [
        "Instant::now",
        "SystemTime",
        "thread::spawn",
        "thread::current().id",
        "getrandom",
        "HashMap<",
        "HashMap::",
        "HashSet<",
        "HashSet::",
        "RandomState",
    ];
    for (path, text) in sources() {
        if !is_core(&path) && !path.starts_with("sim/src") {
            continue;
        }
        // Bounds how many seeds are run, and nothing else.
        if path.starts_with("sim/src/wall.rs") {
            continue;
        }
        for line in code(&text) {
            for ask in asks {
                assert!(!line.contains(ask), "{}: {line}", path.display());
            }
        }
    }
}

#[test]
fn every_source_is_on_the_map() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let map = fs::read_to_string(root.join("ARCHITECTURE.md")).unwrap();
    for (path, _) in sources() {
        let name = path.display().to_string();
        assert!(map.contains(&name), "{name} is missing in ARCHITECTURE.md");
    }
}

#[test]
fn whatever_is_left_to_do_has_an_owner() {
    for (path, text) in sources() {
        if path.ends_with("tidy.rs") {
            continue;
        }
        for line in text.lines() {
            for mark in ["TODO", "FIXME", "XXX", "todo!(", "unimplemented!("] {
                assert!(!line.contains(mark), "{}: {line}", path.display());
            }
        }
    }
}
