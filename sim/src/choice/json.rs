//! Choices as JSON, a line each.

use std::collections::BTreeSet;
use std::sync::Arc;

use miniserde::json::Value;
use stillpoint::Entity;

use super::{Choice, ChoiceLog, Rest};
use crate::json::{self, FormatError, quote, read, wrong};

impl ChoiceLog {
    /// The log as JSON: each choice is a line of site, entity, count, options, and what was chosen.
    #[must_use]
    pub fn to_json(&self) -> String {
        let rest = match self.rest {
            Rest::Seed => "seed",
            Rest::Quiet => "quiet",
        };
        let omitted: Vec<String> = self.omitted.iter().map(u64::to_string).collect();
        let mut text = format!(
            "{{\"seed\": \"{:#x}\", \"rest\": \"{rest}\", \"whole\": {}, \"omitted\": [{}], \
            \"choices\": [",
            self.seed,
            self.is_whole,
            omitted.join(", ")
        );
        for (number, choice) in self.choices.iter().enumerate() {
            let comma = if number == 0 { "" } else { "," };
            let (site, entity) = (quote(&choice.site), choice.entity.number());
            let Choice {
                count,
                options,
                chosen,
                ..
            } = choice;
            let row = format!("{comma}\n[{site},\"{entity:#x}\",{count},{options},{chosen}]");
            text.push_str(&row);
        }
        text.push_str("]}");
        text
    }

    /// Reads what [`ChoiceLog::to_json`] has written.
    ///
    /// # Errors
    ///
    /// [`FormatError`], with the place that is wrong.
    pub fn from_json(text: &str) -> Result<Self, FormatError> {
        Self::from_value(&json::parse(text)?)
    }

    pub(crate) fn from_value(value: &Value) -> Result<Self, FormatError> {
        let rest = read(
            value,
            "rest",
            "\"seed\" or \"quiet\"",
            |rest| match json::text(rest)? {
                "seed" => Some(Rest::Seed),
                "quiet" => Some(Rest::Quiet),
                _ => None,
            },
        )?;
        let omitted = read(value, "omitted", "a list of numbers", |omitted| {
            let numbers = json::list(omitted)?.iter().map(json::number);
            numbers.collect::<Option<BTreeSet<u64>>>()
        })?;
        let rows = read(value, "choices", "a list", json::list)?;
        let mut choices: Vec<Choice> = Vec::new();
        for (number, row) in rows.iter().enumerate() {
            let last = choices.last().map(|choice| &choice.site);
            choices.push(choice(row, last).ok_or_else(|| {
                let wanted = "[site, entity, count, options, chosen], the last less than options";
                wrong(format!("choice {number}"), wanted, row)
            })?);
        }
        Ok(Self {
            seed: read(value, "seed", "a number as \"0x2a\"", json::hex)?,
            rest,
            choices,
            omitted,
            is_whole: read(value, "whole", "true or false", json::flag)?,
        })
    }
}

/// A choice out of its row. Sites that are alike share their name.
fn choice(row: &Value, last: Option<&Arc<str>>) -> Option<Choice> {
    let [site, entity, count, options, chosen] = json::list(row)? else {
        return None;
    };
    let site = json::text(site)?;
    let (options, chosen) = (json::number(options)?, json::number(chosen)?);
    if options != 0 && chosen >= options {
        return None;
    }
    let site = match last {
        Some(last) if **last == *site => Arc::clone(last),
        Some(_) | None => Arc::from(site),
    };
    Some(Choice {
        site,
        entity: Entity::new(json::hex(entity)?),
        count: json::number(count)?,
        options,
        chosen,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log() -> ChoiceLog {
        let entity = Entity::named("die");
        let choices = [
            Choice::new("scenario", entity, 0, (6, 5)),
            Choice::new("scenario", entity, 1, (0, u64::MAX)),
            Choice::new("link \"loss\"", Entity::new(u64::MAX), 7, (2, 1)),
        ];
        ChoiceLog::new(u64::MAX, Rest::Quiet)
            .with_choices(choices)
            .omitting([3, 1])
    }

    #[test]
    fn a_log_is_read_as_it_was_written() {
        assert_eq!(ChoiceLog::from_json(&log().to_json()), Ok(log()));
        let empty = ChoiceLog::new(0, Rest::Seed);
        assert_eq!(ChoiceLog::from_json(&empty.to_json()), Ok(empty));
    }

    #[test]
    fn what_is_cut_off_is_told() {
        let text = log().to_json();
        for len in (0..text.len()).filter(|&len| text.is_char_boundary(len)) {
            let error = ChoiceLog::from_json(&text[..len]).unwrap_err();
            assert!(error.to_string().contains("cut off"), "{error}");
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        let text = log().to_json();
        for (from, to, told) in [
            ("\"quiet\"", "\"loud\"", "`rest` should be"),
            ("\"seed\": \"0x", "\"seed\": \"", "`seed` should be"),
            ("[1, 3]", "[1, -3]", "`omitted` should be"),
            ("true", "1", "`whole` should be"),
            (",6,5]", ",6,6]", "choice 0 should be"),
            (",2,1]", ",2]", "choice 2 should be"),
            ("\"choices\"", "\"chosen\"", "`choices` should be"),
        ] {
            let broken = text.replacen(from, to, 1);
            assert_ne!(broken, text, "{from}");
            let error = ChoiceLog::from_json(&broken).unwrap_err().to_string();
            assert!(error.contains(told), "{error}");
        }
    }
}
