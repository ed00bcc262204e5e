//! How the tool gets into the repository.

use super::manifests::{values, with_value, with_values};
use super::{FileChange, NoProposal, Proposal, ROOT, Source, Surroundings, Way};

/// The whole of an xtask.
const MAIN: &str = include_str!("main.rs.txt");
/// The profiles with which the tool compiles quickly and is fast. Optimising all of it takes minutes.
const PROFILES: &str = include_str!("profiles.toml");

/// Adds what the way needs beside the services.
pub(super) fn add(
    found: &Surroundings,
    way: Way,
    source: Option<&Source>,
    proposal: &mut Proposal,
) -> Result<(), NoProposal> {
    let (value, reason) = match way {
        Way::Installed => (
            "installed",
            "nothing of the workspace depends on the tool, so that no locked crate changes and any toolchain will do",
        ),
        Way::Workspace => {
            ("a workspace of its own", "an own lock file and own profiles: nothing of the services changes")
        }
        Way::Member => ("a member", "one lock file for the services and the tool, which share their crates"),
    };
    proposal.choose("way", value, reason, "--way installed|workspace|member");
    if way == Way::Installed {
        let install = match source {
            Some(Source::Git(url)) => format!("cargo install --locked --git {url} xtask-ecr"),
            Some(Source::Path(path)) => format!("cargo install --locked --path {path}"),
            None => "cargo install --locked --path SOURCE/ecr, or --git URL xtask-ecr".to_owned(),
        };
        proposal.notes.push(format!("people and CI install the tool with `{install}`"));
        return Ok(());
    }
    if found.xtask.as_ref().is_some_and(|it| it.contains("xtask-ecr")) {
        proposal.notes.push("the xtask in the folder `xtask` has the tool".to_owned());
        return add_alias(found, way, proposal);
    }
    if found.xtask.is_some()
        || found.packages.iter().any(|it| it.name == "xtask")
        || has_xtask_elsewhere(found)
    {
        proposal.notes.push(
            "there is an xtask: add `xtask-ecr` to its dependencies, and its commands to its own (ecr/docs/adopting.md, \"In an xtask of your own\")"
                .to_owned(),
        );
        return Ok(());
    }
    let source = source.ok_or(NoProposal::NoSource)?;
    let takes_other = way == Way::Member && found.lock.as_deref().is_some_and(has_only_other);
    if takes_other {
        proposal.choose(
            "cryptography",
            AWS_LC,
            "rustls of the services has it: with a second one, rustls has no default any more, and code that names none panics",
            "`features` of `xtask-ecr` in xtask/Cargo.toml: `ring` or `aws-lc-rs`",
        );
    }
    let features: &[&str] = if takes_other { &[AWS_LC] } else { &[] };
    proposal.create("xtask/Cargo.toml", xtask_manifest(way, source, features));
    proposal.create("xtask/src/main.rs", MAIN.to_owned());
    add_alias(found, way, proposal)?;
    add_membership(found, way, source, proposal)
}

/// An xtask that is excluded from the workspace has an alias.
fn has_xtask_elsewhere(found: &Surroundings) -> bool {
    let config = found.cargo_config.as_deref().unwrap_or_default();
    let ours = [Way::Workspace, Way::Member].map(alias);
    let alias = |value: &str| {
        matches!(with_value(found.cargo_config_path(), config, "alias", "xtask", value), Ok(Some(_)))
    };
    !ours.iter().any(|it| alias(it))
}

fn alias(way: Way) -> &'static str {
    match way {
        Way::Member => "run --package xtask --",
        Way::Workspace | Way::Installed => "run --quiet --manifest-path xtask/Cargo.toml --",
    }
}

/// The other provider of cryptography for rustls; `ring` is the default of the tool.
const AWS_LC: &str = "aws-lc-rs";

/// Whether rustls, as it is locked, has `aws-lc-rs` and not `ring`.
fn has_only_other(lock: &str) -> bool {
    let lock: toml::Table = lock.parse().unwrap_or_default();
    let packages = lock.get("package").and_then(|it| it.as_array()).into_iter().flatten();
    let mut rustls = packages.filter(|it| it.get("name").and_then(|it| it.as_str()) == Some("rustls"));
    rustls.any(|it| {
        let dependencies = it.get("dependencies").and_then(|it| it.as_array()).into_iter().flatten();
        // A name, with a version where it is ambiguous.
        let names: Vec<_> = dependencies.filter_map(|it| it.as_str()?.split(' ').next()).collect();
        names.contains(&AWS_LC) && !names.contains(&"ring")
    })
}

