//! Pictures of the scenarios. With `STILLPOINT_PICTURES` they are kept, for those who have a browser
//! and tshark: `.ci/pictures`.

use std::fs;
use std::path::Path;

use miniserde::json::{self, Value};
use stillpoint_sim::{TraceKind, TraceLog};

use crate::scenarios::SCENARIOS;

fn written(write: impl FnOnce(&mut Vec<u8>) -> std::io::Result<()>) -> Vec<u8> {
    let mut bytes = Vec::new();
    write(&mut bytes).unwrap();
    bytes
}

fn text(bytes: &[u8]) -> &str {
    str::from_utf8(bytes).unwrap()
}

/// What a page has as data.
fn data_of(page: &str) -> &str {
    let (_, data) = page
        .split_once("<script type=\"application/json\" id=\"data\">")
        .unwrap();
    data.split_once("</script>").unwrap().0
}

/// How long a field is, which is a list.
fn len_of(value: &Value, name: &str) -> usize {
    let Value::Object(fields) = value else {
        panic!("no object");
    };
    match &fields[name] {
        Value::Array(items) => items.len(),
        other => panic!("`{name}` is {other:?}"),
    }
}

/// The blocks of a capture: their types and their bodies.
fn blocks(mut capture: &[u8]) -> Vec<(u32, &[u8])> {
    let word = |bytes: &[u8]| u32::from_le_bytes(bytes[..4].try_into().unwrap());
    let mut blocks = Vec::new();
    while !capture.is_empty() {
        let (kind, len) = (word(capture), word(&capture[4..]));
        let (block, left) = capture.split_at(usize::try_from(len).unwrap());
        assert_eq!((len % 4, word(&block[block.len() - 4..])), (0, len));
        blocks.push((kind, &block[8..block.len() - 4]));
        capture = left;
    }
    blocks
}

#[test]
fn each_scenario_has_its_pictures() {
    let folder = std::env::var_os("STILLPOINT_PICTURES");
    for scenario in SCENARIOS {
        let log = (scenario.record)(scenario.seed);
        let page = written(|to| log.write_html(to));
        let capture = written(|to| log.write_pcapng(to));
        let chrome = written(|to| log.write_chrome(to));
        check_page(text(&page), &log);
        check_capture(&capture, &log);
        let chrome_read: Value = json::from_str(text(&chrome)).unwrap();
        assert!(len_of(&chrome_read, "traceEvents") > log.len());
        if let Some(folder) = &folder {
            let path = |extension| {
                Path::new(folder)
                    .join(scenario.name)
                    .with_extension(extension)
            };
            fs::create_dir_all(folder).unwrap();
            fs::write(path("html"), &page).unwrap();
            fs::write(path("pcapng"), &capture).unwrap();
            fs::write(path("json"), &chrome).unwrap();
            fs::write(path("bin"), log.to_bytes()).unwrap();
        }
    }
}

fn check_page(page: &str, log: &TraceLog) {
    let data = data_of(page);
    assert!(
        !data.contains(['<', '>', '&']),
        "the data stays in its script"
    );
    let data: Value = json::from_str(data).unwrap();
    for column in ["at", "lane", "kind", "cause", "task", "what", "to", "takes"] {
        assert_eq!(len_of(&data, column), log.len(), "{column}");
    }
    for remote in ["src=", "href=", "@import", "fetch(", "XMLHttpRequest"] {
        assert!(
            !page.contains(remote),
            "the page needs nothing else: {remote}"
        );
    }
}

fn check_capture(capture: &[u8], log: &TraceLog) {
    let blocks = blocks(capture);
    assert_eq!(blocks[0].0, 0x0a0d_0d0a);
    let interfaces = blocks.iter().filter(|(kind, _)| *kind == 1).count();
    assert_eq!(interfaces, 2 * log.nodes().count());
    let packets = blocks.iter().filter(|(kind, _)| *kind == 6);
    let mut before = 0;
    let mut count = 0;
    for (_, body) in packets {
        let word = |at: usize| u32::from_le_bytes(body[at..at + 4].try_into().unwrap());
        let at = u64::from(word(4)) << 32 | u64::from(word(8));
        assert!(word(0) < u32::try_from(interfaces).unwrap() && at >= before);
        assert_eq!(word(12), word(16), "all of it is there");
        before = at;
        count += 1;
    }
    let sent = log.events().filter(|event| {
        matches!(
            event.event.kind,
            TraceKind::Carried | TraceKind::Segment | TraceKind::PacketCarried
        )
    });
    assert!(count >= sent.count(), "{count}");
}
