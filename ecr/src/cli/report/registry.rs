//! The settings of the whole registry: the section of `ecr status`, and the changes of `plan` and `create` with `--registry`.

use ecr_types::RepositoryName;
use ecr_types::human::{size, some_of};
use serde::Serialize;
use serde_json::Value;

use super::plan::short;
use crate::cli::shell::Printable;
use crate::cli::table::Tone;
use crate::config::desired::DesiredTemplate;
use crate::plan::observed::Property;
use crate::registry::{CreationTemplate, RegistrySettings, RegistryStep};

/// What is set for the whole registry and changes what commands mean for the selected repositories. A value is null if it
/// could not be read.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct RegistryStatus {
    /// The scanning configuration.
    scanning: Option<ScanningStatus>,
    /// Whether a push mounts layers from other repositories.
    blob_mounting: Option<bool>,
    /// The size in bytes of the layers that are stored in several of the selected repositories, without the first time.
    /// Mounting would have spared these uploads.
    repeated_layer_bytes: u64,
    /// The creation templates that are about selected repositories.
    creation_templates: Option<Vec<TemplateStatus>>,
    /// The signing rules that are about selected repositories.
    signing_rules: Option<Vec<SigningStatus>>,
    /// The pull-through cache rules.
    pull_through_rules: Option<Vec<PullThroughStatus>>,
    /// The replication rules that are about selected repositories.
    replication: Option<Vec<ReplicationStatus>>,
    /// The ARNs of the principals whose pulls do not count as the last pull.
    pull_time_exclusions: Option<Vec<String>>,
}

/// The scanning configuration.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct ScanningStatus {
    /// The type of scanning.
    #[cfg_attr(test, schemars(extend("examples" = ["BASIC", "ENHANCED"])))]
    r#type: String,
    /// The rules.
    rules: Vec<ScanningRuleStatus>,
}

/// A rule of the scanning configuration.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct ScanningRuleStatus {
    /// When ECR scans.
    #[cfg_attr(test, schemars(extend("examples" = ["SCAN_ON_PUSH", "CONTINUOUS_SCAN", "MANUAL"])))]
    frequency: String,
    /// The filters of repository names.
    filters: Vec<String>,
}

/// A creation template.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
struct TemplateStatus {
    /// The namespace, or `ROOT`.
    prefix: String,
    /// What the template is applied for.
    applied_for: Vec<String>,
    /// The fields in which it differs from the defaults of the workspace.
    differs: Vec<&'static str>,
    /// Whether ECR cannot create a repository from it, because it has resource tags and no role.
    broken: bool,
}

/// A signing rule.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct SigningStatus {
    /// The ARN of the AWS Signer profile.
    profile: String,
    /// The selected repositories that it is about.
    repositories: Vec<RepositoryName>,
}

/// A pull-through cache rule.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct PullThroughStatus {
    /// The namespace of the copies, or `ROOT`.
    prefix: String,
    /// The URL of the registry that is copied from.
    upstream: String,
}

/// A replication rule.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct ReplicationStatus {
    /// The destinations, as `REGION/ACCOUNT`.
    destinations: Vec<String>,
    /// The selected repositories that it is about.
    repositories: Vec<RepositoryName>,
}

impl RegistryStatus {
    /// What the settings mean for repositories. `repeated_bytes` are those of [`crate::registry::SharedLayers`].
    pub fn new(
        settings: &RegistrySettings,
        names: &[RepositoryName],
        defaults: &DesiredTemplate,
        repeated_bytes: u64,
    ) -> Self {
        let covered = |covers: &dyn Fn(&RepositoryName) -> bool| {
            names.iter().filter(|it| covers(it)).cloned().collect::<Vec<_>>()
        };
        Self {
            scanning: settings.scanning.known().map(|it| ScanningStatus {
                r#type: it.kind.clone(),
                rules: it.rules.iter().map(ScanningRuleStatus::from).collect(),
            }),
            blob_mounting: settings.blob_mounting.known().copied(),
            repeated_layer_bytes: repeated_bytes,
            creation_templates: map(&settings.templates, |all| {
                let is_used = |it: &&CreationTemplate| names.iter().any(|name| it.covers(name));
                all.iter().filter(is_used).map(|it| TemplateStatus::new(it, defaults)).collect()
            }),
            signing_rules: map(&settings.signing, |all| {
                let each = all.iter().map(|it| SigningStatus {
                    profile: it.profile.clone(),
                    repositories: covered(&|name| it.covers(name)),
                });
                each.filter(|it| !it.repositories.is_empty()).collect()
            }),
            pull_through_rules: map(&settings.pull_through, |all| {
                let each = all
                    .iter()
                    .map(|it| PullThroughStatus { prefix: it.prefix.clone(), upstream: it.upstream.clone() });
                each.collect()
            }),
            replication: map(&settings.replication, |all| {
                let each = all.iter().map(|rule| ReplicationStatus {
                    destinations: rule
                        .destinations
                        .iter()
                        .map(|(region, id)| format!("{region}/{id}"))
                        .collect(),
                    repositories: covered(&|name| rule.covers(name)),
                });
                each.filter(|it| !it.repositories.is_empty()).collect()
            }),
            pull_time_exclusions: settings.pull_time_exclusions.known().cloned(),
        }
    }

