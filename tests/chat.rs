//! The chat, as the example runs it, on a node of the simulator, and people on others.
#![allow(clippy::unwrap_used, reason = "a test may")]
#![allow(unreachable_pub, reason = "modules of one test")]
#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "a test looks for one variant"
)]

#[path = "../examples/common/chat/mod.rs"]
mod chat;
#[path = "chat/crowd.rs"]
mod crowd;
#[path = "chat/lab.rs"]
mod lab;
#[path = "chat/lines.rs"]
mod lines;
#[path = "chat/many.rs"]
mod many;
#[path = "chat/people.rs"]
mod people;