fn xtask_manifest(way: Way, source: &Source, features: &[&str]) -> String {
    let from = match source {
        Source::Git(url) => format!("git = \"{url}\""),
        Source::Path(path) if path.starts_with('/') => format!("path = \"{path}\""),
        Source::Path(path) => format!("path = \"../{path}\""),
    };
    let features = match features {
        [] => String::new(),
        some => format!(", default-features = false, features = {some:?}"),
    };
    let dependency = format!("{{ {from}{features} }}");
    let head = "[package]\nname = \"xtask\"\nversion = \"0.0.0\"\nedition = \"2024\"\npublish = false\n";
    let own = format!(
        "\n# A workspace of its own: neither its lock file nor its profiles concern the services.\n[workspace]\n\n\
         [profile.dev]\ndebug = false\n{PROFILES}"
    );
    let own = if way == Way::Workspace { own } else { String::new() };
    format!("{head}\n[dependencies]\nxtask-ecr = {dependency}\n{own}")
}

fn add_alias(found: &Surroundings, way: Way, proposal: &mut Proposal) -> Result<(), NoProposal> {
    let old = found.cargo_config.as_deref().unwrap_or_default();
    let path = found.cargo_config_path();
    match with_value(path, old, "alias", "xtask", alias(way))? {
        Some(new) => {
            proposal.changes.push(FileChange { path: path.to_owned(), old: found.cargo_config.clone(), new });
            if way == Way::Workspace {
                proposal.notes.push(
                    "cargo takes the path in the alias from the current folder: it works in the root of the workspace; elsewhere type \
                     `cargo run --manifest-path \"$(git rev-parse --show-toplevel)/xtask/Cargo.toml\" --`"
                        .to_owned(),
                );
            }
        }
        None => proposal.notes.push(format!("{path} has another alias `xtask`, which stays as it is")),
    }
    Ok(())
}

/// The root manifest: a member is one, and a workspace of its own is excluded where a pattern would make it one.
fn add_membership(
    found: &Surroundings,
    way: Way,
    source: &Source,
    proposal: &mut Proposal,
) -> Result<(), NoProposal> {
    let root = proposal.text(ROOT, &found.root_manifest).to_owned();
    let members = values(&root, "workspace", "members").unwrap_or_default();
    let matches =
        |name: &str| members.iter().any(|it| glob::Pattern::new(it).is_ok_and(|it| it.matches(name)));
    let below = match source {
        Source::Path(path) if !path.starts_with('/') && !path.starts_with("..") => {
            Some(path.strip_suffix("/ecr").unwrap_or(path).to_owned())
        }
        _ => None,
    };
    let mut new = root.clone();
    if way == Way::Workspace && matches("xtask") {
        new = with_values(ROOT, &new, "workspace", "exclude", &["xtask"])?;
    }
    if way == Way::Member {
        if !matches("xtask") {
            new = with_values(ROOT, &new, "workspace", "members", &["xtask"])?;
        }
        if values(&root, "workspace", "default-members").is_none() {
            let folders: Vec<_> = found.packages.iter().map(|it| folder(&it.manifest)).collect();
            new = with_values(ROOT, &new, "workspace", "default-members", &folders)?;
            proposal.choose(
                "default-members",
                folders.join(", "),
                "else `cargo build` compiles the tool, and `cargo run` does not know which binary is meant",
                "`default-members` in Cargo.toml",
            );
        }
    }
    if let Some(below) = below.filter(|_| !found.root_manifest.is_empty()) {
        new = with_values(ROOT, &new, "workspace", "exclude", &[below.as_str()])?;
    }
    if new != root {
        proposal.change(ROOT, &found.root_manifest, new);
    }
    Ok(())
}

fn folder(manifest: &str) -> &str {
    manifest.rsplit_once('/').map_or(".", |(folder, _)| folder)
}
