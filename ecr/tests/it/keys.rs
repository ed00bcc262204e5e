//! `ecr/docs/keys.md`, which is made from the types of the configuration and the documentation of their fields:
//! `UPDATE_EXPECT=1` writes it. The keys are those that the tool reads, as its errors list them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use expect_test::expect_file;

use crate::docs::{read, root};
use crate::support::Workspace;

/// A table of the configuration.
struct Table {
    title: &'static str,
    text: &'static str,
    /// The file below `ecr/src/config` with the type, and its name.
    source: (&'static str, &'static str),
    /// The default of every key, if it is not that of the type.
    default: Option<&'static str>,
}

const IMAGE: (&str, &str) = ("metadata/image.rs", "ImageMetadata");
const PACKAGE: (&str, &str) = ("metadata/mod.rs", "PackageMetadata");

/// The tables in the order in which the tool reports them.
const TABLES: [Table; 9] = [
    Table {
        title: "[workspace.metadata.ecr]",
        text: "In the root `Cargo.toml`. All keys are optional.",
        source: ("metadata/mod.rs", "WorkspaceMetadata"),
        default: None,
    },
    Table {
        title: "[workspace.metadata.ecr.environments.NAME]",
        text: "These take the place of the workspace's keys.",
        source: ("metadata/environment.rs", "Environment"),
        default: None,
    },
    Table {
        title: "[workspace.metadata.ecr.registry]",
        text: "Changed by `ecr create --registry` only, because everybody who uses the registry shares them.",
        source: ("metadata/registry.rs", "RegistryMetadata"),
        default: None,
    },
    Table {
        title: "[workspace.metadata.ecr.image]",
        text: "Defaults of all services. A key of a service takes the place of the same key here; `env` and `labels` are merged.",
        source: IMAGE,
        default: None,
    },
    Table {
        title: "[package.metadata.ecr]",
        text: "In the `Cargo.toml` of a member. The table, which may be empty, makes the package a service.",
        source: PACKAGE,
        default: None,
    },
    Table {
        title: "[package.metadata.ecr.image]",
        text: "What the image of a service contains. [Images](images.md) has the details.",
        source: IMAGE,
        default: None,
    },
    Table {
        title: "[package.metadata.ecr.services.NAME]",
        text: "One of several services of a package, with its keys but `services`. The binary target and the end of the repository's \
               name are `NAME` by default.",
        source: PACKAGE,
        default: Some("the package's"),
    },
    Table {
        title: "ecr/repositories.json",
        text: "The file with overrides and further repositories.",
        source: ("definitions.rs", "Definitions"),
        default: None,
    },
    Table {
        title: "repositories[]",
        text: "An entry of that file. The spelling is that of the API, so that the output of `aws ecr describe-repositories` can be \
               pasted.",
        source: ("definitions.rs", "RepositoryDefinition"),
        default: None,
    },
];

/// Keys that are not spelled like their fields: the field, and the value if it is not that of the field.
const SPELLED: [(&str, &str, Option<&str>); 8] = [
    ("price-per-gb-month", "price", None),
    ("aws-profile", "profile", None),
    (
        "imageTagMutabilityExclusionFilters",
        "mutability_exclusions",
        Some("list of objects with `filterType` and `filter`"),
    ),
    ("imageScanningConfiguration", "scan_on_push", Some("object with `scanOnPush`")),
    ("encryptionConfiguration", "encryption", Some("object with `encryptionType` and `kmsKey`")),
    ("lifecyclePolicy", "lifecycle_policy", Some("path, object or `false`")),
    ("repositoryPolicy", "repository_policy", Some("path or object")),
    ("imageTagMutability", "image_tag_mutability", None),
];

/// A key that is like no other, so that the error lists all.
const UNKNOWN: &str = "qqqqqqqq = 1\n";

/// The keys of each table that the tool reads, as its errors list them.
fn keys_that_are_read() -> Vec<BTreeSet<String>> {
    let [environments, registry, image] = ["environments.prod", "registry", "image"]
        .map(|it| format!("[workspace.metadata.ecr.{it}]\n{UNKNOWN}"));
    let workspace = Workspace::new().metadata(&[UNKNOWN, &environments, &registry, &image].concat());
    let [image, services] =
        ["image", "services.api"].map(|it| format!("[package.metadata.ecr.{it}]\n{UNKNOWN}"));
    let workspace = workspace.service("api", &[UNKNOWN, &image, &services].concat());
    workspace.file(
        "ecr/repositories.json",
        r#"{"qqqqqqqq": 1, "repositories": [{"name": "data", "qqqqqqqq": 1}]}"#,
    );
    let stderr = workspace.command(&["ecr", "plan", "--local"]).run().stderr;
    let lists = stderr.lines().filter_map(|it| it.split_once("the keys are ")).map(|it| it.1);
    lists.map(|it| it.split(", ").map(|it| it.trim_matches('`').to_owned()).collect()).collect()
}

/// A field of a type, from its source.
#[derive(Debug, Clone)]
struct Field {
    name: String,
    meaning: String,
    value: String,
    default: Option<String>,
}

/// The fields of a struct in the order of the source. Those of `settings` are its own.
fn fields((file, name): (&str, &str)) -> Vec<Field> {
    let source = read(&root().join("ecr/src/config").join(file));
    let (_, body) = source.split_once(&format!("pub struct {name} {{\n")).unwrap();
    let (mut fields, mut text) = (Vec::new(), Vec::new());
    for line in body.split("\n}\n").next().unwrap().lines().map(str::trim) {
        if let Some(line) = line.strip_prefix("///") {
            text.push(line.trim());
        } else if line == "pub settings: RepositorySettings," {
            fields.extend(self::fields(("settings.rs", "RepositorySettings")));
        } else if let Some((name, kind)) = line.strip_prefix("pub ").and_then(|it| it.split_once(": ")) {
            fields.push(field(name, kind.trim_end_matches(','), &std::mem::take(&mut text).join("\n")));
        }
    }
    fields
}

