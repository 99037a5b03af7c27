//! Bytes become files that somebody gives us: traces, failures, choices, latencies. None makes a
//! reader panic, and what is read and written again is the same.

use stillpoint::Entity;
use stillpoint_sim::{Choice, ChoiceLog, FailureFile, LatencyTrace, Rest, TraceLog};

/// Reads the bytes as each kind of file.
pub fn run_bytes(bytes: &[u8]) {
    match TraceLog::from_bytes(bytes) {
        Ok(log) => assert_eq!(TraceLog::from_bytes(&log.to_bytes()), Ok(log)),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    let text = String::from_utf8_lossy(bytes);
    match ChoiceLog::from_json(&text) {
        Ok(log) => assert_eq!(ChoiceLog::from_json(&log.to_json()), Ok(log)),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    match FailureFile::from_json(&text) {
        Ok(file) => assert_eq!(FailureFile::from_json(&file.to_json()), Ok(file)),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    if let Err(error) = LatencyTrace::parse(&text) {
        assert!(!error.to_string().is_empty());
    }
}

/// Files as they should be: starts for a corpus.
#[must_use]
pub fn whole() -> Vec<Vec<u8>> {
    let choices = [
        Choice::new("scenario", Entity::named("die"), 0, (6, 5)),
        Choice::new("task", Entity::new(u64::MAX), 1, (0, 7)),
    ];
    let log = ChoiceLog::new(42, Rest::Quiet)
        .with_choices(choices)
        .omitting([1]);
    let log = log.to_json();
    let failure = format!(
        "{{\"format\": 1, \"scenario\": \"dice\", \"seed\": \"0x2a\", \"kind\": \"scenario\", \
        \"what\": \"a six\", \"message\": \"a six\", \"events\": 3, \"at\": 1000, \
        \"trace\": \"{:032x}\", \"made_with\": {{\"os\": \"linux\"}}, \"choices\": {log}}}",
        7
    );
    let latencies = "# ms\n12.5\n13\n".to_owned();
    let timed = "0 12.5\n0.5 13\n1 12\n".to_owned();
    let texts = [log, failure, latencies, timed].map(String::into_bytes);
    texts.into_iter().chain(crate::race::trace()).collect()
}
