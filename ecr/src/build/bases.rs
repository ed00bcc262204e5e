//! The base images of a push: each is pulled once, however many services name it.

use std::collections::BTreeMap;
use std::sync::Arc;

use ecr_oci::bases::{BaseImages, PullError};
use ecr_oci::image::base::BaseImage;
use ecr_oci::reference::Reference;
use ecr_types::{Digest, Platform};
use thiserror::Error;
use tokio::sync::Mutex;

/// Pulls base images, and remembers what it pulled.
#[derive(Debug)]
pub struct Bases {
    images: BaseImages,
    pulled: Mutex<BTreeMap<(String, Platform), Pulled>>,
}

/// What came of a pull.
type Pulled = Result<Arc<BaseImage>, Arc<PullError>>;

/// A base image that a service needs could not be pulled.
#[derive(Debug, Error)]
#[error("base `{reference}`")]
pub struct MissingBase {
    /// The base, as the service names it.
    pub reference: Reference,
    /// Why it could not be pulled.
    #[source]
    pub cause: Arc<PullError>,
}

impl Bases {
    /// Nothing is pulled yet.
    pub fn new(images: BaseImages) -> Self {
        Self { images, pulled: Mutex::default() }
    }

    /// The base image for a platform. `on_fetch` is called before each blob that is fetched.
    ///
    /// # Errors
    /// The image could not be pulled, now or before.
    pub async fn get(
        &self,
        reference: &Reference,
        platform: &Platform,
        on_fetch: impl Fn(&Digest),
    ) -> Result<Arc<BaseImage>, MissingBase> {
        let mut pulled = self.pulled.lock().await;
        let key = (reference.to_string(), platform.clone());
        let found = match pulled.get(&key) {
            Some(found) => found.clone(),
            None => {
                let new = self.images.pull(reference, platform, on_fetch).await;
                let new = new.map(Arc::new).map_err(Arc::new);
                pulled.insert(key, new.clone());
                new
            }
        };
        found.map_err(|cause| MissingBase { reference: reference.clone(), cause })
    }
}