fn field(name: &str, kind: &str, text: &str) -> Field {
    let (meaning, rest) = text.split_once("\n\n").unwrap_or((text, ""));
    let rest = rest.replace('\n', " ");
    let (value, default) = match rest.strip_prefix("Value: ").unwrap_or(&rest).split_once("Default: ") {
        Some((value, default)) => (value, default.strip_suffix('.').map(str::to_owned)),
        None => (rest.strip_prefix("Value: ").unwrap_or_default(), None),
    };
    let value = value.trim().trim_end_matches('.');
    Field {
        name: name.to_owned(),
        meaning: meaning.replace('\n', " ").trim_end_matches('.').to_owned(),
        value: if value.is_empty() { value_of(kind) } else { value }.to_owned(),
        default,
    }
}

/// The value that a type takes.
fn value_of(kind: &str) -> &str {
    let kind = kind.strip_prefix("Option<Located<").and_then(|it| it.strip_suffix(">>")).unwrap_or(kind);
    match kind {
        "String" => "text",
        "bool" => "boolean",
        "BTreeMap<String, Located<String>>" => "table of texts",
        "RegistryId" => "12 digits",
        "RepositoryName" => "repository name",
        "PolicySource" => "path or `false`",
        "ImageMetadata" | "RegistryMetadata" => "table",
        other => other,
    }
}

/// The rows of a table, in the order of the type.
fn rows(table: &Table, read: &BTreeSet<String>) -> Vec<(String, Field)> {
    let is_api = table.title == "repositories[]";
    let mut rows = Vec::new();
    for field in fields(table.source) {
        let spelled = SPELLED.iter().filter(|it| it.1 == field.name).find(|it| read.contains(it.0));
        let key = spelled.map_or_else(|| field.name.replace('_', "-"), |it| it.0.to_owned());
        if !read.contains(&key) {
            continue;
        }
        let value = match spelled.and_then(|it| it.2) {
            Some(value) => value.to_owned(),
            None if is_api && key == "tags" => "list of objects with `Key` and `Value`".to_owned(),
            None => field.value.clone(),
        };
        let default = table.default.map(str::to_owned).or(field.default.clone());
        rows.push((key, Field { value, default, ..field }));
    }
    rows
}

fn page() -> String {
    let read = keys_that_are_read();
    assert_eq!(read.len(), TABLES.len(), "{read:#?}");
    let mut page = "<!-- Made from the types of the configuration by ecr/tests/it/keys.rs. -->\n# Configuration keys\n\nAll keys, by table. \
                    [Configuration](configuration.md) shows them in use. A path is relative to the manifest or file\nthat it stands in, or \
                    to the root of the workspace in the root manifest.\n"
        .to_owned();
    for (table, read) in TABLES.iter().zip(read) {
        let rows = rows(table, &read);
        let found: BTreeSet<_> = rows.iter().map(|it| it.0.clone()).collect();
        assert_eq!(found, read, "{}: a field is missing, or spelled in another way", table.title);
        assert_eq!(found.len(), rows.len(), "{}", table.title);
        let head = "| key | value | default | meaning |\n|---|---|---|---|\n";
        write!(page, "\n## `{}`\n\n{}\n\n{head}", table.title, table.text).unwrap();
        for (key, Field { value, default, meaning, .. }) in rows {
            assert!(!meaning.is_empty() && !value.contains('<'), "`{key}` has no documentation: {value}");
            let none = if value.starts_with("table") { "" } else { "none" };
            let default = default.as_deref().unwrap_or(none);
            writeln!(page, "| `{key}` | {value} | {default} | {meaning} |").unwrap();
        }
    }
    page
}

#[test]
fn keys_are_made_from_the_types() {
    expect_file!["../../docs/keys.md"].assert_eq(&page());
}

/// Values that `ecr explain` shows for a key without one.
const UNSET: [&str; 4] = ["not set", "[]", "\"\"", "left as it is"];

#[test]
fn keys_have_the_defaults_that_explain_shows() {
    let workspace = Workspace::new().metadata("").service("api", "");
    let report = workspace.command(&["ecr", "explain", "--format", "json"]).run().json_with(0);
    let settings = report["settings"].as_array().unwrap().iter();
    let shown: BTreeMap<_, _> =
        settings.map(|it| (it["key"].as_str().unwrap(), it["value"].as_str().unwrap())).collect();
    let mut compared = 0;
    for (prefix, source) in [("", TABLES[0].source), ("", PACKAGE), ("image.", IMAGE)] {
        for field in fields(source) {
            let spelled = SPELLED.iter().find(|it| it.1 == field.name && it.2.is_none());
            let key = spelled.map_or_else(|| field.name.replace('_', "-"), |it| it.0.to_owned());
            let Some(shown) = shown.get(&*format!("{prefix}{key}")) else { continue };
            let default = field.default.unwrap_or_else(|| "not set".to_owned());
            let default = default.trim_end_matches(", if it exists");
            let code = default.strip_prefix('`').and_then(|it| it.strip_suffix('`'));
            match code {
                Some(code) if !UNSET.contains(shown) && *shown != "any" => assert_eq!(code, *shown, "{key}"),
                None if UNSET.contains(shown) => {}
                _ => continue,
            }
            compared += 1;
        }
    }
    assert!(compared > 15, "{compared}");
}
