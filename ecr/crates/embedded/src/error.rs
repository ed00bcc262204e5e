//! Errors as AWS and OCI write them: a code, a sentence, a status.

use serde_json::{Value, json};

/// An error of the control plane: JSON 1.1, status 400 unless the model says otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiError {
    /// The HTTP status.
    pub status: u16,
    /// The exception's name in the service model.
    pub code: &'static str,
    /// AWS's sentence.
    pub message: String,
    /// Further members that the model gives the exception.
    pub members: Option<Value>,
}

impl ApiError {
    /// A client error: every one that the model knows has status 400.
    pub fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { status: 400, code, message: message.into(), members: None }
    }

    /// `InvalidParameterException` in the form that ECR uses for constraints.
    pub fn invalid(parameter: &str, constraint: &str) -> Self {
        let message =
            format!("Invalid parameter at '{parameter}' failed to satisfy constraint: '{constraint}'");
        Self::new("InvalidParameterException", message)
    }

    /// A failure of our own: the disk, for instance.
    pub fn internal(error: &dyn std::fmt::Display) -> Self {
        Self { status: 500, code: "ServerException", message: error.to_string(), members: None }
    }

    /// `RepositoryNotFoundException`.
    pub fn repository_not_found(name: &str, account: &str) -> Self {
        Self::new("RepositoryNotFoundException", no_repository(name, account))
    }

    /// The body, as JSON 1.1 has it.
    pub fn body(&self) -> Value {
        let mut body = json!({"__type": self.code, "message": self.message});
        if let (Some(body), Some(Value::Object(members))) = (body.as_object_mut(), &self.members) {
            body.extend(members.clone());
        }
        body
    }
}

/// The sentence for a repository that does not exist; both planes use it.
pub fn no_repository(name: &str, account: &str) -> String {
    format!("The repository with name '{name}' does not exist in the registry with id '{account}'")
}

/// An error of the data plane (OCI distribution specification, "Error Codes").
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OciError {
    /// The HTTP status.
    pub status: u16,
    /// The specification's code.
    pub code: &'static str,
    /// The sentence.
    pub message: String,
    /// Headers of the answer.
    pub headers: Vec<(&'static str, String)>,
}

impl OciError {
    /// An error with its status.
    pub fn new(status: u16, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), headers: Vec::new() }
    }

    /// The same with a header.
    pub fn with(mut self, name: &'static str, value: String) -> Self {
        self.headers.push((name, value));
        self
    }

    /// A failure of our own.
    pub fn internal(error: &dyn std::fmt::Display) -> Self {
        Self::new(500, "UNKNOWN", error.to_string())
    }

    /// `NAME_UNKNOWN`, with ECR's sentence.
    pub fn name_unknown(name: &str, account: &str) -> Self {
        Self::new(404, "NAME_UNKNOWN", no_repository(name, account))
    }

    /// The body, as the specification has it.
    pub fn body(&self) -> Value {
        json!({"errors": [{"code": self.code, "message": self.message}]})
    }
}

/// Why a request of the data plane has no response of its own.
#[derive(Debug)]
pub enum NoResponse {
    /// It is refused.
    Refused(OciError),
    /// An injected fault ends the connection.
    Dropped,
}

impl From<OciError> for NoResponse {
    fn from(error: OciError) -> Self {
        Self::Refused(error)
    }
}

/// Failures of our own, such as those of the disk, on both planes.
macro_rules! internal {
    ($($error:ty),*) => {$(
        impl From<$error> for ApiError {
            fn from(error: $error) -> Self {
                Self::internal(&error)
            }
        }

        impl From<$error> for OciError {
            fn from(error: $error) -> Self {
                Self::internal(&error)
            }
        }

        impl From<$error> for NoResponse {
            fn from(error: $error) -> Self {
                Self::Refused(OciError::internal(&error))
            }
        }
    )*};
}

internal!(anyhow::Error, std::io::Error, hyper::http::Error);
