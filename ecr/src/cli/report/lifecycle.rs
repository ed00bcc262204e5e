//! The documents of `ecr lifecycle check` and `ecr lifecycle preview`.

use ecr_lifecycle::evaluate::{Decision, Fate};
use ecr_lifecycle::impact::OpenQuestion;
use ecr_lifecycle::{Action, Finding, Image, Lint};
use ecr_types::Digest;
use ecr_types::document::Place;
use ecr_types::human::{count, size};
use serde::Serialize;

#[cfg(test)]
use super::schema::rules;

/// The errors and warnings in lifecycle policies.
#[derive(Debug, Clone, Serialize, Default)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(transform = rules::valid_policies))]
pub struct CheckReport {
    /// Whether ECR would accept all policies.
    pub valid: bool,
    /// The errors. ECR would reject a policy that has one.
    pub errors: Vec<PolicyError>,
    /// The warnings about rules that ECR accepts and that may have an unexpected effect.
    pub warnings: Vec<PolicyWarning>,
}

/// An error in a policy, which ECR would reject.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct PolicyError {
    /// The error and its position.
    #[serde(flatten)]
    finding: PolicyFinding,
    /// The error message of ECR. Absent if it is unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "String"))]
    sentence: Option<String>,
}

/// A warning about a policy that ECR accepts.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct PolicyWarning {
    /// The name of the warning, such as `list-is-and`.
    id: &'static str,
    /// The warning and its position.
    #[serde(flatten)]
    finding: PolicyFinding,
    /// What to write instead.
    help: String,
}

/// A message about a policy and its position.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct PolicyFinding {
    /// The path of the file.
    file: String,
    /// The line, counted from 1. Null if the message is about the whole file.
    #[cfg_attr(test, schemars(range(min = 1)))]
    line: Option<usize>,
    /// The column in characters, counted from 1. Null if the message is about the whole file.
    #[cfg_attr(test, schemars(range(min = 1)))]
    column: Option<usize>,
    /// The `rulePriority` of the rule. Null if the message is about the whole policy, or if the priority
    /// cannot be read.
    #[cfg_attr(test, schemars(range(min = 1)))]
    rule: Option<i64>,
    /// The message.
    message: String,
}

impl PolicyError {
    /// The error at its own position.
    pub fn new(finding: Finding) -> Self {
        let Finding { place, rule, message, sentence } = finding;
        Self { sentence, finding: PolicyFinding::new(&place, rule, message) }
    }

    /// The lines for people.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = vec![self.finding.line("error")];
        lines.extend(self.sentence.iter().map(|it| format!("    ECR would answer: {it}")));
        lines
    }
}

impl PolicyWarning {
    /// The warning at the position of its rule.
    pub fn new(lint: Lint, place: &Place) -> Self {
        Self { id: lint.id, help: lint.help, finding: PolicyFinding::new(place, lint.rule, lint.message) }
    }

    /// The lines for people.
    pub fn lines(&self) -> Vec<String> {
        vec![self.finding.line("warning"), format!("    help: {}", self.help)]
    }
}

impl PolicyFinding {
    fn new(place: &Place, rule: Option<i64>, message: String) -> Self {
        let is_known = place.line > 0;
        Self {
            file: place.file.to_string(),
            line: is_known.then_some(place.line),
            column: is_known.then_some(place.column),
            rule,
            message,
        }
    }

    fn line(&self, severity: &str) -> String {
        let place = match (self.line, self.column) {
            (Some(line), Some(column)) => format!("{}:{line}:{column}", self.file),
            _ => self.file.clone(),
        };
        let rule = self.rule.map(|it| format!("rule {it}: ")).unwrap_or_default();
        format!("{place}: {severity}: {rule}{}", self.message)
    }
}

/// The images that a lifecycle policy would expire or archive.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct PreviewReport {
    /// The repositories that exist.
    pub repositories: Vec<PreviewedRepository>,
}

