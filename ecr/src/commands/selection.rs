//! `-p` and `--exclude`: which services a command is about.

use crate::desired::{Desired, DesiredRepository, Service};
use crate::error::Failure;
use crate::flags::Selection;
use crate::source::did_you_mean;

impl Selection {
    /// The services that are selected; all of them without `-p`.
    pub fn services<'a>(&self, desired: &'a Desired) -> Result<Vec<&'a Service>, Failure> {
        let selected = self.patterns(&self.package, desired)?;
        let excluded = self.patterns(&self.exclude, desired)?;
        let is_selected = |service: &&Service| {
            let matches =
                |patterns: &[glob::Pattern]| patterns.iter().any(|it| it.matches(&service.package.name));
            (self.package.is_empty() || matches(&selected)) && !matches(&excluded)
        };
        Ok(desired.services.iter().filter(is_selected).collect())
    }

    /// The repositories of the selected services; without `-p`, those that belong to no service as well.
    pub fn repositories(&self, desired: &Desired) -> Result<Vec<DesiredRepository>, Failure> {
        let services = self.services(desired)?;
        let is_selected = |repository: &&DesiredRepository| match &repository.package {
            Some(package) => services.iter().any(|it| it.package.name == *package),
            None => self.package.is_empty(),
        };
        Ok(desired.repositories.iter().filter(is_selected).cloned().collect())
    }

    /// A pattern that matches nothing is a mistake, as in cargo.
    fn patterns(&self, texts: &[String], desired: &Desired) -> Result<Vec<glob::Pattern>, Failure> {
        let names = || desired.services.iter().map(|it| it.package.name.as_str());
        let pattern = |text: &String| {
            let pattern = glob::Pattern::new(text)
                .map_err(|it| Failure::new(format!("`{text}` is not a package pattern: {it}")))?;
            if names().any(|name| pattern.matches(name)) {
                return Ok(pattern);
            }
            let failure = Failure::new(format!("no service matches `{text}`"));
            Err(match did_you_mean(text, names()) {
                Some(name) => failure.with_help(format!("did you mean `{name}`?")),
                None => failure.with_help(
                    "a package becomes a service by a table [package.metadata.ecr] in its Cargo.toml",
                ),
            })
        };
        texts.iter().map(pattern).collect()
    }
}
