//! The services and repositories that `-p` and `--exclude` select.

use ecr_types::document::did_you_mean;

use crate::cli::error::Failure;
use crate::cli::flags::SelectionArgs;
use crate::config::desired::{Desired, DesiredRepository, Service};

impl SelectionArgs {
    /// Whether all services are selected.
    pub fn selects_all(&self) -> bool {
        self.package.is_empty() && self.exclude.is_empty()
    }

    /// The selected services; all of them without `-p`.
    pub fn services<'a>(&self, desired: &'a Desired) -> Result<Vec<&'a Service>, Failure> {
        let is_selected = self.matcher(desired)?;
        Ok(desired.services.iter().filter(|it| is_selected(&specs(&it.package.name, &it.name))).collect())
    }

    /// The repositories of the selected services. A repository without a service is selected by its own name. A service is
    /// selected by its name, by its key, or with the others of its package.
    ///
    /// # Errors
    /// The workspace has none: nothing to do is no success.
    pub fn repositories(&self, desired: &Desired) -> Result<Vec<DesiredRepository>, Failure> {
        if desired.repositories.is_empty() {
            let failure = Failure::new("the workspace has no service, and no other repository");
            return Err(failure.with_help(
                "to make a package a service, add an empty table [package.metadata.ecr] to its Cargo.toml",
            ));
        }
        self.repositories_or_none(desired)
    }

    /// The same, for commands that may have something else to do.
    pub fn repositories_or_none(&self, desired: &Desired) -> Result<Vec<DesiredRepository>, Failure> {
        let is_selected = self.matcher(desired)?;
        Ok(desired.repositories.iter().filter(|it| is_selected(&specs_of(it))).cloned().collect())
    }

    fn matcher(&self, desired: &Desired) -> Result<impl Fn(&[&str]) -> bool, Failure> {
        self.matcher_among(&desired.repositories.iter().flat_map(specs_of).collect::<Vec<_>>())
    }

    /// Whether a service is selected among these, each given by its package and its name.
    pub fn service_matcher(
        &self,
        services: &[(&str, &str)],
    ) -> Result<impl Fn(&str, &str) -> bool + use<>, Failure> {
        let names: Vec<_> = services.iter().flat_map(|(package, name)| specs(package, name)).collect();
        let is_selected = self.matcher_among(&names)?;
        Ok(move |package: &str, name: &str| is_selected(&specs(package, name)))
    }

    /// Whether something with some of these names is selected.
    fn matcher_among(&self, names: &[&str]) -> Result<impl Fn(&[&str]) -> bool + use<>, Failure> {
        let selected = Self::patterns(&self.package, names)?;
        let excluded = Self::patterns(&self.exclude, names)?;
        let matches = |patterns: &[glob::Pattern], names: &[&str]| {
            patterns.iter().any(|it| names.iter().any(|name| it.matches(name)))
        };
        Ok(move |names: &[&str]| {
            (selected.is_empty() || matches(&selected, names)) && !matches(&excluded, names)
        })
    }

    /// Parses glob patterns. A pattern that matches nothing is an error, as in cargo.
    fn patterns(texts: &[String], names: &[&str]) -> Result<Vec<glob::Pattern>, Failure> {
        let names = || names.iter().copied();
        let pattern = |text: &String| {
            let pattern = glob::Pattern::new(text)
                .map_err(|it| Failure::new(format!("`{text}` is not a valid package pattern: {it}")))?;
            if names().any(|name| pattern.matches(name)) {
                return Ok(pattern);
            }
            let failure = Failure::new(format!("no service matches `{text}`"));
            Err(match did_you_mean(text, names()) {
                Some(name) => failure.with_help(format!("did you mean `{name}`?")),
                None => failure.with_help(
                    "to make a package a service, add a table [package.metadata.ecr] to its Cargo.toml",
                ),
            })
        };
        texts.iter().map(pattern).collect()
    }
}

/// The names by which `-p` selects a repository.
fn specs_of(repository: &DesiredRepository) -> Vec<&str> {
    match (&repository.package, &repository.service) {
        (Some(package), Some(service)) => specs(package, service),
        _ => vec![repository.name.as_str()],
    }
}

/// The names by which `-p` selects a service: its own, that of its package, and its key.
fn specs<'a>(package: &'a str, service: &'a str) -> Vec<&'a str> {
    let key = service.strip_prefix(package).and_then(|it| it.strip_prefix('-'));
    [Some(service), Some(package).filter(|it| *it != service), key].into_iter().flatten().collect()
}
