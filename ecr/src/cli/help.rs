//! The help line of an error, chosen by the error's type.

use std::error::Error;

use ecr_oci::bases::PullError;
use ecr_oci::registry::{RegistryError, RegistryErrorKind};
use ecr_types::text::NotText;

use crate::aws::private_registry::NoDualStackHost;
use crate::aws::{ForeignRegistry, InvalidEnvironment, NoRegion, PROXY, ServiceError, UNTRUSTED};
use crate::build::bases::MissingBase;
use crate::build::compile::prebuilt::PrebuiltError;
use crate::build::docker::{EngineError, LeftOut};
use crate::cli::error::Failure;
use crate::process::ProcessError;

/// The help for the outermost error of the chain that has one.
pub fn help_for(error: &anyhow::Error) -> Option<String> {
    error.chain().find_map(help_for_one)
}

fn help_for_one(error: &(dyn Error + 'static)) -> Option<String> {
    if let Some(failure) = error.downcast_ref::<Failure>() {
        return failure.help.clone();
    }
    if let Some(error) = error.downcast_ref::<ServiceError>() {
        return error.help().map(str::to_owned);
    }
    if let Some(error) = error.downcast_ref::<MissingBase>() {
        return base_help(error);
    }
    if let Some(error) = error.downcast_ref::<RegistryError>() {
        return registry_help(error.kind()).map(str::to_owned);
    }
    if let Some(error) = error.downcast_ref::<PrebuiltError>() {
        return error.help();
    }
    if let Some(error) = error.downcast_ref::<LeftOut>() {
        return Some(error.help());
    }
    if let Some(error) = error.downcast_ref::<EngineError>() {
        return error.help().map(str::to_owned);
    }
    if let Some(error) = error.downcast_ref::<ProcessError>() {
        return error.help();
    }
    if let Some(error) = error.downcast_ref::<InvalidEnvironment>() {
        return Some(error.help());
    }
    if error.is::<NoDualStackHost>() {
        return Some(NoDualStackHost::HELP.to_owned());
    }
    if error.is::<ForeignRegistry>() {
        return Some(ForeignRegistry::HELP.to_owned());
    }
    if let Some(error) = error.downcast_ref::<std::io::Error>() {
        return NotText::of(error).map(|it| it.help().to_owned());
    }
    error.is::<NoRegion>().then(|| {
        "pass --region, set AWS_REGION, or write `region = \"...\"` below [workspace.metadata.ecr]".to_owned()
    })
}

/// Help for the registry that is pushed to. This command has its own credentials there, so `docker login`
/// would not help.
fn registry_help(kind: RegistryErrorKind) -> Option<&'static str> {
    match kind {
        RegistryErrorKind::ImmutableTag => {
            Some("bump the version, or push another tag such as `--tag '{version}-{digest}'`")
        }
        RegistryErrorKind::NotFound => Some(
            "create the repository with `cargo xtask ecr create`; if it exists, check the account and the \
             region with `cargo xtask ecr status`",
        ),
        RegistryErrorKind::RateLimited => {
            Some("the registry limits the rate of requests: retry later, or lower --concurrency")
        }
        RegistryErrorKind::Tls => Some(UNTRUSTED),
        RegistryErrorKind::Proxy => Some(PROXY),
        RegistryErrorKind::Denied | RegistryErrorKind::Unauthorized | RegistryErrorKind::Other => None,
    }
}

/// Help for the registry of a base image, whose credentials come from Docker's configuration.
fn base_help(error: &MissingBase) -> Option<String> {
    let PullError::Registry(cause) = &*error.cause else { return None };
    // `docker login` without a host logs in to Docker Hub.
    let host = match error.reference.host.as_str() {
        "registry-1.docker.io" => "",
        host => host,
    };
    let login = format!("docker login {host}");
    let login = login.trim_end();
    match cause.kind() {
        RegistryErrorKind::Unauthorized | RegistryErrorKind::Denied => {
            Some(format!("log in with `{login}`, and check that `{}` exists", error.reference))
        }
        RegistryErrorKind::RateLimited => {
            Some(format!("retry later, or log in with `{login}`: the registry limits anonymous pulls"))
        }
        RegistryErrorKind::Tls => Some(UNTRUSTED.to_owned()),
        RegistryErrorKind::Proxy => Some(PROXY.to_owned()),
        RegistryErrorKind::NotFound | RegistryErrorKind::ImmutableTag | RegistryErrorKind::Other => None,
    }
}
