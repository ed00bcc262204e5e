//! STS: who the caller is, and temporary credentials of roles. Requests and responses have the forms of the query
//! protocol (STS API reference, version 2011-06-15).
//!
//! Every role exists and may be assumed by everybody: there is no IAM here. The session token of temporary credentials
//! names the role, so that nothing is stored.

use super::error::ApiError;
use super::shared::Shared;

mod parameters;
mod session;
mod web_identity;

use parameters::{Parameters, Text};
pub use session::Caller;
use session::Role;
use web_identity::Claims;

/// The operations that are supported.
pub const OPERATIONS: [&str; 3] = ["AssumeRole", "AssumeRoleWithWebIdentity", "GetCallerIdentity"];

/// A response: the element of the result.
type StsResult = Result<Element, ApiError>;

/// The operation of a request, whether it is supported or not; `None` if the body is not one of the query protocol.
pub fn operation(body: &[u8]) -> Option<String> {
    Parameters::parse(body).get("Action").map(str::to_owned)
}

/// Answers a request with the XML of the query protocol.
///
/// # Errors
/// The exception of AWS, with its name in the query protocol as the code.
pub fn response(shared: &Shared, operation: &str, body: &[u8], caller: &Caller) -> Result<String, ApiError> {
    let parameters = Parameters::parse(body);
    let result = match operation {
        "GetCallerIdentity" => Ok(caller_identity(caller)),
        "AssumeRole" => assume_role(shared, &parameters, caller),
        "AssumeRoleWithWebIdentity" => assume_role_with_web_identity(shared, &parameters),
        _ => {
            let message = format!("Could not find operation {operation} for version 2011-06-15");
            Err(ApiError::new("InvalidAction", message))
        }
    }?;
    let name = |part: &str| format!("{operation}{part}");
    let metadata = Element::new("ResponseMetadata", vec![Element::text("RequestId", REQUEST_ID)]);
    let result = Element { name: name("Result"), ..result };
    Ok(Element::new(&name("Response"), vec![result, metadata]).to_xml(Some(NAMESPACE)))
}

/// An error response.
pub fn error_xml(error: &ApiError) -> String {
    let details = vec![
        Element::text("Type", if error.status < 500 { "Sender" } else { "Receiver" }),
        Element::text("Code", error.code),
        Element::text("Message", &error.message),
    ];
    let parts = vec![Element::new("Error", details), Element::text("RequestId", REQUEST_ID)];
    Element::new("ErrorResponse", parts).to_xml(Some(NAMESPACE))
}

const NAMESPACE: &str = "https://sts.amazonaws.com/doc/2011-06-15/";
const REQUEST_ID: &str = "embedded";

fn caller_identity(caller: &Caller) -> Element {
    Element::new(
        "",
        vec![
            Element::text("Arn", &caller.arn()),
            Element::text("UserId", &caller.user_id()),
            Element::text("Account", caller.account().as_str()),
        ],
    )
}

/// AWS refuses a root user who assumes a role. Here everybody is the root user until a role is assumed, so that this
/// is allowed.
fn assume_role(shared: &Shared, parameters: &Parameters, caller: &Caller) -> StsResult {
    let mut texts = vec![Text::ROLE_ARN, Text::SESSION_NAME, Text::EXTERNAL_ID, Text::SOURCE_IDENTITY];
    texts.extend([Text::SERIAL_NUMBER, Text::TOKEN_CODE, Text::POLICY]);
    parameters.check(&texts)?;
    let role = Role::new(parameters)?;
    let seconds = parameters.duration()?;
    if matches!(caller, Caller::Role(_)) && seconds > CHAINED_MAX_SECONDS {
        let message = "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining";
        return Err(ApiError::new("ValidationError", message));
    }
    let mut members = credentials(shared, &role, seconds)?;
    members.extend(policy_size(parameters)?);
    members.extend(parameters.get("SourceIdentity").map(|it| Element::text("SourceIdentity", it)));
    Ok(Element::new("", members))
}

/// The maximum duration of a session whose role is assumed with the credentials of another role (IAM user guide,
/// "Methods to assume a role", "Role chaining").
const CHAINED_MAX_SECONDS: u64 = 3600;

