//! What the user can do about an error of an AWS request, by its type or its code.

use std::error::Error;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_ecr::primitives::{DateTime, DateTimeFormat};
use ecr_oci::http::{is_connection_refused, is_proxy, is_throttled, is_tls};
use ecr_types::error::causes;
use ecr_types::url::redacted;
use ecr_types::{Timestamp, host, human};

use crate::clock::now;

/// Help for a TLS certificate that is not trusted.
pub const UNTRUSTED: &str = "this machine does not trust the certificate; if a proxy in your network signs certificates, \
                             pass its CA certificate with SSL_CERT_FILE=PATH; with SSL_CERT_DIR=/etc/ssl/certs those of \
                             the system count, too";
/// Help for a limit on the rate of requests.
const RATE: &str = "AWS limits the rate of requests: retry later, or lower --concurrency";
/// Help for a proxy that fails.
pub const PROXY: &str = "check the proxy that HTTPS_PROXY or ALL_PROXY names (http://NAME:PASSWORD@HOST:PORT), or list the host \
                         in NO_PROXY";

/// What AWS has answered, if it has.
pub(super) struct Answer<'a> {
    pub code: Option<&'a str>,
    pub message: &'a str,
    /// The header `Date`.
    pub date: Option<&'a str>,
}

/// The help for an error of `operation`. `None` if there is none.
pub(super) fn help_for(
    operation: &str,
    error: &(dyn Error + 'static),
    answer: &Answer<'_>,
) -> Option<String> {
    if causes(error).any(|it| it.is::<CredentialsError>()) {
        return Some(no_credentials(error));
    }
    if is_proxy(error) {
        return Some(PROXY.to_owned());
    }
    if is_throttled(error) {
        return Some(RATE.to_owned());
    }
    if is_connection_refused(error) {
        return Some(nothing_listens(operation));
    }
    if is_tls(error) {
        return Some(UNTRUSTED.to_owned());
    }
    match is_about_time(answer) {
        true => Some(wrong_clock(now(), answer.date)),
        false => of_code(answer.code?).map(str::to_owned),
    }
}

fn of_code(code: &str) -> Option<&'static str> {
    match code {
        "Throttling" | "ThrottlingException" | "TooManyRequestsException" | "RequestLimitExceeded" => {
            Some(RATE)
        }
        "RepositoryNotFoundException" => Some(
            "create the repository with `cargo xtask ecr create`; if it exists, check the account and the region with \
             `cargo xtask ecr status`",
        ),
        "ImageTagAlreadyExistsException" => {
            Some("bump the version, or push another tag such as `--tag '{version}-{digest}'`")
        }
        "UnsupportedImageTypeException" => Some(
            "ECR cannot scan images without an operating system (scratch, distroless); the image itself works",
        ),
        "ExpiredToken" | "ExpiredTokenException" => Some("the session has expired: run `aws sso login`"),
        "UnrecognizedClientException"
        | "InvalidClientTokenId"
        | "InvalidSignatureException"
        | "SignatureDoesNotMatch" => {
            Some("AWS does not recognize these credentials: check them with `aws sts get-caller-identity`")
        }
        _ => None,
    }
}

/// Whether AWS refuses a request for the time of its signature. It has codes of their own for that, and the codes of a wrong
/// key with these two sentences (Signature Version 4, "Troubleshooting", "Credential scope and time stamp errors").
fn is_about_time(answer: &Answer<'_>) -> bool {
    match answer.code {
        Some("RequestExpired" | "RequestTimeTooSkewed" | "RequestInTheFuture") => true,
        Some("InvalidSignatureException" | "SignatureDoesNotMatch") => {
            ["Signature expired", "Signature not yet current"].iter().any(|it| answer.message.starts_with(it))
        }
        _ => false,
    }
}

/// The time in seconds by which clocks may differ before it is worth a number. Requests themselves take seconds.
const TOLERANCE: i64 = 60;

/// Help for a clock that is wrong. `date` is the header of AWS's answer (RFC 9110, section 6.6.1).
fn wrong_clock(now: Timestamp, date: Option<&str>) -> String {
    let theirs = date.and_then(|it| DateTime::from_str(it, DateTimeFormat::HttpDate).ok());
    let ahead = theirs.map(|it| now.seconds() - it.secs()).filter(|it| it.abs() >= TOLERANCE);
    let difference = ahead.map_or(String::new(), |ahead| {
        let side = if ahead > 0 { "ahead of" } else { "behind" };
        let minutes = (ahead.unsigned_abs() + 30) / 60;
        format!(", which is {} {side} that of AWS", human::count(minutes, "minute"))
    });
    format!(
        "AWS accepts a request for five minutes: set the clock of this machine (it shows {now}{difference}), such as with \
         `timedatectl set-ntp true`"
    )
}

