//! A policy's text -> [`Document`], or all reasons for which ECR would reject it.

use std::cell::RefCell;

use ecr_types::document::{Node, Place, Value, parse_json};

use super::across::check_across;
use super::draft::Draft;
use super::shape::{Shape, either};
use super::{Action, Count, Document, Finding, Policy, Rule, StorageClass, TagFilter};

/// The maximum number of rules in a policy ("Amazon ECR service quotas", not adjustable).
const MAX_RULES: usize = 50;
/// The minimum `countNumber` for archived images, in days: "delete images … in archive for less than 90 days" ("Important" box of lifecycle_policy_examples).
const MIN_ARCHIVED_DAYS: i64 = 90;
/// The maximum number of `*` in a pattern (lifecycle_policy_parameters, `tagPatternList`).
const MAX_WILDCARDS: usize = 4;

const COUNT_TYPES: [&str; 4] =
    ["imageCountMoreThan", "sinceImagePushed", "sinceImagePulled", "sinceImageTransitioned"];
/// The message of a JSON Schema with two alternatives of which neither matches.
const NO_SCHEMA: &str = "instance failed to match exactly one schema (matched 0 out of 2)";

/// Reads a policy; see [`Document::parse`]. White space counts for the length of the text.
pub(super) fn read(file: &str, text: &str) -> Result<Document, Vec<Finding>> {
    let findings = RefCell::new(Vec::new());
    let shape = Shape { rule: None, position: None, findings: &findings };
    let is_too_long = check_length(&shape, file, text);
    // ECR checks the length before the rules. A text of any size is refused without being parsed.
    let parsed = (!is_too_long).then(|| parse_json(file, text));
    let drafts = match parsed {
        None => Vec::new(),
        Some(Ok(node)) => read_rules(&shape, &node),
        Some(Err(problem)) => {
            shape.report(&problem.place, problem.message, "Could not map policyString into LifecyclePolicy.");
            Vec::new()
        }
    };
    let mut findings = findings.into_inner();
    findings.extend(check_across(&drafts));
    if findings.is_empty() {
        let rules = drafts.into_iter().filter_map(|it| it.rule.map(|rule| (rule, it.place)));
        let (rules, places) = rules.unzip();
        let (text, file) = (text.to_owned(), Place::file(file));
        Ok(Document { text, policy: Policy { rules }, places, file })
    } else {
        findings.sort();
        Err(findings)
    }
}

/// Checks the length in characters (service model, `LifecyclePolicyText`: 100 to 30,720). Whether the text is too long.
fn check_length(shape: &Shape<'_>, file: &str, text: &str) -> bool {
    let length = text.chars().count();
    let place = Place::file(file);
    if length < 100 {
        let message = format!(
            "a lifecycle policy has at least 100 characters, this one has {length}: a description makes it longer"
        );
        shape.report(&place, message, "Member must have length greater than or equal to 100");
    }
    if length > 30_720 {
        let message = format!("a lifecycle policy has at most 30720 characters, this one has {length}");
        shape.report(&place, message, "Member must have length less than or equal to 30720");
    }
    length > 30_720
}

/// The rules, sorted by priority.
fn read_rules(shape: &Shape<'_>, node: &Node) -> Vec<Draft> {
    if !shape.object(node, "a lifecycle policy", &["rules"], &[]) {
        return Vec::new();
    }
    let Some(rules) = node.get("rules") else { return Vec::new() };
    let Value::Array(items) = &rules.value else {
        let sentence = "object has missing required properties ([\"rules\"])";
        shape.report(&rules.place, format!("`rules` must be a list, found {}", rules.kind()), sentence);
        return Vec::new();
    };
    if items.len() > MAX_RULES {
        let message =
            format!("a lifecycle policy has at most {MAX_RULES} rules, this one has {}", items.len());
        let sentence = format!(
            "array is too long: must have at most {MAX_RULES} elements but instance has {} elements",
            items.len()
        );
        shape.report(&rules.place, message, sentence);
    }
    let mut drafts: Vec<_> = items.iter().enumerate().map(|(n, it)| read_rule(shape, n + 1, it)).collect();
    drafts.sort_by_key(|it| it.priority);
    drafts
}

