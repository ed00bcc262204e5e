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

/// Whether two hosts with their ports are the same: `localhost`, 127.0.0.1 and `[::1]` are one, letters have no case, and
/// the port of HTTPS may be left out.
///
/// ```
/// assert!(ecr_types::host::is_same("localhost:4510", "127.0.0.1:4510"));
/// assert!(!ecr_types::host::is_same("127.0.0.1:4510", "127.0.0.1:4511"));
/// ```
pub fn is_same(a: &str, b: &str) -> bool {
    normal(a) == normal(b)
}

/// The name of a host in lower case, and its port.
fn normal(host: &str) -> (String, &str) {
    let name = name(host);
    let port = host[name.len()..].trim_start_matches(':');
    let name = name.to_ascii_lowercase();
    let name = if matches!(name.as_str(), "127.0.0.1" | "[::1]") { "localhost".to_owned() } else { name };
    (name, if port.is_empty() { "443" } else { port })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_same_compares_names_and_ports() {
        for (a, b, wanted) in [
            ("localhost:4510", "127.0.0.1:4510", true),
            ("[::1]:4510", "localhost:4510", true),
            ("Registry.example", "registry.example:443", true),
            ("registry.example", "registry.example:5000", false),
            ("127.0.0.2:4510", "127.0.0.1:4510", false),
            ("registry.example", "registry.example.org", false),
            ("registry.example", "", false),
        ] {
            assert_eq!((is_same(a, b), is_same(b, a)), (wanted, wanted), "{a} {b}");
        }
    }

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
