//! What is wrong with a request.

use stillpoint::Buffer;
use stillpoint::http::{Response, StatusCode, problem};

/// What is wrong with a request, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The kind of problem.
    pub status: StatusCode,
    /// What is wrong here, for people.
    pub detail: String,
}

impl Problem {
    pub(crate) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        Self { status, detail }
    }

    /// The answer (RFC 9457).
    pub(crate) fn to_response(&self) -> Response<Buffer> {
        problem(self.status, &self.detail)
    }
}