fn read_rule(around: &Shape<'_>, position: usize, node: &Node) -> Draft {
    let discarded = Shape { rule: None, position: None, findings: &RefCell::new(Vec::new()) };
    let number = node.get("rulePriority").and_then(|it| discarded.integer(it, "rulePriority", 1));
    let shape = Shape { rule: number, position: Some(position), findings: around.findings };
    let before = around.findings.borrow().len();
    shape.object(node, "a rule", &["rulePriority", "selection", "action"], &["description"]);
    let priority = node.get("rulePriority").and_then(|it| shape.integer(it, "rulePriority", 1));
    let description = node.get("description").and_then(|it| shape.string(it, "description"));
    let selection = node.get("selection");
    let (tags, kind, count) = selection.map(|it| read_selection(&shape, it)).unwrap_or_default();
    let action = node.get("action").and_then(|it| read_action(&shape, it));
    if let (Some(kind), Some(action)) = (kind, action) {
        check_pair(&shape, node, kind, action);
    }
    let is_good = around.findings.borrow().len() == before;
    let rule = match (priority, &tags, count, action) {
        (Some(priority), Some(tags), Some(count), Some(action)) if is_good => {
            Some(Rule { priority, description, tags: tags.clone(), count, action })
        }
        _ => None,
    };
    let is_archive = kind == Some("sinceImageTransitioned");
    let class = if is_archive { StorageClass::Archive } else { StorageClass::Standard };
    Draft { priority, tags, class, place: node.place.clone(), rule }
}