fn assume_role_with_web_identity(shared: &Shared, parameters: &Parameters) -> StsResult {
    let texts =
        [Text::ROLE_ARN, Text::SESSION_NAME, Text::WEB_IDENTITY_TOKEN, Text::PROVIDER_ID, Text::POLICY];
    parameters.check(&texts)?;
    let role = Role::new(parameters)?;
    let claims = Claims::parse(parameters.required("WebIdentityToken"), shared.now())?;
    let mut members = credentials(shared, &role, parameters.duration()?)?;
    members.extend(policy_size(parameters)?);
    members.push(Element::text("SubjectFromWebIdentityToken", &claims.subject));
    members.push(Element::text("Audience", &claims.audience));
    members.push(Element::text("Provider", &claims.issuer));
    Ok(Element::new("", members))
}

/// `Credentials` and `AssumedRoleUser`.
fn credentials(shared: &Shared, role: &Role, seconds: u64) -> Result<Vec<Element>, ApiError> {
    let expires_at = shared.now() as u64 + seconds;
    let token = role.token(shared.store.secret(), expires_at);
    let (key_id, key) = session::random_key()?;
    let expiration = ecr_types::Timestamp::from_seconds(expires_at as f64).to_string();
    let credentials = vec![
        Element::text("AccessKeyId", &key_id),
        Element::text("SecretAccessKey", &key),
        Element::text("SessionToken", &token),
        Element::text("Expiration", &expiration),
    ];
    let user = vec![Element::text("AssumedRoleId", &role.user_id()), Element::text("Arn", &role.arn())];
    Ok(vec![Element::new("Credentials", credentials), Element::new("AssumedRoleUser", user)])
}

/// `PackedPolicySize`, a percentage, if the request has a session policy. The policy limits nothing here.
fn policy_size(parameters: &Parameters) -> Result<Option<Element>, ApiError> {
    let Some(policy) = parameters.get("Policy") else { return Ok(None) };
    if !serde_json::from_str::<serde_json::Value>(policy).is_ok_and(|it| it.is_object()) {
        return Err(ApiError::new("MalformedPolicyDocument", "This policy contains invalid Json"));
    }
    let percent = (policy.len() * 100).div_ceil(parameters::POLICY_MAX);
    Ok(Some(Element::text("PackedPolicySize", &percent.to_string())))
}

/// An error that all services have, with the name of the query protocol in place of that of JSON (STS API reference,
/// "Common Errors").
pub fn common_error(error: ApiError) -> ApiError {
    let code = match error.code {
        "ThrottlingException" => "Throttling",
        "ExpiredTokenException" => "ExpiredToken",
        "ServerException" => "InternalFailure",
        code => code,
    };
    ApiError { code, ..error }
}

/// The error of a caller who lacks the permission for an operation.
pub fn denial(operation: &str, body: &[u8], caller: &Caller) -> ApiError {
    let parameters = Parameters::parse(body);
    let (arn, role) = (caller.arn(), parameters.required("RoleArn"));
    let message = format!("User: {arn} is not authorized to perform: sts:{operation} on resource: {role}");
    ApiError { status: 403, ..ApiError::new("AccessDenied", message) }
}

/// An element of XML with elements or text in it.
struct Element {
    name: String,
    content: Content,
}

enum Content {
    Text(String),
    Elements(Vec<Element>),
}

impl Element {
    fn new(name: &str, elements: Vec<Element>) -> Self {
        Self { name: name.to_owned(), content: Content::Elements(elements) }
    }

    fn text(name: &str, text: &str) -> Self {
        Self { name: name.to_owned(), content: Content::Text(text.to_owned()) }
    }

    fn to_xml(&self, namespace: Option<&str>) -> String {
        let namespace = namespace.map(|it| format!(" xmlns=\"{it}\"")).unwrap_or_default();
        let content = match &self.content {
            Content::Text(text) => escaped(text),
            Content::Elements(elements) => elements.iter().map(|it| it.to_xml(None)).collect(),
        };
        format!("<{0}{namespace}>{content}</{0}>", self.name)
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
