//! Tables for people.

use crate::results::{CaseResult, Row, Spread};
use crate::servers::REFERENCE;

/// Prints what all contestants made of a case.
pub fn print(case: &CaseResult) {
    let unit = case.load.unit().name;
    println!("\n{}", case.name);
    let [contestant, spread, of_floor] = ["contestant", "(min..max)", "of floor"];
    println!(
        "  {contestant:<24} {unit:>14} {spread:>20} {REFERENCE_HEAD:>20} {of_floor:>20} {:>9} {of_floor:>8} {:>10} {:>6}  more",
        "cpu ns", "generator", "lost"
    );
    for row in &case.rows {
        print_row(case, row);
    }
}

fn print_row(case: &CaseResult, row: &Row) {
    let Some(figure) = row.spread(|round| Some(round.figure)) else {
        let reason = row.failed.as_deref().unwrap_or_default();
        return println!("  {:<24} failed: {reason}", row.name);
    };
    let floor = case.floor_of(row);
    let bound = if row.is_lower_bound() { ">=" } else { "" };
    let percent = |part: f64| format!("{:.0} %", part * 100.0);
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    let more: Vec<String> = (row.rounds.first().map_or(&[][..], |round| &round.more[..]))
        .iter()
        .filter_map(|&(name, _)| {
            let of = |round: &crate::load::Measured| {
                let found = round.more.iter().find(|(own, _)| *own == name);
                found.map(|&(_, value)| value)
            };
            Some(format!("{name} {}", number(row.median(of)?)))
        })
        .collect();
    println!(
        "  {:<24} {:>14} {:>20} {:>20} {:>20} {:>9} {:>8} {:>10} {:>6}  {}",
        row.name,
        format!("{bound}{}", number(figure.median)),
        format!("{}..{}", number(figure.least), number(figure.most)),
        or_dash(case.ratio(row, REFERENCE).map(ratio)),
        or_dash(case.ratio(row, floor).map(ratio)),
        or_dash(row.least_cpu().map(number)),
        or_dash(
            case.cpu_ratio(row, floor)
                .map(|ratio| format!("{ratio:.2}"))
        ),
        or_dash(row.median(|round| round.busy).map(percent)),
        or_dash(row.median(|round| round.lost).map(percent)),
        more.join(", "),
    );
}

fn ratio(spread: Spread) -> String {
    let Spread {
        least,
        median,
        most,
    } = spread;
    format!("{median:.2} ({least:.2}..{most:.2})")
}

/// A number with as many places as say something, and thousands apart.
pub fn number(value: f64) -> String {
    if value.abs() < 100.0 {
        return format!("{value:.1}");
    }
    let digits = format!("{value:.0}");
    let mut apart = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            apart.push(',');
        }
        apart.push(digit);
    }
    apart
}

const REFERENCE_HEAD: &str = "of tokio";
