//! Reading the status of an image's signatures.

use aws_sdk_ecr::types::ImageIdentifier;
use ecr_types::{Digest, RepositoryName};

use super::answer::{member, same};
use super::{Aws, ServiceError};
use crate::signing::{ProfileStatus, SigningState};

impl Aws {
    /// The status of each signature that ECR makes of an image by its signing rules (`DescribeImageSigningStatus`).
    pub async fn signing_statuses(
        &self,
        name: &RepositoryName,
        digest: &Digest,
    ) -> Result<Vec<ProfileStatus>, ServiceError> {
        let id = ImageIdentifier::builder().image_digest(digest.as_str()).build();
        let request = self.ecr.describe_image_signing_status().repository_name(name.as_str()).image_id(id);
        let found = request.send().await.map_err(|it| ServiceError::new(SIGNING_STATUS, it))?;
        self.about(SIGNING_STATUS, found.registry_id(), found.repository_name(), name.as_str())?;
        let image = found.image_id().and_then(|it| it.image_digest());
        same(SIGNING_STATUS, "imageDigest", image, digest.as_str())?;
        let status = |it: &aws_sdk_ecr::types::ImageSigningStatus| {
            let state = member(SIGNING_STATUS, "status", it.status())?.as_str();
            let words: Vec<_> = [it.failure_code(), it.failure_reason()].into_iter().flatten().collect();
            Ok(ProfileStatus {
                profile: member(SIGNING_STATUS, "signingProfileArn", it.signing_profile_arn())?.to_owned(),
                state: SigningState::from_api(state),
                failure: (!words.is_empty()).then(|| words.join(": ")),
            })
        };
        found.signing_statuses().iter().map(status).collect()
    }
}

/// The action that the gate needs.
pub const SIGNING_STATUS: &str = "ecr:DescribeImageSigningStatus";
