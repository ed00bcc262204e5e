//! Files for tools that take images as values: kustomize, Helm, Terraform, shells.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::Serialize;

use super::{DeployedImage, SCHEME};

/// The format of a file of values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ValuesFormat {
    /// A component of kustomize (kustomize.config.k8s.io/v1alpha1), to be listed under `components`.
    Kustomize,
    /// Values of Helm, below the key `images`.
    Helm,
    /// The variable `images` of Terraform: a map from names to references.
    Tfvars,
    /// Variables of a shell: `MY_APP_IMAGE=...`.
    Env,
    /// JSON, with the parts of each reference.
    Json,
}

/// Two images whose names are the same in a format.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{first}` and `{second}` would both be written as {name}")]
pub struct NameClash {
    pub first: String,
    pub second: String,
    pub name: String,
}

const FORMATS: [(&str, ValuesFormat); 5] = [
    ("kustomize", ValuesFormat::Kustomize),
    ("helm", ValuesFormat::Helm),
    ("tfvars", ValuesFormat::Tfvars),
    ("env", ValuesFormat::Env),
    ("json", ValuesFormat::Json),
];

/// A text that names no format.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a format: kustomize, helm, tfvars, env or json")]
pub struct UnknownFormat(String);

impl FromStr for ValuesFormat {
    type Err = UnknownFormat;

    fn from_str(text: &str) -> Result<Self, UnknownFormat> {
        let found = FORMATS.iter().find(|(name, _)| *name == text);
        found.map(|(_, it)| *it).ok_or_else(|| UnknownFormat(text.to_owned()))
    }
}

impl fmt::Display for ValuesFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = FORMATS.iter().find(|(_, it)| it == self).map_or("", |(name, _)| name);
        f.write_str(name)
    }
}

/// The parts of an image's reference, as Helm and JSON have them.
#[derive(Serialize)]
struct Parts<'a> {
    repository: String,
    tag: Option<&'a str>,
    digest: &'a str,
    reference: String,
}

/// The text of a file with the values of images.
///
/// # Errors
/// Two images have the same name there.
pub fn values(format: ValuesFormat, images: &[DeployedImage]) -> Result<String, NameClash> {
    Ok(match format {
        ValuesFormat::Kustomize => kustomize(images),
        ValuesFormat::Helm => helm(images),
        ValuesFormat::Tfvars => tfvars(images),
        ValuesFormat::Env => env(images)?,
        ValuesFormat::Json => json(images),
    })
}

/// Both ways to write an image in a manifest are replaced: `ecr://my-app`, and `my-app` alone.
fn kustomize(images: &[DeployedImage]) -> String {
    let mut text = "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\nimages:".to_owned();
    text += if images.is_empty() { " []\n" } else { "\n" };
    for image in images {
        for name in [format!("{SCHEME}{}", image.name()), image.name()] {
            let (location, digest) = (quoted(&image.location()), quoted(image.digest.as_str()));
            text += &format!("- name: {}\n  newName: {location}\n  digest: {digest}\n", quoted(&name));
        }
    }
    text
}

fn helm(images: &[DeployedImage]) -> String {
    let mut text = "images:".to_owned();
    text += if images.is_empty() { " {}\n" } else { "\n" };
    for image in images {
        let tag = image.tag.as_ref().map_or_else(|| "null".to_owned(), |it| quoted(it.as_str()));
        text += &format!(
            "  {}:\n    repository: {}\n    tag: {tag}\n    digest: {}\n    reference: {}\n",
            quoted(&image.name()),
            quoted(&image.location()),
            quoted(image.digest.as_str()),
            quoted(&image.reference())
        );
    }
    text
}

fn tfvars(images: &[DeployedImage]) -> String {
    let line = |it: &DeployedImage| format!("  {} = {}\n", quoted(&it.name()), quoted(&it.reference()));
    format!("images = {{\n{}}}\n", images.iter().map(line).collect::<String>())
}

fn env(images: &[DeployedImage]) -> Result<String, NameClash> {
    let mut names: BTreeMap<String, String> = BTreeMap::new();
    let mut text = String::new();
    for image in images {
        let name = variable(&image.name());
        if let Some(first) = names.insert(name.clone(), image.name()) {
            return Err(NameClash { first, second: image.name(), name });
        }
        text += &format!("{name}={}\n", image.reference());
    }
    Ok(text)
}

/// The name of a variable: `MY_APP_IMAGE`. One that began with a digit would be none (POSIX, section 3.216, "Name").
fn variable(name: &str) -> String {
    let letter = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
    let name: String = name.chars().map(letter).collect();
    let prefix = if name.starts_with(|c: char| c.is_ascii_digit()) { "_" } else { "" };
    format!("{prefix}{name}_IMAGE")
}

fn json(images: &[DeployedImage]) -> String {
    let parts = |it: &DeployedImage| {
        let parts = Parts {
            repository: it.location(),
            tag: it.tag.as_ref().map(|it| it.as_str()),
            digest: it.digest.as_str(),
            reference: it.reference(),
        };
        (it.name(), serde_json::to_value(parts).unwrap_or_default())
    };
    let images: serde_json::Map<_, _> = images.iter().map(parts).collect();
    serde_json::to_string_pretty(&serde_json::json!({ "images": images })).unwrap_or_default() + "\n"
}

/// A string in double quotes, which JSON, YAML and HCL read alike: names and references have no character to escape.
fn quoted(text: &str) -> String {
    format!("\"{text}\"")
}