/// A repository and the effect of the policy on its images.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(transform = rules::failed_preview))]
#[serde(rename_all = "camelCase")]
pub struct PreviewedRepository {
    /// The name of the repository. Null for a list of images that does not contain one.
    pub name: Option<String>,
    /// The images that a rule would delete.
    pub expired: Vec<PreviewedImage>,
    /// The images that a rule would move to the archive.
    pub transitioned: Vec<PreviewedImage>,
    /// The digests of the artifacts that would be deleted because the image that they refer to is deleted.
    pub cascaded: Vec<Digest>,
    /// The images that may be deleted, depending on questions that AWS does not answer.
    pub may_expire: Vec<UncertainImage>,
    /// The images that may be moved to the archive, and not deleted, depending on such questions. Absent if there are none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(test, schemars(length(min = 1)))]
    pub may_transition: Vec<UncertainImage>,
    /// The number of images that certainly stay as they are.
    pub kept: usize,
    /// The total size in bytes of the images that would certainly be deleted, as in `imageSizeInBytes`: a layer of
    /// several images is counted for each of them.
    pub freed_bytes: u64,
    /// The questions on which `mayExpire` and `mayTransition` depend.
    pub questions: Vec<OpenQuestion>,
    /// The warnings about the policy that the images give rise to. Absent if there are none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(test, schemars(length(min = 1)))]
    pub warnings: Vec<ImagesWarning>,
    /// The images that are certain here and for which the preview of ECR has another result. Null without `--aws`.
    pub disagreements: Option<Vec<Disagreement>>,
    /// The reason why there is no preview. The lists are empty then. Absent if there is a preview.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "String"))]
    pub error: Option<String>,
}

/// A warning about a policy and the images of a repository.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ImagesWarning {
    /// The name of the warning, such as `rule-never-fires`.
    id: &'static str,
    /// The `rulePriority` of the rule. Null if the warning is about the whole policy.
    #[cfg_attr(test, schemars(range(min = 1)))]
    rule: Option<i64>,
    /// The message.
    message: String,
    /// What to write instead.
    help: String,
}

impl From<Lint> for ImagesWarning {
    fn from(lint: Lint) -> Self {
        let Lint { id, rule, message, help } = lint;
        Self { id, rule, message, help }
    }
}

impl ImagesWarning {
    /// The line for people.
    pub fn line(&self) -> String {
        let rule = self.rule.map(|it| format!("rule {it}: ")).unwrap_or_default();
        format!("{rule}{}", self.message)
    }

    /// The help for people.
    pub fn help(&self) -> &str {
        &self.help
    }
}

/// An image to which a rule applies.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct PreviewedImage {
    /// The digest of the image.
    pub digest: Digest,
    /// The tags of the image.
    pub tags: Vec<String>,
    /// The `rulePriority` of the rule.
    #[cfg_attr(test, schemars(range(min = 1)))]
    pub rule_priority: i64,
    /// The size of the image in bytes.
    pub size_bytes: u64,
}

/// An image that may be deleted or archived.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct UncertainImage {
    /// The image, and the rule that would apply. For an artifact it may be the rule that applies to its subject.
    #[serde(flatten)]
    image: PreviewedImage,
    /// The names of the questions.
    #[cfg_attr(test, schemars(length(min = 1)))]
    questions: Vec<&'static str>,
}

/// An image for which the preview of ECR has another result.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Disagreement {
    /// The digest of the image.
    pub digest: Digest,
    /// The `rulePriority` of the rule that applies in this preview. Null if no rule applies.
    #[cfg_attr(test, schemars(range(min = 1)))]
    pub ours: Option<i64>,
    /// The `rulePriority` of the rule that applies in the preview of ECR. Null if no rule applies.
    #[cfg_attr(test, schemars(range(min = 1)))]
    pub aws: Option<i64>,
}

impl PreviewedRepository {
    /// The report on the images of a repository and the decision about each of them.
    pub fn new(name: Option<String>, images: &[Image], decisions: &[Decision]) -> Self {
        let mut report = Self {
            name,
            expired: Vec::new(),
            transitioned: Vec::new(),
            cascaded: Vec::new(),
            may_expire: Vec::new(),
            may_transition: Vec::new(),
            kept: 0,
            freed_bytes: 0,
            questions: OpenQuestion::of(decisions),
            warnings: Vec::new(),
            disagreements: None,
            error: None,
        };
        for (image, decision) in images.iter().zip(decisions) {
            report.add(image, decision);
        }
        report.expired.sort_by(|a, b| a.digest.cmp(&b.digest));
        report.transitioned.sort_by(|a, b| a.digest.cmp(&b.digest));
        report.cascaded.sort();
        report.may_expire.sort_by(|a, b| a.image.digest.cmp(&b.image.digest));
        report.may_transition.sort_by(|a, b| a.image.digest.cmp(&b.image.digest));
        report
    }

