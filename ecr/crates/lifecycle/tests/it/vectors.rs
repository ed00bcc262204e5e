//! The cases of `tests/vectors/`: which policies ECR accepts, and which images they take.

use std::path::{Path, PathBuf};

use ecr_lifecycle::evaluate::{Outcome, evaluate};
use ecr_lifecycle::{Action, Document, ImageList, Policy};
use serde_json::{Value, json};

/// A case, with its file for messages.
struct Vector {
    file: PathBuf,
    json: Value,
}

fn vectors() -> Vec<Vector> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors");
    let files = std::fs::read_dir(folder).unwrap().map(|it| it.unwrap().path());
    let mut files: Vec<_> = files.filter(|it| it.extension().is_some_and(|it| it == "json")).collect();
    files.sort();
    assert!(files.len() >= 81);
    let read = |file: PathBuf| {
        let json = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
        Vector { file, json }
    };
    files.into_iter().map(read).collect()
}

impl Vector {
    fn policy(&self) -> Option<Policy> {
        let text = self.json["policyText"].as_str().map(str::to_owned);
        let text = text.unwrap_or_else(|| self.json["policy"].to_string());
        Document::parse("policy.json", &text).ok().map(|it| it.policy().clone())
    }
}

#[test]
fn read_accepts_and_refuses_as_ecr_does() {
    for vector in vectors() {
        assert_eq!(json!(vector.policy().is_some()), vector.json["valid"], "{}", vector.file.display());
    }
}

#[test]
fn evaluate_takes_what_ecr_takes() {
    for vector in vectors() {
        let Some(policy) = vector.policy() else { continue };
        let list: ImageList = vector.json.to_string().parse().unwrap();
        let images = &list.repositories[0].1;
        let mut found = json!({"expired": [], "transitioned": [], "cascaded": []});
        // What ECR documents holds under every reading.
        let mut decided: Vec<_> = images.iter().zip(evaluate(&policy, images, list.now.unwrap())).collect();
        decided.sort_by_key(|(image, _)| (image.pushed_at, image.digest.clone()));
        for (image, decision) in decided.into_iter().filter(|(_, it)| it.is_certain()) {
            let row = |rule: i64| json!({"digest": image.digest, "rulePriority": rule});
            let (key, row) = match (decision.outcome, decision.outcome.rule()) {
                (_, Some((rule, Action::Expire))) => ("expired", row(rule)),
                (_, Some((rule, Action::Transition))) => ("transitioned", row(rule)),
                (Outcome::CascadedExpired(_) | Outcome::CascadedTransitioned(_), _) => {
                    ("cascaded", json!(image.digest))
                }
                _ => continue,
            };
            found[key].as_array_mut().unwrap().push(row);
        }
        for key in ["expired", "transitioned", "cascaded"] {
            let wanted = vector.json.get(key).cloned().unwrap_or(json!([]));
            assert_eq!(sorted(&found[key]), sorted(&wanted), "{key} of {}", vector.file.display());
        }
    }
}

fn sorted(list: &Value) -> Vec<String> {
    let mut texts: Vec<_> = list.as_array().unwrap().iter().map(ToString::to_string).collect();
    texts.sort();
    texts
}
