//! Amazon ECR lifecycle policies, offline: validation, lints, and which images a policy expires or archives.
//!
//! [`Document::parse`] validates a policy as ECR does. [`lint()`] warns about policies that ECR accepts and that probably
//! do not do what was intended. [`evaluate::evaluate`] computes the outcome for each image of a repository.
//!
//! ```
//! use ecr_lifecycle::evaluate::{Outcome, evaluate};
//! use ecr_lifecycle::{Document, Environments, ImageList, lint};
//! use ecr_types::Digest;
//!
//! let text = r#"{"rules": [{
//!     "rulePriority": 1,
//!     "selection": {"tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": 1},
//!     "action": {"type": "expire"}
//! }]}"#;
//! let document = Document::parse("policy.json", text).map_err(|findings| findings[0].text())?;
//!
//! let lints = lint(document.policy(), &Environments::default());
//! assert!(lints[0].text().starts_with("rule 1: build caches and signatures"));
//!
//! let images = format!(
//!     r#"[{{"digest": "{}", "tags": ["1.0.0"], "pushedAt": "2026-06-01T12:00:00Z"}},
//!         {{"digest": "{}", "tags": ["1.1.0"], "pushedAt": "2026-06-08T12:00:00Z"}}]"#,
//!     Digest::of(b"1.0.0"),
//!     Digest::of(b"1.1.0")
//! );
//! let list: ImageList = images.parse().map_err(|it: ecr_lifecycle::InvalidImageList| it.to_string())?;
//! let (_, images) = &list.repositories[0];
//! let now = "2026-06-15T12:00:00Z".parse().map_err(|it: ecr_types::InvalidTimestamp| it.to_string())?;
//! let outcomes: Vec<_> = evaluate(document.policy(), images, now).iter().map(|it| it.outcome).collect();
//! assert_eq!(outcomes, [Outcome::Expired(1), Outcome::Kept]);
//! # Ok::<(), String>(())
//! ```
//!
//! # Sources
//!
//! The rules are those of the Amazon ECR user guide ("LifecyclePolicies", "lifecycle_policy_parameters",
//! "lifecycle_policy_examples", "archive_restore_image") and of the service model. Error messages of ECR are quoted from
//! public reports. [`question`] lists what AWS documents nowhere; it is evaluated both ways.

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
pub mod reading;
mod shape;

pub use document::{Document, StoredPolicy};
pub use ecr_types::Timestamp;
pub use finding::{Finding, Lint};
pub use image::{Image, ImageList, InvalidImageList};
pub use lint::{Environments, lint, lint_images};
pub use policy::{Action, Count, Policy, Rule, StorageClass, TagFilter};
