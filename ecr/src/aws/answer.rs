//! Proof that an answer is the one that was asked for. A proxy or another server may answer with the status 200 as well, and
//! the SDK takes an empty body for an object without members.
//!
//! The service model marks no member of ECR's answers as required. The checked ones are in every example of the ECR API
//! reference, also those of lists without entries.

use std::fmt::Display;

use super::{Aws, ServiceError};

type Result<T> = std::result::Result<T, ServiceError>;

/// What the user can do about an answer that is none of AWS.
pub(super) const NOT_AWS: &str = "another server may have answered in place of AWS: check AWS_ENDPOINT_URL and HTTPS_PROXY, and run the \
                       command again";

/// The error for an answer to `operation` that AWS would not give.
pub(super) fn unexpected(operation: &'static str, reason: impl Display) -> ServiceError {
    ServiceError::unexpected(operation, &reason).with_help(NOT_AWS)
}

/// A member that the answer to `operation` must have.
///
/// # Errors
/// The member is missing.
pub(super) fn member<T>(operation: &'static str, name: &str, value: Option<T>) -> Result<T> {
    value.ok_or_else(|| unexpected(operation, format!("no `{name}`")))
}

/// Checks that a member of the answer to `operation` has the value that was asked for.
///
/// # Errors
/// The member is missing or has another value.
pub(super) fn same(operation: &'static str, name: &str, found: Option<&str>, asked: &str) -> Result<()> {
    match member(operation, name, found)? {
        found if found == asked => Ok(()),
        found => Err(unexpected(operation, format!("`{name}` is `{found}`, not `{asked}`"))),
    }
}

impl Aws {
    /// Checks that an answer is about the repository `asked` of this account.
    ///
    /// # Errors
    /// The name is missing, or the name or the registry is another one.
    pub(super) fn about(
        &self,
        operation: &'static str,
        registry: Option<&str>,
        name: Option<&str>,
        asked: &str,
    ) -> Result<()> {
        same(operation, "repositoryName", name, asked)?;
        // Reads may be answered before the account is known.
        match (registry, self.account.get()) {
            (Some(registry), Some(account)) => {
                same(operation, "registryId", Some(registry), account.as_str())
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_names_the_operation_and_both_values() {
        let error =
            |found| same("ecr:DeleteRepository", "repositoryName", found, "a").map_err(|it| it.to_string());
        assert_eq!(error(Some("a")), Ok(()));
        let wanted = "ecr:DeleteRepository: unexpected response: `repositoryName` is `b`, not `a`";
        assert_eq!(error(Some("b")), Err(wanted.to_owned()));
        let wanted = "ecr:DeleteRepository: unexpected response: no `repositoryName`";
        assert_eq!(error(None), Err(wanted.to_owned()));
    }
}
