//! The parameters of a request of the query protocol, and their constraints in STS's service model.

use regex_lite::Regex;

use crate::error::ApiError;

/// The parameters of a request, decoded.
pub struct Parameters(Vec<(String, String)>);

/// A text parameter with its constraints.
pub struct Text {
    name: &'static str,
    is_required: bool,
    min: usize,
    max: usize,
    /// As the service model has it, for messages.
    pattern: &'static str,
    /// The same for a regular expression of Rust.
    regex: &'static str,
}

/// The maximum length of a session policy.
pub const POLICY_MAX: usize = 2048;

const ARN_PATTERN: &str =
    r"[\u0009\u000A\u000D\u0020-\u007E\u0085\u00A0-\uD7FF\uE000-\uFFFD\u10000-\u10FFFF]+";
const ARN_REGEX: &str = r"[\x09\x0A\x0D\x20-\x7E\u{85}\u{A0}-\u{D7FF}\u{E000}-\u{FFFD}\u{10000}-\u{10FFFF}]+";

impl Text {
    pub const ROLE_ARN: Self =
        Self { is_required: true, pattern: ARN_PATTERN, regex: ARN_REGEX, ..Self::new("RoleArn", 20, 2048) };
    pub const SESSION_NAME: Self =
        Self { is_required: true, ..Self::matching("RoleSessionName", 2, 64, r"[\w+=,.@-]*") };
    pub const EXTERNAL_ID: Self = Self::matching("ExternalId", 2, 1224, r"[\w+=,.@:\/-]*");
    pub const SOURCE_IDENTITY: Self = Self::matching("SourceIdentity", 2, 256, r"[\w+=,.@-]*");
    pub const SERIAL_NUMBER: Self = Self::matching("SerialNumber", 9, 256, r"[\w+=/:,.@-]*");
    pub const TOKEN_CODE: Self = Self::matching("TokenCode", 6, 6, r"[\d]*");
    pub const PROVIDER_ID: Self = Self::new("ProviderId", 4, 2048);
    pub const POLICY: Self = Self::new("Policy", 1, POLICY_MAX);
    pub const WEB_IDENTITY_TOKEN: Self =
        Self { is_required: true, ..Self::new("WebIdentityToken", 4, 20_000) };

    const fn new(name: &'static str, min: usize, max: usize) -> Self {
        Self { name, is_required: false, min, max, pattern: "", regex: "" }
    }

    const fn matching(name: &'static str, min: usize, max: usize, pattern: &'static str) -> Self {
        Self { pattern, regex: pattern, ..Self::new(name, min, max) }
    }

    /// The constraints that a value does not satisfy, in the order in which AWS lists them.
    fn violations(&self, value: Option<&str>) -> Vec<String> {
        let Some(value) = value else {
            return self.is_required.then(|| "Member must not be null".to_owned()).into_iter().collect();
        };
        let matches = || Regex::new(&format!("^(?:{})$", self.regex)).is_ok_and(|it| it.is_match(value));
        let length = value.chars().count();
        let checks = [
            (
                !self.regex.is_empty() && !matches(),
                "satisfy regular expression pattern: ",
                self.pattern.to_owned(),
            ),
            (length < self.min, "have length greater than or equal to ", self.min.to_string()),
            (length > self.max, "have length less than or equal to ", self.max.to_string()),
        ];
        let violated = checks.into_iter().filter(|(is_violated, ..)| *is_violated);
        violated.map(|(_, rule, limit)| format!("Member must {rule}{limit}")).collect()
    }
}

