//! The cost of storage, now and after a lifecycle policy is applied.

use ecr_lifecycle::evaluate::{Fate, evaluate_under};
use ecr_lifecycle::reading::Reading;
use ecr_lifecycle::{Policy, Timestamp};
use serde::{Serialize, Serializer};

use super::{Inventory, Storage};
use crate::config::price::Price;

/// The storage of images and its cost.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Figures {
    /// The storage.
    #[serde(flatten)]
    pub storage: Storage,
    /// The cost in USD per month of `storedBytes`. Archived images and data transfer are not included.
    #[serde(serialize_with = "rounded")]
    #[cfg_attr(test, schemars(range(min = 0)))]
    pub cost_per_month: f64,
    /// The storage after the lifecycle policy has been applied. Null without a policy.
    pub after_lifecycle: Option<AfterLifecycle>,
}

/// The storage of images and its cost after a lifecycle policy has been applied.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct AfterLifecycle {
    /// The storage.
    #[serde(flatten)]
    pub storage: Storage,
    /// The cost in USD per month of `storedBytes`. Archived images and data transfer are not included.
    #[serde(serialize_with = "rounded")]
    #[cfg_attr(test, schemars(range(min = 0)))]
    pub cost_per_month: f64,
}

impl Figures {
    /// The figures of a repository with the lifecycle policy `policy`.
    pub fn new(inventory: &Inventory, policy: Option<&Policy>, now: Timestamp, price: Price) -> Self {
        let storage = inventory.storage(|_| true);
        let left = policy.map(|policy| {
            let outcomes = evaluate_under(policy, &inventory.images, now, Reading::documented());
            let storage = inventory.storage(|n| !outcomes[n].is_deleted());
            // Images in the archive have another price, and are not part of the stored bytes.
            let stays = inventory.storage(|n| outcomes[n].fate() == Fate::Kept);
            let moves = |n: &usize| outcomes[*n].fate() == Fate::Archived;
            let moved: u64 = (0..outcomes.len()).filter(moves).map(|n| inventory.images[n].size_bytes).sum();
            let archived_bytes = stays.archived_bytes + moved;
            let storage = Storage { images: storage.images, archived_bytes, ..stays };
            AfterLifecycle { storage, cost_per_month: price.monthly_cost(storage.stored_bytes) }
        });
        Self { storage, cost_per_month: price.monthly_cost(storage.stored_bytes), after_lifecycle: left }
    }
}

/// Adds the figures of repositories. For a repository without a policy, the storage after the lifecycle is the current
/// one.
impl std::ops::AddAssign for Figures {
    fn add_assign(&mut self, other: Self) {
        let kept = |it: &Self| {
            it.after_lifecycle
                .unwrap_or(AfterLifecycle { storage: it.storage, cost_per_month: it.cost_per_month })
        };
        if self.after_lifecycle.is_some() || other.after_lifecycle.is_some() {
            let (mut left, more) = (kept(self), kept(&other));
            left.storage += more.storage;
            left.cost_per_month += more.cost_per_month;
            self.after_lifecycle = Some(left);
        }
        self.storage += other.storage;
        self.cost_per_month += other.cost_per_month;
    }
}

/// Rounds to millionths of a dollar.
fn rounded<S: Serializer>(value: &f64, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_f64((value * 1e6).round() / 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_sum_includes_repositories_without_a_policy() {
        let of = |bytes, left: Option<u64>| Figures {
            storage: Storage { images: 1, stored_bytes: bytes, ..Storage::default() },
            cost_per_month: 1.0,
            after_lifecycle: left.map(|it| AfterLifecycle {
                storage: Storage { images: 1, stored_bytes: it, ..Storage::default() },
                cost_per_month: 0.5,
            }),
        };
        let mut total = Figures::default();
        total += of(10, None);
        assert_eq!(total.after_lifecycle, None);
        total += of(20, Some(5));
        let left = total.after_lifecycle.unwrap();
        assert_eq!((total.storage.stored_bytes, left.storage.stored_bytes), (30, 15));
        assert_eq!((total.cost_per_month, left.cost_per_month), (2.0, 1.5));
    }
}
