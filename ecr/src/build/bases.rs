//! The base images of a push. Each one is pulled once, even if several services use it.

use std::collections::BTreeMap;
use std::sync::Arc;

use ecr_oci::bases::{BaseImages, OnPull, PullError};
use ecr_oci::image::base::BaseImage;
use ecr_oci::reference::Reference;
use ecr_types::Platform;
use thiserror::Error;
use tokio::sync::Mutex;

/// Pulls base images and keeps the results, including errors.
#[derive(Debug)]
pub struct Bases {
    images: BaseImages,
    pulled: Mutex<BTreeMap<(String, Platform), Pulled>>,
}

type Pulled = Result<Arc<BaseImage>, Arc<PullError>>;

/// The base image of a service could not be pulled.
#[derive(Debug, Error)]
#[error("base `{reference}`")]
pub struct MissingBase {
    /// The reference in the configuration of the service.
    pub reference: Reference,
    #[source]
    pub cause: Arc<PullError>,
}

impl Bases {
    pub fn new(images: BaseImages) -> Self {
        Self { images, pulled: Mutex::default() }
    }

    /// The base image for a platform. `on_event` is called with what happens during a pull.
    ///
    /// # Errors
    /// The image cannot be pulled, or an earlier attempt has failed.
    pub async fn get(
        &self,
        reference: &Reference,
        platform: &Platform,
        on_event: OnPull<'_>,
    ) -> Result<Arc<BaseImage>, MissingBase> {
        let mut pulled = self.pulled.lock().await;
        let key = (reference.to_string(), platform.clone());
        let found = match pulled.get(&key) {
            Some(found) => found.clone(),
            None => {
                let new = self.images.pull(reference, platform, on_event).await;
                let new = new.map(Arc::new).map_err(Arc::new);
                pulled.insert(key, new.clone());
                new
            }
        };
        found.map_err(|cause| MissingBase { reference: reference.clone(), cause })
    }
}
