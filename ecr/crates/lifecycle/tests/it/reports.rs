//! What users of ECR reported in public, replayed.

use ecr_lifecycle::impact::Impact;
use ecr_lifecycle::{Document, Image, Policy, StorageClass};
use ecr_types::Digest;
use ecr_types::media_type::OCI_INDEX;

use crate::strategies::{ago, digest, now};

const DAY: i128 = 86_400_000_000_000;

pub fn policy(selection: &str) -> Policy {
    let text = format!(
        r#"{{"rules": [{{"rulePriority": 1, "description": "the policy of the report",
             "selection": {{{selection}}}, "action": {{"type": "expire"}}}}]}}"#
    );
    Document::parse("report.json", &text).unwrap().policy().clone()
}

pub fn keep(count: usize) -> Policy {
    policy(&format!(r#""tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": {count}"#))
}

/// Image `n`, pushed `days` days ago.
pub fn image(n: usize, days: usize, tags: &[&str]) -> Image {
    Image {
        digest: digest(n),
        tags: tags.iter().map(|it| (*it).to_owned()).collect(),
        pushed_at: ago(days as i128 * DAY + n as i128 + 1),
        media_type: None,
        last_pulled_at: None,
        size_bytes: 1,
        subject: None,
        children: Some(Vec::new()),
        storage_class: StorageClass::Standard,
        last_archived_at: None,
        last_activated_at: None,
    }
}

/// An artifact that is attached to an image, pushed just after it.
pub fn artifact(n: usize, subject: &Image) -> Image {
    let pushed_at = ago(now().since(subject.pushed_at) as i128 - 1);
    Image { subject: Some(subject.digest.clone()), pushed_at, ..image(n, 0, &[]) }
}

/// An index of the images with these digests.
fn index(image: Image, children: &[&Digest]) -> Image {
    let children = Some(children.iter().map(|it| (*it).clone()).collect());
    Image { media_type: Some(OCI_INDEX.to_owned()), children, ..image }
}

fn impact(policy: &Policy, images: &[Image]) -> Impact {
    Impact::estimate(policy, images, now(), |_| None)
}

/// The questions on which images depend, with the number of images.
fn open(impact: &Impact) -> Vec<(&'static str, usize)> {
    let questions = impact.may_go.iter().flat_map(|it| &it.questions);
    questions.map(|it| (it.id, it.images)).collect()
}

/// aws/containers-roadmap#2613: signatures use up the count, and images go that the policy was meant to keep.
#[test]
fn signed_images_may_go_where_signatures_are_counted() {
    let images: Vec<_> = (0..10).map(|n| image(n, n + 1, &["v1"])).collect();
    let artifacts =
        images.iter().enumerate().flat_map(|(n, it)| [artifact(100 + 2 * n, it), artifact(101 + 2 * n, it)]);
    let all: Vec<_> = images.iter().cloned().chain(artifacts).collect();
    let impact = impact(&keep(10), &all);
    assert_eq!((impact.images, impact.archived), (0, 0));
    // The youngest three images and their artifacts fill nine of ten places. The tenth is an artifact of the fourth image,
    // and goes with it.
    assert_eq!(impact.may_go.as_ref().map(|it| it.images), Some(21));
    assert_eq!(open(&impact), [("artifacts-counted", 21)]);
}

/// DefangLabs/pulumi-defang#466: a preview of 26 images expired the four oldest, but for two images of an index that were
/// older still. Whether these two count does not matter, since they are the oldest.
#[test]
fn four_of_twenty_six_images_go_and_the_images_of_an_index_stay() {
    let untagged =
        r#""tagStatus": "untagged", "countType": "sinceImagePushed", "countUnit": "days", "countNumber": 1"#;
    let any = r#""tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": 20"#;
    let rule = |priority: usize, selection: &str| {
        format!(
            r#"{{"rulePriority": {priority}, "selection": {{{selection}}}, "action": {{"type": "expire"}}}}"#
        )
    };
    let text = format!(r#"{{"rules": [{}, {}]}}"#, rule(1, untagged), rule(2, any));
    let policy = Document::parse("report.json", &text).unwrap().policy().clone();
    let children = [image(25, 0, &[]), image(24, 0, &[])];
    let latest = index(image(23, 0, &["latest"]), &[&children[0].digest, &children[1].digest]);
    let others = (0..23).map(|n| image(n, 0, &["v"]));
    let images: Vec<_> = others.chain([latest]).chain(children).collect();
    let impact = impact(&policy, &images);
    assert_eq!((images.len(), impact.images, &impact.may_go), (26, 4, &None));
    assert_eq!(impact.tags, ["v", "v", "v", "latest"]);
}

/// chanzuckerberg/single-cell-data-portal#5885: a hundred images of pull requests after a release evict the release.
#[test]
fn builds_of_pull_requests_evict_the_release() {
    let builds = (0..100).map(|n| image(n, 1, &["pr"]));
    let images: Vec<_> = builds.chain([image(100, 5, &["prod"])]).collect();
    let impact = impact(&keep(100), &images);
    assert_eq!((impact.images, impact.tags, impact.may_go), (1, vec!["prod".to_owned()], None));
}

/// ministryofjustice/cloud-platform#839: of six services in one repository, the one that is not built falls off the list.
#[test]
fn service_that_is_not_built_loses_its_image() {
    let busy = (0..40).map(|n| image(n, n / 5, &["busy"]));
    let images: Vec<_> = busy.chain([image(40, 30, &["quiet"])]).collect();
    assert_eq!(impact(&keep(40), &images).tags, ["quiet"]);
}

/// aws/containers-roadmap#2746: a tag that was put on an old image yesterday does not make it younger.
#[test]
fn promoted_image_is_as_old_as_its_push() {
    let policy = policy(
        r#""tagStatus": "tagged", "tagPrefixList": ["prod"], "countType": "sinceImagePushed", "countUnit": "days",
           "countNumber": 30"#,
    );
    let images = [image(0, 40, &["v1", "prod"]), image(1, 40, &["v2"])];
    assert_eq!(impact(&policy, &images).tags, ["v1", "prod"]);
}

/// ustaxcourt/ef-cms#10265: the prefix of the rule is no longer in use, and nothing is ever expired.
#[test]
fn rule_for_a_prefix_that_is_no_longer_in_use_takes_nothing() {
    let policy = policy(
        r#""tagStatus": "tagged", "tagPrefixList": ["SNAPSHOT-"], "countType": "imageCountMoreThan",
           "countNumber": 15"#,
    );
    let images: Vec<_> = (0..500).map(|n| image(n, n, &["v1"])).collect();
    assert!(impact(&policy, &images).is_nothing());
}
