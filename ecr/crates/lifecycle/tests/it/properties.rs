//! Properties that AWS documents for every policy and every repository, tested with random ones.
//!
//! Texts that failed once are in `tests/corpus/`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use ecr_lifecycle::evaluate::{Outcome, evaluate};
use ecr_lifecycle::{Action, Count, Document, Image, Policy, Rule, StorageClass, TagFilter, Timestamp, lint};
use ecr_types::Digest;
use ecr_types::property::hold;
use proptest::prelude::*;
use serde_json::{Value, json};

const DAY: i128 = 86_400_000_000_000;
const WORDS: [&str; 8] = ["a", "ab", "b", "prod", "prod-1", "release-1", "v1.0", "v1"];

fn word() -> impl Strategy<Value = String> {
    prop::sample::select(WORDS.to_vec()).prop_map(str::to_owned)
}

fn tag_filter() -> impl Strategy<Value = TagFilter> {
    let pattern = (word(), 0..4usize).prop_map(|(word, n)| match n {
        0 => word,
        1 => format!("{word}*"),
        2 => format!("*{word}"),
        _ => word.replacen('-', "*", 1),
    });
    prop_oneof![
        prop::collection::vec(word(), 1..3).prop_map(TagFilter::Prefixes),
        prop::collection::vec(pattern, 1..3).prop_map(TagFilter::Patterns),
        Just(TagFilter::Untagged),
        Just(TagFilter::Any),
    ]
}

fn rule() -> impl Strategy<Value = Rule> {
    let kind = prop_oneof![
        (1..4i64).prop_map(|n| (Count::ImageCountMoreThan(n), Action::Expire)),
        (1..4i64).prop_map(|n| (Count::ImageCountMoreThan(n), Action::Transition)),
        (1..20i64).prop_map(|n| (Count::SinceImagePushed(n), Action::Expire)),
        (1..20i64).prop_map(|n| (Count::SinceImagePulled(n), Action::Transition)),
        (90..110i64).prop_map(|n| (Count::SinceImageTransitioned(n), Action::Expire)),
    ];
    let described = prop::option::of("[ -~é]{0,12}");
    (tag_filter(), kind, described).prop_map(|(tags, (count, action), description)| Rule {
        priority: 1,
        description,
        tags,
        count,
        action,
    })
}

/// A policy that ECR accepts, with gaps between the priorities.
fn policy() -> impl Strategy<Value = Policy> {
    prop::collection::vec(rule(), 0..6).prop_map(|rules| {
        let mut policy = Policy::default();
        for (n, rule) in rules.into_iter().enumerate() {
            let mut attempt = policy.clone();
            attempt.rules.push(Rule { priority: n as i64 * 3 + 1, ..rule });
            if Document::parse("p.json", &text(&attempt)).is_ok() {
                policy = attempt;
            }
        }
        policy
    })
}

/// A policy's text, padded to the minimum length.
fn text(policy: &Policy) -> String {
    format!("{:<100}", policy.to_json().to_string())
}

fn digest(n: usize) -> Digest {
    Digest::of(&n.to_le_bytes())
}

/// Ages in nanoseconds, in steps of half a day, so that equal times and times close to a limit occur.
fn days_ago() -> impl Strategy<Value = i128> {
    (0..240i128).prop_map(|it| it * DAY / 2)
}

fn now() -> Timestamp {
    Timestamp::from_nanoseconds(20_000 * DAY)
}

fn ago(since: i128) -> Timestamp {
    Timestamp::from_nanoseconds(20_000 * DAY - since)
}

