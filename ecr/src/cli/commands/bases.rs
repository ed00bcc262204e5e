//! Where base images are pulled from.

use std::sync::Arc;

use ecr_oci::bases::Source;

use crate::aws::Aws;
use crate::config::desired::BaseMirrors;

/// Base images are pulled from mirrors, and from the hosts of ECR that the environment asks for.
pub fn source(mirrors: BaseMirrors, aws: Arc<Aws>) -> Source {
    Box::new(move |reference| {
        let source = mirrors.source(reference);
        match aws.registry_host(&source.host) {
            Ok(host) if host != source.host => source.in_repository(&host, &source.name),
            // Without a known dual-stack host, the pull says that it has no route if there is only IPv6.
            Ok(_) | Err(_) => source,
        }
    })
}
