//! Validation of rules against each other, within a storage class.

use std::collections::BTreeSet;

use super::draft::Draft;
use super::{Finding, StorageClass, TagFilter};

/// The conflicts between rules. `drafts` must be sorted by priority. Parts of a rule that could not be read are skipped.
pub fn check_across(drafts: &[Draft]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut report = |draft: &Draft, message: String, sentence: Option<&str>| {
        let sentence = sentence.map(str::to_owned);
        findings.push(Finding { place: draft.place.clone(), rule: draft.priority, message, sentence });
    };
    let numbered: Vec<_> = drafts.iter().filter(|it| it.priority.is_some()).collect();
    for pair in numbered.windows(2) {
        if let (Some(first), Some(second)) = (pair[0].priority, pair[1].priority)
            && first == second
        {
            report(pair[1], format!("two rules have the `rulePriority` {second}"), None);
        }
    }
    for class in [StorageClass::Standard, StorageClass::Archive] {
        let rules: Vec<_> = numbered.iter().copied().filter(|it| it.class == class).collect();
        for (n, draft) in rules.iter().enumerate() {
            let (earlier, later) = (&rules[..n], &rules[n + 1..]);
            match &draft.tags {
                Some(TagFilter::Any) if !later.is_empty() => {
                    let sentence = "Rule for tagStatus=ANY must have the lowest priority per storage class";
                    report(draft, any_not_last(later, class), Some(sentence));
                }
                Some(TagFilter::Untagged) => {
                    if let Some(first) = earlier.iter().find(|it| it.tags == Some(TagFilter::Untagged)) {
                        let sentence = "Only one rule can select Untagged images per storage class.";
                        report(draft, not_unique("untagged images", first, class), Some(sentence));
                    }
                }
                _ => {
                    if let Some(first) = earlier.iter().find(|it| same_list(it, draft)) {
                        report(draft, not_unique("the same list of tags", first, class), None);
                    }
                }
            }
        }
    }
    findings
}

fn number(draft: &Draft) -> String {
    draft.priority.map_or("?".to_owned(), |it| it.to_string())
}

fn any_not_last(later: &[&Draft], class: StorageClass) -> String {
    let numbers: Vec<_> = later.iter().map(|it| number(it)).collect();
    format!(
        "a rule for `any` must have the largest `rulePriority` among those for `{}` images, \
         but {} comes after it",
        class.as_str(),
        numbers.join(", ")
    )
}

fn not_unique(what: &str, first: &Draft, class: StorageClass) -> String {
    format!(
        "only one rule of a storage class may select {what}: rule {} does, also for `{}`",
        number(first),
        class.as_str()
    )
}

/// "All rules selecting a specific storage class must contain a unique set of prefixes" (LifecyclePolicies). The same is
/// assumed for patterns. The order of the entries does not matter.
fn same_list(a: &Draft, b: &Draft) -> bool {
    let set = |draft: &Draft| match &draft.tags {
        Some(TagFilter::Prefixes(list)) => Some((true, list.iter().cloned().collect::<BTreeSet<_>>())),
        Some(TagFilter::Patterns(list)) => Some((false, list.iter().cloned().collect())),
        _ => None,
    };
    set(a).is_some() && set(a) == set(b)
}
