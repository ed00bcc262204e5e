//! The keys of registries in `auths` and `credHelpers`.
//!
//! docker writes the host, and for Docker Hub the address of its former API. Older versions wrote addresses of any kind, and
//! docker still reads them (docker/cli, `cli/config/credentials/file_store.go`, `ConvertToHostname`). podman also has keys for
//! a part of a registry, such as `quay.io/team` (containers-auth.json(5)).

use crate::reference::Reference;

/// The key of Docker Hub in docker's files.
const DOCKER_HUB: &str = "https://index.docker.io/v1/";
/// The hosts of Docker Hub in keys.
const DOCKER_HUB_HOSTS: [&str; 3] = ["index.docker.io", "docker.io", "registry-1.docker.io"];

/// How well a key fits an image; a lower value is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fit {
    /// The key names a part of the registry that contains the repository. The number is larger the shorter the key is.
    Namespace(usize),
    /// The key is the one that docker writes.
    Exact,
    /// The key is an address of the registry.
    Address,
    /// The key names another part of the registry. docker uses it; podman does not.
    OtherNamespace,
}

/// The key that docker gives to a credential helper that is configured for all registries.
pub(super) fn docker_key(reference: &Reference) -> &str {
    if reference.is_docker_hub() { DOCKER_HUB } else { &reference.host }
}

/// How well `key` fits the image; `None` if it is the key of another registry.
pub(super) fn fit(key: &str, reference: &Reference) -> Option<Fit> {
    if key == docker_key(reference) {
        return Some(Fit::Exact);
    }
    let without_scheme = ["https://", "http://"].iter().find_map(|it| strip_prefix_ignoring_case(key, it));
    let (host, path) =
        without_scheme.unwrap_or(key).split_once('/').unwrap_or((without_scheme.unwrap_or(key), ""));
    if !is_host(host, reference) {
        return None;
    }
    let path = path.trim_matches('/');
    Some(match path {
        "" | "v1" | "v2" => Fit::Address,
        _ if contains(path, &reference.name) => Fit::Namespace(usize::MAX - path.len()),
        _ if without_scheme.is_some() => Fit::Address,
        _ => Fit::OtherNamespace,
    })
}

fn is_host(host: &str, reference: &Reference) -> bool {
    match reference.is_docker_hub() {
        true => DOCKER_HUB_HOSTS.iter().any(|it| it.eq_ignore_ascii_case(host)),
        false => reference.host.eq_ignore_ascii_case(host),
    }
}

/// Whether a repository is `namespace` itself or lies below it.
fn contains(namespace: &str, repository: &str) -> bool {
    repository.strip_prefix(namespace).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn strip_prefix_ignoring_case<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let head = text.get(..prefix.len())?;
    head.eq_ignore_ascii_case(prefix).then(|| &text[prefix.len()..])
}
