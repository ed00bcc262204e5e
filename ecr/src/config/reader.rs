//! The files of the configuration, as cargo names them -> [`Configuration`].

use std::path::Path;

use cargo_metadata::{Metadata, TargetKind};
use ecr_types::document::{Located, Node, Place, Problem, Problems, parse_json, parse_toml};
use ecr_types::text::NotText;

use crate::config::definitions::Definitions;
use crate::config::desired::{Configuration, Member, Package};
use crate::config::files;
use crate::config::metadata::{PackageMetadata, WorkspaceMetadata, near_misses};
use crate::config::settings::PolicySource;
use crate::threads::side_by_side;

pub(super) const REPOSITORIES: &str = "ecr/repositories.json";
const LIFECYCLE_POLICY: &str = "ecr/lifecycle-policy.json";

/// Reads the manifests and `repositories.json` of a workspace.
pub(super) struct Reader<'a> {
    pub root: &'a Path,
    pub problems: &'a Problems,
}

impl Reader<'_> {
    pub(super) fn configuration(&self, metadata: &Metadata) -> Configuration {
        let root_manifest = self.toml("Cargo.toml");
        let mut near_misses = root_manifest.as_ref().map(near_misses).unwrap_or_default();
        let mut workspace =
            root_manifest.map(|it| WorkspaceMetadata::read(&it, self.problems)).unwrap_or_default();
        if workspace.lifecycle_policy.is_none() && self.root.join(LIFECYCLE_POLICY).exists() {
            let value = PolicySource::File(LIFECYCLE_POLICY.to_owned());
            workspace.lifecycle_policy = Some(Located { place: Place::file("Cargo.toml"), value });
        }
        let (root, packages) = (self.root, metadata.workspace_packages());
        // Parsing is most of the time that a workspace of many members takes.
        let manifests = side_by_side(&packages, |it| parsed_toml(root, &manifest(root, it)));
        let members = packages.iter().zip(manifests);
        let members = members.map(|(package, it)| self.member(package, self.parsed(it), &mut near_misses));
        let mut members: Vec<_> = members.collect();
        // The root manifest may be that of a package as well.
        near_misses.sort();
        near_misses.dedup();
        members.sort_by(|a, b| a.package.name.cmp(&b.package.name));
        let definitions = self.definitions(workspace.repositories.as_ref());
        Configuration { workspace, members, definitions, near_misses, environment: None }
    }

    fn member(
        &self,
        package: &cargo_metadata::Package,
        node: Option<Node>,
        found: &mut Vec<Problem>,
    ) -> Member {
        let manifest = manifest(self.root, package);
        let folder = manifest.rsplit_once('/').map_or("", |(folder, _)| folder).to_owned();
        found.extend(node.iter().flat_map(near_misses));
        let metadata = node.and_then(|it| PackageMetadata::read(&it, &folder, self.problems));
        let bins = package.targets.iter().filter(|it| it.kind.contains(&TargetKind::Bin));
        let package = Package {
            name: package.name.to_string(),
            version: package.version.to_string(),
            description: package.description.clone(),
            license: package.license.clone(),
            repository: package.repository.clone(),
            required_features: bins
                .clone()
                .map(|it| (it.name.clone(), it.required_features.clone()))
                .collect(),
            features: package.features.clone().into_iter().collect(),
            bins: bins.map(|it| it.name.clone()).collect(),
            has_dockerfile: self.root.join(&folder).join("Dockerfile").exists(),
            has_build_script: package.targets.iter().any(|it| it.kind.contains(&TargetKind::CustomBuild)),
            dependencies: serde_json::to_string(&(&package.dependencies, &package.features))
                .unwrap_or_default(),
            folder,
        };
        Member { package, metadata }
    }

    /// Reads `repositories.json`. A missing file is an error only if its path is configured.
    fn definitions(&self, configured: Option<&Located<String>>) -> Definitions {
        let path = configured.map_or(REPOSITORIES, |it| &it.value);
        let text = match (files::text(&self.root.join(path)), configured) {
            (Ok(text), _) => text,
            (Err(error), None) if error.kind() == std::io::ErrorKind::NotFound => {
                return Definitions::default();
            }
            (Err(error), configured) => {
                let place = configured.map_or_else(|| Place::file(path), |it| it.place.clone());
                self.problems.push(unreadable(&place, &format!("`{path}` "), &error));
                return Definitions::default();
            }
        };
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        let node = self.parsed(parse_json(path, &text));
        node.map(|it| Definitions::read(&it, folder, self.problems)).unwrap_or_default()
    }

    fn toml(&self, path: &str) -> Option<Node> {
        self.parsed(parsed_toml(self.root, path))
    }

    fn parsed(&self, result: Result<Node, Problem>) -> Option<Node> {
        result.map_err(|it| self.problems.push(it)).ok()
    }
}

/// The path of a package's manifest, relative to the root of the workspace.
fn manifest(root: &Path, package: &cargo_metadata::Package) -> String {
    let path = package.manifest_path.as_std_path();
    path.strip_prefix(root).unwrap_or(path).to_string_lossy().into_owned()
}

/// Reads and parses a file of the workspace.
fn parsed_toml(root: &Path, path: &str) -> Result<Node, Problem> {
    let text = files::text(&root.join(path)).map_err(|it| unreadable(&Place::file(path), "", &it))?;
    parse_toml(path, &text)
}

/// The problem of a file that cannot be read. `subject` is its name with a space, if `place` is in another file.
pub(super) fn unreadable(place: &Place, subject: &str, error: &std::io::Error) -> Problem {
    let help = NotText::of(error).map(|it| it.help().to_owned());
    Problem { place: place.clone(), message: format!("{subject}cannot be read: {error}"), help }
}
