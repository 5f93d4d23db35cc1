//! A command that failed, as mongod would say it.

use bson::raw::RawDocumentBuf;

use crate::mongo::error_document;

/// Code, its name, and the text for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) code: i32,
    pub(super) name: &'static str,
    pub(super) text: String,
}

impl Failure {
    pub(super) fn new(code: i32, name: &'static str, text: impl Into<String>) -> Self {
        Self { code, name, text: text.into() }
    }

    /// A value the command cannot take, or one that only a real server could.
    pub(super) fn bad_value(text: impl Into<String>) -> Self {
        Self::new(2, "BadValue", text)
    }

    pub(super) fn document(&self) -> RawDocumentBuf {
        error_document(self.code, self.name, &self.text)
    }
}
