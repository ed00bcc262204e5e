//! Hosts in image references and in the header `Host`: a name or an IP address, with or without a port (RFC 9110, section
//! 7.2).

use std::net::IpAddr;

/// The host without its port. An IPv6 address keeps its brackets.
///
/// ```
/// assert_eq!(ecr_types::host::name("[::1]:4510"), "[::1]");
/// ```
pub fn name(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) && !name.ends_with(':') => name,
        _ => host,
    }
}

/// Whether the host is on loopback: `localhost` and the names below it (RFC 6761, section 6.3), 127.0.0.0/8, `[::1]`.
/// Docker, containerd and podman use plain HTTP for such registries.
///
/// ```
/// assert!(ecr_types::host::is_loopback("127.0.0.1:4510"));
/// assert!(!ecr_types::host::is_loopback("127.0.0.1.example.com"));
/// ```
pub fn is_loopback(host: &str) -> bool {
    let name = name(host);
    let address = name.trim_matches(['[', ']']).parse::<IpAddr>();
    name == "localhost" || name.ends_with(".localhost") || address.is_ok_and(|it| it.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_loopback_accepts_this_machine_only() {
        for host in ["127.0.0.1:4510", "127.1.2.3", "localhost:1", "ecr.localhost", "[::1]:80", "[::1]"] {
            assert!(is_loopback(host), "{host}");
        }
        for host in [
            "",
            "123456789012.dkr.ecr.us-east-1.amazonaws.com",
            "10.0.0.1:5000",
            "localhost.example",
            "127.0.0.1.example.com",
            "evil.example:4510",
        ] {
            assert!(!is_loopback(host), "{host}");
        }
    }
}
