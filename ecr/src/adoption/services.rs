//! The packages that become services, and the tables in their manifests.

use super::manifests::{appended, has_table};
use super::{FileChange, NoProposal, PackageFound, Proposal, Surroundings, names};

/// Adds the table of each service that has none.
pub(super) fn add(found: &Surroundings, proposal: &mut Proposal) -> Result<(), NoProposal> {
    let has_bins = |it: &&PackageFound| !it.bins.is_empty() && it.name != "xtask";
    let candidates: Vec<_> = found.packages.iter().filter(has_bins).collect();
    if candidates.is_empty() {
        return Err(NoProposal::NoBinary);
    }
    for package in candidates {
        if has_table(&package.text, &["package", "metadata", "ecr"]) {
            proposal.notes.push(format!("`{}` is a service already: {}", package.name, package.manifest));
            continue;
        }
        if !package.is_default_member {
            proposal.notes.push(format!(
                "`{}` is no default member, and is left out; to make it a service, add [package.metadata.ecr] to {}",
                package.name, package.manifest
            ));
            continue;
        }
        add_service(package, proposal)?;
    }
    Ok(())
}

fn add_service(package: &PackageFound, proposal: &mut Proposal) -> Result<(), NoProposal> {
    let several = package.bins.len() > 1 && !package.bins.contains(&package.name);
    let mut table = "\n[package.metadata.ecr]\n".to_owned();
    let repository = names::repository(&package.name).filter(|_| !several);
    table.extend(repository.iter().map(|it| format!("repository = \"{it}\"\n")));
    let tags = tags(package);
    table += tags
        .map(|it| format!("[package.metadata.ecr.image]\ntags = [\"{it}\"]\n"))
        .as_deref()
        .unwrap_or_default();
    if several && !package.has_dockerfile {
        let each = package.bins.iter().map(|it| format!("[package.metadata.ecr.services.{it}]\n"));
        table.extend(each);
    }
    let new = appended(&package.text, &table);
    if !has_table(&new, &["package", "metadata", "ecr"]) {
        let reason = "a table [package.metadata.ecr] does not fit at its end".to_owned();
        return Err(NoProposal::Unreadable { path: package.manifest.clone(), reason });
    }
    let (what, reason) = match several {
        true => (format!("{} (each a repository)", package.bins.join(", ")), "it has several binaries"),
        false => (package.name.clone(), "it has a binary"),
    };
    let change = format!("remove the table [package.metadata.ecr] from {}", package.manifest);
    proposal.choose(&format!("service {}", package.name), what, reason, change);
    if let Some(repository) = repository {
        proposal.choose(
            &format!("repository of {}", package.name),
            repository,
            "the name of the package is not valid for a repository",
            format!("`repository` in {}", package.manifest),
        );
    }
    if let Some(tag) = tags {
        proposal.choose(
            &format!("tags of {}", package.name),
            tag,
            format!("its version {} has not moved with its commits, and a tag of an immutable repository is used once", package.version),
            format!("`tags` in {}; {{version}} alone is the default", package.manifest),
        );
    }
    if package.has_dockerfile {
        proposal.notes.push(format!(
            "`{}` has a Dockerfile, with which docker builds its image; `push --builder native` needs neither",
            package.name
        ));
    }
    proposal.changes.push(FileChange {
        path: package.manifest.clone(),
        old: Some(package.text.clone()),
        new,
    });
    Ok(())
}

/// The tags of a package whose version stays while it changes. A second push of such a version is refused.
fn tags(package: &PackageFound) -> Option<&'static str> {
    package.changed_since_version.filter(|it| *it).map(|_| "{version}-{git-short-sha}")
}
