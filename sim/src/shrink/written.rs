//! A small run, written down as a test.

use core::fmt::Write;
use core::ops::RangeInclusive;
use core::time::Duration;

use stillpoint::{Entity, Timestamp};

use super::Shrunk;
use crate::choice::{Choice, ChoiceLog, Driver};
use crate::drive::{NodeInShort, Run, Scenario, Watch};
use crate::fault::{Fault, FaultScript, NumberedFault};
use crate::node::NodeId;
use crate::story::name_nodes;

/// The text of a test.
pub(super) fn test(shrunk: &Shrunk, scenario: &Scenario) -> String {
    let log = &shrunk.log;
    let run = &shrunk.run;
    let script = script(shrunk, scenario);
    let path = shrunk.path.as_deref().unwrap_or(&shrunk.scenario);
    let mut text = format!(
        "/// Shrunk from seed {seed:#x}, which fails with {class}.\n\
        #[test]\nfn {name}_{seed:x}() {{\n",
        seed = log.seed(),
        class = shrunk.class,
        name = function_name(&shrunk.scenario),
    );
    let uses = if script.is_some() {
        "    use core::time::Duration;\n    use stillpoint::{NetworkError, Timestamp};\n    \
        use stillpoint_sim::{Fault, Replay, Who};\n\n"
    } else {
        "    use stillpoint_sim::Replay;\n\n"
    };
    let uses = match &script {
        Some((_, code)) => only_used(uses, code),
        None => uses.to_owned(),
    };
    let name = format!("{:?}", shrunk.scenario);
    text.push_str(&uses);
    line(&mut text, &format!("    Replay::of({name}, {path})"));
    line(&mut text, &format!("        .seed({:#x})", log.seed()));
    let used = script.as_ref().map_or(log, |(log, _)| log);
    for choice in used.choices() {
        line(&mut text, &format!("        {}", choose(choice, run)));
    }
    if let Some((_, code)) = &script {
        text.push_str(code);
    } else {
        for fault in &run.faults {
            let words = name_nodes(
                &format!("{:?}", fault.fault),
                |it| format!("`{it}`"),
                &run.nodes,
            );
            line(
                &mut text,
                &format!("        // Fault {} at {}: {words}", fault.number, fault.at),
            );
        }
        if !used.omitted().is_empty() {
            let numbers: Vec<String> = used.omitted().iter().map(u64::to_string).collect();
            let numbers = numbers.join(", ");
            line(&mut text, &format!("        .without_faults([{numbers}])"));
        }
    }
    text.push_str("        .passes();\n}\n");
    text
}

fn line(text: &mut String, line: &str) {
    text.push_str(line);
    text.push('\n');
}

/// The lines of `uses`, each with those names only that are used.
fn only_used(uses: &str, code: &str) -> String {
    let mut kept = String::new();
    for names in uses.lines() {
        let Some((path, list)) = names.trim_end_matches("};").split_once('{') else {
            if names.is_empty() || code.contains("Duration") {
                line(&mut kept, names);
            }
            continue;
        };
        let list = list.split(", ");
        let used = list.filter(|name| *name == "Replay" || code.contains(&format!("{name}::")));
        let used: Vec<&str> = used.collect();
        match used[..] {
            [] => {}
            [only] => line(&mut kept, &format!("{path}{only};")),
            _ => line(&mut kept, &format!("{path}{{{}}};", used.join(", "))),
        }
    }
    kept
}

/// A name for the function, out of whatever name the scenario has.
fn function_name(scenario: &str) -> String {
    let mut name = String::new();
    for char in scenario.chars() {
        if char.is_ascii_alphanumeric() {
            if char.is_ascii_uppercase() && name.ends_with(|last: char| last.is_ascii_lowercase()) {
                name.push('_');
            }
            name.push(char.to_ascii_lowercase());
        } else if !name.ends_with('_') && !name.is_empty() {
            name.push('_');
        }
    }
    let name = name.trim_end_matches('_');
    if name.starts_with(|first: char| first.is_ascii_alphabetic()) {
        name.to_owned()
    } else {
        format!("run_{name}")
    }
}

fn choose(choice: &Choice, run: &Run) -> String {
    let Choice {
        site,
        entity,
        count,
        options,
        chosen,
    } = choice;
    let name = run.names.get(entity);
    // The scenario's own draws have their names; all else is known by its number.
    let own = name.and_then(|name| name.strip_prefix("the scenario's `")?.strip_suffix('`'));
    let own = own.filter(|own| Entity::named(own) == *entity);
    let (who, said) = match (own, name) {
        (Some(own), _) => (format!("{own:?}"), String::new()),
        (None, Some(name)) => (format!("{:#x}", entity.number()), format!(" // {name}")),
        (None, None) => (format!("{:#x}", entity.number()), String::new()),
    };
    format!(".choose({site:?}, {who}, {count}, ({options}, {chosen})){said}")
}

/// The faults as code, and the choices that are left beside them, if the run fails with these as it
/// should.
fn script(shrunk: &Shrunk, scenario: &Scenario) -> Option<(ChoiceLog, String)> {
    let run = &shrunk.run;
    let code = code(&run.faults, &run.nodes)?;
    let log = &shrunk.log;
    let choices = log.choices().iter().filter(|choice| !is_planned(choice));
    let choices: Vec<Choice> = choices.cloned().collect();
    if choices.len() == log.choices().len() && run.faults.is_empty() && log.omitted().is_empty() {
        return None; // There is no plan to stand in for.
    }
    let log = log.clone().with_choices(choices).omitting([]);
    let faults = in_order(&run.faults);
    let script = FaultScript::new(move |_: &dyn Fn(&str) -> NodeId| faults.clone());
    let driver = Driver::Scripted {
        log: &log,
        faults: &script,
    };
    let scripted = scenario.run(driver, Watch::Outcome);
    (scripted.class().as_ref() == Some(&shrunk.class)).then_some((log, code))
}

