//! Which part of a campaign this machine has, of how many.

use core::fmt;

/// One of `count` parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Shard {
    /// From 0 on. It is written from 1 on: the last of four is `4/4`.
    pub(crate) index: u64,
    pub(crate) count: u64,
}

/// The shard that an environment asks for, and by which variables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) shard: Shard,
    pub(crate) by: String,
}

impl Shard {
    /// All of it.
    pub(crate) const WHOLE: Self = Self { index: 0, count: 1 };

    /// Whether it has the part of this number.
    pub(crate) const fn has(self, number: u64) -> bool {
        number % self.count == self.index
    }

    /// `2/4` is the second of four.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("shard `{text}`: write `2/4` for the second of four");
        let (index, count) = text.trim().split_once('/').ok_or_else(wrong)?;
        let number = |text: &str| text.trim().parse::<u64>().map_err(|_| wrong());
        let (index, count) = (number(index)?, number(count)?);
        if index == 0 || index > count {
            return Err(wrong());
        }
        let index = index - 1;
        Ok(Self { index, count })
    }

    /// The shard that the variables of a job array ask for, if there are some. `count` is how many
    /// there are, if somebody says so.
    ///
    /// # Errors
    ///
    /// If a variable is no number, or says which without how many.
    pub(crate) fn from_environment(
        variable: impl Fn(&str) -> Option<String>,
        count: Option<u64>,
    ) -> Result<Option<Asked>, String> {
        for array in ARRAYS {
            if let Some(asked) = array.ask(&variable, count)? {
                return Ok(Some(asked));
            }
        }
        Ok(None)
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index + 1, self.count)
    }
}

/// The variables of one kind of job arrays.
struct Array {
    index: &'static str,
    count: &'static [&'static str],
    first: First,
}

/// Where the indexes begin.
enum First {
    Zero,
    /// At one if this variable is set, at zero otherwise.
    OneIf(&'static str),
    /// Where this variable says, with a step that another one says.
    Says(&'static str, &'static str),
}

/// In the order in which they are asked. Documented by: Slurm (`sbatch`, job arrays), Kubernetes
/// (indexed jobs), GitLab (`parallel`; its indexes begin at 1, those of others at 0), CircleCI,
/// Buildkite, Bazel (test sharding).
const ARRAYS: [Array; 6] = [
    Array {
        index: "SLURM_ARRAY_TASK_ID",
        count: &["SLURM_ARRAY_TASK_COUNT"],
        first: First::Says("SLURM_ARRAY_TASK_MIN", "SLURM_ARRAY_TASK_STEP"),
    },
    Array {
        index: "JOB_COMPLETION_INDEX",
        count: &["JOB_COMPLETIONS", "JOB_COMPLETION_COUNT"],
        first: First::Zero,
    },
    Array {
        index: "CI_NODE_INDEX",
        count: &["CI_NODE_TOTAL"],
        first: First::OneIf("GITLAB_CI"),
    },
    Array {
        index: "CIRCLE_NODE_INDEX",
        count: &["CIRCLE_NODE_TOTAL"],
        first: First::Zero,
    },
    Array {
        index: "BUILDKITE_PARALLEL_JOB",
        count: &["BUILDKITE_PARALLEL_JOB_COUNT"],
        first: First::Zero,
    },
    Array {
        index: "TEST_SHARD_INDEX",
        count: &["TEST_TOTAL_SHARDS"],
        first: First::Zero,
    },
];

impl Array {
    fn ask(
        &self,
        variable: &impl Fn(&str) -> Option<String>,
        count: Option<u64>,
    ) -> Result<Option<Asked>, String> {
        let number = |name: &str| -> Result<Option<u64>, String> {
            let Some(text) = variable(name).filter(|text| !text.is_empty()) else {
                return Ok(None);
            };
            let parsed = text.trim().parse();
            let parsed = parsed.map_err(|_| format!("{name}={text} is no number: {OTHERWISE}"));
            parsed.map(Some)
        };
        let Some(index) = number(self.index)? else {
            return Ok(None);
        };
        let mut by = format!("{}={index}", self.index);
        let mut found = count;
        for name in self.count {
            if let (None, Some(said)) = (found, number(name)?) {
                by += &format!(" and {name}={said}");
                found = Some(said);
            }
        }
        let Some(count) = found else {
            let names = self.count.join("` nor `");
            return Err(format!(
                "{by} says which shard this is, but neither `{names}` says of how many: give \
                `--shards N`, or {OTHERWISE}"
            ));
        };
        let (first, step) = match self.first {
            First::Zero => (0, 1),
            First::OneIf(name) => (u64::from(variable(name).is_some()), 1),
            First::Says(first, step) => (number(first)?.unwrap_or(0), number(step)?.unwrap_or(1)),
        };
        let position = index.checked_sub(first).map(|index| index / step.max(1));
        match position {
            Some(index) if index < count => Ok(Some(Asked {
                shard: Shard { index, count },
                by,
            })),
            Some(_) | None => Err(format!(
                "{by}: indexes begin at {first}, so this is none of {count} shards: {OTHERWISE}"
            )),
        }
    }
}

/// What else can be done.
const OTHERWISE: &str = "say which it is by `--shard 2/4`, or `--shard 1/1` for all";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shard_is_written_from_one_on() {
        assert_eq!(Shard::parse("1/1"), Ok(Shard::WHOLE));
        assert_eq!(Shard::parse(" 4/4 "), Ok(Shard { index: 3, count: 4 }));
        assert_eq!(Shard { index: 1, count: 3 }.to_string(), "2/3");
        for wrong in ["0/4", "5/4", "1", "a/b", "1/0", "/", "-1/2", "1/2/3"] {
            let error = Shard::parse(wrong).unwrap_err();
            assert!(error.contains(&format!("`{wrong}`")), "{error}");
        }
    }