    fn add(&mut self, image: &Image, decision: &Decision) {
        let row = |rule_priority| PreviewedImage {
            digest: image.digest.clone(),
            tags: image.tags.clone(),
            rule_priority,
            size_bytes: image.size_bytes,
        };
        if !decision.is_certain() {
            let goes = [(Fate::Deleted, &mut self.may_expire), (Fate::Archived, &mut self.may_transition)];
            let mut goes =
                goes.into_iter().filter_map(|(fate, list)| Some((decision.with_fate(fate)?, list)));
            if let Some((outcome, list)) = goes.next() {
                let questions = decision.questions.iter().map(|it| it.id()).collect();
                let image = row(outcome.priority().unwrap_or_default());
                list.push(UncertainImage { image, questions });
            }
            return;
        }
        if decision.outcome.is_deleted() {
            self.freed_bytes += image.size_bytes;
        }
        match decision.outcome.rule() {
            Some((rule, Action::Expire)) => self.expired.push(row(rule)),
            Some((rule, Action::Transition)) => self.transitioned.push(row(rule)),
            None if decision.outcome.is_cascaded() => self.cascaded.push(image.digest.clone()),
            None => self.kept += 1,
        }
    }

    /// The lines for people.
    pub fn lines(&self) -> Vec<String> {
        let name = self.name.as_deref().unwrap_or("images");
        if self.error.is_some() {
            return vec![format!("{name}: unknown")];
        }
        let uncertain = self.uncertain();
        let certain = self.expired.len() + self.transitioned.len() + self.cascaded.len() + self.kept;
        let mut lines = vec![format!(
            "{name}: {}, {} would expire ({}), {} would be archived, {} would be deleted with their subject, \
             {} kept{}",
            count((certain + uncertain) as u64, "image"),
            self.expired.len(),
            size(self.freed_bytes),
            self.transitioned.len(),
            self.cascaded.len(),
            self.kept,
            self.uncertain_text()
        )];
        lines.extend(self.expired.iter().map(|it| it.line('-')));
        lines.extend(self.transitioned.iter().map(|it| it.line('>')));
        lines.extend(self.cascaded.iter().map(|it| format!("  - {}  with its subject", it.short())));
        lines.extend(self.may_expire.iter().map(|it| it.image.line('?')));
        lines.extend(self.may_transition.iter().map(|it| it.image.line('?')));
        lines.extend(self.questions.iter().map(|it| format!("  ? {}", it.line())));
        let of = |rule: Option<i64>| rule.map_or("no rule".to_owned(), |it| format!("rule {it}"));
        for it in self.disagreements.iter().flatten() {
            lines.push(format!(
                "  ! {}  {} here, {} in the preview of ECR",
                it.digest.short(),
                of(it.ours),
                of(it.aws)
            ));
        }
        lines
    }
}

impl PreviewedRepository {
    /// The number of images that may be deleted or archived.
    pub fn uncertain(&self) -> usize {
        self.may_expire.len() + self.may_transition.len()
    }

    /// `, 3 may expire, 1 may be archived`.
    fn uncertain_text(&self) -> String {
        let counts = [(self.may_expire.len(), "may expire"), (self.may_transition.len(), "may be archived")];
        counts.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!(", {n} {what}")).collect()
    }
}

impl PreviewedImage {
    fn line(&self, mark: char) -> String {
        let tags = if self.tags.is_empty() { "untagged".to_owned() } else { self.tags.join(", ") };
        let (digest, bytes) = (self.digest.short(), size(self.size_bytes));
        format!("  {mark} {digest}  {tags}  {bytes}  rule {}", self.rule_priority)
    }
}
