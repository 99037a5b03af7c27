//! Pictures of small runs: what is to be seen is there, and nothing gets out of its place.

use miniserde::json::{self, Value};
use stillpoint_sim::{Failure, Link, TraceDetail, TraceKind, TraceLog, World};

use crate::common::{self, Echo, client, server};
use crate::hand::ms;

const NAME: &str = "</script><b>\"it's\" & \\ \u{2028}";

/// A run between nodes of names that mean something elsewhere. It fails with such a text.
fn log() -> TraceLog {
    let mut world = World::<Echo>::new(2);
    let asking = world.node(NAME, [10, 0, 0, 1]).spawner(common::spawn);
    let answering = world.node("server", [10, 0, 0, 2]).spawner(common::spawn);
    world.link(asking, answering, &Link::new(ms(1)..=ms(5)).loss(0.3));
    world.record_log(TraceDetail::new().payloads(1 << 20));
    world.spawn(answering, 0, server("10.0.0.2:7"));
    world.spawn(asking, 0, client("10.0.0.2:7", 20, ms(3)));
    world.run_until_idle(ms(1_000)).unwrap();
    let mut log = world.take_log();
    log.note_failure(&Failure::new(format!("<!-- {NAME}")));
    log.named(NAME)
}

fn page(log: &TraceLog) -> String {
    let mut page = Vec::new();
    log.write_html(&mut page).unwrap();
    String::from_utf8(page).unwrap()
}

fn field<'a>(value: &'a Value, name: &str) -> &'a Value {
    match value {
        Value::Object(fields) => &fields[name],
        other => panic!("{other:?} is no object"),
    }
}

fn items(value: &Value) -> Vec<&Value> {
    match value {
        Value::Array(items) => items.iter().collect(),
        other => panic!("{other:?} is no list"),
    }
}

#[test]
fn names_and_failures_stay_where_they_belong() {
    let log = log();
    let page = page(&log);
    assert!(
        !page.contains("</script><b>") && !page.contains("<!-- <"),
        "escaped"
    );
    assert_eq!(
        page.matches("</script>").count(),
        2,
        "that of the data, and that of the script"
    );
    assert!(page.contains("<title>&lt;/script&gt;&lt;b&gt;\"it's\" &amp; "));
    let (_, failure) = page.split_once("the run has failed\">").unwrap();
    assert!(
        failure.starts_with("&lt;!-- &lt;/script&gt;&lt;b&gt;"),
        "{}",
        &failure[..99]
    );
    let (_, data) = page.split_once("id=\"data\">").unwrap();
    let data: Value = json::from_str(data.split_once("</script>").unwrap().0).unwrap();
    let Value::String(name) = items(field(&data, "nodes"))[0] else {
        panic!("a name");
    };
    assert_eq!(name, NAME);
    let Value::String(text) = field(field(&data, "failure"), "text") else {
        panic!("a text");
    };
    assert_eq!(text, log.failure().unwrap().0);
}

#[test]
fn an_arrow_goes_to_the_lane_of_who_was_given_it() {
    let log = log();
    let page = page(&log);
    let (_, data) = page.split_once("id=\"data\">").unwrap();
    let data: Value = json::from_str(data.split_once("</script>").unwrap().0).unwrap();
    let (to, lanes) = (items(field(&data, "to")), items(field(&data, "lane")));
    let number = |value: &Value| json::to_string(value);
    let mut arrows = 0;
    for event in log
        .events()
        .filter(|event| event.event.kind == TraceKind::Datagrams)
    {
        let cause = event.cause.unwrap();
        assert_eq!(number(to[cause]), number(lanes[event.index]));
        assert_ne!(number(to[cause]), number(lanes[cause]));
        arrows += 1;
    }
    assert!(arrows > 10);
}

#[test]
fn a_capture_says_what_was_lost() {
    let log = log();
    let mut capture = Vec::new();
    log.write_pcapng(&mut capture).unwrap();
    let lost = log
        .events()
        .filter(|event| event.event.kind == TraceKind::Dropped);
    let comments = capture.windows(10).filter(|window| window == b"lost: Loss");
    assert_eq!(comments.count(), lost.count());
}

#[test]
fn a_trace_for_perfetto_has_a_flow_for_each_datagram() {
    let log = log();
    let mut chrome = Vec::new();
    log.write_chrome(&mut chrome).unwrap();
    let chrome: Value = json::from_str(str::from_utf8(&chrome).unwrap()).unwrap();
    let events = items(field(&chrome, "traceEvents"));
    let of = |phase: &str| {
        let phase = Value::String(phase.to_owned());
        let phase = json::to_string(&phase);
        let events = events.iter();
        events
            .filter(|event| json::to_string(field(event, "ph")) == phase)
            .count()
    };
    let given = log
        .events()
        .filter(|event| event.event.kind == TraceKind::Datagrams)
        .count();
    assert_eq!((of("X"), of("s"), of("f")), (log.len(), given, given));
    assert_eq!(of("M"), 4, "two nodes with a worker each");
}

#[test]
fn nothing_makes_empty_pictures() {
    let log = World::<Echo>::new(1).take_log();
    assert!(page(&log).contains("\"at\":[]"));
    let (mut capture, mut chrome) = (Vec::new(), Vec::new());
    log.write_pcapng(&mut capture).unwrap();
    log.write_chrome(&mut chrome).unwrap();
    assert!(json::from_str::<Value>(str::from_utf8(&chrome).unwrap()).is_ok());
}
