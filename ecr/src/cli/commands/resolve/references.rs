//! The placeholders of files, and the repositories that they name.

use std::collections::{BTreeMap, BTreeSet};

use ecr_types::RepositoryName;
use ecr_types::document::{Place, Problem, did_you_mean};

use crate::cli::error::Failure;
use crate::cli::flags::SelectionArgs;
use crate::config::desired::Desired;
use crate::deployment::files::{Content, DeploymentFile};
use crate::deployment::{Placeholder, find};

/// The names that placeholders can have.
pub(super) struct Names {
    /// By the name of the service, and by that of the repository. A service comes before a repository of the same name.
    repositories: BTreeMap<String, RepositoryName>,
    /// The repositories that `-p` and `--exclude` select.
    selected: BTreeSet<RepositoryName>,
}

/// A file with its placeholders that are to be resolved.
pub(super) struct FileReferences<'a> {
    pub file: &'a DeploymentFile,
    pub references: Vec<Reference>,
}

/// A placeholder with the repository that it names.
pub(super) struct Reference {
    pub placeholder: Placeholder,
    pub repository: RepositoryName,
}

impl Names {
    pub(super) fn new(desired: &Desired, selection: &SelectionArgs) -> Result<Self, Failure> {
        let all = &desired.repositories;
        let by_name = all.iter().map(|it| (it.name.to_string(), it.name.clone()));
        let by_service = all.iter().filter_map(|it| Some((it.service.clone()?, it.name.clone())));
        let selected = selection.repositories(desired)?;
        Ok(Self {
            repositories: by_name.chain(by_service).collect(),
            selected: selected.into_iter().map(|it| it.name).collect(),
        })
    }

    /// The placeholders of a file that name selected repositories. Adds those that name nothing to `problems`.
    pub(super) fn references<'a>(
        &self,
        file: &'a DeploymentFile,
        problems: &mut Vec<Problem>,
    ) -> FileReferences<'a> {
        let found = match &file.content {
            Content::Text(text) => find(text),
            Content::Bytes(_) => Default::default(),
        };
        let path = file.path.display().to_string();
        let place = |line, column| Place { line, column, ..Place::file(&path) };
        problems.extend(found.invalid.into_iter().map(|it| Problem {
            place: place(it.line, it.column),
            message: it.message,
            help: Some(it.help),
        }));
        let mut references = Vec::new();
        for placeholder in found.placeholders {
            match self.repositories.get(&placeholder.name) {
                Some(repository) if self.selected.contains(repository) => {
                    references.push(Reference { repository: repository.clone(), placeholder });
                }
                Some(_) => {}
                None => problems
                    .push(self.unknown(place(placeholder.line, placeholder.column), &placeholder.name)),
            }
        }
        FileReferences { file, references }
    }

    fn unknown(&self, place: Place, name: &str) -> Problem {
        let message = format!("`{name}` is neither a service nor a repository of the workspace");
        let help = match did_you_mean(name, self.repositories.keys().map(String::as_str)) {
            Some(similar) => format!("did you mean `ecr://{similar}`?"),
            None => {
                let names: Vec<_> = self.repositories.keys().map(|it| format!("`{it}`")).collect();
                format!("the names are {}", ecr_types::human::some_of(&names, 10))
            }
        };
        Problem { place, message, help: Some(help) }
    }
}