/// Help for credentials that cannot be loaded.
fn no_credentials(error: &(dyn Error + 'static)) -> String {
    let token_file = std::env::var("AWS_WEB_IDENTITY_TOKEN_FILE").ok().filter(|it| !it.is_empty());
    match token_file.filter(|_| causes(error).any(|it| it.is::<std::io::Error>())) {
        Some(path) => format!("check that AWS_WEB_IDENTITY_TOKEN_FILE (`{path}`) can be read"),
        None => "set AWS_PROFILE or pass --aws-profile, run `aws sso login`, \
                 or add --local to use the embedded ECR, which needs no account"
            .to_owned(),
    }
}

/// Help for a refused connection. `operation` is that of the request, such as `sts:GetCallerIdentity`.
fn nothing_listens(operation: &str) -> String {
    let service = operation.split(':').next().unwrap_or_default().to_ascii_uppercase();
    let variables = [format!("AWS_ENDPOINT_URL_{service}"), "AWS_ENDPOINT_URL".to_owned()];
    let value = |key: &String| std::env::var(key).ok().filter(|it| !it.is_empty());
    let set = variables.iter().find_map(|it| Some((it.as_str(), value(it)?)));
    refused(set.as_ref().map(|(variable, url)| (*variable, url.as_str())))
}

/// The help for a refused connection to the endpoint of a variable or, without one, of a profile or of AWS.
fn refused(endpoint: Option<(&str, &str)>) -> String {
    let Some((variable, url)) = endpoint else {
        return "nothing listens at the endpoint: check `endpoint_url` of the AWS profile and, if it has none, the network"
            .to_owned();
    };
    let listed = format!("nothing listens at the endpoint ({variable}={})", redacted(url));
    let authority = url.split_once("://").map_or(url, |(_, it)| it).split('/').next().unwrap_or_default();
    match host::is_loopback(authority.rsplit('@').next().unwrap_or_default()) {
        true => {
            format!("{listed}: start the embedded ECR with `cargo xtask ecr serve`, or unset the variable")
        }
        false => format!("{listed}: check the address, or unset the variable to use AWS's own"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_about_time_goes_by_the_code_and_then_by_the_sentence() {
        let expired = "Signature expired: 20260101T000000Z is now earlier than 20260101T001500Z (20260101T002000Z - 5 min.)";
        let early = "Signature not yet current: 20260101T010000Z is still later than 20260101T000500Z";
        let wrong = "The request signature we calculated does not match the signature you provided.";
        for (code, message, wanted) in [
            ("RequestExpired", "Request has expired.", true),
            ("RequestTimeTooSkewed", "", true),
            ("InvalidSignatureException", expired, true),
            ("SignatureDoesNotMatch", expired, true),
            ("SignatureDoesNotMatch", early, true),
            ("InvalidSignatureException", wrong, false),
            ("AccessDeniedException", expired, false),
        ] {
            let answer = Answer { code: Some(code), message, date: None };
            assert_eq!(is_about_time(&answer), wanted, "{code}: {message}");
        }
    }

    #[test]
    fn wrong_clock_tells_the_difference_that_the_answer_shows() {
        let now = Timestamp::from_seconds(1_767_226_200.0);
        let part = |date| {
            let help = wrong_clock(now, date);
            help.split_once("(it shows ").unwrap().1.split_once(')').unwrap().0.to_owned()
        };
        assert_eq!(part(None), "2026-01-01T00:10:00Z");
        assert_eq!(part(Some("nonsense")), "2026-01-01T00:10:00Z");
        assert_eq!(part(Some("Thu, 01 Jan 2026 00:09:50 GMT")), "2026-01-01T00:10:00Z");
        let behind = "2026-01-01T00:10:00Z, which is 20 minutes behind that of AWS";
        assert_eq!(part(Some("Thu, 01 Jan 2026 00:30:00 GMT")), behind);
        let ahead = "2026-01-01T00:10:00Z, which is 10 minutes ahead of that of AWS";
        assert_eq!(part(Some("Thu, 01 Jan 2026 00:00:00 GMT")), ahead);
    }

    #[test]
    fn refused_speaks_of_the_embedded_ecr_on_loopback_only() {
        for (endpoint, is_embedded) in [
            (Some(("AWS_ENDPOINT_URL", "http://127.0.0.1:9")), true),
            (Some(("AWS_ENDPOINT_URL_ECR", "http://me:secret@localhost:4510/x")), true),
            (Some(("AWS_ENDPOINT_URL", "https://me:secret@ecr.example")), false),
            (None, false),
        ] {
            let help = refused(endpoint);
            assert_eq!(help.contains("embedded ECR"), is_embedded, "{help}");
            assert!(!help.contains("secret"), "{help}");
        }
    }
}
