//! The document of `push`.

use ecr_types::{Digest, ImageTag, RepositoryName};
use serde::Serialize;

#[cfg(test)]
use super::schema::rules;
use super::{ScannedImage, SignedManifest};

/// The result of `push` for the image of each service.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct PushReport {
    /// The host of the registry. Null with `--dry-run`, and if no repository exists.
    pub registry: Option<String>,
    /// The images, one for each selected service.
    pub images: Vec<PushEntry>,
    /// Whether the command was interrupted, so that parts of it were not done. Absent unless it was.
    #[serde(skip_serializing_if = "super::is_false")]
    pub interrupted: bool,
}

/// The services of `push --list`.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ServiceList {
    /// The selected services.
    pub services: Vec<ListedService>,
}

/// A service, and whether a push would build it.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ListedService {
    /// The package of the service.
    pub package: String,
    /// The name of the service: the key of its table below `services`, or that of the package.
    pub service: String,
    /// Whether it would be built. Without `--since`, every service is.
    pub affected: bool,
    /// Why, in words. Empty without `--since`, and for a service that is not affected.
    pub reasons: Vec<String>,
}

/// The references of several files, in the order of `push --merge-refs`.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct MergedReferences {
    /// References by digest, at most one for each repository.
    #[cfg_attr(test, schemars(inner(regex(pattern = r"^[^/]+/.+@sha256:[0-9a-f]{64}$"))))]
    pub references: Vec<String>,
}

/// The image of a service and the result of its push. The sizes are those of blobs, in bytes.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(
    test,
    derive(schemars::JsonSchema),
    schemars(rename = "PushedImage", transform = rules::push_error)
)]
#[serde(rename_all = "camelCase")]
pub struct PushEntry {
    /// The package of the service.
    pub package: String,
    /// The name of the service: the key of its table below `services`, or that of the package.
    pub service: String,
    /// The repository of the service.
    pub repository: RepositoryName,
    /// The outcome.
    pub outcome: PushOutcome,
    /// The tags to push. Empty if the push failed before they were determined.
    pub tags: Vec<ImageTag>,
    /// The digest of the image. Null if there is no image.
    pub digest: Option<Digest>,
    /// The reference of the image: host, repository and digest. It may name an image that was not pushed.
    /// Null if there is no image, and with `--dry-run`.
    #[cfg_attr(test, schemars(regex(pattern = r"^[^/]+/.+@sha256:[0-9a-f]{64}$")))]
    pub reference: Option<String>,
    /// The platforms of the image, such as `linux/arm64`. Empty if no image was built.
    #[cfg_attr(test, schemars(inner(regex(pattern = r"^[A-Za-z0-9]+/[A-Za-z0-9]+(?:/[A-Za-z0-9]+)?$"))))]
    pub platforms: Vec<String>,
    /// The compressed size of all blobs. 0 if no image was built.
    pub compressed_bytes: u64,
    /// The size of the blobs that were uploaded.
    pub uploaded_bytes: u64,
    /// The size of the blobs that were mounted from another repository.
    pub mounted_bytes: u64,
    /// The size of the blobs that the repository had already.
    pub skipped_bytes: u64,
    /// The scans of the image, one for each platform. Absent without `--fail-on`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "Vec<ScannedImage>"))]
    pub scans: Option<Vec<ScannedImage>>,
    /// The signatures of the image, and of each image of an index. Absent without `--require-signed`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "Vec<SignedManifest>"))]
    pub signatures: Option<Vec<SignedManifest>>,
    /// The names of the image in the OCI layout or the container engine. Absent if the image was not
    /// exported.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "Vec<String>"))]
    pub names: Option<Vec<String>>,
    /// The error. Null if there is none.
    pub error: Option<String>,
}

/// An outcome of `push` for an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum PushOutcome {
    /// At least one tag was pushed.
    Pushed,
    /// All tags point to this image already.
    Unchanged,
    /// Nothing that it is made of has changed since the commit of `--since`: it was not built. The tags point to the image
    /// that it has, except with `--dry-run`.
    Unaffected,
    /// An immutable tag points to another image.
    Conflict,
    /// The image could not be built or pushed.
    Failed,
    /// The image was built and not pushed.
    DryRun,
    /// The image was written to an OCI layout or loaded into docker or podman.
    Exported,
}

/// The name of a service for people, by which `-p` selects it.
pub fn service_name(package: &str, service: &str) -> String {
    if package == service { package.to_owned() } else { format!("{package}-{service}") }
}

impl PushEntry {
    /// The name of the service for people.
    pub fn name(&self) -> String {
        service_name(&self.package, &self.service)
    }
}

impl PushOutcome {
    /// Whether the image is in the registry.
    pub fn is_in_registry(self) -> bool {
        matches!(self, Self::Pushed | Self::Unchanged | Self::Unaffected)
    }
}

impl ServiceList {
    /// A line for each service.
    pub fn lines(&self) -> Vec<String> {
        let name = |it: &ListedService| service_name(&it.package, &it.service);
        let width = self.services.iter().map(|it| name(it).len()).max().unwrap_or_default();
        let line = |it: &ListedService| {
            let state = if it.affected { "affected  " } else { "unaffected" };
            let reason = it.reasons.first().map(String::as_str).unwrap_or_default();
            let more = match it.reasons.len() {
                0 | 1 => String::new(),
                n => format!(" (and {} more)", n - 1),
            };
            format!("{:width$}  {state}  {reason}{more}", name(it)).trim_end().to_owned()
        };
        self.services.iter().map(line).collect()
    }
}

impl PushReport {
    /// A table in Markdown for the job summary of a pipeline.
    pub fn markdown(&self) -> String {
        let mut text = "| service | outcome | tags | image |\n|---|---|---|---|\n".to_owned();
        for image in &self.images {
            let outcome = serde_json::to_value(image.outcome).unwrap_or_default();
            let tags: Vec<_> = image.tags.iter().map(|it| format!("`{it}`")).collect();
            let what = image.error.clone().map(|it| it.replace(['\n', '|'], " "));
            let what =
                what.or_else(|| image.reference.as_ref().map(|it| format!("`{it}`"))).unwrap_or_default();
            let outcome = outcome.as_str().unwrap_or_default();
            text += &format!("| {} | {outcome} | {} | {what} |\n", image.name(), tags.join(" "));
        }
        text
    }
}
