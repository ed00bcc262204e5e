//! Errors of a registry, in its own words.

use std::error::Error;
use std::fmt;

use serde_json::Value;

use super::http::Answer;
use super::text_of;
use crate::error::causes;

/// A request that failed: what it was for, and what the registry said (or why it could not be asked).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistryError {
    what: String,
    status: Option<u16>,
    code: Option<String>,
    message: String,
}

impl RegistryError {
    /// The error that an answer means (OCI distribution specification, "Error Codes").
    pub(super) async fn of(what: &str, answer: Answer) -> Self {
        let status = answer.status();
        let text = text_of(answer).await;
        let json: Value = serde_json::from_str(&text).unwrap_or_default();
        let error = &json["errors"][0];
        let message = error["message"].as_str().filter(|it| !it.is_empty());
        let said = message.map_or_else(|| format!("HTTP status {status}"), str::to_owned);
        let code = error["code"].as_str().map(str::to_owned);
        Self { what: what.to_owned(), status: Some(status.as_u16()), code, message: said }
    }

    /// An answer that makes no sense.
    pub(super) fn unexpected(what: &str, message: &str) -> Self {
        Self { what: what.to_owned(), status: None, code: None, message: message.to_owned() }
    }

    /// No answer at all.
    pub(super) fn transport(what: &str, error: &(dyn Error + 'static)) -> Self {
        let mut message = error.to_string();
        for cause in causes(error).skip(1).map(ToString::to_string) {
            if !message.contains(&cause) {
                message += &format!(": {cause}");
            }
        }
        Self { what: what.to_owned(), status: None, code: None, message }
    }

    /// Whether a tag is taken and may not move. ECR's sentence has changed before; its code has not.
    pub fn is_immutable_tag(&self) -> bool {
        self.code.as_deref() == Some("TAG_INVALID") && self.message.contains("immutable")
    }

    /// Whether a permission is missing.
    pub fn is_denied(&self) -> bool {
        self.status == Some(403)
    }
}

impl fmt::Display for RegistryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.code {
            Some(code) => write!(f, "failed to {}: {code}: {}", self.what, self.message),
            None => write!(f, "failed to {}: {}", self.what, self.message),
        }
    }
}

impl Error for RegistryError {}
