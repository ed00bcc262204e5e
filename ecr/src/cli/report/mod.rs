//! The JSON documents that commands print, and their text for people.
//!
//! The doc comments of these types are the descriptions in `ecr/schema`, which the tests of `schema`
//! generate.

#[cfg(test)]
use ecr_types::{Region, RegistryId};
use serde::Serialize;

use crate::cli::error::Failure;
use crate::cli::program::named;

mod delete;
mod deployed;
mod explain;
mod images;
mod init;
mod lifecycle;
mod login;
mod pin_bases;
mod plan;
mod promote;
mod push;
mod registry;
mod resolve;
mod scan;
#[cfg(test)]
mod schema;
mod signing;
mod status;
pub use delete::{DeleteEntry, DeleteOutcome, DeleteReport};
pub use deployed::{DeployedEnvironment, DeployedImage, DeployedReport, DeployedService};
pub use explain::{ExplainReport, ExplainedSetting};
#[cfg(test)]
pub use images::ImagesDocument;
pub use images::{ImagesTotal, ListedRepository, figures_text};
pub use init::InitReport;
pub use lifecycle::{
    CheckReport, Disagreement, ImagesWarning, PolicyError, PolicyWarning, PreviewReport, PreviewedRepository,
};
pub use login::{LoggedIn, LoginReport, PrintedToken};
pub use pin_bases::{PinReport, PinnedBase};
pub use plan::{
    CreateOutcome, CreateReport, CreateResult, CreatedRepository, EnvironmentPlan, EnvironmentPlans,
    PlanReport, RepositoryReport, impact_lines, plan_lines,
};
pub use promote::{PromoteOutcome, PromoteReport, PromotedEntry, PromotedFrom};
pub use push::{ListedService, MergedReferences, PushEntry, PushOutcome, PushReport, ServiceList};
pub use registry::{RegistryChange, RegistryStatus, RegistryStepReport, registry_lines};
pub use resolve::{ResolveReport, ResolvedFile, ResolvedImage, ResolvedReference};
#[cfg(test)]
pub use scan::ScanDocument;
pub use scan::{IgnoreReport, ScanFailure, ScanReport, ScannedImage, Subject};
pub use signing::SignedManifest;
pub use status::{EngineStatus, Environment, LatestImage, RepositoryStatus, StatusReport};

/// The registry that a command works with. Reports begin with it.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Header {
    /// The id of the AWS account.
    #[cfg_attr(test, schemars(with = "RegistryId"))]
    pub account: String,
    /// The AWS region.
    #[cfg_attr(test, schemars(with = "Region"))]
    pub region: String,
    /// The host of the registry. Null if it is unknown.
    pub registry: Option<String>,
    /// The name of the project. Null if the workspace has none.
    pub project: Option<String>,
    /// The name of the environment. Absent if none is selected.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "String"))]
    pub environment: Option<String>,
}

/// The error that stopped a command. It replaces the document of the command.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ErrorReport {
    /// The error.
    pub error: ErrorDetails,
    /// Whether the command was interrupted by Ctrl-C or SIGTERM. Absent unless it was.
    #[serde(skip_serializing_if = "is_false")]
    pub interrupted: bool,
}

/// For fields that are absent unless they are true.
#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_false(value: &bool) -> bool {
    !value
}

/// The error that stopped a command.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ErrorDetails {
    /// The causes, the outermost first, followed by the problems in the configuration with their positions. A
    /// cause may have several lines.
    pub causes: Vec<String>,
    /// What to do about the error. Null if there is no advice.
    pub help: Option<String>,
    /// What failed.
    #[cfg_attr(test, schemars(length(min = 1)))]
    pub message: String,
}

impl From<&Failure> for ErrorDetails {
    fn from(failure: &Failure) -> Self {
        let named = |it: &str| named(it).into_owned();
        Self {
            causes: failure.cause_lines().iter().map(|it| named(it)).collect(),
            help: failure.help.as_deref().map(named),
            message: named(&failure.message),
        }
    }
}

/// The end of a list that Ctrl-C interrupted.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Interrupted {
    /// Always true. The list is incomplete.
    #[cfg_attr(test, schemars(extend("const" = true)))]
    pub interrupted: bool,
}
