//! Warnings about a policy beside the images of a repository.

use ecr_types::human::count;
use serde_json::json;

use super::super::evaluate::{DAY, evaluate};
use super::super::question::Question;
use super::super::{Action, Count, Image, Lint, Policy, Rule, TagFilter, Timestamp};
use super::{Environments, of, patterns};

/// The warnings about a policy that the images of a repository give rise to.
///
/// Counts that artifacts use up, rules that select nothing, archiving that saves nothing, and rules that take within
/// 30 days what one of `environments` runs.
pub fn lint_images(
    policy: &Policy,
    images: &[Image],
    now: Timestamp,
    environments: &Environments,
) -> Vec<Lint> {
    if images.is_empty() {
        return Vec::new();
    }
    let each = policy.rules.iter().flat_map(|rule| {
        let lints =
            [counts_artifacts(rule, images), never_fires(rule, images), archive_saves_nothing(rule, images)];
        lints.into_iter().flatten()
    });
    each.chain(deployed_can_expire(policy, images, now, environments)).collect()
}

/// A count among which artifacts are, too, as the only public report says (aws/containers-roadmap#2613).
fn counts_artifacts(rule: &Rule, images: &[Image]) -> Option<Lint> {
    let Count::ImageCountMoreThan(number) = rule.count else { return None };
    let is_seen = |it: &&Image| match rule.tags {
        TagFilter::Any => it.storage_class == rule.storage_class(),
        TagFilter::Untagged => it.storage_class == rule.storage_class() && it.tags.is_empty(),
        TagFilter::Prefixes(_) | TagFilter::Patterns(_) => false,
    };
    let artifacts = images.iter().filter(is_seen).filter(|it| it.subject.is_some()).count();
    let others = images.iter().filter(is_seen).count() - artifacts;
    if artifacts == 0 {
        return None;
    }
    let message =
        format!("{}: {}", count(artifacts as u64, "artifact"), Question::ArtifactsCounted.text_and_known());
    let each = artifacts.div_ceil(others.max(1));
    let room = number.saturating_mul(1 + i64::try_from(each).unwrap_or(i64::MAX - 1));
    let help = format!(
        "leave room for {} an image: {}",
        count(each as u64, "artifact"),
        json!({"countNumber": room})
    );
    Some(of("count-counts-artifacts", rule, message, help))
}

/// A rule for tags that no image has (ustaxcourt/ef-cms#10265).
fn never_fires(rule: &Rule, images: &[Image]) -> Option<Lint> {
    let patterns = patterns(rule)?;
    let (key, list) = rule.list()?;
    let matches = |image: &Image| patterns.iter().all(|it| image.tags.iter().any(|tag| it.matches(tag)));
    if images.iter().any(matches) {
        return None;
    }
    let message = format!(
        "none of {} has the tags of {}: this rule does nothing here",
        count(images.len() as u64, "image"),
        json!({ key: list })
    );
    let tagged = images.iter().filter(|it| !it.tags.is_empty());
    let help = match tagged.max_by_key(|it| it.pushed_at).and_then(|it| it.tags.first()) {
        Some(tag) => format!("the newest tag is `{tag}`; write a rule for such tags, or remove this one"),
        None => "write a rule for tags that your builds push, or remove this one".to_owned(),
    };
    Some(of("rule-never-fires", rule, message, help))
}

/// From here on the archive is cheaper than the standard class, in bytes a month and registry (Amazon ECR pricing).
const ARCHIVE_SAVES_FROM: u64 = 150 * 1_000_000_000_000;

/// A transition that saves nothing: the first 150 TB cost the same in both storage classes.
fn archive_saves_nothing(rule: &Rule, images: &[Image]) -> Option<Lint> {
    let bytes: u64 = images.iter().map(|it| it.size_bytes).sum();
    if rule.action != Action::Transition || bytes >= ARCHIVE_SAVES_FROM {
        return None;
    }
    let message = format!(
        "archiving saves nothing unless the registry holds more than 150 TB: below that both storage classes cost the \
         same, and this repository has {}. An archived image is paid for 90 days at least, and cannot be pulled until it \
         has been restored, which takes about 20 minutes",
        ecr_types::human::size(bytes)
    );
    let help = "remove the rule, or expire these images with a larger count".to_owned();
    Some(of("archive-saves-nothing", rule, message, help))
}

/// In days.
const SOON: i64 = 30;

/// Images that an environment runs, and that a rule takes within 30 days (chanzuckerberg/single-cell-data-portal#5885,
/// ministryofjustice/cloud-platform#839).
fn deployed_can_expire(
    policy: &Policy,
    images: &[Image],
    now: Timestamp,
    environments: &Environments,
) -> Vec<Lint> {
    let deployed: Vec<_> =
        images.iter().enumerate().filter_map(|(n, it)| Some((n, environments.tag(it)?))).collect();
    if deployed.is_empty() {
        return Vec::new();
    }
    let then = now.plus(SOON * DAY);
    let decisions = evaluate(policy, images, then);
    let lint = |rule: &Rule| {
        let goes = |n: usize| decisions[n].possible().any(|it| it.priority() == Some(rule.priority));
        let tags: Vec<_> =
            deployed.iter().filter(|(n, _)| goes(*n)).map(|(_, tag)| format!("`{tag}`")).collect();
        let first = tags.first()?;
        let message = format!(
            "it takes {} within {SOON} days: {}",
            match tags.len() {
                1 => "an image that an environment runs".to_owned(),
                more => format!("{more} images that environments run"),
            },
            tags.join(", ")
        );
        let pattern = format!("{}*", first.trim_matches('`'));
        let selection = json!({"tagStatus": "tagged", "tagPatternList": [pattern],
                               "countType": "imageCountMoreThan", "countNumber": 50});
        let help = format!("keep them by a rule with a smaller `rulePriority`, such as {selection}");
        Some(of("deployed-can-expire", rule, message, help))
    };
    policy.rules.iter().filter_map(lint).collect()
}
