//! What repositories hold and cost: the part that `ecr images` and `ecr status` share.

use std::sync::Mutex;

use anyhow::Context;
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

/// Reads the images of repositories, and what they cost.
pub struct StorageReport<'a> {
    session: &'a Session<'a>,
    observed: &'a Observed,
    /// What a GB costs.
    pub price: Price,
    /// The moment that everything is told for.
    pub now: Timestamp,
    keeps_pull_times: bool,
    /// Repositories whose manifests were not read for the sake of their policies.
    unread: Mutex<Vec<String>>,
}

/// Something that could not be found out.
struct Unknown;

/// What a repository holds and costs.
#[derive(Debug, Default)]
pub struct RepositoryStorage {
    /// Its images.
    pub inventory: Inventory,
    /// The figures.
    pub figures: Figures,
}

impl<'a> StorageReport<'a> {
    /// A report on repositories that were observed with their lifecycle policies.
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

    /// Looks at one repository; an error is what to tell of it, and stops no other.
    pub async fn look(&self, desired: &DesiredRepository) -> anyhow::Result<RepositoryStorage> {
        let policy = self.policy(desired);
        let manifests = self.manifests(desired, &policy);
        let policy = policy.unwrap_or_default();
        let inventory = self.session.aws.inventory(&desired.name, manifests).await;
        let inventory = inventory?.context("no permission to list its images")?;
        let figures = Figures::new(&inventory, policy.as_ref(), self.now, self.price);
        Ok(RepositoryStorage { inventory, figures })
    }

    /// The policy that is at work, if there is one.
    ///
    /// # Errors
    /// Nobody knows: it may not be read, or says what this version does not understand.
    fn policy(&self, desired: &DesiredRepository) -> Result<Option<Policy>, Unknown> {
        let found = self.observed.repositories.get(&desired.name);
        match found.and_then(|it| it.lifecycle_policy.known()).ok_or(Unknown)? {
            Some(stored) => stored.document().map(|it| Some(it.policy().clone())).ok_or(Unknown),
            None => Ok(None),
        }
    }

    /// Reading a manifest counts as a pull: where pulls decide over images, that would keep them alive.
    fn manifests(&self, desired: &DesiredRepository, policy: &Result<Option<Policy>, Unknown>) -> Manifests {
        if self.keeps_pull_times {
            return Manifests::None;
        }
        let may_depend_on_pulls = match policy {
            Ok(policy) => policy.as_ref().is_some_and(Policy::depends_on_pulls),
            Err(Unknown) => true,
        };
        if may_depend_on_pulls {
            lock(&self.unread).push(desired.name.to_string());
            return Manifests::None;
        }
        Manifests::All
    }

    /// Says where sizes are bounds, and why.
    pub fn tell_unread(&self) {
        let mut unread = lock(&self.unread);
        unread.sort();
        if !unread.is_empty() {
            self.session.shell.note(format!(
                "manifests were not read, as that counts as a pull, and the lifecycle policy depends on pulls, or is \
                 not known: {}",
                ecr_types::human::some_of(&unread, 3)
            ));
        }
        unread.clear();
    }
}
