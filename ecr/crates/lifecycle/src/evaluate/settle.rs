//! What a preview of ECR itself settles.

use std::collections::{BTreeMap, HashMap};

use ecr_types::Digest;

use super::super::{Action, Image, Policy};
use super::{Decision, Outcome};

/// Replaces the decisions that are not certain by those of a preview of ECR: `previewed` has the `rulePriority` of each image
/// that it lists. Decisions that are certain stay, so that they can be compared.
///
/// A preview tells nothing of artifacts that follow their subject. Where the subject of such an artifact is an artifact, too,
/// the decision may stay uncertain.
pub fn settle(
    policy: &Policy,
    images: &[Image],
    decisions: Vec<Decision>,
    previewed: &BTreeMap<Digest, i64>,
) -> Vec<Decision> {
    let actions: HashMap<_, _> = policy.rules.iter().map(|it| (it.priority, it.action)).collect();
    let by_rule = |image: &Image| {
        let rule = *previewed.get(&image.digest)?;
        Some(match actions.get(&rule)? {
            Action::Expire => Outcome::Expired(rule),
            Action::Transition => Outcome::Transitioned(rule),
        })
    };
    let numbers: HashMap<_, _> = images.iter().enumerate().map(|(n, it)| (&it.digest, n)).collect();
    let subject = |image: &Image| numbers.get(image.subject.as_ref()?).copied();
    let settled: Vec<_> = images
        .iter()
        .zip(&decisions)
        .map(|(image, decision)| match by_rule(image) {
            _ if decision.is_certain() => Some(decision.outcome),
            None if subject(image).is_some() => None,
            other => Some(other.unwrap_or(Outcome::Kept)),
        })
        .collect();
    let follows = |image: &Image| match settled[subject(image)?]? {
        Outcome::Expired(rule) => Some(Outcome::CascadedExpired(rule)),
        Outcome::Transitioned(rule) => Some(Outcome::CascadedTransitioned(rule)),
        Outcome::Kept => Some(Outcome::Kept),
        Outcome::CascadedExpired(_) | Outcome::CascadedTransitioned(_) => None,
    };
    let each = images.iter().zip(decisions).enumerate();
    let decide = |(n, (image, decision)): (usize, (&Image, Decision))| {
        settled[n].or_else(|| follows(image)).map_or(decision, Decision::certain)
    };
    each.map(decide).collect()
}
