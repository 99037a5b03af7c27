//! Lines out of bytes, however these are cut.

use core::time::Duration;

use proptest::prelude::*;
use stillpoint::Timestamp;

use crate::chat::Name;
use crate::chat::allowance::{Allowance, Verdict};
use crate::chat::lines::{Heard, LineReader};
use crate::chat::wish::Wish;

/// What a reader makes of bytes that come in these parts, and the most that it kept.
fn read<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> (Vec<String>, usize) {
    let (mut reader, mut heard, mut kept) = (LineReader::default(), Vec::new(), 0);
    let text = |heard: Heard<'_>| match heard {
        Heard::Line(line) => line.escape_ascii().to_string(),
        Heard::TooLong => "TOO LONG".to_owned(),
    };
    for mut part in parts {
        while let Some(next) = reader.next(&mut part) {
            heard.push(text(next));
        }
        kept = kept.max(reader.waiting());
    }
    heard.extend(reader.rest().map(text));
    (heard, kept)
}

#[test]
fn lines_end_with_lf_or_cr_lf_and_need_be_no_text() {
    let (heard, _) = read([&b"one\r\ntwo\n\r\n\xff\xfe\rx\nlast"[..]]);
    assert_eq!(heard, ["one", "two", "", "\\xff\\xfe\\rx", "last"]);
}

#[test]
fn a_line_may_have_1024_bytes_whatever_it_ends_with() {
    for end in ["\n", "\r\n"] {
        for (len, fits) in [(1_023, true), (1_024, true), (1_025, false), (1_026, false)] {
            let line = "x".repeat(len);
            let whole = format!("{line}{end}next\n");
            let bytes = whole.as_bytes();
            let expected = if fits { &line } else { "TOO LONG" };
            assert_eq!(read([bytes]).0, [expected, "next"], "{len}");
            assert_eq!(read(bytes.chunks(1)).0, [expected, "next"], "{len}");
        }
    }
}

#[test]
fn what_has_no_end_is_told_once_and_not_kept() {
    let flood = vec![b'x'; 1 << 20];
    let (heard, kept) = read(flood.chunks(1_000).chain([&b"\nand on\n"[..]]));
    assert_eq!(heard, ["TOO LONG", "and on"]);
    assert!(kept <= LineReader::LINE_BYTES_MAX + 1, "{kept} bytes");
}

proptest! {
    #[test]
    fn how_bytes_are_cut_does_not_matter(
        lines in prop::collection::vec((0_usize..1_100, any::<u8>(), any::<bool>()), 0..8),
        cuts in prop::collection::vec(1_usize..700, 1..40),
    ) {
        let mut bytes = Vec::new();
        for (len, byte, cr) in lines {
            bytes.extend(core::iter::repeat_n(if byte == b'\n' { b'-' } else { byte }, len));
            bytes.extend_from_slice(if cr { b"\r\n" } else { b"\n" });
        }
        let (mut parts, mut rest) = (Vec::new(), &bytes[..]);
        for cut in cuts.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (part, more) = rest.split_at((*cut).min(rest.len()));
            parts.push(part);
            rest = more;
        }
        prop_assert_eq!(read(parts).0, read([&bytes[..]]).0);
    }
}

#[test]
fn a_bucket_gives_ten_at_once_and_five_a_second() {
    let mut allowance = Allowance::new(Timestamp::EPOCH);
    let mut now = Timestamp::EPOCH.after(Duration::from_secs(9));
    let verdicts: Vec<Verdict> = (0..13).map(|_| allowance.take(now)).collect();
    assert_eq!(verdicts[..10], [Verdict::Allowed; 10]);
    let excess = [Verdict::FirstTooMany, Verdict::TooMany, Verdict::TooMany];
    assert_eq!(verdicts[10..], excess);
    // In the long run it is the rate that counts, however often one tries.
    let mut allowed = 0;
    for _ in 0..10_000 {
        now = now.after(Duration::from_millis(1));
        allowed += u32::from(allowance.take(now) == Verdict::Allowed);
    }
    assert_eq!(allowed, 50);
}

#[test]
fn a_line_is_a_wish() {
    let name = |name: &str| Name::new(name.as_bytes()).unwrap();
    assert_eq!(Wish::of(b"hello"), Wish::Say(b"hello"));
    assert_eq!(Wish::of(b"//etc"), Wish::Say(b"/etc"));
    assert_eq!(Wish::of(b"/join  tea-room "), Wish::Join(name("tea-room")));
    assert_eq!(Wish::of(b"/nick Ada"), Wish::Nick(name("Ada")));
    assert_eq!(Wish::of(b"/nick Ada Byron"), Wish::BadName);
    assert_eq!(Wish::of(b"/nick seventeen-letters"), Wish::BadName);
    assert_eq!(Wish::of(b"/join"), Wish::BadName);
    assert_eq!(Wish::of(b"/who"), Wish::Who);
    assert_eq!(Wish::of(b"/dance"), Wish::Unknown);
    assert_eq!(Wish::of(b"/"), Wish::Unknown);
}
