//! Errors of AWS requests, with the message of AWS and help for the user.

use std::error::Error;
use std::fmt;

use aws_sdk_ecr::config::http::HttpResponse;
use aws_sdk_ecr::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_sts::operation::assume_role::AssumeRoleError;
use aws_sdk_sts::operation::assume_role_with_web_identity::AssumeRoleWithWebIdentityError;
use ecr_oci::http::is_too_long;
use ecr_types::error::causes;
use ecr_types::url::redacted_words;

use super::answer::NOT_AWS;
use super::help::{Answer, help_for};
use super::http::HIDDEN_DATE;
use super::optional;

/// A failed request: the operation, and the error code and message of AWS. Without a response, there is no code, and
/// the message is the cause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceError {
    operation: &'static str,
    code: Option<String>,
    message: String,
    status: Option<u16>,
    help: Option<String>,
}

impl ServiceError {
    /// The error of `operation`, which is spelled as an IAM action: `ecr:DescribeRepositories`.
    pub(super) fn new<E>(operation: &'static str, error: SdkError<E, HttpResponse>) -> Self
    where
        E: ProvideErrorMetadata + Error + 'static,
    {
        if let Some(refused) = refused_role(&error) {
            return refused;
        }
        let status = error.raw_response().map(|it| it.status().as_u16());
        let code = error.code().map(str::to_owned);
        let message = match (error.message(), status) {
            (Some(message), _) => message.to_owned(),
            (None, Some(_)) if is_too_long(&error) => innermost(&error),
            // A proxy or a captive portal: the SDK could not read the body.
            (None, Some(status @ 200..300)) => {
                format!(
                    "unexpected response: HTTP status {status} with a body that the API does not give ({})",
                    kind_of_body(&error)
                )
            }
            (None, Some(status)) => format!("HTTP status {status} with a body that is not an API error"),
            (None, None) => innermost(&error),
        };
        let mut found = Self { operation, code, message, status, help: None };
        let headers = error.raw_response().map(HttpResponse::headers);
        let date = headers.and_then(|it| it.get(HIDDEN_DATE).or_else(|| it.get("date")));
        let answer = Answer { code: found.code.as_deref(), message: &found.message, date };
        found.help = help_for(operation, &error, &answer);
        if matches!(found.status, Some(200..300)) {
            found.help = Some(NOT_AWS.to_owned());
        }
        if found.is_denied() {
            found.help = Some(format!(
                "these credentials lack the permission {operation}: grant it, or use other credentials"
            ));
        }
        found
    }

    /// The error with another help.
    pub(super) fn with_help(self, help: impl Into<String>) -> Self {
        Self { help: Some(help.into()), ..self }
    }

    /// A successful response with content that is missing or not valid.
    pub(super) fn unexpected(operation: &'static str, reason: &dyn fmt::Display) -> Self {
        let message = format!("unexpected response: {reason}");
        Self { operation, code: None, message, status: None, help: None }
    }

    /// No result within the time of the flag `--timeout`.
    pub(crate) fn timed_out(operation: &'static str) -> Self {
        let message = "no response within the timeout".to_owned();
        let help = Some("wait longer with --timeout".to_owned());
        Self { operation, code: None, message, status: None, help }
    }

    /// The operation, spelled as an IAM action.
    pub fn operation(&self) -> &'static str {
        self.operation
    }

    /// Whether AWS returned the error code `code`.
    pub fn has_code(&self, code: &str) -> bool {
        self.code.as_deref() == Some(code)
    }

    /// Whether a permission is missing. The HTTP status decides if there is no error code.
    pub fn is_denied(&self) -> bool {
        match self.code.as_deref() {
            Some(code) => matches!(code, "AccessDeniedException" | "AccessDenied" | "UnauthorizedOperation"),
            None => self.status == Some(403),
        }
    }

    /// Whether the server does not have the operation, as servers other than AWS say it.
    pub fn is_unknown_operation(&self) -> bool {
        match self.code.as_deref() {
            Some(code) => matches!(code, "UnknownOperationException" | "InvalidAction"),
            None => self.status.is_some_and(optional::is_unknown),
        }
    }

    /// The name in a message such as `The repository with name 'R' does not exist ...`.
    pub(super) fn quoted_name(&self) -> Option<String> {
        let name = self.message.split_once("name '")?.1.split_once('\'')?.0;
        Some(name.to_owned())
    }

    /// What the user can do about the error. `None` if unknown.
    pub fn help(&self) -> Option<&str> {
        self.help.as_deref()
    }
}

impl fmt::Display for ServiceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.code {
            Some(code) => write!(f, "{}: {code}: {}", self.operation, self.message),
            None => write!(f, "{}: {}", self.operation, self.message),
        }
    }
}

impl Error for ServiceError {}

/// The media type of a response, or what else is known of its body.
fn kind_of_body<E>(error: &SdkError<E, HttpResponse>) -> String {
    let content_type = error.raw_response().and_then(|it| it.headers().get("content-type"));
    content_type.map_or("no content type".to_owned(), |it| it.to_owned())
}

/// The causes of a request that got no response, without the outer layers such as "dispatch failure".
fn innermost(error: &(dyn Error + 'static)) -> String {
    let mut texts: Vec<String> = Vec::new();
    for cause in causes(error).skip(1) {
        let text = cause.to_string();
        if !texts.iter().any(|earlier| earlier.contains(&text)) {
            texts.push(text);
        }
    }
    let wrappers = ["dispatch failure", "other", "io error", "client error (Connect)"];
    texts.retain(|it| !wrappers.contains(&it.as_str()));
    let text = if texts.is_empty() { error.to_string() } else { texts.join(": ") };
    // The SDK shows addresses of the environment as they are, such as AWS_CONTAINER_CREDENTIALS_FULL_URI.
    redacted_words(&text)
}

/// The error of STS that kept the SDK from assuming the role of a profile or of a web identity.
fn refused_role(error: &(dyn Error + 'static)) -> Option<ServiceError> {
    let refusal = |operation, metadata: &dyn ProvideErrorMetadata| {
        let (code, message) =
            (metadata.code()?.to_owned(), metadata.message().unwrap_or_default().to_owned());
        let help =
            format!("check the ARN of the role, and that its trust policy allows {operation} to its caller");
        Some(ServiceError { operation, code: Some(code), message, status: None, help: Some(help) })
    };
    causes(error).find_map(|cause| match cause.downcast_ref::<AssumeRoleError>() {
        Some(it) => refusal("sts:AssumeRole", it),
        None => {
            refusal("sts:AssumeRoleWithWebIdentity", cause.downcast_ref::<AssumeRoleWithWebIdentityError>()?)
        }
    })
}
