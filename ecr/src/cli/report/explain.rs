//! The document of `ecr explain`.

use serde::Serialize;

use crate::cli::shell::Printable;
use crate::cli::table::Tone;
use crate::config::desired::{Explained, Origin};

/// The settings of a workspace with their origins.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ExplainReport {
    /// The name of the environment. Null without one.
    pub environment: Option<String>,
    /// The settings: those of the workspace, and those of each service.
    pub settings: Vec<ExplainedSetting>,
}

/// A setting.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ExplainedSetting {
    /// The name of the service. Null for a setting of the workspace.
    pub service: Option<String>,
    /// The key, with its table.
    pub key: String,
    /// The value that counts.
    pub value: String,
    /// Where it comes from: a file with line and column, a flag, a variable, or `built-in`.
    pub origin: String,
    /// The values that it overrides, the one of the highest precedence first.
    pub overrides: Vec<OverriddenValue>,
}

/// A value that does not count.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct OverriddenValue {
    /// The value.
    pub value: String,
    /// Where it comes from.
    pub origin: String,
}

impl ExplainedSetting {
    /// A setting. What is built in is no value that somebody would miss.
    pub fn new(explained: Explained) -> Option<Self> {
        let mut values = explained.values.into_iter();
        let (value, origin) = values.next()?;
        let overrides = values.filter(|(_, origin)| *origin != Origin::BuiltIn);
        let overrides =
            overrides.map(|(value, origin)| OverriddenValue { value, origin: origin.to_string() });
        Some(Self {
            service: explained.service.map(|it| it.name),
            key: explained.key,
            value,
            origin: origin.to_string(),
            overrides: overrides.collect(),
        })
    }

    fn line(&self, width: usize) -> Printable {
        let key = format!("  {:width$}  ", self.key);
        let origin = format!("  {}", self.origin);
        let line = Printable::line(&key) + self.value.as_str() + Tone::Dim.paint(&origin);
        let overrides = self.overrides.iter().map(|it| format!("{} ({})", it.value, it.origin));
        let overrides: Vec<_> = overrides.collect();
        match overrides.is_empty() {
            true => line,
            false => line + Tone::Dim.paint(&format!(", instead of {}", overrides.join(", "))),
        }
    }
}

impl ExplainReport {
    /// The settings for people, those of each service below its name.
    pub fn lines(&self) -> Vec<Printable> {
        let width = self.settings.iter().map(|it| it.key.len()).max().unwrap_or_default();
        let mut lines = Vec::new();
        let mut current = None;
        for setting in &self.settings {
            let title = setting.service.as_deref().unwrap_or("workspace");
            if current != Some(title) {
                current = Some(title);
                lines.push(Tone::Title.paint(title));
            }
            lines.push(setting.line(width));
        }
        lines
    }
}
