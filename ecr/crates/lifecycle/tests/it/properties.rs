//! Properties that AWS documents for every policy and every repository, tested with random ones.
//!
//! Texts that failed once are in `tests/corpus/`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use ecr_lifecycle::evaluate::{Outcome, evaluate};
use ecr_lifecycle::{Document, Environments, Image, Policy, StorageClass, lint};
use ecr_types::Digest;
use ecr_types::property::hold;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::strategies::{ago, days_ago, digest, images, now, policy, text};

fn outcomes(policy: &Policy, images: &[Image]) -> BTreeMap<Digest, Outcome> {
    let decisions = evaluate(policy, images, now());
    images.iter().zip(decisions).map(|(image, decision)| (image.digest.clone(), decision.outcome)).collect()
}

#[test]
fn artifacts_follow_their_subject_only() {
    hold((policy(), images()), |(policy, images)| {
        let outcomes = outcomes(&policy, &images);
        for image in images.iter().filter(|it| outcomes[&it.digest].rule().is_none()) {
            let subject = image.subject.as_ref().and_then(|it| outcomes.get(it));
            let follows = subject.is_some_and(|it| *it != Outcome::Kept);
            prop_assert_eq!(outcomes[&image.digest].is_cascaded(), follows);
        }
        Ok(())
    });
}

#[test]
fn outcome_does_not_depend_on_the_order_of_rules_and_images() {
    let shuffled = |count: usize| Just((0..count).collect::<Vec<_>>()).prop_shuffle();
    let strategy = (policy(), images()).prop_flat_map(move |(policy, images)| {
        (shuffled(policy.rules.len()), shuffled(images.len()), Just(policy), Just(images))
    });
    hold(strategy, |(rule_order, image_order, policy, images)| {
        let rules: Vec<_> = rule_order.iter().map(|n| policy.rules[*n].to_json()).collect();
        let text = format!("{:<100}", json!({ "rules": rules }).to_string());
        let document = Document::parse("p.json", &text).unwrap();
        prop_assert_eq!(document.policy(), &policy);
        let shuffled: Vec<_> = image_order.iter().map(|n| images[*n].clone()).collect();
        prop_assert_eq!(outcomes(&policy, &images), outcomes(&policy, &shuffled));
        Ok(())
    });
}

#[test]
fn outcome_of_younger_images_does_not_depend_on_an_older_one() {
    hold((policy(), images(), days_ago()), |(policy, images, pushed)| {
        let new = Image {
            digest: digest(99),
            tags: vec!["prod-1".to_owned()],
            pushed_at: ago(pushed),
            media_type: None,
            last_pulled_at: None,
            size_bytes: 1,
            subject: None,
            children: Some(Vec::new()),
            storage_class: StorageClass::Standard,
            last_archived_at: None,
            last_activated_at: None,
        };
        let with_new = [images.clone(), vec![new.clone()]].concat();
        let (before, after) = (outcomes(&policy, &images), outcomes(&policy, &with_new));
        for image in images.iter().filter(|it| it.last_activated_at.unwrap_or(it.pushed_at) > new.pushed_at) {
            prop_assert_eq!(before[&image.digest].rule(), after[&image.digest].rule());
        }
        Ok(())
    });
}

#[test]
fn policy_survives_a_round_trip() {
    hold(policy(), |policy| {
        let document = Document::parse("p.json", &text(&policy)).unwrap();
        prop_assert_eq!(document.policy(), &policy);
        lint(&policy, &Environments::default());
        Ok(())
    });
}

/// The policies of the vectors, and texts that fuzzing found.
fn corpus() -> Vec<String> {
    let tests = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests");
    let files = |folder: &str| {
        let mut files: Vec<_> =
            std::fs::read_dir(tests.join(folder)).unwrap().map(|it| it.unwrap().path()).collect();
        files.sort();
        files
    };
    let vectors = files("vectors").into_iter().filter(|it| it.extension().is_some_and(|it| it == "json"));
    let vector = |path: PathBuf| {
        let vector: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        vector["policyText"].as_str().map_or_else(|| vector["policy"].to_string(), str::to_owned)
    };
    let found = files("corpus").into_iter().map(|it| std::fs::read_to_string(it).unwrap());
    vectors.map(vector).chain(found).collect()
}

/// Reading does not panic. A rejected text has findings with a position in the file. An accepted text is equal to its
/// policy written as JSON and read again.
fn reading_is_sound(text: &str) -> Result<(), TestCaseError> {
    match Document::parse("p.json", text) {
        Ok(document) => {
            lint(document.policy(), &Environments::default());
            let again = format!("{:<100}", document.policy().to_json().to_string());
            prop_assert_eq!(Document::parse("p.json", &again).unwrap(), document);
        }
        Err(findings) => {
            prop_assert!(!findings.is_empty());
            let lines = text.lines().count().max(1);
            prop_assert!(findings.iter().all(|it| it.place.line <= lines + 1 && !it.message.is_empty()));
        }
    }
    Ok(())
}

#[test]
fn policies_of_the_corpus_are_read_soundly() {
    corpus().iter().for_each(|it| reading_is_sound(it).unwrap());
}

#[test]
fn policies_with_random_edits_are_read_soundly() {
    let texts = corpus().into_iter().filter(|it| it.len() < 4000).collect::<Vec<_>>();
    let piece = prop_oneof![
        "[ -~]{0,3}",
        prop::sample::select(vec![
            "null",
            "1e9",
            "-1",
            "99999999999999999999",
            "1.0",
            "{}",
            "[]",
            "\"\"",
            "true",
            "\\u0000",
            "é",
            "\u{1F600}",
            "\"rulePriority\":1,",
            "\"tagPrefixList\":[\"\"],",
            "\"storageClass\":\"archive\",",
            "\n",
            "]}",
        ])
        .prop_map(str::to_owned),
    ];
    let edits = prop::collection::vec((any::<prop::sample::Index>(), 0..12usize, piece), 0..4);
    hold((prop::sample::select(texts), edits), |(text, edits)| {
        let mut chars: Vec<char> = text.chars().collect();
        for (at, length, piece) in edits {
            let at = at.index(chars.len() + 1);
            let end = (at + length).min(chars.len());
            chars.splice(at..end, piece.chars());
        }
        reading_is_sound(&chars.into_iter().collect::<String>())
    });
}

#[test]
fn any_text_is_read_soundly() {
    hold("\\PC{0,200}", |text| reading_is_sound(&text));
}