    fn ask(variables: &[(&str, &str)], count: Option<u64>) -> Result<Option<Asked>, String> {
        let variable = |name: &str| {
            let mut known = variables.iter();
            let found = known.find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        Shard::from_environment(variable, count)
    }

    #[test]
    fn job_arrays_say_which_shard_this_is() {
        for (variables, shard) in [
            (
                &[
                    ("SLURM_ARRAY_TASK_ID", "30"),
                    ("SLURM_ARRAY_TASK_COUNT", "4"),
                    ("SLURM_ARRAY_TASK_MIN", "10"),
                    ("SLURM_ARRAY_TASK_STEP", "10"),
                ][..],
                "3/4",
            ),
            (
                &[("JOB_COMPLETION_INDEX", "0"), ("JOB_COMPLETIONS", "8")],
                "1/8",
            ),
            (
                &[
                    ("CI_NODE_INDEX", "2"),
                    ("CI_NODE_TOTAL", "2"),
                    ("GITLAB_CI", "true"),
                ],
                "2/2",
            ),
            (&[("CI_NODE_INDEX", "1"), ("CI_NODE_TOTAL", "2")], "2/2"),
            (
                &[("CIRCLE_NODE_INDEX", "1"), ("CIRCLE_NODE_TOTAL", "5")],
                "2/5",
            ),
            (
                &[
                    ("BUILDKITE_PARALLEL_JOB", "0"),
                    ("BUILDKITE_PARALLEL_JOB_COUNT", "3"),
                ],
                "1/3",
            ),
            (
                &[("TEST_SHARD_INDEX", "2"), ("TEST_TOTAL_SHARDS", "3")],
                "3/3",
            ),
        ] {
            let asked = ask(variables, None).unwrap().expect("a shard");
            assert_eq!(asked.shard.to_string(), shard);
            assert!(asked.by.contains(variables[0].0), "{}", asked.by);
        }
        assert_eq!(ask(&[], None), Ok(None));
        assert_eq!(ask(&[("CI_NODE_TOTAL", "1")], None), Ok(None));
        let asked = ask(&[("JOB_COMPLETION_INDEX", "3")], Some(8)).unwrap();
        assert_eq!(asked.expect("a shard").shard.to_string(), "4/8");
    }

    #[test]
    fn what_they_say_wrongly_is_told_by_name() {
        for (variables, told) in [
            (
                &[("JOB_COMPLETION_INDEX", "3")][..],
                "neither `JOB_COMPLETIONS`",
            ),
            (
                &[("CIRCLE_NODE_INDEX", "x")],
                "CIRCLE_NODE_INDEX=x is no number",
            ),
            (
                &[("CIRCLE_NODE_INDEX", "5"), ("CIRCLE_NODE_TOTAL", "5")],
                "none of 5 shards",
            ),
            (
                &[
                    ("CI_NODE_INDEX", "0"),
                    ("CI_NODE_TOTAL", "2"),
                    ("GITLAB_CI", "true"),
                ],
                "begin at 1",
            ),
        ] {
            let error = ask(variables, None).unwrap_err();
            assert!(error.contains(told), "{error}");
        }
    }
}
