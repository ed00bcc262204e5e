//! What holds between the members of an object, and what Rust's types do not express.

use schemars::Schema;
use serde_json::{Value, json};

/// Adds a rule that holds in addition to the members.
fn add(schema: &mut Schema, rule: Value) {
    let rules = schema.ensure_object().entry("allOf").or_insert_with(|| json!([]));
    rules.as_array_mut().into_iter().for_each(|it| it.push(rule.clone()));
}

fn type_is(name: &str) -> Value {
    json!({"type": name})
}

fn reference(name: &str) -> Value {
    json!({"$ref": format!("#/$defs/{name}")})
}

/// A repository of another project has an owner, and no steps.
pub fn foreign_repository(schema: &mut Schema) {
    add(
        schema,
        json!({
            "if": {"properties": {"state": {"const": "foreign"}}},
            "then": {"required": ["owner"], "properties": {"steps": {"maxItems": 0}}},
            "else": {"not": {"required": ["owner"]}},
        }),
    );
}

/// A repository that is as configured has an address and no error; every other one has an error.
pub fn create_result(schema: &mut Schema) {
    let text = type_is("string");
    add(
        schema,
        json!({
            "if": {"properties": {"outcome": {"enum": ["created", "updated", "unchanged"]}}},
            "then": {"properties": {"error": type_is("null"), "uri": text, "arn": text}},
            "else": {"properties": {"error": text}},
        }),
    );
}

/// A repository that was refused, or whose deletion failed, has an error, and no other one has.
pub fn delete_error(schema: &mut Schema) {
    add(
        schema,
        json!({
            "if": {"properties": {"outcome": {"enum": ["refused", "failed"]}}},
            "then": {"properties": {"error": type_is("string")}},
            "else": {"properties": {"error": type_is("null")}},
        }),
    );
}

/// A push that failed has an error.
pub fn push_error(schema: &mut Schema) {
    add(
        schema,
        json!({
            "if": {"properties": {"outcome": {"enum": ["conflict", "failed"]}}},
            "then": {"properties": {"error": type_is("string")}},
        }),
    );
}

/// Images that could not be read are not listed. If they were read, their storage is known.
pub fn unread_images(schema: &mut Schema) {
    add(
        schema,
        json!({
            "if": {"required": ["error"]},
            "then": {"properties": {"images": {"maxItems": 0}, "storage": type_is("null")}},
            "else": {"properties": {"storage": type_is("object")}},
        }),
    );
}

/// Policies are valid if they have no errors.
pub fn valid_policies(schema: &mut Schema) {
    add(
        schema,
        json!({
            "if": {"properties": {"valid": {"const": true}}},
            "then": {"properties": {"errors": {"maxItems": 0}}},
            "else": {"properties": {"errors": {"minItems": 1}}},
        }),
    );
}

/// A preview that failed is empty.
pub fn failed_preview(schema: &mut Schema) {
    let empty = json!({"maxItems": 0});
    add(
        schema,
        json!({
            "if": {"required": ["error"]},
            "then": {
                "not": {"anyOf": [{"required": ["mayTransition"]}, {"required": ["warnings"]}]},
                "properties": {
                    "mayExpire": empty,
                    "questions": empty,
                    "expired": empty,
                    "transitioned": empty,
                    "cascaded": empty,
                    "kept": {"const": 0},
                    "freedBytes": {"const": 0},
                    "disagreements": type_is("null"),
                },
            },
        }),
    );
}

/// The values of a step depend on its operation and its field.
pub fn values_of_steps(schema: &mut Schema) {
    let (null, boolean, filters) = (type_is("null"), type_is("boolean"), reference("ExclusionFilters"));
    let (policy, old_policy) =
        (reference("Policy"), json!({"anyOf": [reference("Policy"), type_is("null")]}));
    let old_tags = json!({"type": "object", "additionalProperties": {"type": ["string", "null"]}});
    let tags = json!({"type": "object", "additionalProperties": type_is("string"), "minProperties": 1});
    let case = |operation: &str, field: Value, observed: &Value, desired: &Value| {
        let (operation, field) = (json!({"const": operation}), json!({"const": field}));
        json!({"properties": {
            "operation": operation, "field": field, "observed": observed, "desired": desired,
        }})
    };
    let cases = json!([
        case("CreateRepository", Value::Null, &null, &reference("CreateRequest")),
        case(
            "PutImageTagMutability",
            json!("imageTagMutability"),
            &type_is("string"),
            &reference("ImageTagMutability")
        ),
        case("PutImageTagMutability", json!("imageTagMutabilityExclusionFilters"), &filters, &filters),
        case("PutImageScanningConfiguration", json!("scanOnPush"), &boolean, &boolean),
        case("PutLifecyclePolicy", json!("lifecyclePolicy"), &old_policy, &type_is("object")),
        case("DeleteLifecyclePolicy", json!("lifecyclePolicy"), &policy, &null),
        case("SetRepositoryPolicy", json!("repositoryPolicy"), &old_policy, &policy),
        case("TagResource", json!("tags"), &old_tags, &tags),
    ]);
    schema.insert("oneOf".to_owned(), cases);
}

/// The values of a field that cannot be changed depend on the field.
pub fn values_of_blocked_fields(schema: &mut Schema) {
    let case = |field: &str, observed: Value, desired: Value| {
        let field = json!({"const": field});
        json!({"properties": {"field": field, "observed": observed, "desired": desired}})
    };
    let same = |field: &str, value: Value| case(field, value.clone(), value);
    let cases = json!([
        same("encryptionConfiguration", reference("Encryption")),
        case("imageTagMutability", type_is("string"), reference("ImageTagMutability")),
        same("imageTagMutabilityExclusionFilters", reference("ExclusionFilters")),
        same("scanOnPush", type_is("boolean")),
    ]);
    schema.insert("oneOf".to_owned(), cases);
}
