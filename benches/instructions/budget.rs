//! The instructions that an operation may take, as they are checked in.

use core::fmt::Write as _;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

/// By how much of its budget, in percent, a count may grow before the check fails, and fall before
/// the budget is to be lowered.
const TOLERANCE_PERCENT: u64 = 5;

/// Instructions per operation, by case and size.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Budget {
    counts: BTreeMap<(String, u32), u64>,
    /// What compiled the operations that were counted.
    compiler: String,
}

impl Budget {
    /// Nothing yet, counted in what this compiler makes.
    pub(crate) fn new() -> Self {
        Self {
            counts: BTreeMap::new(),
            compiler: compiler(),
        }
    }

    pub(crate) fn insert(&mut self, name: &str, size: u32, count: u64) {
        self.counts.insert((name.to_owned(), size), count);
    }

    /// What is checked in.
    ///
    /// # Errors
    ///
    /// What is wrong with the file.
    pub(crate) fn read() -> Result<Self, String> {
        let path = path();
        let text = std::fs::read_to_string(&path)
            .map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
        Self::parse(&text)
    }

    /// Checks these counts in.
    pub(crate) fn write(&self) {
        std::fs::write(path(), self.text()).expect("the budget can be written");
    }

    fn text(&self) -> String {
        let mut text = format!(
            "# Instructions per operation: case, size, instructions.\n\
             # Written by `cargo bench --workspace --bench instructions -- --bless`.\n\
             {COMPILER}{}\n",
            self.compiler
        );
        for ((name, size), count) in &self.counts {
            writeln!(text, "{name} {size} {count}").expect("text takes all");
        }
        text
    }

    fn parse(text: &str) -> Result<Self, String> {
        let mut budget = Self::default();
        for line in text.lines() {
            if let Some(compiler) = line.strip_prefix(COMPILER) {
                compiler.clone_into(&mut budget.compiler);
            }
            if line.starts_with('#') {
                continue;
            }
            let words: Vec<&str> = line.split_whitespace().collect();
            let entry = match words[..] {
                [name, size, count] => size.parse().ok().zip(count.parse().ok()).map(|numbers| {
                    let (size, count) = numbers;
                    budget.insert(name, size, count);
                }),
                _ => None,
            };
            entry.ok_or_else(|| format!("not a case, a size and a number: {line:?}"))?;
        }
        Ok(budget)
    }

    /// Compares what was counted with the budget, `self`.
    pub(crate) fn compare(&self, counted: &Self) -> Verdict {
        let mut verdict = Verdict::default();
        for (key, count) in &counted.counts {
            let (name, size) = key;
            let Some(budget) = self.counts.get(key) else {
                let new = format!("{name} among {size}: {count} instructions, and no budget");
                verdict.over.push(new);
                continue;
            };
            let tolerance = budget * TOLERANCE_PERCENT;
            let line = || {
                #[expect(clippy::cast_precision_loss, reason = "a percentage")]
                let change = 100.0 * (*count as f64 / *budget as f64 - 1.0);
                format!("{name} among {size}: {count} instructions, {change:+.1} % to {budget}")
            };
            if 100 * count > 100 * budget + tolerance {
                verdict.over.push(line());
            } else if 100 * count + tolerance < 100 * budget {
                verdict.under.push(line());
            }
        }
        for (name, size) in self.counts.keys() {
            if !counted.counts.contains_key(&(name.clone(), *size)) {
                let gone = format!("{name} among {size}: a budget, and nothing counted");
                verdict.over.push(gone);
            }
        }
        if !verdict.over.is_empty() && self.compiler != counted.compiler {
            verdict.over.push(format!(
                "the budget is of {:?}, this is {:?}",
                self.compiler, counted.compiler
            ));
        }
        verdict
    }
}

/// What came of a comparison.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Verdict {
    /// What is over its budget, or has none.
    pub(crate) over: Vec<String>,
    /// What takes so much less that its budget should be lowered.
    pub(crate) under: Vec<String>,
}

/// That the comparison finds what it is there for: looked at before each check.
pub(crate) fn prove() {
    let of = |counts: &[(&str, u32, u64)]| {
        let mut budget = Budget::default();
        for (name, size, count) in counts {
            budget.insert(name, *size, *count);
        }
        budget
    };
    let budget = of(&[("same", 1, 100), ("more", 1, 100), ("less", 1, 100)]);
    assert_eq!(Budget::parse(&budget.text()), Ok(budget.clone()));
    assert!(Budget::parse("one 1 many").is_err());
    let within = of(&[("same", 1, 100), ("more", 1, 105), ("less", 1, 95)]);
    assert_eq!(budget.compare(&within), Verdict::default());
    let beyond = of(&[("same", 1, 100), ("more", 1, 106), ("less", 1, 94)]);
    let verdict = budget.compare(&beyond);
    assert_eq!((verdict.over.len(), verdict.under.len()), (1, 1));
    let other = of(&[("same", 1, 100), ("less", 1, 100), ("new", 1, 1)]);
    assert_eq!(budget.compare(&other).over.len(), 2, "new, and missing");
}

fn path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/instructions.budget")
}

fn compiler() -> String {
    let said = Command::new("rustc").arg("--version").output();
    let said = said.map(|said| String::from_utf8_lossy(&said.stdout).trim().to_owned());
    said.unwrap_or_default()
}

const COMPILER: &str = "# Compiler: ";
