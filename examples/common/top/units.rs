//! Numbers for people: short, and with their unit.

/// A count, with a thousand to each next letter.
pub fn count(value: f64) -> String {
    scaled(value, 1_000.0, &["", "k", "M", "G", "T", "P"])
}

/// Bytes, with 1,024 to each next unit.
pub fn bytes(value: f64) -> String {
    scaled(
        value,
        1_024.0,
        &[" B", " KiB", " MiB", " GiB", " TiB", " PiB"],
    )
}

/// Seconds.
pub fn duration(seconds: f64) -> String {
    if seconds == f64::INFINITY {
        return ">10 s".to_owned();
    }
    let (value, unit) = match seconds {
        _ if seconds >= 1.0 => (seconds, "s"),
        _ if seconds >= 1e-3 => (seconds * 1e3, "ms"),
        _ => (seconds * 1e6, "µs"),
    };
    format!("{value:.0} {unit}")
}

/// A longer time: days, hours, minutes and seconds, the two greatest of them.
pub fn age(seconds: f64) -> String {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a float is cut to the nearest integer there is"
    )]
    let seconds = seconds.max(0.0) as u64;
    let (minutes, hours, days) = (seconds / 60, seconds / 3_600, seconds / 86_400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min {:02} s", seconds % 60),
        (0, _, _) => format!("{hours} h {:02} min", minutes % 60),
        _ => format!("{days} d {:02} h", hours % 24),
    }
}

/// A bar of so many letters, of which `share`, from 0 to 1, is filled.
pub fn bar(share: f64, letters: usize) -> String {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a few eighths"
    )]
    let eighths = (share.clamp(0.0, 1.0) * letters as f64 * 8.0).round() as usize;
    let mut bar = "█".repeat(eighths / 8);
    bar.push_str(["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"][eighths % 8]);
    let missing = letters - bar.chars().count();
    bar + &"·".repeat(missing)
}

/// Three digits or four, and a unit.
fn scaled(mut value: f64, step: f64, units: &[&str]) -> String {
    let mut units = units.iter();
    let mut unit = units.next().copied().unwrap_or_default();
    let mut is_scaled = false;
    // What would be rounded to four digits belongs to the next unit.
    while value >= 999.5 {
        let Some(next) = units.next() else {
            break;
        };
        value /= step;
        unit = next;
        is_scaled = true;
    }
    match value {
        _ if !is_scaled => format!("{value:.0}{unit}"),
        _ if value < 9.995 => format!("{value:.2}{unit}"),
        _ if value < 99.95 => format!("{value:.1}{unit}"),
        _ => format!("{value:.0}{unit}"),
    }
}
