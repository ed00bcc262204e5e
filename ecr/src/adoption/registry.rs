//! The region and the account of the registry, as the environment of `ecr init` has them.

use super::manifests::{appended, has_table};
use super::{Proposal, ROOT, Surroundings};
use crate::aws::caller::CallerAccount;

const TABLE: [&str; 3] = ["workspace", "metadata", "ecr"];

/// A setting of the workspace.
struct Setting {
    key: &'static str,
    value: String,
    reason: String,
    change: &'static str,
}

/// Adds the table of the workspace with what is known, and says why the rest is not. A table that is there stays as it is.
pub(super) fn add(found: &Surroundings, proposal: &mut Proposal) {
    if has_table(&found.root_manifest, &TABLE) {
        return;
    }
    let settings = [region(found), account(found)];
    let (known, missing): (Vec<_>, Vec<_>) = settings.into_iter().partition(Result::is_ok);
    write(found, known.into_iter().flatten().collect(), proposal);
    let missing: Vec<_> = missing.into_iter().filter_map(Result::err).collect();
    if let Some(note) = note(&missing) {
        proposal.notes.push(note);
    }
}

/// A key of the table that is left out, and why.
type Missing = (&'static str, String);

fn region(found: &Surroundings) -> Result<Setting, Missing> {
    const KEY: &str = "region";
    let region = found.caller.region.as_ref().ok_or((KEY, "no AWS region is set".to_owned()))?;
    Ok(Setting {
        key: KEY,
        value: region.name.to_string(),
        reason: format!("{} has it", region.origin),
        change: "`region` in Cargo.toml; AWS_REGION and --region win over it",
    })
}

fn account(found: &Surroundings) -> Result<Setting, Missing> {
    const KEY: &str = "account-id";
    let missing = |why: String| Err((KEY, why));
    match &found.caller.account {
        CallerAccount::Known(identity) => Ok(Setting {
            key: KEY,
            value: identity.account.to_string(),
            reason: format!(
                "the AWS credentials are those of {}; commands write to no other account",
                identity.arn
            ),
            change: "`account-id` in Cargo.toml; without it, commands write to any account",
        }),
        CallerAccount::NoCredentials => missing("there are no AWS credentials".to_owned()),
        CallerAccount::Unknown(reason) => {
            missing(format!("it is not known whose the AWS credentials are ({reason})"))
        }
    }
}

fn write(found: &Surroundings, settings: Vec<Setting>, proposal: &mut Proposal) {
    let lines: Vec<_> = settings.iter().map(|it| format!("{} = \"{}\"", it.key, it.value)).collect();
    if lines.is_empty() {
        return;
    }
    let table = format!("\n[workspace.metadata.ecr]\n{}\n", lines.join("\n"));
    let new = appended(proposal.text(ROOT, &found.root_manifest), &table);
    // A table of the workspace would make a package the root of one, with every package in its folders. After an inline table
    // `metadata`, it would be an error.
    if !has_table(&found.root_manifest, &["workspace"]) || !has_table(&new, &TABLE) {
        return proposal.notes.push(format!(
            "[workspace.metadata.ecr] is not added to Cargo.toml, where `{}` would stand: the manifest has no table [workspace], or \
             another form of its `metadata`",
            lines.join("` and `")
        ));
    }
    for Setting { key, value, reason, change } in settings {
        proposal.choose(key, value, reason, change);
    }
    proposal.change(ROOT, &found.root_manifest, new);
}

fn note(missing: &[Missing]) -> Option<String> {
    let keys: Vec<_> = missing.iter().map(|(key, _)| format!("`{key}`")).collect();
    let reasons: Vec<_> = missing.iter().map(|(_, reason)| reason.as_str()).collect();
    (!missing.is_empty()).then(|| {
        format!(
            "{} can be added below [workspace.metadata.ecr] at any time: {}",
            keys.join(" and "),
            reasons.join(", and ")
        )
    })
}
