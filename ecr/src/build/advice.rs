//! What docker, podman and ECR say when something is wrong, turned into what to type: the article's chapter on
//! troubleshooting, wherever its sentences turn up.

/// What to do about an error, if it is a known one. `text` is whatever was uttered, in any case.
pub fn advice(text: &str) -> Option<&'static str> {
    let text = text.to_lowercase();
    let says = |words: &[&str]| words.iter().any(|it| text.contains(it));
    KNOWN.iter().find(|(words, _)| says(words)).map(|(_, advice)| *advice)
}

/// Sentences (or pieces of them) and the advice. The first that fits counts.
const KNOWN: [(&[&str], &str); 10] = [
    (
        &["permission denied while trying to connect to the docker"],
        "this user may not talk to docker: `sudo usermod -aG docker $USER` and log in anew, or use podman \
         (--engine podman)",
    ),
    (
        &["cannot connect to the docker daemon", "is the docker daemon running"],
        "start docker (`sudo systemctl start docker`, or Docker Desktop), or use podman (--engine podman)",
    ),
    (
        &["server gave http response to https client"],
        "the registry speaks plain HTTP: name it by a loopback address such as 127.0.0.1, or list it below \
         `insecure-registries` in docker's daemon.json",
    ),
    (
        &[
            "cannot be overwritten because the",
            "imagetagalreadyexistsexception",
            "tag_invalid",
            "tag invalid",
        ],
        "the tag is taken and immutable, as it should be: bump the version, or push another tag such as \
         `--tag '{version}-{digest}'`",
    ),
    (
        &["unsupportedimageerror", "unsupported_image", "scan_failed"],
        "ECR cannot scan images without an operating system (scratch, distroless); the image works all the same. \
         `cargo xtask ecr scan` tells more",
    ),
    (
        &[
            "no basic auth credentials",
            "authorization token has expired",
            "authentication required",
            "unauthorized: not authorized",
            "token is either invalid or expired",
        ],
        "log in anew with `cargo xtask ecr login`: tokens are good for twelve hours. `cargo xtask push` needs no login",
    ),
    (
        &[
            "repository does not exist",
            "name unknown",
            "name_unknown",
            "repositorynotfoundexception",
            "does not exist in the registry",
        ],
        "create it with `cargo xtask ecr create`; if it should be there, check account and region with \
         `cargo xtask ecr status`",
    ),
    (
        &["toomanyrequests", "too many requests", "rate exceeded"],
        "the registry wants to be asked less often: wait a little, or lower --concurrency",
    ),
    (
        &["archive/tar: invalid tar header"],
        "docker reads zstd layers from version 23 on: take `compression = \"gzip\"` below [package.metadata.ecr.image]",
    ),
    (
        &["invalid peer certificate"],
        "the certificate is of nobody that this machine trusts; if a proxy of your network signs them, name its \
         certificate with SSL_CERT_FILE=PATH",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_articles_errors_are_known_by_every_voice() {
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
