//! `ecr lifecycle`: what a policy says and what it does.

pub mod check;
pub mod preview;

use std::path::Path;

use anyhow::Context;

use crate::cli::error::Failure;
use ecr_lifecycle::Policy;
use ecr_types::document::Problem;

/// Reads a policy that a person named; what ECR would refuse stops everything.
fn policy_of(path: &Path) -> Result<(Policy, String), Failure> {
    let text = text_of(path)?;
    let document = ecr_lifecycle::read(&path.to_string_lossy(), &text);
    let problems = |it: Vec<ecr_lifecycle::Finding>| it.into_iter().map(Problem::from).collect();
    let document = document.map_err(|it| Failure::configuration(problems(it)))?;
    Ok((document.policy, text))
}

fn text_of(path: &Path) -> Result<String, Failure> {
    let text = std::fs::read_to_string(path);
    Ok(text.with_context(|| format!("failed to read `{}`", path.display()))?)
}
