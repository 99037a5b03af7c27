//! The results on one page, as Markdown: a line for each case.

use core::fmt::Write;

use crate::case::Better;
use crate::report::number;
use crate::results::{CaseResult, Results, Row};
use crate::servers::{FLOOR, REFERENCE, SPINNING};

/// The page.
pub fn write(results: &Results) -> String {
    let mut page = String::new();
    let others = OTHERS.join(" | ");
    page += &format!(
        "| case | {FLOOR} | best of ours | of {REFERENCE} | by CPU | ours of their floors by CPU | {others} | predecessor |\n"
    );
    page += &format!("| --- |{}\n", " ---: |".repeat(6 + OTHERS.len()));
    for case in &results.cases {
        // A page is no place for a failure, and a string takes all that is written.
        let _ = writeln!(page, "{}", line(case));
    }
    page
}

fn line(case: &CaseResult) -> String {
    let best_of = |prefix: &str| {
        let rows = case.rows.iter().filter(|row| row.name.starts_with(prefix));
        let rows = rows.filter(|row| !row.name.ends_with(SPINNING) && figure(row).is_some());
        rows.max_by(|one, other| {
            let (one, other) = (figure(one).unwrap_or(0.0), figure(other).unwrap_or(0.0));
            match case.load.unit().better {
                Better::More => one.total_cmp(&other),
                Better::Less => other.total_cmp(&one),
            }
        })
    };
    let shown = |row: &Row| {
        let bound = if row.is_lower_bound() { "≥ " } else { "" };
        format!("{bound}{}", number(figure(row).unwrap_or(0.0)))
    };
    let named = |name: &str| case.row(name).map_or_else(dash, shown);
    let ours = best_of("ours-");
    let by_cpu = |to: &dyn Fn(&Row) -> &'static str| {
        let rows = case.rows.iter().filter(|row| row.name.starts_with("ours-"));
        let rows = rows.filter(|row| !row.name.ends_with(SPINNING));
        let mut all: Vec<(f64, &str)> = rows
            .filter_map(|row| {
                let name = row.name.trim_start_matches("ours-");
                Some((case.cpu_ratio(row, to(row))?, name))
            })
            .collect();
        all.sort_by(|(one, _), (other, _)| one.total_cmp(other));
        Some((*all.first()?, *all.last()?))
    };
    let best = ours.map_or_else(dash, |row| {
        format!("{} ({})", shown(row), row.name.trim_start_matches("ours-"))
    });
    let ratio = ours
        .and_then(|row| case.ratio(row, REFERENCE))
        .map_or_else(dash, |ratio| {
            format!(
                "{:.2} ({:.2}..{:.2})",
                ratio.median, ratio.least, ratio.most
            )
        });
    let to_reference = by_cpu(&|_| REFERENCE);
    let to_reference = to_reference.map_or_else(dash, |(_, (most, _))| format!("{most:.2}"));
    let to_floors = by_cpu(&|row| case.floor_of(row)).map_or_else(dash, |(least, most)| {
        format!("{:.2} ({}) to {:.2} ({})", least.0, least.1, most.0, most.1)
    });
    let others: Vec<String> = OTHERS.iter().map(|name| named(name)).collect();
    format!(
        "| `{}`, {} | {} | {best} | {ratio} | {to_reference} | {to_floors} | {} | {} |",
        case.name,
        case.load.unit().name,
        named(FLOOR),
        others.join(" | "),
        best_of("predecessor").map_or_else(dash, shown),
    )
}

fn figure(row: &Row) -> Option<f64> {
    row.median(|round| Some(round.figure))
}

fn dash() -> String {
    "-".to_owned()
}

/// Who has a column of their own.
const OTHERS: [&str; 4] = [REFERENCE, "mio", "quinn-udp", "monoio"];
