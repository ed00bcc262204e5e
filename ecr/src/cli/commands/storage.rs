//! The images of repositories and their storage cost, for `ecr images` and `ecr status`.

use std::sync::Mutex;

use ecr_lifecycle::{Policy, Timestamp};
use ecr_types::lock;

use super::session::Session;
use crate::aws::Manifests;
use crate::cli::flags::StorageArgs;
use crate::clock::now;
use crate::config::desired::DesiredRepository;
use crate::config::price::{DEFAULT_PRICE, Price};
use crate::inventory::{Figures, Inventory};
use crate::plan::observed::Observed;

/// Reads the images of repositories and computes their storage cost.
pub struct StorageReport<'a> {
    session: &'a Session<'a>,
    observed: &'a Observed,
    /// The price per GB and month.
    pub price: Price,
    /// The time as of which ages and lifecycle policies are evaluated.
    pub now: Timestamp,
    keeps_pull_times: bool,
    /// Repositories whose manifests were not read because a read could change the effect of their lifecycle
    /// policy.
    unread: Mutex<Vec<String>>,
}

/// The lifecycle policy could not be read, or this version cannot parse it.
struct UnknownPolicy;

/// The images of a repository and their storage cost.
#[derive(Debug, Default)]
pub struct RepositoryStorage {
    pub inventory: Inventory,
    pub figures: Figures,
}

impl<'a> StorageReport<'a> {
    /// `observed` must include the lifecycle policies.
    pub fn new(session: &'a Session<'a>, observed: &'a Observed, flags: &StorageArgs) -> Self {
        Self {
            session,
            observed,
            price: flags.price.or(session.desired().price).unwrap_or(DEFAULT_PRICE),
            now: now(),
            keeps_pull_times: flags.keep_pull_times,
            unread: Mutex::default(),
        }
    }

    /// Reads one repository.
    pub async fn read(&self, desired: &DesiredRepository) -> anyhow::Result<RepositoryStorage> {
        let policy = self.policy(desired);
        let manifests = self.manifests(desired, &policy);
        let policy = policy.unwrap_or_default();
        let inventory = self.session.aws.required_inventory(&desired.name, manifests).await?;
        let figures = Figures::new(&inventory, policy.as_ref(), self.now, self.price);
        Ok(RepositoryStorage { inventory, figures })
    }

    /// The lifecycle policy of the repository; `None` if it has none.
    fn policy(&self, desired: &DesiredRepository) -> Result<Option<Policy>, UnknownPolicy> {
        let found = self.observed.repositories.get(&desired.name);
        match found.and_then(|it| it.lifecycle_policy.known()).ok_or(UnknownPolicy)? {
            Some(stored) => stored.document().map(|it| Some(it.policy().clone())).ok_or(UnknownPolicy),
            None => Ok(None),
        }
    }

    /// The manifests to read. ECR records a read as a pull, so they are not read if the lifecycle policy
    /// depends on the time of the last pull: that would keep images alive.
    fn manifests(
        &self,
        desired: &DesiredRepository,
        policy: &Result<Option<Policy>, UnknownPolicy>,
    ) -> Manifests {
        if self.keeps_pull_times {
            return Manifests::None;
        }
        let may_depend_on_pulls = match policy {
            Ok(policy) => policy.as_ref().is_some_and(Policy::depends_on_pulls),
            Err(UnknownPolicy) => true,
        };
        if may_depend_on_pulls {
            lock(&self.unread).push(desired.name.to_string());
            return Manifests::None;
        }
        Manifests::All
    }

    /// Prints a note if manifests were not read, because sizes are then only bounds.
    pub fn note_unread_manifests(&self) {
        let mut unread = lock(&self.unread);
        unread.sort();
        if !unread.is_empty() {
            self.session.shell.note(format!(
                "manifests were not read, because ECR records each read as a pull and the lifecycle policy \
                 depends on pulls or is unknown: {}",
                ecr_types::human::some_of(&unread, 3)
            ));
        }
        unread.clear();
    }
}
