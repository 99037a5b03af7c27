//! Status as text, and a task that serves it.
//!
//! [`render`] writes what can be seen of workers in the text format of Prometheus. The names begin
//! with `stillpoint_`, units are seconds and bytes, and what only grows ends in `_total`.
//!
//! [`MetricsServer`] is a task like any other and fits any application: it serves that text by
//! [HTTP](crate::http), over the streams of the worker that it lives on.
//!
//! Source: the Prometheus documentation, "Exposition formats", text format 0.0.4.

mod families;
mod pages;
mod server;
mod text;

pub use families::render;
pub use server::MetricsServer;

/// The content type of what [`render`] writes.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

#[cfg(test)]
#[path = "metrics/families_tests.rs"]
mod tests;
