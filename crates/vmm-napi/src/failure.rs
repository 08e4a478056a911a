//! Errors on their way to JavaScript.

use std::fmt;

use firn_vmm::VmmError;

/// A failure as TypeScript parses it: `FIRN_CODE: sentence`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    code: String,
    message: String,
}

impl Failure {
    /// A failure with this code and sentence.
    pub fn new(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self { code: code.into(), message: message.into() }
    }

    /// FIRN_IO, for `map_err`.
    pub fn io<E: fmt::Display>(doing: impl fmt::Display) -> impl FnOnce(E) -> Self {
        move |error| Self::new("FIRN_IO", format!("{doing}: {error}"))
    }

    /// FIRN_VMM_OPTIONS: a value that JavaScript passed cannot be used.
    pub fn options(message: impl Into<String>) -> Self {
        Self::new("FIRN_VMM_OPTIONS", message)
    }

    /// FIRN_VMM_INTERNAL: a defect of this binding.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new("FIRN_VMM_INTERNAL", message)
    }

    /// FIRN_VMM_CLOSED: the microVM was closed before.
    pub fn closed() -> Self {
        Self::new("FIRN_VMM_CLOSED", "the microVM is closed")
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.code, self.message)
    }
}

impl From<VmmError> for Failure {
    fn from(error: VmmError) -> Self {
        Self::new(error.code.as_str(), error.message)
    }
}

impl From<Failure> for napi::Error {
    fn from(failure: Failure) -> Self {
        Self::from_reason(failure.to_string())
    }
}
