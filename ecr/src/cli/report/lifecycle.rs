//! What `ecr lifecycle` prints.

use ecr_lifecycle::evaluate::Decision;
use ecr_lifecycle::question::Question;
use ecr_lifecycle::{Action, Finding, Image, Lint};
use ecr_types::Digest;
use ecr_types::document::Place;
use ecr_types::human::{count, size};
use serde::Serialize;

/// `ecr lifecycle check`.
#[derive(Debug, Clone, Serialize, Default)]
pub struct CheckReport {
    /// Whether ECR would accept every policy.
    pub valid: bool,
    /// For what it would refuse them.
    pub errors: Vec<CheckedFinding>,
    /// What people might not expect.
    pub warnings: Vec<CheckedFinding>,
}

/// An error or a warning of a [`CheckReport`].
#[derive(Debug, Clone, Serialize)]
pub struct CheckedFinding {
    /// The file.
    pub file: String,
    /// The line, from 1; null for the file as a whole.
    pub line: Option<usize>,
    /// The column in characters, from 1.
    pub column: Option<usize>,
    /// The rule's `rulePriority`.
    pub rule: Option<i64>,
    /// What is wrong.
    pub message: String,
    /// ECR's own sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sentence: Option<String>,
    /// What to write instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
}

impl CheckedFinding {
    /// A reason for which ECR refuses a policy.
    pub fn error(finding: Finding) -> Self {
        let Finding { place, rule, message, sentence } = finding;
        Self { sentence, ..Self::new(&place, rule, message) }
    }

    /// A surprise, and where the rule stands.
    pub fn warning(lint: Lint, place: &Place) -> Self {
        Self { help: Some(lint.help), ..Self::new(place, lint.rule, lint.message) }
    }

    fn new(place: &Place, rule: Option<i64>, message: String) -> Self {
        let is_known = place.line > 0;
        Self {
            file: place.file.to_string(),
            line: is_known.then_some(place.line),
            column: is_known.then_some(place.column),
            rule,
            message,
            sentence: None,
            help: None,
        }
    }

    /// The lines for people; `severity` is `error` or `warning`.
    pub fn lines(&self, severity: &str) -> Vec<String> {
        let place = match (self.line, self.column) {
            (Some(line), Some(column)) => format!("{}:{line}:{column}", self.file),
            _ => self.file.clone(),
        };
        let rule = self.rule.map(|it| format!("rule {it}: ")).unwrap_or_default();
        let mut lines = vec![format!("{place}: {severity}: {rule}{}", self.message)];
        lines.extend(self.sentence.iter().map(|it| format!("    ECR would answer: {it}")));
        lines.extend(self.help.iter().map(|it| format!("    help: {it}")));
        lines
    }
}

/// `ecr lifecycle preview`.
#[derive(Debug, Clone, Serialize)]
pub struct PreviewReport {
    /// One entry a repository.
    pub repositories: Vec<PreviewedRepository>,
}

/// A repository of a [`PreviewReport`].
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PreviewedRepository {
    /// Its name; null for a list of images that names none.
    pub name: Option<String>,
    /// Images that would be deleted.
    pub expired: Vec<PreviewedImage>,
    /// Images that would be moved to the archive.
    pub transitioned: Vec<PreviewedImage>,
    /// Artifacts that would go with their subject.
    pub cascaded: Vec<Digest>,
    /// How many images stay as they are.
    pub kept: usize,
    /// The sizes of what would be deleted, as ECR counts them: layers that images share are counted for each.
    pub freed_bytes: u64,
    /// Images that stay, or cascade, by a choice that AWS does not document.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub in_doubt: Vec<UndocumentedImage>,
    /// Where ECR's own preview differs; null where it was not asked.
    pub disagreements: Option<Vec<Disagreement>>,
    /// Why it could not be previewed; then every list is empty.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// An image of a [`PreviewedRepository`].
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PreviewedImage {
    /// Its digest.
    pub digest: Digest,
    /// Its tags.
    pub tags: Vec<String>,
    /// The rule that takes it.
    pub rule_priority: i64,
    /// Its size.
    pub size_bytes: u64,
    /// Choices on which that depends, because AWS does not document them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub not_documented: Vec<&'static str>,
}

/// An image without a rule of its own whose outcome is in doubt.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct UndocumentedImage {
    /// Its digest.
    pub digest: Digest,
    /// The choices.
    pub not_documented: Vec<&'static str>,
}

