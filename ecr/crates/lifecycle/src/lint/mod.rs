//! Warnings about policies that ECR accepts and that may not do what was intended.

use ecr_types::Pattern;
use serde_json::json;

use super::{Action, Count, Lint, Policy, Rule, StorageClass, TagFilter};

mod environments;
mod images;

pub use environments::Environments;
pub use images::lint_images;

/// All warnings about a policy that need no images, in the order of its rules; then those about the policy as a whole.
///
/// Among others: several entries in one tag list, `*` in a prefix, rules that an earlier rule shadows, rules that count
/// build caches and signatures, and ages of what is promoted to one of `environments`.
pub fn lint(policy: &Policy, environments: &Environments) -> Vec<Lint> {
    let mut lints = Vec::new();
    for (n, rule) in policy.rules.iter().enumerate() {
        let earlier = &policy.rules[..n];
        lints.extend(list_is_and(rule));
        lints.extend(list_entries(rule));
        lints.extend(untagged_and_indexes(rule));
        lints.extend(shadowed(rule, earlier));
        lints.extend(overlapping(rule, earlier));
        lints.extend(counts_caches(rule, earlier));
        lints.extend(environments.age_ignores_retag(rule, earlier));
    }
    lints.extend(never_expires_tagged(policy));
    lints
}

fn of(id: &'static str, rule: &Rule, message: String, help: String) -> Lint {
    Lint { id, rule: Some(rule.priority), message, help }
}

/// "If you specify multiple tags, only the images with all specified tags are selected" (lifecycle_policy_parameters).
fn list_is_and(rule: &Rule) -> Option<Lint> {
    let (key, list) = rule.list().filter(|(_, list)| list.len() > 1)?;
    let what = if key == "tagPrefixList" { "prefixes" } else { "patterns" };
    let message = format!(
        "`{key}` with several {what} selects only images that have a matching tag for each of them: an image whose \
         tags match only {} is neither selected nor protected by this rule",
        either(list)
    );
    let separate = list.iter().map(|entry| json!({ key: [entry] }).to_string());
    let help = format!("write one rule for each, with {}", separate.collect::<Vec<_>>().join(" and "));
    Some(of("list-is-and", rule, message, help))
}

/// Entries of a tag list that are duplicates or match no tag.
fn list_entries(rule: &Rule) -> Vec<Lint> {
    let Some((key, list)) = rule.list() else { return Vec::new() };
    let mut lints = Vec::new();
    for (n, entry) in list.iter().enumerate() {
        if list[..n].contains(entry) {
            lints.push(of(
                "repeated-entry",
                rule,
                format!("`{entry}` is listed twice in `{key}`"),
                format!("write it once: {}", json!({ key: unique(list) })),
            ));
        }
        let is_prefix = key == "tagPrefixList";
        if is_prefix && entry.contains('*') {
            let message = format!(
                "`*` in the prefix `{entry}` is an ordinary character, which no tag has: it selects nothing"
            );
            let prefix = entry.trim_end_matches('*');
            let help = if prefix.contains('*') {
                format!("use {}", json!({"tagPatternList": [entry]}))
            } else {
                format!(
                    "use {} or {}",
                    json!({"tagPrefixList": [prefix]}),
                    json!({"tagPatternList": [entry]})
                )
            };
            lints.push(of("wildcard-in-prefix", rule, message, help));
        } else if entry.is_empty() {
            let message = match is_prefix {
                true => "the empty prefix selects every tagged image",
                false => "the empty pattern selects nothing: no tag is empty",
            };
            let help = format!("if every tagged image is meant, use {}", json!({"tagPatternList": ["*"]}));
            lints.push(of("empty-entry", rule, message.to_owned(), help));
        } else if let Some(wrong) =
            entry.chars().find(|it| !is_image_tag_character(*it) && (is_prefix || *it != '*'))
        {
            let message = format!("`{entry}` selects nothing: no tag has the character `{wrong}`");
            let cleaned: String =
                entry.chars().filter(|it| is_image_tag_character(*it) || *it == '*').collect();
            let help = format!(
                "tags have letters, digits, `_`, `.` and `-`, and `*` is the only wildcard, of patterns: such as {}",
                json!({ key: [cleaned] })
            );
            lints.push(of("entry-selects-nothing", rule, message, help));
        }
    }
    lints
}

