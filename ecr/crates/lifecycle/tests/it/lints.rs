//! Warnings about policies beside images and environments.

use std::collections::BTreeMap;

use ecr_lifecycle::evaluate::{Outcome, evaluate, settle};
use ecr_lifecycle::{Document, Environments, Image, Lint, Policy, lint, lint_images};
use ecr_types::property::hold;
use expect_test::expect;
use proptest::prelude::*;

use crate::reports::{artifact, image, keep, policy};
use crate::strategies::{self, now};

fn text(lints: Vec<Lint>) -> String {
    let line = |it: Lint| format!("{}: {}\n  help: {}\n", it.id, it.text(), it.help);
    lints.into_iter().map(line).collect()
}

fn environments(names: &[&str]) -> Environments {
    Environments::new(names.iter().map(|it| (*it).to_owned()))
}

fn aged(selection: &str, days: usize) -> Policy {
    policy(&format!(
        r#"{selection}, "countType": "sinceImagePushed", "countUnit": "days", "countNumber": {days}"#
    ))
}

#[test]
fn age_ignores_a_retag() {
    let ages = |selection: &str, names: &[&str]| {
        let lints = lint(&aged(selection, 30), &environments(names));
        text(lints.into_iter().filter(|it| it.id == "age-ignores-retag").collect())
    };
    expect![[r#"
        age-ignores-retag: rule 1: the age of an image is that of its push: an older image that is tagged `prod` today goes 30 days after it was pushed, and not 30 days after today
          help: count the images of that tag instead, in a rule with a smaller `rulePriority`, such as {"countNumber":50,"countType":"imageCountMoreThan","tagPatternList":["prod*"],"tagStatus":"tagged"}
    "#]]
    .assert_eq(&ages(r#""tagStatus": "tagged", "tagPrefixList": ["prod"]"#, &[]));
    let any = r#""tagStatus": "any""#;
    assert!(ages(any, &["qa"]).contains("`qa`"));
    // Without environments, nothing says that images are promoted.
    assert_eq!(ages(any, &[]), "");
    assert_eq!(ages(r#""tagStatus": "tagged", "tagPatternList": ["*"]"#, &[]), "");
    assert_eq!(ages(r#""tagStatus": "tagged", "tagPrefixList": ["pr-"]"#, &["prod"]), "");
}

#[test]
fn images_show_what_a_rule_does_not_do() {
    let images: Vec<_> = (0..10).map(|n| image(n, n, &["1.0.0"])).collect();
    let artifacts = images.iter().enumerate().map(|(n, it)| artifact(100 + n, it));
    let all: Vec<_> = images.iter().cloned().chain(artifacts).collect();
    let rules = r#"{"rules": [
        {"rulePriority": 1, "selection": {"tagStatus": "tagged", "tagPrefixList": ["SNAPSHOT-"],
         "countType": "imageCountMoreThan", "countNumber": 15}, "action": {"type": "expire"}},
        {"rulePriority": 2, "selection": {"tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": 50},
         "action": {"type": "transition", "targetStorageClass": "archive"}}]}"#;
    let rules = Document::parse("lints.json", rules).unwrap().policy().clone();
    expect![[r#"
        rule-never-fires: rule 1: none of 20 images has the tags of {"tagPrefixList":["SNAPSHOT-"]}: this rule does nothing here
          help: the newest tag is `1.0.0`; write a rule for such tags, or remove this one
        count-counts-artifacts: rule 2: 10 artifacts: are artifacts attached to an image counted among the last N, and selected by `untagged` and `any`? AWS does not say; the only public report says that they are counted (aws/containers-roadmap#2613)
          help: leave room for 1 artifact an image: {"countNumber":100}
        archive-saves-nothing: rule 2: archiving saves nothing unless the registry holds more than 150 TB: below that both storage classes cost the same, and this repository has 20 B. An archived image is paid for 90 days at least, and cannot be pulled until it has been restored, which takes about 20 minutes
          help: remove the rule, or expire these images with a larger count
    "#]]
    .assert_eq(&text(lint_images(&rules, &all, now(), &Environments::default())));
    assert_eq!(lint_images(&keep(50), &images, now(), &Environments::default()), []);
    assert_eq!(lint_images(&rules, &[], now(), &Environments::default()), []);
    let large = Image { size_bytes: 150_000_000_000_000, ..image(0, 0, &["SNAPSHOT-1"]) };
    assert_eq!(lint_images(&rules, &[large], now(), &Environments::default()), []);
}

#[test]
fn image_that_an_environment_runs_goes_soon() {
    let images = [
        image(0, 10, &["1.2.0", "prod-2026-05-01"]),
        image(1, 70, &["1.1.0", "staging"]),
        image(2, 5, &["1.3.0"]),
        image(3, 5, &["production-like"]),
    ];
    let found = |days: usize, names: &[&str]| {
        text(lint_images(&aged(r#""tagStatus": "any""#, days), &images, now(), &environments(names)))
    };
    expect![[r#"
        deployed-can-expire: rule 1: it takes an image that an environment runs within 30 days: `staging`
          help: keep them by a rule with a smaller `rulePriority`, such as {"countNumber":50,"countType":"imageCountMoreThan","tagPatternList":["staging*"],"tagStatus":"tagged"}
    "#]]
    .assert_eq(&found(90, &["prod", "staging"]));
    assert!(found(30, &["prod", "staging"]).contains("2 images that environments run"));
    assert_eq!(found(110, &["prod", "staging"]), "");
    assert_eq!(found(30, &[]), "");
}

/// A preview of ECR under any reading leaves only artifacts of artifacts uncertain, and certain images are as they were.
#[test]
fn preview_of_ecr_settles_what_is_uncertain() {
    hold((strategies::policy(), strategies::images()), |(policy, images)| {
        let decisions = evaluate(&policy, &images, now());
        let outcome = |n: usize| decisions[n].possible().last().unwrap();
        let rows = images.iter().enumerate();
        let previewed: BTreeMap<_, _> =
            rows.filter_map(|(n, it)| Some((it.digest.clone(), outcome(n).rule()?.0))).collect();
        let settled = settle(&policy, &images, decisions.clone(), &previewed);
        for (n, image) in images.iter().enumerate() {
            if decisions[n].is_certain() {
                prop_assert_eq!(&settled[n], &decisions[n]);
            } else if let Some((rule, action)) = outcome(n).rule() {
                prop_assert_eq!(settled[n].outcome.rule(), Some((rule, action)));
            } else if image.subject.is_none() {
                prop_assert_eq!(settled[n].outcome, Outcome::Kept);
            }
            let subject = images.iter().find(|it| Some(&it.digest) == image.subject.as_ref());
            let is_attached_to_artifact = subject.is_some_and(|it| it.subject.is_some());
            prop_assert!(settled[n].is_certain() || is_attached_to_artifact);
        }
        Ok(())
    });
}
