//! Hosts of private registries. Only IAM documents need them: hosts of requests are those that the API returns.

use ecr_types::RegistryId;

use super::iam::partition;

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

/// Which of the hosts of AWS's services are used, as `AWS_USE_FIPS_ENDPOINT` and `AWS_USE_DUALSTACK_ENDPOINT` ask for it (AWS SDKs
/// and Tools Reference Guide, "Dual-stack and FIPS endpoints").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EndpointVariant {
    /// Hosts whose cryptography is validated by FIPS 140.
    pub fips: bool,
    /// Hosts with IPv4 and IPv6 addresses.
    pub dual_stack: bool,
}

/// The registries of a partition have no dual-stack host that is known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "dual-stack endpoints are asked for, and no dual-stack host is known for the registries of region {region}"
)]
pub struct NoDualStackHost {
    region: String,
}

impl NoDualStackHost {
    /// What the user can do about it.
    pub const HELP: &'static str =
        "unset AWS_USE_DUALSTACK_ENDPOINT, and `use_dualstack_endpoint` of the AWS profile";
}

impl PrivateRegistry {
    /// The host of the registry for an [`EndpointVariant`] (AWS General Reference, "Amazon ECR endpoints and quotas"). The API
    /// does not name them, and neither do the endpoint rules of the SDKs, which are about the API only.
    ///
    /// # Errors
    /// No dual-stack host of the partition is known.
    pub fn host(&self, variant: EndpointVariant) -> Result<String, NoDualStackHost> {
        let Self { account, region } = self;
        let fips = if variant.fips { "-fips" } else { "" };
        match variant.dual_stack {
            false => Ok(format!("{account}.dkr.ecr{fips}.{region}.{}", domain(region))),
            true => {
                let domain = dual_stack_domain(region);
                let domain = domain.ok_or_else(|| NoDualStackHost { region: region.clone() })?;
                Ok(format!("{account}.dkr-ecr{fips}.{region}.{domain}"))
            }
        }
    }

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

/// The domain of the services of a region's partition (`dnsSuffix` in the SDKs' table of partitions).
fn domain(region: &str) -> &'static str {
    match partition(region) {
        "aws-cn" => "amazonaws.com.cn",
        "aws-eusc" => "amazonaws.eu",
        "aws-iso" => "c2s.ic.gov",
        "aws-iso-b" => "sc2s.sgov.gov",
        "aws-iso-e" => "cloud.adc-e.uk",
        "aws-iso-f" => "csp.hci.ic.gov",
        _ => "amazonaws.com",
    }
}

/// The domain of the registries' dual-stack hosts. That of the API is another one (`api.aws`).
fn dual_stack_domain(region: &str) -> Option<&'static str> {
    match partition(region) {
        "aws" | "aws-us-gov" => Some("on.aws"),
        "aws-cn" => Some("on.amazonwebservices.com.cn"),
        _ => None,
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