/// A repository: some images list others, some have a subject, some are archived or restored.
fn images() -> impl Strategy<Value = Vec<Image>> {
    let links = (prop::option::weighted(0.1, 0..12usize), prop::collection::vec(0..12usize, 0..2), 0..5u8);
    let times = (days_ago(), prop::option::of(days_ago()), prop::option::weighted(0.2, days_ago()));
    let tags = prop::collection::btree_set(word(), 0..3);
    let image = (tags, times, links).prop_map(|(tags, times, (subject, children, class))| {
        let (pushed, pulled, activated) = times;
        let is_archived = class == 0;
        Image {
            digest: digest(0),
            tags: tags.into_iter().collect(),
            pushed_at: ago(pushed),
            media_type: None,
            last_pulled_at: pulled.map(ago),
            size_bytes: 1,
            subject: subject.map(digest),
            children: Some(if class == 1 { children.into_iter().map(digest).collect() } else { Vec::new() }),
            storage_class: if is_archived { StorageClass::Archive } else { StorageClass::Standard },
            last_archived_at: is_archived.then_some(ago(pushed)),
            last_activated_at: activated.filter(|_| !is_archived).map(ago),
        }
    });
    prop::collection::vec(image, 0..12).prop_map(|images| {
        images.into_iter().enumerate().map(|(n, it)| Image { digest: digest(n), ..it }).collect()
    })
}

fn outcomes(policy: &Policy, images: &[Image]) -> BTreeMap<Digest, Outcome> {
    let decisions = evaluate(policy, images, now());
    images.iter().zip(decisions).map(|(image, decision)| (image.digest.clone(), decision.outcome)).collect()
}

/// Whether a rule sees an image: a second, simpler implementation.
fn sees(rule: &Rule, image: &Image) -> bool {
    let covers = |pattern: &str, tag: &str| {
        let mut parts = pattern.split('*');
        let first = parts.next().unwrap();
        let rest: Vec<_> = parts.collect();
        match rest.as_slice() {
            [] => tag == first,
            [end] => tag.len() >= first.len() + end.len() && tag.starts_with(first) && tag.ends_with(end),
            _ => unreachable!("no such pattern is made here"),
        }
    };
    let tags = &image.tags;
    let matches = match &rule.tags {
        TagFilter::Any => image.subject.is_none(),
        TagFilter::Untagged => image.subject.is_none() && tags.is_empty(),
        TagFilter::Prefixes(list) => {
            list.iter().all(|it| tags.iter().any(|tag| tag.starts_with(it.as_str())))
        }
        TagFilter::Patterns(list) => list.iter().all(|it| tags.iter().any(|tag| covers(it, tag))),
    };
    matches && rule.storage_class() == image.storage_class
}

fn is_listed(images: &[Image], image: &Image) -> bool {
    images.iter().any(|it| it.children().contains(&image.digest))
}

#[test]
fn image_is_affected_by_the_first_rule_that_sees_it_or_by_none() {
    hold((policy(), images()), |(policy, images)| {
        let outcomes = outcomes(&policy, &images);
        for image in &images {
            let Some((priority, action)) = outcomes[&image.digest].rule() else { continue };
            let first = policy.rules.iter().find(|it| sees(it, image));
            prop_assert_eq!(first.map(|it| (it.priority, it.action)), Some((priority, action)));
            prop_assert!(!is_listed(&images, image), "an index protects its images");
        }
        Ok(())
    });
}

#[test]
fn outcome_is_that_of_a_simpler_implementation() {
    hold((policy(), images()), |(policy, images)| {
        let outcomes = outcomes(&policy, &images);
        let pushed = |it: &Image| it.last_activated_at.unwrap_or(it.pushed_at);
        for image in &images {
            let first = policy.rules.iter().find(|it| sees(it, image));
            let older = |since: Timestamp, days: i64| now().since(since) > days * DAY as i64;
            let is_over = first.is_some_and(|rule| match rule.count {
                Count::ImageCountMoreThan(n) => {
                    let younger = images.iter().filter(|it| sees(rule, it)).filter(|it| {
                        (pushed(it), std::cmp::Reverse(&it.digest))
                            > (pushed(image), std::cmp::Reverse(&image.digest))
                    });
                    younger.count() as i64 >= n
                }
                Count::SinceImagePushed(days) => older(pushed(image), days),
                Count::SinceImagePulled(days) => {
                    let last = image.last_pulled_at.max(image.last_activated_at);
                    older(last.unwrap_or(image.pushed_at), days)
                }
                Count::SinceImageTransitioned(days) => {
                    image.last_archived_at.is_some_and(|it| older(it, days))
                }
            });
            let goes = is_over && !is_listed(&images, image);
            prop_assert_eq!(outcomes[&image.digest].rule().is_some(), goes, "{:?}", image);
        }
        Ok(())
    });
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
        lint(&policy);
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
            lint(document.policy());
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
