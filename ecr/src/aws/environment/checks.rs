//! Checks of the environment that the SDK leaves out, or answers with "no credentials" or a panic.

use aws_config::profile::{Profile, ProfileSet};

use super::error::{EnvironmentProblem, InvalidEnvironment};
use super::files::ProfileFiles;
use super::{DEFAULT_PROFILE, NamedProfile, ProfileSource, Variables, endpoints};

/// Checks the named profile, the key pair and the endpoints.
///
/// # Errors
/// All problems.
pub fn check(
    variables: &Variables,
    profiles: &ProfileSet,
    named: Option<&NamedProfile>,
    files: &ProfileFiles,
    ignores_endpoints: bool,
) -> Result<(), InvalidEnvironment> {
    let mut problems: Vec<_> = missing_profile(profiles, named, files).into_iter().collect();
    let uses_keys = named.is_none_or(|it| it.source != ProfileSource::Flag);
    problems.extend(half_of_key_pair(variables).filter(|_| uses_keys));
    if !uses_keys || !variables.contains_key("AWS_ACCESS_KEY_ID") {
        problems.extend(broken_reference(profiles, named.map_or(DEFAULT_PROFILE, |it| &it.name)));
    }
    if !ignores_endpoints {
        problems.extend(malformed_endpoints(variables, profiles));
    }
    if problems.is_empty() { Ok(()) } else { Err(InvalidEnvironment(problems)) }
}

fn missing_profile(
    profiles: &ProfileSet,
    named: Option<&NamedProfile>,
    files: &ProfileFiles,
) -> Option<EnvironmentProblem> {
    let named = named.filter(|it| profiles.get_profile(&it.name).is_none())?;
    Some(EnvironmentProblem::NoProfile {
        name: named.name.clone(),
        origin: named.source,
        profiles: sorted(profiles.profiles()),
        files: files.paths(),
        has_bare_section: files.has_bare_section(&named.name),
    })
}

/// A key ID without its key. The AWS CLI reports it as "Partial credentials found in env", and the SDK goes on to other
/// sources. Both ignore a key without an ID.
fn half_of_key_pair(variables: &Variables) -> Option<EnvironmentProblem> {
    let is_set = |it: &str| variables.contains_key(it);
    // The SDK reads the second name as well.
    let has_key = ["AWS_SECRET_ACCESS_KEY", "SECRET_ACCESS_KEY"].into_iter().any(is_set);
    (is_set("AWS_ACCESS_KEY_ID") && !has_key).then_some(EnvironmentProblem::NoSecretKey)
}

/// The first reference in the chain from `name` that leads nowhere: to a profile or an SSO session that is not defined, or
/// back to an earlier profile. A profile may name itself for its own keys.
fn broken_reference(profiles: &ProfileSet, name: &str) -> Option<EnvironmentProblem> {
    let mut profile = profiles.get_profile(name)?;
    let mut seen = Vec::new();
    loop {
        seen.push(profile.name().to_owned());
        if let Some(problem) = missing_session(profiles, profile) {
            return Some(problem);
        }
        profile.get("role_arn")?;
        let source = profile.get("source_profile")?;
        let Some(next) = profiles.get_profile(source) else {
            return Some(EnvironmentProblem::NoSourceProfile {
                name: source.to_owned(),
                profile: profile.name().to_owned(),
                profiles: sorted(profiles.profiles()),
            });
        };
        if next.name() == profile.name() {
            return None;
        }
        if seen.iter().any(|it| it == next.name()) {
            return Some(EnvironmentProblem::ProfileLoop { profiles: seen });
        }
        profile = next;
    }
}

fn missing_session(profiles: &ProfileSet, profile: &Profile) -> Option<EnvironmentProblem> {
    let name = profile.get("sso_session").filter(|it| profiles.sso_session(it).is_none())?;
    Some(EnvironmentProblem::NoSsoSession {
        name: name.to_owned(),
        profile: profile.name().to_owned(),
        sessions: sorted(profiles.sso_sessions()),
    })
}

/// The endpoints of the services that this tool uses.
fn malformed_endpoints(variables: &Variables, profiles: &ProfileSet) -> Vec<EnvironmentProblem> {
    let used = ["ECR", "STS", "SSO", "SSO_OIDC"].into_iter();
    let mut used: Vec<_> = used.filter_map(|it| endpoints::of_service(variables, profiles, it)).collect();
    used.dedup();
    let problem = |it: endpoints::Endpoint| {
        let flaw = endpoints::flaw(&it.url)?;
        Some(EnvironmentProblem::Endpoint { source_name: it.source, url: it.url, flaw })
    };
    used.into_iter().filter_map(problem).collect()
}

fn sorted<'a>(names: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut names: Vec<_> = names.map(str::to_owned).collect();
    names.sort();
    names
}
