//! The actions that AWS checks for a request to ECR: one table for IAM policies, for the embedded ECR and for tests.
//!
//! A request of the API is checked as the action of its own name, with the exceptions of [`of_operation`]. A request of the
//! registry is checked as actions of the API ([`RegistryRequest::actions`]): the Service Authorization Reference lists no
//! others.

/// A request of the registry: the OCI distribution API under `/v2/`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum RegistryRequest {
    /// `GET /v2/`: whether the token is valid.
    Version,
    /// `GET /v2/_catalog`.
    Catalog,
    /// `HEAD /v2/NAME/blobs/DIGEST`.
    HeadBlob,
    /// `GET /v2/NAME/blobs/DIGEST`.
    GetBlob,
    /// `POST /v2/NAME/blobs/uploads/`.
    StartUpload,
    /// `POST /v2/NAME/blobs/uploads/?digest=DIGEST` with the whole blob.
    UploadWhole,
    /// `POST /v2/NAME/blobs/uploads/?mount=DIGEST&from=SOURCE`: what is checked of the source. Without it the request begins an
    /// upload.
    MountSource,
    /// `PATCH`, `GET` or `DELETE /v2/NAME/blobs/uploads/ID`.
    UploadPart,
    /// `PUT /v2/NAME/blobs/uploads/ID?digest=DIGEST` without a body.
    FinishUpload,
    /// The same with the blob, or the rest of it, as the body.
    FinishUploadWithContent,
    /// `HEAD` or `GET /v2/NAME/manifests/REFERENCE`.
    GetManifest,
    /// `PUT /v2/NAME/manifests/REFERENCE`.
    PutManifest,
    /// `DELETE /v2/NAME/manifests/REFERENCE`.
    DeleteManifest,
    /// `GET /v2/NAME/tags/list`.
    ListTags,
    /// `GET /v2/NAME/referrers/DIGEST`.
    ListReferrers,
}

impl RegistryRequest {
    /// All requests.
    pub const ALL: [Self; 15] = [
        Self::Version,
        Self::Catalog,
        Self::HeadBlob,
        Self::GetBlob,
        Self::StartUpload,
        Self::UploadWhole,
        Self::MountSource,
        Self::UploadPart,
        Self::FinishUpload,
        Self::FinishUploadWithContent,
        Self::GetManifest,
        Self::PutManifest,
        Self::DeleteManifest,
        Self::ListTags,
        Self::ListReferrers,
    ];

    /// The requests of a push of an image: blobs that are uploaded or mounted, the manifest, and the check of what is there.
    pub const OF_PUSH: [Self; 8] = [
        Self::Version,
        Self::HeadBlob,
        Self::StartUpload,
        Self::MountSource,
        Self::UploadPart,
        Self::FinishUploadWithContent,
        Self::GetManifest,
        Self::PutManifest,
    ];

    /// The requests of a pull of an image.
    pub const OF_PULL: [Self; 4] = [Self::Version, Self::HeadBlob, Self::GetBlob, Self::GetManifest];

    /// The actions that are checked, without the prefix `ecr:`.
    pub fn actions(self) -> &'static [&'static str] {
        match self {
            // The token itself is checked: Amazon ECR user guide, "Private registry authentication".
            Self::Version => &["GetAuthorizationToken"],
            // aws/containers-roadmap#1091 shows the catalog with the permission to describe repositories.
            Self::Catalog => &["DescribeRepositories"],
            // Amazon ECR user guide, "Pushing an image", "Required IAM permissions": the five actions of a push, and
            // BatchGetImage for the manifest.
            Self::HeadBlob => &["BatchCheckLayerAvailability"],
            Self::StartUpload => &["InitiateLayerUpload"],
            Self::UploadWhole => &["InitiateLayerUpload", "UploadLayerPart", "CompleteLayerUpload"],
            Self::UploadPart => &["UploadLayerPart"],
            Self::FinishUpload => &["CompleteLayerUpload"],
            Self::FinishUploadWithContent => &["CompleteLayerUpload", "UploadLayerPart"],
            Self::PutManifest => &["PutImage"],
            Self::GetManifest => &["BatchGetImage"],
            // Amazon ECR user guide, "Private repository policies", the actions of a pull.
            Self::GetBlob => &["GetDownloadUrlForLayer"],
            // Amazon ECR user guide, "Blob mounting": the permission on the source repository.
            Self::MountSource => &["GetDownloadUrlForLayer"],
            // aws/containers-roadmap#1229.
            Self::DeleteManifest => &["BatchDeleteImage"],
            Self::ListTags => &["ListImages"],
            // Amazon ECR API reference, `ListImageReferrers`.
            Self::ListReferrers => &["BatchGetImage"],
        }
    }
}

/// The action that is checked for an operation of the API, without the prefix `ecr:`.
///
/// `ListImageReferrers` has none of its own: "the permission `ecr:BatchGetImage` is required" (Amazon ECR API reference).
///
/// ```
/// assert_eq!(ecr_types::permission::of_operation("ListImageReferrers"), "BatchGetImage");
/// assert_eq!(ecr_types::permission::of_operation("PutImage"), "PutImage");
/// ```
pub fn of_operation(operation: &str) -> &str {
    match operation {
        "ListImageReferrers" => "BatchGetImage",
        other => other,
    }
}