/// The entries in their order, without duplicates.
fn unique(list: &[String]) -> Vec<&String> {
    list.iter().enumerate().filter(|(n, it)| !list[..*n].contains(it)).map(|(_, it)| it).collect()
}

fn is_image_tag_character(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-')
}

fn untagged_and_indexes(rule: &Rule) -> Option<Lint> {
    let counts = match (&rule.tags, rule.count) {
        (TagFilter::Untagged, Count::ImageCountMoreThan(_)) => {
            "they count among the last images that the rule keeps"
        }
        (TagFilter::Untagged, _) => "the rule applies to them as soon as the index is deleted",
        _ => return None,
    };
    let message = format!(
        "the images of a multi-platform index have no tags of their own, so this rule selects them: they stay while \
         their index exists, and {counts}"
    );
    let example = match rule.count {
        Count::ImageCountMoreThan(_) => {
            json!({"countType": "sinceImagePushed", "countUnit": "days", "countNumber": 14})
        }
        count => json!({"countType": count.as_str(), "countUnit": "days", "countNumber": count.number() * 2}),
    };
    let help = format!("leave room for every platform of every index that you delete, such as {example}");
    Some(of("untagged-selects-children", rule, message, help))
}

/// A rule that selects only images which an earlier rule selects.
fn shadowed(rule: &Rule, earlier: &[Rule]) -> Option<Lint> {
    let by = earlier.iter().find(|it| covers(it, rule))?;
    let message = format!(
        "it never applies to an image: every image that it selects is also selected by rule {}, \
         and an image belongs to the first rule that selects it",
        by.priority
    );
    let help = format!(
        "swap the two: \"rulePriority\": {} here and {} there; or remove it",
        by.priority, rule.priority
    );
    Some(of("shadowed-rule", rule, message, help))
}

fn covers(earlier: &Rule, rule: &Rule) -> bool {
    if earlier.storage_class() != rule.storage_class() {
        return false;
    }
    let (Some(wide), Some(narrow)) = (patterns(earlier), patterns(rule)) else {
        // `any` selects all images, but ECR requires it to be the last rule. There is at most one rule for `untagged`.
        return earlier.tags == TagFilter::Any;
    };
    wide.iter().all(|wide| narrow.iter().any(|narrow| wide.contains(narrow)))
}

fn patterns(rule: &Rule) -> Option<Vec<Pattern>> {
    match &rule.tags {
        TagFilter::Prefixes(list) => Some(list.iter().map(|it| Pattern::prefix(it)).collect()),
        TagFilter::Patterns(list) => Some(list.iter().map(|it| Pattern::new(it)).collect()),
        TagFilter::Untagged | TagFilter::Any => None,
    }
}

/// Whether a rule selects an image with this tag only.
fn selects(rule: &Rule, tag: &str) -> bool {
    match patterns(rule) {
        Some(patterns) => patterns.iter().all(|it| it.matches(tag)),
        None => rule.tags == TagFilter::Any,
    }
}

/// Rules that select the same images: the first rule decides on them, and both count them. A rule for every tag (`*`) is
/// expected to overlap all others.
fn overlapping(rule: &Rule, earlier: &[Rule]) -> Option<Lint> {
    let own = patterns(rule)?;
    if own.iter().all(|it| it.contains(&Pattern::new("*"))) {
        return None;
    }
    let overlaps = |other: &&Rule| {
        let theirs = patterns(other).unwrap_or_default();
        let share = theirs.iter().any(|a| own.iter().any(|b| a.overlaps(b)));
        share && other.storage_class() == rule.storage_class() && !covers(other, rule)
    };
    let overlapped: Vec<_> = earlier.iter().filter(overlaps).collect();
    let first = overlapped.first()?;
    let numbers: Vec<_> = overlapped.iter().map(|it| it.priority.to_string()).collect();
    let rules = if numbers.len() == 1 { "rule" } else { "rules" };
    let message = format!(
        "it overlaps {rules} {}: an image that both select belongs to the earlier rule, and counts among the images of \
         both",
        numbers.join(", ")
    );
    let help = match (rule.count, first.count) {
        (Count::ImageCountMoreThan(own), Count::ImageCountMoreThan(theirs)) => format!(
            "make them disjoint, or include the other rule's images in the count: \"countNumber\": {}",
            own.saturating_add(theirs)
        ),
        _ => {
            let (key, _) = rule.list()?;
            format!("make them disjoint, for instance by tags such as {}", json!({ key: ["other-"] }))
        }
    };
    Some(of("overlapping-rules", rule, message, help))
}