type Selection = (Option<TagFilter>, Option<&'static str>, Option<Count>);

fn read_selection(shape: &Shape<'_>, node: &Node) -> Selection {
    let optional = ["tagPrefixList", "tagPatternList", "countUnit", "storageClass"];
    shape.object(node, "`selection`", &["tagStatus", "countType", "countNumber"], &optional);
    let tags = read_tags(shape, node);
    let kind = node.get("countType").and_then(|it| shape.word(it, "countType", &COUNT_TYPES));
    (tags, kind, read_count(shape, node, kind))
}

/// The lists are checked even if `tagStatus` is not valid, so that their mistakes are reported, too.
fn read_tags(shape: &Shape<'_>, node: &Node) -> Option<TagFilter> {
    let (prefix_node, pattern_node) = (node.get("tagPrefixList"), node.get("tagPatternList"));
    let status_node = node.get("tagStatus")?;
    let status = shape.word(status_node, "tagStatus", &["any", "tagged", "untagged"]);
    let is_tagged = status.is_none_or(|it| it == "tagged");
    let prefixes = prefix_node.filter(|_| is_tagged).and_then(|it| shape.strings(it, "tagPrefixList"));
    let patterns = pattern_node.filter(|_| is_tagged).and_then(|it| read_patterns(shape, it));
    match (status?, prefix_node, pattern_node) {
        ("tagged", Some(_), None) => prefixes.map(TagFilter::Prefixes),
        ("tagged", None, Some(_)) => patterns.map(TagFilter::Patterns),
        ("tagged", None, None) => {
            let message = "`tagStatus` is `tagged`: it needs `tagPrefixList` or `tagPatternList`";
            let sentence = "Must specify tagPrefixList or tagPatternList when tagStatus=TAGGED.";
            shape.report(&status_node.place, message, sentence);
            None
        }
        ("tagged", Some(_), Some(patterns)) => {
            let message = "`tagPrefixList` and `tagPatternList` exclude one another: keep one of them";
            shape.report(&patterns.place, message, NO_SCHEMA);
            None
        }
        ("untagged", None, None) => Some(TagFilter::Untagged),
        ("any", None, None) => Some(TagFilter::Any),
        (status, prefixes, patterns) => {
            for (key, list) in [("tagPrefixList", prefixes), ("tagPatternList", patterns)] {
                let Some(list) = list else { continue };
                let message = format!("`{key}` is allowed with `tagStatus` `tagged` only, found `{status}`");
                shape.report(&list.place, message, NO_SCHEMA);
            }
            // The selection is known in spite of the mistake.
            Some(if status == "any" { TagFilter::Any } else { TagFilter::Untagged })
        }
    }
}

fn read_patterns(shape: &Shape<'_>, node: &Node) -> Option<Vec<String>> {
    let patterns = shape.strings(node, "tagPatternList")?;
    let has_too_many = |it: &&String| it.matches('*').count() > MAX_WILDCARDS;
    for pattern in patterns.iter().filter(has_too_many) {
        let message = format!("pattern `{pattern}` has more than {MAX_WILDCARDS} wildcards `*`");
        shape.report_without_sentence(&node.place, message);
    }
    (!patterns.iter().any(|it| has_too_many(&it))).then_some(patterns)
}

fn read_count(shape: &Shape<'_>, node: &Node, kind: Option<&'static str>) -> Option<Count> {
    let least = if kind == Some("sinceImageTransitioned") { MIN_ARCHIVED_DAYS } else { 1 };
    let number = node.get("countNumber").and_then(|it| shape.integer(it, "countNumber", least));
    let unit_is_good = check_unit(shape, node, kind);
    let class_is_good = check_storage_class(shape, node, kind);
    let (kind, number) = (kind?, number?);
    if !unit_is_good || !class_is_good {
        return None;
    }
    Some(match kind {
        "imageCountMoreThan" => Count::ImageCountMoreThan(number),
        "sinceImagePushed" => Count::SinceImagePushed(number),
        "sinceImagePulled" => Count::SinceImagePulled(number),
        _ => Count::SinceImageTransitioned(number),
    })
}

/// `countUnit` must be `days` for the three ages and must be absent for a count.
fn check_unit(shape: &Shape<'_>, node: &Node, kind: Option<&str>) -> bool {
    let unit = node.get("countUnit");
    let is_days = unit.is_none_or(|it| shape.word(it, "countUnit", &["days"]).is_some());
    match (kind, unit) {
        (Some("imageCountMoreThan"), Some(unit)) => {
            shape.report(&unit.place, "`countUnit` is not allowed with `imageCountMoreThan`", NO_SCHEMA);
            false
        }
        (Some(kind), None) if kind != "imageCountMoreThan" => {
            shape.report(&node.place, format!("`{kind}` needs `\"countUnit\": \"days\"`"), NO_SCHEMA);
            false
        }
        _ => is_days,
    }
}

/// `storageClass` must be `archive` for `sinceImageTransitioned`, and `standard` (the default) for the others.
fn check_storage_class(shape: &Shape<'_>, node: &Node, kind: Option<&str>) -> bool {
    let class = node.get("storageClass");
    let word = class.map(|it| shape.word(it, "storageClass", &["archive", "standard"]));
    let needs_archive = kind == Some("sinceImageTransitioned");
    match (kind, word) {
        (_, Some(None)) => false,
        (None, _) => true,
        (Some(_), Some(Some("archive"))) if needs_archive => true,
        (Some(_), Some(Some("standard")) | None) if !needs_archive => true,
        (Some(kind), _) => {
            let verb = if needs_archive { "needs" } else { "does not allow" };
            let place = class.map_or(&node.place, |it| &it.place);
            shape.report(place, format!("`{kind}` {verb} `\"storageClass\": \"archive\"`"), NO_SCHEMA);
            false
        }
    }
}

fn read_action(shape: &Shape<'_>, node: &Node) -> Option<Action> {
    let is_object = matches!(node.value, Value::Table(_));
    shape.object(node, "`action`", &["type"], &["targetStorageClass"]);
    let kind = node.get("type").filter(|_| is_object);
    let kind = kind.and_then(|it| shape.word(it, "type", &["expire", "transition"]));
    let target = node.get("targetStorageClass");
    let word = target.map(|it| shape.word(it, "targetStorageClass", &["archive"]));
    match (kind?, word) {
        (_, Some(None)) => None,
        ("expire", None) => Some(Action::Expire),
        ("transition", Some(_)) => Some(Action::Transition),
        ("expire", Some(_)) => {
            let place = target.map_or(&node.place, |it| &it.place);
            shape.report(place, "`targetStorageClass` is allowed with `transition` only", NO_SCHEMA);
            None
        }
        _ => {
            let message = "`transition` needs `\"targetStorageClass\": \"archive\"`";
            shape.report(&node.place, message, NO_SCHEMA);
            None
        }
    }
}

/// Checks the action for `sinceImagePulled` and `sinceImageTransitioned` ("Important" boxes of lifecycle_policy_examples).
fn check_pair(shape: &Shape<'_>, node: &Node, kind: &str, action: Action) {
    let wanted = match (kind, action) {
        ("sinceImagePulled", Action::Expire) => "transition",
        ("sinceImageTransitioned", Action::Transition) => "expire",
        _ => return,
    };
    let place = node.get("action").map_or(&node.place, |it| &it.place);
    let message = format!("`{kind}` is allowed with the action {} only", either(&[wanted]));
    shape.report_without_sentence(place, message);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(text: &str) -> Vec<String> {
        let findings = read("p.json", text).expect_err("it is invalid");
        let line = |it: Finding| format!("{}: {} | {}", it.place, it.text(), it.constraint());
        findings.into_iter().map(line).collect()
    }

    #[test]
    fn read_reports_all_mistakes_with_position_and_message_of_ecr() {
        let text = r#"{"rules": [
  {"rulePriority": 1, "description": "one", "selection": {"tagStatus": "tagged", "countType": "sinceImagePushed",
    "countUnit": "hours", "countNumber": 0}, "action": {"type": "delete"}},
  {"rulePriority": "2", "selection": {"tagStatus": "any", "tagPrefixLsit": [], "countType": "imageCountMoreThan",
    "countNumber": 1.5}}
]}"#;
        expect_test::expect![[r#"
            p.json:2:72: rule 1: `tagStatus` is `tagged`: it needs `tagPrefixList` or `tagPatternList` | Lifecycle policy validation failure: Must specify tagPrefixList or tagPatternList when tagStatus=TAGGED.
            p.json:3:18: rule 1: `countUnit` is `hours`: it must be `days` | Lifecycle policy validation failure: instance value ("hours") not found in enum (possible values: ["days"])
            p.json:3:42: rule 1: `countNumber` is 0: it must be 1 or more | Lifecycle policy validation failure: numeric instance is lower than the required minimum (minimum: 1, found: 0)
            p.json:3:65: rule 1: `type` is `delete`: it must be `expire` or `transition` | Lifecycle policy validation failure: instance value ("delete") not found in enum (possible values: ["expire","transition"])
            p.json:4:3: rule at position 2: a rule lacks `action` | Lifecycle policy validation failure: object has missing required properties (["action"])
            p.json:4:20: rule at position 2: `rulePriority` must be a whole number, found a string | Lifecycle policy validation failure: instance type (string) does not match any allowed primitive type (allowed: ["integer"])
            p.json:4:59: rule at position 2: `selection` has an unknown key `tagPrefixLsit`: did you mean `tagPrefixList`? | Lifecycle policy validation failure: object instance has properties which are not allowed by the schema: ["tagPrefixLsit"]
            p.json:5:20: rule at position 2: `countNumber` must be a whole number, found 1.5 | Lifecycle policy validation failure: instance type (number) does not match any allowed primitive type (allowed: ["integer"])"#]].assert_eq(&findings(text).join("\n"));
    }

    #[test]
    fn read_refuses_a_text_that_is_too_long_by_its_length_alone() {
        let rules = vec![r#"{"rulePriority": 0}"#; 8000].join(",");
        for text in [format!("{{\"rules\": [{rules}]}}"), "[".repeat(100_000), "x".repeat(10_000_000)] {
            let length = text.len();
            assert_eq!(
                findings(&text),
                [format!(
                    "p.json: a lifecycle policy has at most 30720 characters, this one has {length} | Member must \
                     have length less than or equal to 30720"
                )]
            );
        }
    }

    #[test]
    fn read_reports_a_text_that_is_not_a_policy() {
        expect_test::expect![[r#"
            p.json: a lifecycle policy has at least 100 characters, this one has 3: a description makes it longer | Member must have length greater than or equal to 100
            p.json:1:1: a lifecycle policy must be an object, found a list | Lifecycle policy validation failure: instance type (array) does not match any allowed primitive type (allowed: ["object"])"#]]
        .assert_eq(&findings("[\n]").join("\n"));
    }
}
