//! The base `scratch`: the files that a static binary needs beside itself.

use std::sync::LazyLock;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use ecr_types::Digest;

use super::layer::Files;

/// The default user of services, as `UID:GID`: `nonroot`, as in distroless images.
pub const USER: &str = "65532:65532";

/// The digest of the certificates. Each service of a workspace needs it several times.
static CERTIFICATES: LazyLock<Digest> = LazyLock::new(|| {
    let certificates: Vec<&[u8]> =
        webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter().map(AsRef::as_ref).collect();
    Digest::of(&certificates.concat())
});

/// The files of the base `scratch`: Mozilla's CA certificates, `/etc/passwd` and `/etc/group` with `nonroot`,
/// `/etc/nsswitch.conf`, and `/tmp`.
pub fn scratch() -> Files {
    let mut files = Files::default();
    files.derived("/etc/ssl/certs/ca-certificates.crt", 0o644, CERTIFICATES.clone(), || {
        ca_certificates().into_bytes()
    });
    files.bytes(
        "/etc/passwd",
        0o644,
        "root:x:0:0:root:/root:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/tmp:/sbin/nologin\n",
    );
    files.bytes("/etc/group", 0o644, "root:x:0:\nnonroot:x:65532:\n");
    // glibc loads a module for any other source; `files` and `dns` are built in since glibc 2.34.
    files.bytes("/etc/nsswitch.conf", 0o644, "hosts: files dns\n");
    files.folder("/tmp", 0o1777);
    files
}

/// Mozilla's CA certificates in PEM (RFC 7468), the format that OpenSSL and rustls-native-certs read.
fn ca_certificates() -> String {
    let mut pem = String::new();
    for certificate in webpki_root_certs::TLS_SERVER_ROOT_CERTS {
        pem.push_str("-----BEGIN CERTIFICATE-----\n");
        let text = BASE64_STANDARD.encode(certificate);
        for line in text.as_bytes().chunks(64) {
            pem.push_str(&String::from_utf8_lossy(line));
            pem.push('\n');
        }
        pem.push_str("-----END CERTIFICATE-----\n");
    }
    pem
}