/// Examples of tags that build tools push beside the images themselves.
const TOOL_TAGS: [(&str, &str); 3] = [
    ("buildcache", "build caches"),
    ("cache", "build caches"),
    ("sha256-0000000000000000000000000000000000000000000000000000000000000000.sig", "signatures"),
];

/// A rule that counts build caches or signatures. If an earlier rule selects them, this is considered intended.
fn counts_caches(rule: &Rule, earlier: &[Rule]) -> Option<Lint> {
    let Count::ImageCountMoreThan(number) = rule.count else { return None };
    let is_counted = |tag: &str| selects(rule, tag) && !earlier.iter().any(|it| selects(it, tag));
    let mut found: Vec<_> = TOOL_TAGS.iter().filter(|it| is_counted(it.0)).map(|it| it.1).collect();
    found.dedup();
    if found.is_empty() {
        return None;
    }
    let message = format!(
        "{} that build tools push under tags of their own (`buildcache`, `sha256-….sig`) count among the last {number}",
        found.join(" and ")
    );
    let own = |pattern: &str| {
        json!({"tagStatus": "tagged", "tagPatternList": [pattern], "countType": "sinceImagePushed",
               "countUnit": "days", "countNumber": 14})
    };
    let examples = [("build caches", "*cache*"), ("signatures", "sha256-*")];
    let examples = examples.iter().filter(|it| found.contains(&it.0)).map(|it| own(it.1).to_string());
    let help = format!(
        "give them rules of their own with a smaller `rulePriority`, such as {}, and include them in this rule's `countNumber`",
        examples.collect::<Vec<_>>().join(" and ")
    );
    Some(of("counts-caches", rule, message, help))
}

fn never_expires_tagged(policy: &Policy) -> Option<Lint> {
    let expires = |it: &Rule| it.action == Action::Expire && it.tags != TagFilter::Untagged;
    if policy.rules.iter().any(expires) {
        return None;
    }
    let has_any = policy
        .rules
        .iter()
        .any(|it| it.tags == TagFilter::Any && it.storage_class() == StorageClass::Standard);
    let last = policy.rules.iter().map(|it| it.priority).max().unwrap_or_default();
    let help = if has_any {
        // A second rule for `any` would be refused, and nothing may come after the first.
        let selection = json!({"tagStatus": "any", "storageClass": "archive", "countType": "sinceImageTransitioned",
                               "countUnit": "days", "countNumber": 365});
        format!(
            "if that is not meant, expire what was archived, with a rule such as {}",
            expiring(last + 1, selection)
        )
    } else {
        let selection = json!({"tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": 100});
        format!("if that is not meant, add a last rule such as {}", expiring(last + 1, selection))
    };
    let message = "this policy never expires anything that is tagged: tagged images pile up".to_owned();
    Some(Lint { id: "never-expires-tagged", rule: None, message, help })
}

fn expiring(priority: i64, selection: serde_json::Value) -> serde_json::Value {
    json!({"rulePriority": priority, "selection": selection, "action": {"type": "expire"}})
}

/// `` `a` or `b` ``.
fn either(list: &[String]) -> String {
    let list: Vec<_> = list.iter().map(String::as_str).collect();
    super::shape::either(&list)
}

#[cfg(test)]
mod tests {
    use super::super::Document;
    use super::*;

    fn linted(rules: serde_json::Value) -> String {
        let text = json!({ "rules": rules }).to_string();
        let document = Document::parse("p.json", &text).unwrap_or_else(|it| panic!("{it:?}"));
        let line = |it: Lint| format!("{}\n  help: {}", it.text(), it.help);
        lint(document.policy(), &Environments::default()).into_iter().map(line).collect::<Vec<_>>().join("\n")
    }

    fn rule(priority: i64, key: &str, list: &[&str], count: i64) -> serde_json::Value {
        json!({"rulePriority": priority, "selection": {"tagStatus": "tagged", key: list,
               "countType": "imageCountMoreThan", "countNumber": count}, "action": {"type": "expire"}})
    }