/// Whether it was drawn by a plan of faults.
fn is_planned(choice: &Choice) -> bool {
    ["fault switch", "fault plan"].contains(&&*choice.site)
}

/// Faults of one instant happen in the order in which they were scheduled.
fn in_order(faults: &[NumberedFault]) -> Vec<(Timestamp, Fault)> {
    let mut faults: Vec<&NumberedFault> = faults.iter().collect();
    faults.sort_by_key(|fault| (fault.at, fault.number));
    faults
        .into_iter()
        .map(|it| (it.at, it.fault.clone()))
        .collect()
}

fn code(faults: &[NumberedFault], nodes: &[NodeInShort]) -> Option<String> {
    if faults.is_empty() {
        return Some("        .faults(|_| [])\n".to_owned());
    }
    let mut text = "        .faults(|node| {\n            [\n".to_owned();
    for (at, fault) in in_order(faults) {
        let fault = name_nodes(&fault_code(&fault)?, |it| format!("node({it:?})"), nodes);
        let at = at.as_nanos();
        writeln!(
            text,
            "                (Timestamp::from_nanos({at}), {fault}),"
        )
        .ok()?;
    }
    text.push_str("            ]\n        })\n");
    Some(text)
}

/// What it takes to write a fault down, with ids of nodes as their `Debug` text. `None` if that takes
/// more than a line.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "what is not for this part is for another"
)]
fn fault_code(fault: &Fault) -> Option<String> {
    Some(match fault {
        Fault::StallWorker {
            node,
            worker,
            stall,
        } => {
            let stall = lasts(stall);
            format!("Fault::StallWorker {{ node: {node:?}, worker: {worker}, stall: {stall} }}")
        }
        Fault::JumpClock { node, by } => {
            format!("Fault::JumpClock {{ node: {node:?}, by: {} }}", lasts(by))
        }
        Fault::SetBackClock { node, by } => {
            format!(
                "Fault::SetBackClock {{ node: {node:?}, by: {} }}",
                lasts(by)
            )
        }
        Fault::LateTimers { who, lateness } => {
            let lateness = range(lateness.as_ref());
            format!("Fault::LateTimers {{ who: {who:?}, lateness: {lateness} }}")
        }
        Fault::SlowReaders { node, delay } => {
            let delay = range(delay.as_ref());
            format!("Fault::SlowReaders {{ node: {node:?}, delay: {delay} }}")
        }
        Fault::Clog { from, to, duration } => {
            let duration = lasts(duration);
            format!("Fault::Clog {{ from: {from:?}, to: {to:?}, duration: {duration} }}")
        }
        Fault::Partition { one, other } => {
            format!("Fault::Partition {{ one: vec!{one:?}, other: vec!{other:?} }}")
        }
        Fault::Rejoin { one, other } => {
            format!("Fault::Rejoin {{ one: vec!{one:?}, other: vec!{other:?} }}")
        }
        other => return refusal_code(other),
    })
}

/// The same for what the system of a node refuses, and for what is written as it is shown.
fn refusal_code(fault: &Fault) -> Option<String> {
    Some(match fault {
        Fault::SendErrors {
            node,
            error,
            chance,
        } => {
            let error = format!("NetworkError::{error:?}");
            format!("Fault::SendErrors {{ node: {node:?}, error: {error}, chance: {chance:?} }}")
        }
        Fault::BindErrors {
            node,
            error,
            chance,
        } => {
            let error = format!("NetworkError::{error:?}");
            format!("Fault::BindErrors {{ node: {node:?}, error: {error}, chance: {chance:?} }}")
        }
        // All that a link is, or an input costs, takes more than a line; so does an address.
        Fault::SetLink { link: Some(_), .. }
        | Fault::SlowInputs { cost: Some(_), .. }
        | Fault::Readdress { .. }
        | Fault::Roam { .. } => return None,
        Fault::SetLink { link: None, .. }
        | Fault::SlowInputs { cost: None, .. }
        | Fault::Crash(_)
        | Fault::Restart(_)
        | Fault::PowerCycle
        | Fault::Pause(_)
        | Fault::Resume(_)
        | Fault::StallWorker { .. }
        | Fault::KillWorker { .. }
        | Fault::JumpClock { .. }
        | Fault::SetBackClock { .. }
        | Fault::LateTimers { .. }
        | Fault::Cut { .. }
        | Fault::Clog { .. }
        | Fault::Mend { .. }
        | Fault::Partition { .. }
        | Fault::Rejoin { .. }
        | Fault::DescriptorsMax { .. }
        | Fault::BusQueue { .. }
        | Fault::ResetStreams { .. }
        | Fault::SlowReaders { .. }
        | Fault::Rebind(_)
        | Fault::Buggify { .. } => format!("Fault::{fault:?}"),
    })
}

fn lasts(duration: &Duration) -> String {
    format!("Duration::from_nanos({})", duration.as_nanos())
}

fn range(range: Option<&RangeInclusive<Duration>>) -> String {
    range.map_or_else(
        || "None".to_owned(),
        |range| format!("Some({}..={})", lasts(range.start()), lasts(range.end())),
    )
}
