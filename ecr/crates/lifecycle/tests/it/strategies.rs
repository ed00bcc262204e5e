//! Random policies and repositories.

use ecr_lifecycle::{Action, Count, Document, Image, Policy, Rule, StorageClass, TagFilter, Timestamp};
use ecr_types::Digest;
use ecr_types::media_type::OCI_INDEX;
use proptest::prelude::*;

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
pub fn policy() -> impl Strategy<Value = Policy> {
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
pub fn text(policy: &Policy) -> String {
    format!("{:<100}", policy.to_json().to_string())
}

pub fn digest(n: usize) -> Digest {
    Digest::of(&n.to_le_bytes())
}

/// Ages in nanoseconds, in steps of half a day, so that equal times and times close to a limit occur.
pub fn days_ago() -> impl Strategy<Value = i128> {
    (0..240i128).prop_map(|it| it * DAY / 2)
}

pub fn now() -> Timestamp {
    Timestamp::from_nanoseconds(20_000 * DAY)
}

pub fn ago(since: i128) -> Timestamp {
    Timestamp::from_nanoseconds(20_000 * DAY - since)
}

/// A repository: some images list others, some have a subject, some are archived or restored.
pub fn images() -> impl Strategy<Value = Vec<Image>> {
    let links = (prop::option::weighted(0.1, 0..12usize), prop::collection::vec(0..12usize, 0..2), 0..6u8);
    let times = (days_ago(), prop::option::of(days_ago()), prop::option::weighted(0.2, days_ago()));
    let tags = prop::collection::btree_set(word(), 0..3);
    let image = (tags, times, links).prop_map(|(tags, times, (subject, children, class))| {
        let (pushed, pulled, activated) = times;
        let (is_archived, is_index) = (class == 0, matches!(class, 1 | 5));
        Image {
            digest: digest(0),
            tags: tags.into_iter().collect(),
            pushed_at: ago(pushed),
            media_type: is_index.then(|| OCI_INDEX.to_owned()),
            last_pulled_at: pulled.map(ago),
            size_bytes: 1,
            subject: subject.map(digest),
            children: (class != 5).then(|| match is_index {
                true => children.into_iter().map(digest).collect(),
                false => Vec::new(),
            }),
            storage_class: if is_archived { StorageClass::Archive } else { StorageClass::Standard },
            last_archived_at: pulled.filter(|_| is_archived).map(ago),
            last_activated_at: activated.filter(|_| !is_archived).map(ago),
        }
    });
    prop::collection::vec(image, 0..12).prop_map(|images| {
        images.into_iter().enumerate().map(|(n, it)| Image { digest: digest(n), ..it }).collect()
    })
}
