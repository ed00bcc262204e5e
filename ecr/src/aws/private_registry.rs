//! Hosts of private registries. Only IAM documents need them: hosts of requests are those that the API returns.

use ecr_types::RegistryId;

/// The private registry of an account in a region.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrivateRegistry {
    pub account: RegistryId,
    pub region: String,
}

/// The domains of the partitions (AWS General Reference, "Amazon ECR endpoints"; the list of
/// amazon-ecr-credential-helper).
const DOMAINS: [&str; 9] = [
    "amazonaws.com",
    "amazonaws.com.cn",
    "amazonaws.eu",
    "on.aws",
    "on.amazonwebservices.com.cn",
    "c2s.ic.gov",
    "sc2s.sgov.gov",
    "cloud.adc-e.uk",
    "csp.hci.ic.gov",
];

impl PrivateRegistry {
    /// The registry with this host: `ACCOUNT.dkr.ecr.REGION.amazonaws.com`, with `ecr-fips` in place of `ecr`, or the
    /// dual-stack form `ACCOUNT.dkr-ecr.REGION.on.aws`. `None` for other hosts, such as that of the public gallery.
    pub fn of_host(host: &str) -> Option<Self> {
        let (account, rest) = host.split_once('.')?;
        let services = ["dkr.ecr.", "dkr.ecr-fips.", "dkr-ecr.", "dkr-ecr-fips."];
        let rest = services.iter().find_map(|it| rest.strip_prefix(it))?;
        let (region, domain) = rest.split_once('.')?;
        let region: ecr_types::Region = region.parse().ok().filter(|_| DOMAINS.contains(&domain))?;
        Some(Self { account: account.parse().ok()?, region: region.to_string() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_host_reads_the_account_and_the_region() {
        for (host, wanted) in [
            ("123456789012.dkr.ecr.us-east-1.amazonaws.com", Some("us-east-1")),
            ("123456789012.dkr.ecr-fips.us-gov-west-1.amazonaws.com", Some("us-gov-west-1")),
            ("123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn", Some("cn-north-1")),
            ("123456789012.dkr-ecr.eu-central-1.on.aws", Some("eu-central-1")),
            ("123456789012.dkr-ecr-fips.us-east-2.on.aws", Some("us-east-2")),
            ("123456789012.dkr-ecr.cn-north-1.on.amazonwebservices.com.cn", Some("cn-north-1")),
            ("public.ecr.aws", None),
            ("12345.dkr.ecr.us-east-1.amazonaws.com", None),
            ("123456789012.dkr.ecr.us-east-1.example.com", None),
            ("123456789012.dkr.ecr.amazonaws.com", None),
            ("registry-1.docker.io", None),
            ("127.0.0.1:4510", None),
        ] {
            let registry = PrivateRegistry::of_host(host);
            assert_eq!(registry.as_ref().map(|it| it.region.as_str()), wanted, "{host}");
            assert!(registry.is_none_or(|it| it.account.as_str() == "123456789012"), "{host}");
        }
    }
}
