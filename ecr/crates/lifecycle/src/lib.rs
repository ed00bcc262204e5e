//! Lifecycle policies: what they say, what is wrong with them, and which images they take.
//!
//! text -> [`read`] -> [`Document`] { [`Policy`], places } -> [`lint`]; (policy, images, now) -> [`evaluate`].
//!
//! The rules come from the Amazon ECR user guide ("LifecyclePolicies", "lifecycle_policy_parameters",
//! "lifecycle_policy_examples", "archive_restore_image"), the service model, and answers of ECR that were quoted
//! in public. Where those are silent, [`question`] names the choice that was taken.

mod across;
mod document;
mod draft;
pub mod evaluate;
mod finding;
mod image;
pub mod impact;
pub mod in_use;
mod lint;
mod policy;
pub mod question;
mod read;
mod shape;

pub use document::{Document, StoredPolicy};
pub use ecr_types::Timestamp;
pub use finding::{Finding, Lint};
pub use image::{Image, ImageList};
pub use lint::lint;
pub use policy::{Action, Count, Policy, Rule, StorageClass, TagFilter};
