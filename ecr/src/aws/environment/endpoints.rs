//! The endpoints of services (AWS SDKs and Tools Reference Guide, "Service-specific endpoints").

use aws_config::profile::ProfileSet;
use aws_runtime::env_config::property::PropertiesKey;
use hyper::Uri;

use super::Variables;

/// A configured endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    pub url: String,
    /// The variable or the key, as it is named in messages.
    pub source: String,
}

/// Whether the user turned off all configured endpoints. The variable wins over the profile.
pub fn are_ignored(variables: &Variables, profiles: &ProfileSet) -> bool {
    let variable = variables.get("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS").map(String::as_str);
    let value = variable.or_else(|| profiles.get("ignore_configured_endpoint_urls"));
    value.is_some_and(|it| it.eq_ignore_ascii_case("true"))
}

/// The endpoint of a service, by its ID in capitals. Variables win over the profile, and in both what names the service
/// wins over what does not.
pub fn of_service(variables: &Variables, profiles: &ProfileSet, id: &str) -> Option<Endpoint> {
    let from_variable = |key: String| {
        let url = variables.get(&key)?.clone();
        Some(Endpoint { url, source: key })
    };
    from_variable(format!("AWS_ENDPOINT_URL_{id}"))
        .or_else(|| from_variable("AWS_ENDPOINT_URL".to_owned()))
        .or_else(|| of_services_section(profiles, &id.to_ascii_lowercase()))
        .or_else(|| {
            let (url, profile) = (profiles.get("endpoint_url")?.to_owned(), profiles.selected_profile());
            Some(Endpoint { url, source: format!("`endpoint_url` of the AWS profile `{profile}`") })
        })
}

/// The endpoint of a service in the section `[services NAME]` that the profile names.
fn of_services_section(profiles: &ProfileSet, service: &str) -> Option<Endpoint> {
    let section = profiles.get("services")?;
    let key = PropertiesKey::builder().section_key("services").section_name(section);
    let key = key.property_name(service).sub_property_name("endpoint_url").build().ok()?;
    let url = profiles.other_sections().get(&key)?.clone();
    Some(Endpoint { url, source: format!("`{service}.endpoint_url` of [services {section}]") })
}

/// What is wrong with an endpoint; `None` if nothing is.
pub fn flaw(url: &str) -> Option<&'static str> {
    if !["http://", "https://"].iter().any(|it| url.to_ascii_lowercase().starts_with(it)) {
        return Some("an endpoint must begin with http:// or https://");
    }
    let uri = url.parse::<Uri>().ok();
    let authority = uri.as_ref().and_then(Uri::authority);
    let has_host = authority.is_some_and(|it| !it.host().is_empty());
    // The parser takes any text after the colon for a port.
    let has_port =
        authority.and_then(|it| it.as_str().rsplit_once(':')).filter(|(_, port)| !port.contains(']'));
    let is_port = has_port.is_none_or(|(_, port)| port.parse::<u16>().is_ok());
    (!has_host || !is_port).then_some("it is not a valid URL")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flaw_is_that_of_a_malformed_endpoint() {
        let (no_scheme, invalid) =
            (Some("an endpoint must begin with http:// or https://"), Some("it is not a valid URL"));
        for (url, wanted) in [
            ("http://127.0.0.1:4510", None),
            ("https://ecr.us-east-1.amazonaws.com", None),
            ("HTTPS://localhost/", None),
            ("http://[::1]:4510", None),
            ("http://[::1]", None),
            ("http://host/prefix", None),
            ("127.0.0.1:4510", no_scheme),
            ("localhost", no_scheme),
            (" ", no_scheme),
            (" http://localhost", no_scheme),
            ("ftp://localhost", no_scheme),
            ("http:/localhost", no_scheme),
            ("http://", invalid),
            ("http://:4510", invalid),
            ("http://a b", invalid),
            ("http://localhost ", invalid),
            ("http://localhost:port", invalid),
            ("http://localhost:99999", invalid),
            ("http://localhost:", invalid),
        ] {
            assert_eq!(flaw(url), wanted, "{url:?}");
        }
    }
}
