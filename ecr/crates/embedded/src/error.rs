//! Errors in the forms of the ECR API and of OCI distribution.

use std::error::Error;
use std::io::{self, ErrorKind};

use ecr_types::error::causes;
use serde_json::{Value, json};

use super::store::Damaged;

/// An error of the control plane (AWS JSON 1.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiError {
    pub status: u16,
    /// The name of the exception in the service model.
    pub code: &'static str,
    pub message: String,
    /// Further members of the exception in the service model.
    pub members: Option<Value>,
}

impl ApiError {
    /// A client error. All of them have the status 400 in the service model.
    pub fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { status: 400, code, message: message.into(), members: None }
    }

    /// `InvalidParameterException` with ECR's message for constraints.
    pub fn invalid(parameter: &str, constraint: &str) -> Self {
        let message =
            format!("Invalid parameter at '{parameter}' failed to satisfy constraint: '{constraint}'");
        Self::new("InvalidParameterException", message)
    }

    /// A failure of this server with its causes, such as an I/O error.
    pub fn failed(error: &anyhow::Error) -> Self {
        Self { status: status_of(error.as_ref()), ..Self::internal(&format!("{error:#}")) }
    }

    /// A failure of this server.
    pub fn internal(error: &dyn std::fmt::Display) -> Self {
        Self { status: 500, code: "ServerException", message: error.to_string(), members: None }
    }

    pub fn repository_not_found(name: &str, account: &str) -> Self {
        Self::new("RepositoryNotFoundException", no_repository(name, account))
    }

    /// The body of the response in AWS JSON 1.1.
    pub fn body(&self) -> Value {
        let mut body = json!({"__type": self.code, "message": self.message});
        if let (Some(body), Some(Value::Object(members))) = (body.as_object_mut(), &self.members) {
            body.extend(members.clone());
        }
        body
    }
}

/// ECR's message for a repository that does not exist, on both planes.
pub fn no_repository(name: &str, account: &str) -> String {
    format!("The repository with name '{name}' does not exist in the registry with id '{account}'")
}

/// An error of the data plane (OCI distribution specification, "Error Codes").
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OciError {
    pub status: u16,
    /// The error code of the specification.
    pub code: &'static str,
    pub message: String,
    /// Headers of the response.
    pub headers: Vec<(&'static str, String)>,
}

impl OciError {
    pub fn new(status: u16, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), headers: Vec::new() }
    }

    /// Adds a header.
    pub fn with(mut self, name: &'static str, value: String) -> Self {
        self.headers.push((name, value));
        self
    }

    /// A failure of this server with its causes, such as an I/O error.
    pub fn failed(error: &anyhow::Error) -> Self {
        Self::new(status_of(error.as_ref()), "UNKNOWN", format!("{error:#}"))
    }

    /// A failure of this server.
    pub fn internal(error: &dyn std::fmt::Display) -> Self {
        Self::new(500, "UNKNOWN", error.to_string())
    }

    /// A parameter that the control plane refuses: on this plane the code is UNSUPPORTED, and the status 405
    /// (google/go-containerregistry#681, openai/tart#890).
    pub fn invalid(parameter: &str, constraint: &str) -> Self {
        Self::new(405, "UNSUPPORTED", ApiError::invalid(parameter, constraint).message)
    }

    /// `NAME_UNKNOWN`, with ECR's message.
    pub fn name_unknown(name: &str, account: &str) -> Self {
        Self::new(404, "NAME_UNKNOWN", no_repository(name, account))
    }

    /// The body of the response in the form of the specification.
    pub fn body(&self) -> Value {
        json!({"errors": [{"code": self.code, "message": self.message}]})
    }
}

/// The reason for which a request of the data plane has no successful response.
#[derive(Debug)]
pub enum NoResponse {
    /// The request is rejected.
    Refused(OciError),
    /// An injected fault closes the connection.
    Dropped,
}

impl From<OciError> for NoResponse {
    fn from(error: OciError) -> Self {
        Self::Refused(error)
    }
}

/// 507 (RFC 4918, "Insufficient Storage") if there is no space for what was sent or if the state is damaged, which no other
/// attempt changes; else 500.
fn status_of(error: &(dyn Error + 'static)) -> u16 {
    let is_full = |it: &io::Error| {
        matches!(it.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge)
    };
    let is_lasting =
        |it: &(dyn Error + 'static)| it.downcast_ref().is_some_and(is_full) || it.is::<Damaged>();
    if causes(error).any(is_lasting) { 507 } else { 500 }
}

/// Converts failures of this server, such as I/O errors, to errors of both planes.
macro_rules! internal {
    ($($error:ty),*) => {$(
        impl From<$error> for ApiError {
            fn from(error: $error) -> Self {
                Self::failed(&error.into())
            }
        }

        impl From<$error> for OciError {
            fn from(error: $error) -> Self {
                Self::failed(&error.into())
            }
        }

        impl From<$error> for NoResponse {
            fn from(error: $error) -> Self {
                Self::Refused(error.into())
            }
        }
    )*};
}

internal!(anyhow::Error, std::io::Error, hyper::http::Error);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_disk_is_answered_with_its_cause() {
        let full =
            || anyhow::Error::from(io::Error::from_raw_os_error(28)).context("failed to write the journal");
        let (api, oci) = (ApiError::from(full()), OciError::from(full()));
        assert_eq!((api.status, oci.status), (507, 507));
        let message = "failed to write the journal: No space left on device (os error 28)";
        assert_eq!((api.message.as_str(), oci.message.as_str()), (message, message));
        let denied = io::Error::from_raw_os_error(13);
        assert_eq!(OciError::from(denied).status, 500);
    }
}
