//! Errors of the edges -> what is shown, with what to type next.

use crate::aws::{NoRegion, ServiceError};
use crate::cli::error::Failure;

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        let causes = error.chain().skip(1).map(ToString::to_string).collect();
        let service = error.chain().find_map(|it| it.downcast_ref::<ServiceError>());
        let help = service.and_then(ServiceError::help).map(str::to_owned);
        let no_region = error.downcast_ref::<NoRegion>().map(|_| {
            "pass --region, set AWS_REGION, or write `region = \"...\"` below [workspace.metadata.ecr]"
                .to_owned()
        });
        Self { causes, help: help.or(no_region), ..Self::new(error.to_string()) }
    }
}
