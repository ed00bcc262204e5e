//! Promotions: images that get the tag of an environment, and what an environment runs by these tags.

mod environment_tag;
mod expiry;
mod history;

pub use environment_tag::EnvironmentTag;
pub use expiry::{WITHIN_DAYS, goes_after_promotion, goes_soon};
pub use history::{Deployed, History};