impl Parameters {
    pub fn parse(body: &[u8]) -> Self {
        let pairs = url::form_urlencoded::parse(body);
        Self(pairs.map(|(key, value)| (key.into_owned(), value.into_owned())).collect())
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The value of a parameter that was checked to be there.
    pub fn required(&self, name: &str) -> &str {
        self.get(name).unwrap_or_default()
    }

    /// Checks all texts and the duration.
    ///
    /// # Errors
    /// `ValidationError` with all violations, in the sentence of AWS.
    pub fn check(&self, texts: &[Text]) -> Result<(), ApiError> {
        let mut found = Vec::new();
        for text in texts {
            let value = self.get(text.name);
            let violations = text.violations(value);
            found.extend(violations.into_iter().map(|it| violation(text.name, value, &it)));
        }
        let duration = self.get("DurationSeconds");
        let seconds = duration.and_then(|it| it.parse::<i64>().ok());
        let checks = [
            (seconds.is_some_and(|it| it < 900), "greater than or equal to 900"),
            (seconds.is_some_and(|it| it > 43_200), "less than or equal to 43200"),
        ];
        let violated = checks.into_iter().filter(|(is_violated, _)| *is_violated);
        found.extend(violated.map(|(_, rule)| {
            violation("DurationSeconds", duration, &format!("Member must have value {rule}"))
        }));
        match found.len() {
            0 => Ok(()),
            1 => Err(validation(format!("1 validation error detected: {}", found[0]))),
            n => Err(validation(format!("{n} validation errors detected: {}", found.join("; ")))),
        }
    }

    /// `DurationSeconds`; one hour if it is absent.
    ///
    /// # Errors
    /// It is not a number.
    pub fn duration(&self) -> Result<u64, ApiError> {
        let Some(text) = self.get("DurationSeconds") else { return Ok(3600) };
        text.parse().map_err(|_| ApiError::new("MalformedInput", "Invalid Argument"))
    }
}

/// A violation, such as `Value 'x' at 'roleSessionName' failed to satisfy constraint: Member must have length greater
/// than or equal to 2`. The value of a token is not shown.
fn violation(name: &str, value: Option<&str>, constraint: &str) -> String {
    let value = match value {
        Some(_) if name == "WebIdentityToken" => "'***'".to_owned(),
        Some(value) => format!("'{value}'"),
        None => "null".to_owned(),
    };
    let (first, rest) = name.split_at(1);
    format!("Value {value} at '{}{rest}' failed to satisfy constraint: {constraint}", first.to_lowercase())
}

fn validation(message: String) -> ApiError {
    ApiError::new("ValidationError", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn check_lists_violations_as_aws_does() {
        let check = |body: &str| {
            let texts = [Text::ROLE_ARN, Text::SESSION_NAME, Text::TOKEN_CODE];
            Parameters::parse(body.as_bytes()).check(&texts).map_err(|it| it.message)
        };
        let arn = "RoleArn=arn:aws:iam::123456789012:role/deploy";
        for (body, wanted) in [
            ("&RoleSessionName=ci", ""),
            ("&RoleSessionName=ci&DurationSeconds=900&TokenCode=123456", ""),
            (
                "&RoleSessionName=x",
                "1 validation error detected: Value 'x' at 'roleSessionName' failed to satisfy constraint: \
                 Member must have length greater than or equal to 2",
            ),
            (
                "&RoleSessionName=a b",
                r"1 validation error detected: Value 'a b' at 'roleSessionName' failed to satisfy constraint: Member must satisfy regular expression pattern: [\w+=,.@-]*",
            ),
            (
                "",
                "1 validation error detected: Value null at 'roleSessionName' failed to satisfy constraint: \
                 Member must not be null",
            ),
            (
                "&RoleSessionName=ci&DurationSeconds=899",
                "1 validation error detected: Value '899' at 'durationSeconds' failed to satisfy constraint: \
                 Member must have value greater than or equal to 900",
            ),
            (
                "&RoleSessionName=ci&DurationSeconds=43201",
                "1 validation error detected: Value '43201' at 'durationSeconds' failed to satisfy constraint: \
                 Member must have value less than or equal to 43200",
            ),
        ] {
            let result = check(&format!("{arn}{body}"));
            assert_eq!(result.err().unwrap_or_default(), wanted, "{body}");
        }
        // As in mmmorris1975/aws-runas#80: the pattern comes before the length.
        let message = check("RoleArn=&RoleSessionName=ci").unwrap_err();
        assert!(message.starts_with("2 validation errors detected: Value '' at 'roleArn' failed to satisfy constraint: Member must satisfy"), "{message}");
        assert!(message.ends_with("; Value '' at 'roleArn' failed to satisfy constraint: Member must have length greater than or equal to 20"), "{message}");
    }
}
