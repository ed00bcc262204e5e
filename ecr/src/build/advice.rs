//! Help for well-known error messages of docker, podman and ECR. Engines report errors as text only, so that the text
//! has to be searched.

/// What to do about the error message `text` of an engine. `None` if the message is unknown.
pub fn advice(text: &str) -> Option<&'static str> {
    let text = text.to_lowercase();
    let contains_any = |phrases: &[&str]| phrases.iter().any(|it| text.contains(it));
    ADVICE.iter().find(|(phrases, _)| contains_any(phrases)).map(|(_, advice)| *advice)
}

/// Phrases of error messages in lower case, and the advice for them. The first entry that matches counts.
const ADVICE: [(&[&str], &str); 10] = [
    (
        &["permission denied while trying to connect to the docker"],
        "this user has no access to docker: run `sudo usermod -aG docker $USER` and start a new login session, or use \
         podman (--engine podman)",
    ),
    (
        &["cannot connect to the docker daemon", "is the docker daemon running"],
        "start docker (`sudo systemctl start docker`, or Docker Desktop), or use podman (--engine podman)",
    ),
    (
        &["server gave http response to https client"],
        "the registry uses plain HTTP: use a loopback address such as 127.0.0.1, or add the registry to \
         `insecure-registries` in docker's daemon.json",
    ),
    (
        &[
            "cannot be overwritten because the",
            "imagetagalreadyexistsexception",
            "tag_invalid",
            "tag invalid",
        ],
        "the tag exists and is immutable, as intended: bump the version, or push another tag such as \
         `--tag '{version}-{digest}'`",
    ),
    (
        &["unsupportedimageerror", "unsupported_image", "scan_failed"],
        "ECR cannot scan images without an operating system (scratch, distroless); the image itself works. \
         See `cargo xtask ecr scan` for details",
    ),
    (
        &[
            "no basic auth credentials",
            "authorization token has expired",
            "authentication required",
            "unauthorized: not authorized",
            "token is either invalid or expired",
        ],
        "log in again with `cargo xtask ecr login`: tokens expire after twelve hours. `cargo xtask push` needs no login",
    ),
    (
        &[
            "repository does not exist",
            "name unknown",
            "name_unknown",
            "repositorynotfoundexception",
            "does not exist in the registry",
        ],
        "create the repository with `cargo xtask ecr create`; if it exists, check the account and the region with \
         `cargo xtask ecr status`",
    ),
    (
        &["toomanyrequests", "too many requests", "rate exceeded"],
        "the registry limits the rate of requests: retry later, or lower --concurrency",
    ),
    (
        &["archive/tar: invalid tar header"],
        "zstd layers need docker 23 or newer: set `compression = \"gzip\"` below [package.metadata.ecr.image]",
    ),
    (
        &["invalid peer certificate"],
        "this machine does not trust the certificate; if a proxy in your network signs certificates, pass its CA \
         certificate with SSL_CERT_FILE=PATH; with SSL_CERT_DIR=/etc/ssl/certs those of the system count, too",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advice_knows_the_messages_of_docker_podman_and_ecr() {
        let same = |texts: &[&str], word: &str| {
            for text in texts {
                assert!(advice(text).is_some_and(|it| it.contains(word)), "{text}: {:?}", advice(text));
            }
        };
        same(
            &[
                "no basic auth credentials",
                "denied: Your authorization token has expired. Reauthenticate and try again.",
                "Error: initializing source docker://x: unable to retrieve auth token: authentication required",
            ],
            "ecr login",
        );
        same(
            &[
                "name unknown: The repository with name 'x' does not exist in the registry with id '1'",
                "RepositoryNotFoundException: The repository with name 'x' does not exist",
            ],
            "ecr create",
        );
        same(
            &[
                "tag invalid: The image tag '1' already exists in the 'x' repository and cannot be overwritten because \
                 the repository is immutable.",
                "ImageTagAlreadyExistsException",
            ],
            "bump the version",
        );
        same(&["SCAN_FAILED", "UnsupportedImageError: The operating system"], "operating system");
        same(&["Cannot connect to the Docker daemon at unix:///var/run/docker.sock."], "start docker");
        assert_eq!(advice("something else"), None);
    }
}
