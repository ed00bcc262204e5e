//! `ecr lifecycle`: what a policy says and what it does.

pub mod check;
pub mod preview;

use std::path::Path;

use ecr_lifecycle::{Document, Finding};
use ecr_types::document::Problem;

use crate::cli::error::Failure;
use crate::config::files;

/// Reads a policy that a person named. What ECR would refuse stops everything.
fn document(path: &Path) -> Result<Document, Failure> {
    let text = files::read(path)?;
    let problems = |it: Vec<Finding>| it.into_iter().map(Problem::from).collect();
    Document::parse(&path.to_string_lossy(), &text).map_err(|it| Failure::configuration(problems(it)))
}
