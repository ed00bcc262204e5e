//! The faults of the table, and the answers that they stand for.

use crate::message::{Answer, Request};

/// What goes wrong with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The rate of requests is exceeded: for so many requests.
    Throttle(usize),
    /// Status 500, once.
    Error,
    /// Status 503 with `Retry-After: 1`, once.
    Unavailable,
    /// The connection is reset before the request was read, once.
    ResetBefore,
    /// The request is carried out, and the connection ends without an answer, once.
    ResetAfter,
    /// The answer ends in the middle of its body, once.
    Cut,
    /// The request is never answered, once.
    Silent,
    /// No request is ever answered.
    SilentForever,
    /// The answer stops in the middle of its body, once.
    Stalled,
    /// The permission is missing.
    Denied,
    /// The credentials have expired.
    Expired,
    /// Status 200 with a page of HTML, without the request being carried out.
    Html,
    /// Status 200 with an empty body.
    Empty,
    /// Status 200 with `{}`.
    Braces,
    /// Status 200 with `null`.
    Null,
    /// The answer with another content type.
    MediaType,
    /// A redirect to another port.
    Redirect,
    /// The answer with another status of success.
    Status,
    /// Status 200 with a body that has no end.
    Endless,
}

/// All faults of the table.
pub const ALL: [Fault; 21] = [
    Fault::Throttle(1),
    Fault::Throttle(5),
    Fault::Throttle(FOREVER),
    Fault::Error,
    Fault::Unavailable,
    Fault::ResetBefore,
    Fault::ResetAfter,
    Fault::Cut,
    Fault::Silent,
    Fault::SilentForever,
    Fault::Stalled,
    Fault::Denied,
    Fault::Expired,
    Fault::Html,
    Fault::Empty,
    Fault::Braces,
    Fault::Null,
    Fault::MediaType,
    Fault::Redirect,
    Fault::Status,
    Fault::Endless,
];

/// More requests than a command makes.
const FOREVER: usize = usize::MAX;

impl Fault {
    /// The number of requests of the operation that have the fault.
    pub fn times(self) -> usize {
        match self {
            Self::Throttle(times) => times,
            Self::Error | Self::Unavailable | Self::ResetBefore | Self::ResetAfter => 1,
            Self::Cut | Self::Silent | Self::Stalled => 1,
            _ => FOREVER,
        }
    }

    /// Whether the tool has to reach its goal in spite of the fault.
    pub fn must_be_survived(self) -> bool {
        use Fault::{Cut, Error, ResetAfter, ResetBefore, Throttle, Unavailable};
        matches!(self, Throttle(1 | 5) | Error | Unavailable | ResetBefore | ResetAfter | Cut)
    }

    /// The answer in place of the server's, if the fault has one.
    pub fn made_up(self, request: &Request, elsewhere: &str) -> Option<Answer> {
        let error = |status, code: &str, text: &str| Some(error(request, status, code, text));
        match self {
            Self::Throttle(_) if request.is_distribution() => error(429, "TOOMANYREQUESTS", "Rate exceeded"),
            Self::Throttle(_) => error(400, "ThrottlingException", "Rate exceeded"),
            Self::Error => error(500, "ServerException", "a fault"),
            Self::Unavailable => error(503, "UNAVAILABLE", "a fault").map(|it| it.with("retry-after", "1")),
            Self::Denied if request.is_distribution() => {
                error(403, "DENIED", "User: x is not authorized to perform this action")
            }
            Self::Denied => {
                error(400, "AccessDeniedException", "User: x is not authorized to perform this action")
            }
            Self::Expired if request.is_distribution() => {
                error(403, "DENIED", "Your authorization token has expired. Reauthenticate and try again.")
            }
            Self::Expired => error(400, "ExpiredTokenException", "The security token is expired"),
            Self::Html => Some(Answer::new(200, "text/html", "<html><body>Sign in</body></html>")),
            Self::Empty => Some(Answer::new(200, json_type(request), "")),
            Self::Braces => Some(Answer::new(200, json_type(request), "{}")),
            Self::Null => Some(Answer::new(200, json_type(request), "null")),
            Self::Redirect => {
                let location = format!("http://{elsewhere}{}", request.path);
                Some(Answer::new(307, "text/plain", "").with("location", &location))
            }
            Self::Endless => Some(Answer::new(200, json_type(request), "")),
            _ => None,
        }
    }

    /// The server's answer, as the fault changes it.
    pub fn changed(self, answer: Answer) -> Answer {
        match self {
            Self::MediaType => answer.with("content-type", "text/html"),
            Self::Status => Answer { status: if answer.status == 200 { 201 } else { 200 }, ..answer },
            _ => answer,
        }
    }
}

/// AWS JSON 1.1, the query protocol of STS, or the registry's JSON.
fn json_type(request: &Request) -> &'static str {
    match (request.is_distribution(), request.header("x-amz-target")) {
        (true, _) => "application/json",
        (false, Some(_)) => "application/x-amz-json-1.1",
        (false, None) => "text/xml",
    }
}

fn error(request: &Request, status: u16, code: &str, text: &str) -> Answer {
    let body = match json_type(request) {
        "text/xml" => format!(
            "<ErrorResponse><Error><Code>{}</Code><Message>{text}</Message></Error></ErrorResponse>",
            // STS names its codes without the ending.
            code.trim_end_matches("Exception")
        ),
        "application/json" => serde_json::json!({"errors": [{"code": code, "message": text}]}).to_string(),
        _ => serde_json::json!({"__type": code, "message": text}).to_string(),
    };
    Answer::new(status, json_type(request), body)
}