    /// The lines for people: `-` for what could not be read.
    pub fn lines(&self) -> Vec<Printable> {
        let rows = [
            ("scanning", self.scanning.as_ref().map(ScanningStatus::text)),
            ("mounting", self.blob_mounting.map(|it| self.mounting_text(it))),
            ("templates", texts(&self.creation_templates, TemplateStatus::text)),
            ("signing", texts(&self.signing_rules, SigningStatus::text)),
            ("caches", texts(&self.pull_through_rules, PullThroughStatus::text)),
            ("replication", texts(&self.replication, ReplicationStatus::text)),
            ("pull times", self.pull_time_exclusions.as_ref().map(|it| vec![pull_times_text(it)])),
        ];
        let mut lines = Vec::new();
        for (title, texts) in rows {
            let texts = texts.unwrap_or_else(|| vec!["-".to_owned()]);
            for (n, text) in texts.iter().enumerate() {
                let title = if n == 0 { title } else { "" };
                lines.push(
                    Printable::from("  ") + Tone::Dim.paint(&format!("{title:<11}")) + " " + text.as_str(),
                );
            }
        }
        lines
    }

    fn mounting_text(&self, is_on: bool) -> Vec<String> {
        let text = match (is_on, self.repeated_layer_bytes) {
            (true, _) => "on: layers are mounted from other repositories".to_owned(),
            (false, bytes) if bytes > 0 => format!(
                "off: it would have spared {} of layers that several of these repositories have",
                size(bytes)
            ),
            (false, _) => "off".to_owned(),
        };
        vec![text]
    }
}

fn map<T, U>(property: &Property<T>, of: impl FnOnce(&T) -> U) -> Option<U> {
    property.known().map(of)
}

fn texts<T>(list: &Option<Vec<T>>, text: fn(&T) -> String) -> Option<Vec<String>> {
    let texts: Vec<_> = list.as_ref()?.iter().map(text).collect();
    Some(if texts.is_empty() { vec!["none".to_owned()] } else { texts })
}

fn pull_times_text(exclusions: &[String]) -> String {
    match exclusions {
        [] => "every pull is recorded".to_owned(),
        exclusions => format!("not recorded for {}", some_of(exclusions, 5)),
    }
}

impl ScanningStatus {
    fn text(&self) -> Vec<String> {
        let rule = |it: &ScanningRuleStatus| format!("{} for {}", it.frequency, some_of(&it.filters, 5));
        match self.rules.as_slice() {
            [] => vec![format!("{}, without rules", self.r#type)],
            rules => rules.iter().map(|it| format!("{}, {}", self.r#type, rule(it))).collect(),
        }
    }
}

impl From<&ecr_types::ScanningRule> for ScanningRuleStatus {
    fn from(rule: &ecr_types::ScanningRule) -> Self {
        Self { frequency: rule.frequency.clone(), filters: rule.filters.clone() }
    }
}

impl TemplateStatus {
    fn new(template: &CreationTemplate, defaults: &DesiredTemplate) -> Self {
        let fields = template.differences(defaults).into_iter().map(|it| it.0);
        Self {
            prefix: template.prefix.clone(),
            applied_for: template.applied_for.clone(),
            // What it is applied for is shown beside.
            differs: fields.filter(|it| *it != "appliedFor").collect(),
            broken: template.is_broken(),
        }
    }

    fn text(&self) -> String {
        let differs = match self.differs.as_slice() {
            [] => "as the workspace's defaults".to_owned(),
            differs => format!("differs in {}", some_of(differs, 5)),
        };
        let broken = match self.broken {
            true => "; it creates nothing, since it has resource tags and no customRoleArn",
            false => "",
        };
        format!("{} ({}): {differs}{broken}", self.prefix, some_of(&self.applied_for, 5))
    }
}

impl SigningStatus {
    fn text(&self) -> String {
        format!("{} for {}", self.profile, some_of(&self.repositories, 5))
    }
}

impl PullThroughStatus {
    fn text(&self) -> String {
        format!("{} from {}", self.prefix, self.upstream)
    }
}

impl ReplicationStatus {
    fn text(&self) -> String {
        format!("to {} for {}", some_of(&self.destinations, 5), some_of(&self.repositories, 5))
    }
}

/// A change to the settings of the registry.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct RegistryStepReport {
    /// The operation of the ECR API.
    #[cfg_attr(
        test,
        schemars(extend("enum" = [
            "PutAccountSetting",
            "CreateRepositoryCreationTemplate",
            "UpdateRepositoryCreationTemplate",
        ]))
    )]
    operation: &'static str,
    /// The setting: `blobMounting`, or `creationTemplate` and its prefix.
    field: String,
    /// The value that AWS has. Null if there is none.
    observed: Value,
    /// The configured value.
    desired: Value,
}

/// A change to the settings of the registry, and its result.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct RegistryChange {
    /// The change.
    #[serde(flatten)]
    pub step: RegistryStepReport,
    /// The reason why it was not made. Absent if it was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "String"))]
    pub error: Option<String>,
}

impl From<&RegistryStep> for RegistryStepReport {
    fn from(step: &RegistryStep) -> Self {
        let (observed, desired) = (step.observed.clone(), step.desired.clone());
        Self { operation: step.write.operation(), field: step.field.clone(), observed, desired }
    }
}

/// The lines for people about the planned changes.
pub fn registry_lines(steps: &[RegistryStep]) -> Vec<String> {
    let change = |field: &str, observed: &Value, desired: &Value| {
        format!("    ~ {field}: {} -> {}", short(observed), short(desired))
    };
    let lines = |step: &RegistryStep| match (&step.observed, &step.desired) {
        (Value::Null, desired) => vec![format!("    + {}: {}", step.field, short(desired))],
        (Value::Object(observed), Value::Object(desired)) => desired
            .iter()
            .map(|(key, desired)| change(&format!("{}.{key}", step.field), &observed[key], desired))
            .collect(),
        (observed, desired) => vec![change(&step.field, observed, desired)],
    };
    let title = match steps {
        [] => "= registry settings",
        _ => "~ registry settings",
    };
    std::iter::once(title.to_owned()).chain(steps.iter().flat_map(lines)).collect()
}
