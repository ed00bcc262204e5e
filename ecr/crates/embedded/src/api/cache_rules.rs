//! Pull-through cache rules. What is pulled through them is in [`crate::upstream`].

use serde_json::{Value, json};

use super::page::{sought_in, with_next};
use super::{ApiResult, Call, Input};
use crate::error::ApiError;
use crate::upstream::is_here;

/// The maximum number of rules (service quotas, "Pull through cache rules per registry").
const MAX_RULES: usize = 50;

/// The upstream registries, and whether they want a secret (ECR API, `CreatePullThroughCacheRule`).
const UPSTREAMS: [(&str, &str, bool); 8] = [
    ("public.ecr.aws", "ecr-public", false),
    ("registry.k8s.io", "k8s", false),
    ("quay.io", "quay", false),
    ("registry-1.docker.io", "docker-hub", true),
    ("ghcr.io", "github-container-registry", true),
    ("registry.gitlab.com", "gitlab-container-registry", true),
    ("cgr.dev", "chainguard", true),
    (".azurecr.io", "azure-container-registry", true),
];

pub fn create(call: &Call<'_>, input: Input<'_>) -> ApiResult {
    let url = input.required("upstreamRegistryUrl");
    let upstream = upstream(url, input.text("credentialArn"))?;
    let prefix = prefix(input);
    let mut rule = json!({
        "ecrRepositoryPrefix": prefix,
        "upstreamRegistryUrl": url,
        "upstreamRepositoryPrefix": input.text("upstreamRepositoryPrefix").unwrap_or("ROOT"),
        "upstreamRegistry": upstream,
        "createdAt": call.shared.now(),
        "registryId": call.registry.account,
    });
    set(&mut rule, input);
    call.change_registry(|registry| {
        if registry.cache_rules.contains_key(&prefix) {
            let message =
                "A pull through cache rule with these settings already exists for the private registry.";
            return Err(ApiError::new("PullThroughCacheRuleAlreadyExistsException", message));
        }
        if registry.cache_rules.len() >= MAX_RULES {
            let message = format!("A registry has at most {MAX_RULES} pull through cache rules");
            return Err(ApiError::new("LimitExceededException", message));
        }
        registry.cache_rules.insert(prefix, rule.clone());
        Ok(())
    })?;
    Ok(rule)
}

pub fn describe(call: &Call<'_>, input: Input<'_>) -> ApiResult {
    let rules = call.registry_settings()?.cache_rules;
    let named = input.texts("ecrRepositoryPrefixes");
    if named.as_ref().is_some_and(|named| named.iter().any(|it| !rules.contains_key(*it))) {
        return Err(not_found());
    }
    let is_wanted = |prefix: &String| named.as_ref().is_none_or(|it| it.contains(&prefix.as_str()));
    let (page, next) = sought_in(input, rules.into_iter().filter(|(prefix, _)| is_wanted(prefix)))?;
    let rules: Vec<Value> = page.into_iter().map(|(_, rule)| rule).collect();
    Ok(with_next(json!({ "pullThroughCacheRules": rules }), next))
}

pub fn update(call: &Call<'_>, input: Input<'_>) -> ApiResult {
    call.change_registry(|registry| {
        let rule = registry.cache_rules.get_mut(&prefix(input)).ok_or_else(not_found)?;
        set(rule, input);
        rule["updatedAt"] = json!(call.shared.now());
        Ok(without(rule, &["createdAt", "upstreamRegistryUrl", "upstreamRegistry"]))
    })
}

pub fn delete(call: &Call<'_>, input: Input<'_>) -> ApiResult {
    let rule = call.change_registry(|it| it.cache_rules.remove(&prefix(input)).ok_or_else(not_found))?;
    Ok(without(&rule, &["upstreamRegistry", "updatedAt"]))
}

/// Secrets are not read here, so that a rule is valid as far as this server can tell.
pub fn validate(call: &Call<'_>, input: Input<'_>) -> ApiResult {
    let registry = call.registry_settings()?;
    let rule = registry.cache_rules.get(&prefix(input)).ok_or_else(not_found)?;
    let mut answer = without(rule, &["createdAt", "updatedAt", "upstreamRegistry"]);
    answer["isValid"] = json!(true);
    Ok(answer)
}

fn prefix(input: Input<'_>) -> String {
    input.required("ecrRepositoryPrefix").trim_end_matches('/').to_owned()
}

fn set(rule: &mut Value, input: Input<'_>) {
    for member in ["credentialArn", "customRoleArn"] {
        if let Some(text) = input.text(member) {
            rule[member] = json!(text);
        }
    }
}

fn without(rule: &Value, members: &[&str]) -> Value {
    let mut rule = rule.clone();
    if let Some(rule) = rule.as_object_mut() {
        rule.retain(|member, _| !members.contains(&member.as_str()));
    }
    rule
}

/// The name of an upstream registry. One on loopback is pulled from in fact, and has the name of a registry without
/// credentials.
fn upstream(url: &str, credential: Option<&str>) -> Result<&'static str, ApiError> {
    let refused = |message: String| ApiError::new("UnsupportedUpstreamRegistryException", message);
    if is_here(&format!("http://{url}")) && !url.contains(['/', '?', '#']) {
        return Ok("k8s");
    }
    if url.split_once(".dkr.ecr.").is_some_and(|(account, _)| account.len() == 12) {
        return Ok("ecr");
    }
    let known =
        UPSTREAMS.iter().find(|(known, ..)| *known == url || known.starts_with('.') && url.ends_with(known));
    match (known, credential) {
        (None, _) => Err(refused(format!("The upstream registry URL {url} is invalid"))),
        (Some((_, _, true)), None) => Err(refused(
            "The specified upstream registry requires authentication. Specify a valid Secrets Manager ARN \
             containing the upstream registry credentials."
                .to_owned(),
        )),
        (Some((_, _, false)), Some(_)) => {
            Err(refused("The specified upstream registry doesn't require authentication".to_owned()))
        }
        (Some((_, name, _)), _) => Ok(name),
    }
}

fn not_found() -> ApiError {
    let message =
        "The pull through cache rule was not found. Specify a valid pull through cache rule and try again.";
    ApiError::new("PullThroughCacheRuleNotFoundException", message)
}
