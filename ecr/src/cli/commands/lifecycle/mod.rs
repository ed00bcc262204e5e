//! `ecr lifecycle`: checks lifecycle policies and previews their effect.

pub mod check;
pub mod preview;

use std::path::Path;

use ecr_lifecycle::{Document, Finding};
use ecr_types::document::Problem;

use crate::cli::error::Failure;
use crate::config::files;

/// Reads a policy file. A policy that ECR would reject is a failure.
fn document(path: &Path) -> Result<Document, Failure> {
    let text = files::read(path)?;
    let problems = |it: Vec<Finding>| it.into_iter().map(Problem::from).collect();
    Document::parse(&path.to_string_lossy(), &text).map_err(|it| Failure::configuration(problems(it)))
}
