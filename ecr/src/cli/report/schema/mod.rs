//! Generates the JSON Schemas in `ecr/schema` from the types of the documents.
//!
//! `UPDATE_EXPECT=1 cargo test -p xtask-ecr --lib schema` rewrites the files.

use schemars::generate::SchemaSettings;
use schemars::transform::RecursiveTransform;
use schemars::{JsonSchema, Schema};

pub mod rules;
mod values;
pub use crate::scan::SCAN_STATUSES;
pub use values::{Counts, CreateRequest, Field, Operation, Policy, RepositoryState, WritableField};

/// The schema of a document. `name` is that of its file, and `title` is the command.
fn schema_of<T: JsonSchema>(name: &str, title: &str) -> String {
    let settings = SchemaSettings::draft2020_12().for_serialize();
    let mut generator = settings.with_transform(RecursiveTransform(simplify)).into_generator();
    if matches!(name, "plan" | "plan-environments" | "create") {
        // `rules` refers to them.
        generator.subschema_for::<CreateRequest>();
        generator.subschema_for::<Policy>();
    }
    let mut schema = generator.into_root_schema_for::<T>();
    schema.insert("$id".to_owned(), format!("{name}.json").into());
    schema.insert("title".to_owned(), title.into());
    serde_json::to_string_pretty(&schema).unwrap_or_default() + "\n"
}

/// Objects have no other members than those of the type. Formats are those that JSON Schema defines, and not
/// the sizes of Rust's integers. Descriptions are one line.
fn simplify(schema: &mut Schema) {
    let is_struct = schema.get("type").is_some_and(|it| it == "object") && schema.get("properties").is_some();
    let Some(keywords) = schema.as_object_mut() else { return };
    if is_struct {
        keywords.entry("additionalProperties").or_insert(false.into());
    }
    if keywords.get("format").is_some_and(|it| it != "date-time") {
        keywords.remove("format");
    }
    if let Some(text) = keywords.get("description").and_then(|it| it.as_str()) {
        let line = text.split('\n').map(str::trim).collect::<Vec<_>>().join(" ");
        keywords.insert("description".to_owned(), line.into());
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect_file;

    use super::{SCAN_STATUSES, schema_of};
    use crate::aws::iam::{PolicyDocument, TrustPolicy};
    use crate::cli::report::*;
    use crate::scan::ScanStatus;

    const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/schema");

    #[test]
    fn schema_files_are_those_of_the_types() {
        let schemas = [
            ("create", schema_of::<CreateReport>("create", "ecr create")),
            ("delete", schema_of::<DeleteReport>("delete", "ecr delete")),
            ("deployed", schema_of::<DeployedReport>("deployed", "ecr deployed")),
            ("error", schema_of::<ErrorReport>("error", "any command")),
            ("explain", schema_of::<ExplainReport>("explain", "ecr explain")),
            ("iam-policy", schema_of::<PolicyDocument>("iam-policy", "ecr iam-policy")),
            ("iam-trust", schema_of::<TrustPolicy>("iam-trust", "ecr iam-policy --trust")),
            ("images", schema_of::<ImagesDocument>("images", "ecr images")),
            ("init", schema_of::<InitReport>("init", "ecr init")),
            ("lifecycle-check", schema_of::<CheckReport>("lifecycle-check", "ecr lifecycle check")),
            ("lifecycle-preview", schema_of::<PreviewReport>("lifecycle-preview", "ecr lifecycle preview")),
            ("login", schema_of::<LoginReport>("login", "ecr login")),
            ("pin-bases", schema_of::<PinReport>("pin-bases", "ecr pin-bases")),
            ("plan", schema_of::<PlanReport>("plan", "ecr plan")),
            (
                "plan-environments",
                schema_of::<EnvironmentPlans>("plan-environments", "ecr plan of several environments"),
            ),
            ("promote", schema_of::<PromoteReport>("promote", "promote")),
            ("push", schema_of::<PushReport>("push", "push")),
            ("push-list", schema_of::<ServiceList>("push-list", "push --list")),
            ("push-merge-refs", schema_of::<MergedReferences>("push-merge-refs", "push --merge-refs")),
            ("resolve", schema_of::<ResolveReport>("resolve", "resolve")),
            ("scan", schema_of::<ScanDocument>("scan", "ecr scan")),
            ("status", schema_of::<StatusReport>("status", "ecr status")),
        ];
        for (name, schema) in &schemas {
            expect_file![format!("{FOLDER}/{name}.json")].assert_eq(schema);
        }
        assert_eq!(std::fs::read_dir(FOLDER).unwrap().count(), schemas.len(), "a file without a type");
    }
    #[test]
    fn schema_examples_of_statuses_are_known() {
        let is_known = |it: &str| !matches!(ScanStatus::from_api(it), ScanStatus::Other(_));
        assert!(SCAN_STATUSES.iter().all(|it| is_known(it)));
    }
}
