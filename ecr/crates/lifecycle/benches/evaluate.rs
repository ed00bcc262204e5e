//! How long a policy of 50 rules takes over 1,000, 10,000 and 100,000 images, as it is compiled where `cargo xtask`
//! runs: `cargo bench -p ecr-lifecycle --bench evaluate --profile dev`.

#![allow(clippy::unwrap_used, reason = "a benchmark that cannot go on fails")]

use std::time::Instant;

use ecr_lifecycle::evaluate::evaluate;
use ecr_lifecycle::{Document, Image, Policy, StorageClass, Timestamp};
use ecr_types::Digest;

const SECOND: i128 = 1_000_000_000;

/// Prefixes, patterns with wildcards on both sides, lists of two, untagged and any; counts and ages.
fn policy() -> Policy {
    let rule = |n: usize| {
        let tags = match n {
            49 => r#""tagStatus": "any""#.to_owned(),
            48 => r#""tagStatus": "untagged""#.to_owned(),
            n if n % 3 == 0 => format!(r#""tagStatus": "tagged", "tagPrefixList": ["service-{n}-"]"#),
            n if n % 3 == 1 => {
                format!(r#""tagStatus": "tagged", "tagPatternList": ["*-{n}-*", "service-*"]"#)
            }
            n => format!(r#""tagStatus": "tagged", "tagPatternList": ["*rc{n}"]"#),
        };
        let count = match n % 2 {
            0 => r#""countType": "imageCountMoreThan""#,
            _ => r#""countType": "sinceImagePushed", "countUnit": "days""#,
        };
        format!(
            r#"{{"rulePriority": {}, "selection": {{{tags}, {count}, "countNumber": 30}}, "action": {{"type": "expire"}}}}"#,
            n + 1
        )
    };
    let rules: Vec<_> = (0..50).map(rule).collect();
    Document::parse("bench", &format!("{{\"rules\": [{}]}}", rules.join(","))).unwrap().policy().clone()
}

/// Images as a busy repository has them: two tags each, every tenth untagged, every fiftieth an index of others.
fn images(count: usize) -> Vec<Image> {
    let digest = |n: usize| Digest::of(&n.to_le_bytes());
    let image = |n: usize| Image {
        digest: digest(n),
        tags: if n.is_multiple_of(10) {
            Vec::new()
        } else {
            vec![format!("service-{}-{n}", n % 60), format!("1.{n}.0-rc{}", n % 60)]
        },
        pushed_at: Timestamp::from_nanoseconds(n as i128 * 60 * SECOND),
        media_type: None,
        last_pulled_at: None,
        size_bytes: 1,
        subject: None,
        children: Some(if n % 50 == 1 && n > 9 { vec![digest(n - 1)] } else { Vec::new() }),
        storage_class: StorageClass::Standard,
        last_archived_at: None,
        last_activated_at: None,
    };
    (0..count).map(image).collect()
}

/// Artifacts of which each is attached to the one before, and the first to an image that expires.
fn chain(count: usize) -> Vec<Image> {
    let mut images = images(count);
    for n in 1..count {
        images[n].subject = Some(images[n - 1].digest.clone());
        images[n].tags = Vec::new();
        images[n].children = Some(Vec::new());
    }
    images[0].tags = vec!["old".to_owned()];
    images
}

/// Prints what a chain costs, and ends the process if it is not linear.
fn chains() {
    let policy = r#"{"rules": [{"rulePriority": 1, "selection": {"tagStatus": "tagged", "tagPatternList": ["old"],
        "countType": "sinceImagePushed", "countUnit": "days", "countNumber": 1}, "action": {"type": "expire"}}]}"#;
    let policy = Document::parse("bench", policy).unwrap().policy().clone();
    let times = [4_000, 16_000].map(|count| {
        let images = chain(count);
        let start = Instant::now();
        let decisions =
            evaluate(&policy, &images, Timestamp::from_nanoseconds(i128::from(u32::MAX) * SECOND));
        let elapsed = start.elapsed().as_secs_f64() * 1000.0;
        let deleted = decisions.iter().filter(|it| it.outcome.is_deleted()).count();
        println!("{count:>8} in a chain {elapsed:>6.1} ms {deleted:>9} deleted");
        assert_eq!(deleted, count);
        elapsed
    });
    // Four times as many; a quadratic one takes sixteen times as long.
    assert!(times[1] < times[0] * 8.0 + 10.0, "{times:?}");
}

fn main() {
    chains();
    let policy = policy();
    println!("{:>8} {:>7} {:>10} {:>12} {:>9}", "images", "rules", "ms", "ns per image", "expired");
    for count in [1_000, 10_000, 100_000] {
        let images = images(count);
        let now = Timestamp::from_nanoseconds(count as i128 * 60 * SECOND);
        let start = Instant::now();
        let decisions = evaluate(&policy, &images, now);
        let elapsed = start.elapsed();
        let expired = decisions.iter().filter(|it| it.outcome.is_deleted()).count();
        println!(
            "{count:>8} {:>7} {:>10.1} {:>12} {expired:>9}",
            policy.rules.len(),
            elapsed.as_secs_f64() * 1000.0,
            elapsed.as_nanos() / count as u128
        );
        if count == 100_000 && elapsed.as_secs_f64() > 1.0 {
            println!("over one second");
            std::process::exit(1);
        }
    }
}
