//! The tokens of identity providers. Their signatures are not checked, because that takes the provider's keys.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use ecr_types::Timestamp;
use serde_json::Value;

use crate::error::ApiError;

/// What a token says (OpenID Connect Core, section 2, "ID Token").
#[derive(Debug, PartialEq, Eq)]
pub struct Claims {
    pub subject: String,
    pub issuer: String,
    /// The first audience.
    pub audience: String,
}

impl Claims {
    /// Reads a JSON Web Token (RFC 7519). `now` is in seconds since 1970.
    ///
    /// # Errors
    /// `InvalidIdentityToken` if it is none, or lacks a claim; `ExpiredTokenException`.
    pub fn parse(token: &str, now: f64) -> Result<Self, ApiError> {
        let claims = payload(token.trim_end()).ok_or_else(|| {
            let hint = "(You may see this error if you sent an Access Token)";
            ApiError::new("InvalidIdentityToken", format!("The ID Token provided is not a valid JWT. {hint}"))
        })?;
        if let Some(end) = claims["exp"].as_f64().filter(|end| *end <= now) {
            let time = |seconds: f64| Timestamp::from_seconds(seconds.floor()).to_string();
            let message = format!(
                "Token expired: current date/time {} must be before the expiration date/time {}",
                time(now),
                time(end)
            );
            return Err(ApiError::new("ExpiredTokenException", message));
        }
        let audience =
            claims["aud"].as_array().map_or(&claims["aud"], |it| it.first().unwrap_or(&Value::Null));
        let text = |name: &str, value: &Value| {
            let missing =
                || ApiError::new("InvalidIdentityToken", format!("Missing a required claim: {name}"));
            value.as_str().map(str::to_owned).ok_or_else(missing)
        };
        let (subject, issuer) = (text("sub", &claims["sub"])?, text("iss", &claims["iss"])?);
        Ok(Self { subject, issuer, audience: text("aud", audience)? })
    }
}

/// The claims of a token with three parts, of which the first two are JSON objects.
fn payload(token: &str) -> Option<Value> {
    let parts: Vec<_> = token.split('.').collect();
    let [header, claims, _] = parts[..] else { return None };
    let object = |part: &str| {
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(part.trim_end_matches('=')).ok()?;
        serde_json::from_slice(&bytes).ok().filter(Value::is_object)
    };
    object(header)?;
    object(claims)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn token(claims: &Value) -> String {
        let part = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
        format!("{}.{}.c2lnbmF0dXJl", part(&json!({"alg": "RS256"})), part(claims))
    }

    #[test]
    fn claims_are_those_of_a_token_that_is_valid() {
        let sub = "system:serviceaccount:default:ci";
        let good = json!({"sub": sub, "iss": "https://oidc.eks", "aud": ["sts.amazonaws.com"], "exp": 200});
        let claims = Claims::parse(&token(&good), 100.0).unwrap();
        assert_eq!((claims.subject.as_str(), claims.audience.as_str()), (sub, "sts.amazonaws.com"));
        // Files with tokens may end with a line break.
        assert!(Claims::parse(&format!("{}\n", token(&good)), 100.0).is_ok());
        for (token, wanted) in [
            (token(&good), "ExpiredTokenException"),
            (token(&json!({"sub": sub, "iss": "i"})), "InvalidIdentityToken"),
            ("dummy".to_owned(), "InvalidIdentityToken"),
            ("a.b.c".to_owned(), "InvalidIdentityToken"),
            (token(&json!([])), "InvalidIdentityToken"),
        ] {
            assert_eq!(Claims::parse(&token, 200.0).unwrap_err().code, wanted, "{token}");
        }
    }
}