/// An image on which ECR's own preview differs.
#[derive(Debug, Clone, Serialize)]
pub struct Disagreement {
    /// Its digest.
    pub digest: Digest,
    /// The rule that takes it here; null for none.
    pub ours: Option<i64>,
    /// The rule that takes it in ECR's preview; null for none.
    pub aws: Option<i64>,
}

impl PreviewedRepository {
    /// The images of a repository with what was decided about each.
    pub fn new(name: Option<String>, images: &[Image], decisions: &[Decision]) -> Self {
        let mut report = Self {
            name,
            expired: Vec::new(),
            transitioned: Vec::new(),
            cascaded: Vec::new(),
            kept: 0,
            freed_bytes: 0,
            in_doubt: Vec::new(),
            disagreements: None,
            error: None,
        };
        for (image, decision) in images.iter().zip(decisions) {
            report.add(image, decision);
        }
        report.expired.sort_by(|a, b| a.digest.cmp(&b.digest));
        report.transitioned.sort_by(|a, b| a.digest.cmp(&b.digest));
        report.cascaded.sort();
        report
    }

    fn add(&mut self, image: &Image, decision: &Decision) {
        let not_documented: Vec<_> = decision.questions.iter().copied().map(Question::choice).collect();
        if decision.outcome.is_deleted() {
            self.freed_bytes += image.size_bytes;
        }
        if let Some((rule_priority, action)) = decision.outcome.rule() {
            let list = match action {
                Action::Expire => &mut self.expired,
                Action::Transition => &mut self.transitioned,
            };
            let (digest, tags) = (image.digest.clone(), image.tags.clone());
            let size_bytes = image.size_bytes;
            return list.push(PreviewedImage { digest, tags, rule_priority, size_bytes, not_documented });
        }
        match decision.outcome.is_cascaded() {
            true => self.cascaded.push(image.digest.clone()),
            false => self.kept += 1,
        }
        if !not_documented.is_empty() {
            self.in_doubt.push(UndocumentedImage { digest: image.digest.clone(), not_documented });
        }
    }

    /// The lines for people.
    pub fn lines(&self) -> Vec<String> {
        let name = self.name.as_deref().unwrap_or("images");
        if self.error.is_some() {
            return vec![format!("{name}: unknown")];
        }
        let total = self.expired.len() + self.transitioned.len() + self.cascaded.len() + self.kept;
        let mut lines = vec![format!(
            "{name}: {}, {} would expire ({}), {} would be archived, {} would go with their subject, {} stay",
            count(total as u64, "image"),
            self.expired.len(),
            size(self.freed_bytes),
            self.transitioned.len(),
            self.cascaded.len(),
            self.kept
        )];
        lines.extend(self.expired.iter().flat_map(|it| it.lines('-')));
        lines.extend(self.transitioned.iter().flat_map(|it| it.lines('>')));
        lines.extend(self.cascaded.iter().map(|it| format!("  - {}  with its subject", it.short())));
        for image in &self.in_doubt {
            lines.push(format!("  ? {}", image.digest.short()));
            lines.extend(image.not_documented.iter().map(|it| format!("      not documented: {it}")));
        }
        let of = |rule: Option<i64>| rule.map_or("no rule".to_owned(), |it| format!("rule {it}"));
        for it in self.disagreements.iter().flatten() {
            lines.push(format!(
                "  ! {}  {} here, {} in ECR's preview",
                it.digest.short(),
                of(it.ours),
                of(it.aws)
            ));
        }
        lines
    }
}

impl PreviewedImage {
    fn lines(&self, mark: char) -> Vec<String> {
        let tags = if self.tags.is_empty() { "untagged".to_owned() } else { self.tags.join(", ") };
        let (digest, bytes) = (self.digest.short(), size(self.size_bytes));
        let mut lines = vec![format!("  {mark} {digest}  {tags}  {bytes}  rule {}", self.rule_priority)];
        lines.extend(self.not_documented.iter().map(|it| format!("      not documented: {it}")));
        lines
    }
}
