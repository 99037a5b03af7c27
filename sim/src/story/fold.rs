//! Lines that are like others before them, told once.

/// Folds what repeats: a pattern of up to some lines that comes again, but for its numbers, three
/// times or more in a row, stands once, with how many more there are.
pub(super) fn fold(lines: &[String]) -> Vec<String> {
    let plain: Vec<String> = lines.iter().map(|line| without_numbers(line)).collect();
    let mut folded = Vec::new();
    let mut at = 0;
    while at < lines.len() {
        let best = (1..=PERIOD_MAX)
            .map(|period| (period, repeats(&plain[at..], period)))
            .filter(|&(period, times)| times >= 3 && period * (times - 1) > 1)
            .max_by_key(|&(period, times)| (period * times, core::cmp::Reverse(period)));
        match best {
            Some((period, times)) => {
                folded.extend_from_slice(&lines[at..at + period]);
                let what = if period == 1 {
                    "of these".to_owned()
                } else {
                    format!("rounds of these {period} lines")
                };
                folded.push(format!("  … {} more {what}", times - 1));
                at += period * times;
            }
            None => {
                folded.push(lines[at].clone());
                at += 1;
            }
        }
    }
    folded
}

/// How often the first `period` lines come in a row.
fn repeats(lines: &[String], period: usize) -> usize {
    let Some(first) = lines.get(..period) else {
        return 0;
    };
    let rounds = lines.chunks_exact(period);
    rounds.take_while(|round| *round == first).count()
}

fn without_numbers(line: &str) -> String {
    let mut plain = String::new();
    for char in line.chars() {
        if !char.is_ascii_digit() {
            plain.push(char);
        } else if !plain.ends_with('#') {
            plain.push('#');
        }
    }
    plain
}

/// Lines of a pattern.
const PERIOD_MAX: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    fn folded(lines: &[&str]) -> Vec<String> {
        let lines: Vec<String> = lines.iter().map(|&line| line.to_owned()).collect();
        fold(&lines)
    }

    #[test]
    fn what_repeats_stands_once() {
        let lines = folded(&[
            "begin", "1 ping", "1 pong", "2 ping", "2 pong", "3 ping", "3 pong",
        ]);
        let wanted = [
            "begin",
            "1 ping",
            "1 pong",
            "  … 2 more rounds of these 2 lines",
        ];
        assert_eq!(lines, wanted);
        let lines = folded(&["1 a", "2 a", "3 a", "4 a", "b"]);
        assert_eq!(lines, ["1 a", "  … 3 more of these", "b"]);
    }

    #[test]
    fn what_comes_twice_stands_twice() {
        assert_eq!(folded(&["1 a", "2 a", "b", "c"]).len(), 4);
        assert_eq!(folded(&[]).len(), 0);
    }
}