    #[test]
    fn lint_of_lists_that_must_all_match() {
        expect_test::expect![[r#"
            rule 1: `tagPrefixList` with several prefixes selects only images that have a matching tag for each of them: an image whose tags match only `prod-` or `release-` is neither selected nor protected by this rule
              help: write one rule for each, with {"tagPrefixList":["prod-"]} and {"tagPrefixList":["release-"]}"#]].assert_eq(&linted(json!([rule(
            1,
            "tagPrefixList",
            &["prod-", "release-"],
            20
        )])));
    }

    #[test]
    fn lint_of_shadowed_and_overlapping_rules() {
        let rules = json!([
            rule(1, "tagPrefixList", &["v1"], 5),
            rule(2, "tagPatternList", &["v1.*-rc*"], 5),
            rule(3, "tagPrefixList", &["v"], 5),
            rule(4, "tagPrefixList", &["x*", "", "ü"], 5),
            rule(5, "tagPatternList", &["z"], 5),
        ]);
        expect_test::expect![[r#"
            rule 2: it never applies to an image: every image that it selects is also selected by rule 1, and an image belongs to the first rule that selects it
              help: swap the two: "rulePriority": 1 here and 2 there; or remove it
            rule 3: it overlaps rules 1, 2: an image that both select belongs to the earlier rule, and counts among the images of both
              help: make them disjoint, or include the other rule's images in the count: "countNumber": 10
            rule 4: `tagPrefixList` with several prefixes selects only images that have a matching tag for each of them: an image whose tags match only `x*` or `` or `ü` is neither selected nor protected by this rule
              help: write one rule for each, with {"tagPrefixList":["x*"]} and {"tagPrefixList":[""]} and {"tagPrefixList":["ü"]}
            rule 4: `*` in the prefix `x*` is an ordinary character, which no tag has: it selects nothing
              help: use {"tagPrefixList":["x"]} or {"tagPatternList":["x*"]}
            rule 4: the empty prefix selects every tagged image
              help: if every tagged image is meant, use {"tagPatternList":["*"]}
            rule 4: `ü` selects nothing: no tag has the character `ü`
              help: tags have letters, digits, `_`, `.` and `-`, and `*` is the only wildcard, of patterns: such as {"tagPrefixList":[""]}
            rule 4: it overlaps rules 1, 2, 3: an image that both select belongs to the earlier rule, and counts among the images of both
              help: make them disjoint, or include the other rule's images in the count: "countNumber": 10
            rule 5: it overlaps rule 4: an image that both select belongs to the earlier rule, and counts among the images of both
              help: make them disjoint, or include the other rule's images in the count: "countNumber": 10"#]].assert_eq(&linted(rules));
    }

    #[test]
    fn lint_of_policies_for_untagged_images_only() {
        let rules = json!([{"rulePriority": 1, "description": "untagged images", "selection": {"tagStatus": "untagged",
            "countType": "imageCountMoreThan", "countNumber": 1}, "action": {"type": "expire"}}]);
        expect_test::expect![[r#"
            rule 1: the images of a multi-platform index have no tags of their own, so this rule selects them: they stay while their index exists, and they count among the last images that the rule keeps
              help: leave room for every platform of every index that you delete, such as {"countNumber":14,"countType":"sinceImagePushed","countUnit":"days"}
            this policy never expires anything that is tagged: tagged images pile up
              help: if that is not meant, add a last rule such as {"action":{"type":"expire"},"rulePriority":2,"selection":{"countNumber":100,"countType":"imageCountMoreThan","tagStatus":"any"}}"#]].assert_eq(&linted(rules));
    }

    #[test]
    fn lint_of_counted_build_caches() {
        let rules = json!([{"rulePriority": 1, "description": "all images", "selection": {"tagStatus": "any",
            "countType": "imageCountMoreThan", "countNumber": 10}, "action": {"type": "expire"}}]);
        expect_test::expect![[r#"
            rule 1: build caches and signatures that build tools push under tags of their own (`buildcache`, `sha256-….sig`) count among the last 10
              help: give them rules of their own with a smaller `rulePriority`, such as {"countNumber":14,"countType":"sinceImagePushed","countUnit":"days","tagPatternList":["*cache*"],"tagStatus":"tagged"} and {"countNumber":14,"countType":"sinceImagePushed","countUnit":"days","tagPatternList":["sha256-*"],"tagStatus":"tagged"}, and include them in this rule's `countNumber`"#]].assert_eq(&linted(rules));
    }
}
