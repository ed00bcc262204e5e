//! Rules against one another, within a storage class.

use std::cell::RefCell;
use std::collections::BTreeSet;

use super::shape::Shape;
use super::{Finding, Rule, StorageClass, TagFilter};
use crate::source::Place;

type Placed = (Rule, Place);

/// Adds what is wrong between rules, which come sorted by priority.
pub fn check_across(rules: &[Placed], findings: &RefCell<Vec<Finding>>) {
    let say = |(rule, place): &Placed, message: String, sentence: Option<&str>| {
        let shape = Shape { rule: Some(rule.priority), findings };
        match sentence {
            Some(sentence) => shape.say(place, message, sentence),
            None => shape.say_plainly(place, message),
        }
    };
    for pair in rules.windows(2) {
        if pair[0].0.priority == pair[1].0.priority {
            say(&pair[1], format!("two rules have the `rulePriority` {}", pair[1].0.priority), None);
        }
    }
    for class in [StorageClass::Standard, StorageClass::Archive] {
        let rules: Vec<_> = rules.iter().filter(|(rule, _)| rule.storage_class() == class).collect();
        for (n, placed) in rules.iter().enumerate() {
            let (earlier, later) = (&rules[..n], &rules[n + 1..]);
            match placed.0.tags {
                TagFilter::Any if !later.is_empty() => {
                    let sentence = "Rule for tagStatus=ANY must have the lowest priority per storage class";
                    say(placed, any_not_last(later, class), Some(sentence));
                }
                TagFilter::Untagged => {
                    if let Some(first) = earlier.iter().find(|it| it.0.tags == TagFilter::Untagged) {
                        let sentence = "Only one rule can select Untagged images per storage class.";
                        say(placed, second("untagged images", &first.0, class), Some(sentence));
                    }
                }
                _ => {
                    if let Some(first) = earlier.iter().find(|it| same_list(&it.0, &placed.0)) {
                        say(placed, second("the same list of tags", &first.0, class), None);
                    }
                }
            }
        }
    }
}

fn any_not_last(later: &[&Placed], class: StorageClass) -> String {
    let numbers: Vec<_> = later.iter().map(|it| it.0.priority.to_string()).collect();
    format!(
        "a rule for `any` must have the largest `rulePriority` among those for `{}` images, \
         and here {} comes after it",
        class.as_str(),
        numbers.join(", ")
    )
}

fn second(what: &str, first: &Rule, class: StorageClass) -> String {
    format!(
        "only one rule of a storage class may select {what}: rule {} does, also for `{}`",
        first.priority,
        class.as_str()
    )
}

/// "All rules selecting a specific storage class must contain a unique set of prefixes" (LifecyclePolicies); the
/// same is taken to hold for patterns. A set has no order.
fn same_list(a: &Rule, b: &Rule) -> bool {
    let set =
        |rule: &Rule| rule.list().map(|(key, list)| (key, list.iter().cloned().collect::<BTreeSet<_>>()));
    set(a).is_some() && set(a) == set(b)
}
