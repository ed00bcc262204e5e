//! Lists of digest references, one for each repository, as `push --image-refs` writes them.

use std::fmt;
use std::str::FromStr;

use ecr_oci::reference::Reference;
use ecr_types::Digest;
use ecr_types::host::is_loopback;

/// References of images by digest, at most one for each repository, in the order in which they were added.
///
/// As text, a list has one reference a line: `HOST/NAME@sha256:...`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct References(Vec<DigestReference>);

/// A reference of an image by digest.
#[derive(Debug, Clone, PartialEq, Eq)]
struct DigestReference {
    repository: Repository,
    digest: Digest,
    text: String,
}

/// The place of an image: the host, and the name of the repository.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Repository {
    /// `None` for a registry on this machine. The port of an embedded ECR differs from run to run.
    host: Option<String>,
    name: String,
}

/// A line that is not a reference by digest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: `{text}` is not a digest reference such as HOST/NAME@sha256:...")]
pub struct InvalidLine {
    /// The number of the line, from 1.
    pub line: usize,
    pub text: String,
}

/// Two lists that name different images for one repository.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{repository}: `{first}` says {}, and `{second}` says {}", digests.0, digests.1)]
pub struct Conflict {
    pub repository: String,
    /// The names of the lists.
    pub first: String,
    pub second: String,
    pub digests: (Digest, Digest),
}

impl Repository {
    fn new(host: &str, name: &str) -> Self {
        let is_local = is_loopback(host.rsplit_once(':').map_or(host, |(name, _)| name));
        Self { host: (!is_local).then(|| host.to_owned()), name: name.to_owned() }
    }
}

impl DigestReference {
    fn parse(text: &str) -> Option<Self> {
        let reference: Reference = text.parse().ok()?;
        let repository = Repository::new(&reference.host, &reference.name);
        Some(Self { repository, digest: reference.digest?, text: text.to_owned() })
    }
}

impl References {
    /// Adds a reference, in the place of another one for the same repository.
    ///
    /// # Errors
    /// The text is not a reference by digest; it is in the error.
    pub fn set(&mut self, text: &str) -> Result<(), InvalidLine> {
        let wrong = || InvalidLine { line: 1, text: text.to_owned() };
        self.put(DigestReference::parse(text).ok_or_else(wrong)?);
        Ok(())
    }

    fn put(&mut self, reference: DigestReference) {
        match self.0.iter_mut().find(|it| it.repository == reference.repository) {
            Some(old) => *old = reference,
            None => self.0.push(reference),
        }
    }

    /// Removes the reference for a repository of a registry.
    pub fn remove(&mut self, host: &str, name: &str) {
        let repository = Repository::new(host, name);
        self.0.retain(|it| it.repository != repository);
    }

    /// The references of several lists, each with its name.
    ///
    /// # Errors
    /// Two lists name different images for a repository. All such repositories are returned.
    pub fn merged(lists: &[(String, Self)]) -> Result<Self, Vec<Conflict>> {
        let mut merged = Self::default();
        let mut conflicts = Vec::new();
        let mut seen: Vec<(&str, &DigestReference)> = Vec::new();
        for (name, list) in lists {
            for reference in &list.0 {
                match seen.iter().find(|(_, it)| it.repository == reference.repository) {
                    Some((first, it)) if it.digest != reference.digest => conflicts.push(Conflict {
                        repository: reference.repository.to_string(),
                        first: (*first).to_owned(),
                        second: name.clone(),
                        digests: (it.digest.clone(), reference.digest.clone()),
                    }),
                    Some(_) => {}
                    None => seen.push((name, reference)),
                }
            }
            list.0.iter().for_each(|it| merged.put(it.clone()));
        }
        if conflicts.is_empty() { Ok(merged) } else { Err(conflicts) }
    }

    /// The references, as they were written.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|it| it.text.as_str())
    }
}

impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Some(host) => write!(f, "{host}/{}", self.name),
            None => f.write_str(&self.name),
        }
    }
}

/// The text of a list, with an end of line after each reference.
impl fmt::Display for References {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.iter().try_for_each(|it| writeln!(f, "{it}"))
    }
}

impl FromStr for References {
    type Err = InvalidLine;

    /// Reads a list. Empty lines are left out. Of several references for one repository the last counts.
    fn from_str(text: &str) -> Result<Self, InvalidLine> {
        let mut all = Self::default();
        for (n, line) in text.lines().enumerate().filter(|(_, it)| !it.trim().is_empty()) {
            all.set(line.trim()).map_err(|it| InvalidLine { line: n + 1, ..it })?;
        }
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: &str = "111111111111.dkr.ecr.us-east-1.amazonaws.com";

    fn line(host: &str, name: &str, digit: char) -> String {
        format!("{host}/{name}@sha256:{}\n", digit.to_string().repeat(64))
    }

    fn list(lines: &[String]) -> References {
        lines.concat().parse().unwrap()
    }

    #[test]
    fn references_are_replaced_by_repository() {
        let mut all = list(&[line(HOST, "a", '1'), line(HOST, "team/b", '2'), "\n".to_owned()]);
        all.set(line(HOST, "a", '3').trim()).unwrap();
        all.set(line("222222222222.dkr.ecr.us-east-1.amazonaws.com", "a", '4').trim()).unwrap();
        assert_eq!(
            all.to_string(),
            [
                line(HOST, "a", '3'),
                line(HOST, "team/b", '2'),
                line("222222222222.dkr.ecr.us-east-1.amazonaws.com", "a", '4')
            ]
            .concat()
        );
        all.remove(HOST, "a");
        assert_eq!(all.iter().count(), 2);
        let mut local = list(&[line("127.0.0.1:1000", "a", '1')]);
        local.set(line("127.0.0.1:2000", "a", '2').trim()).unwrap();
        assert_eq!(local.to_string(), line("127.0.0.1:2000", "a", '2'), "ports of an embedded ECR differ");
    }

    #[test]
    fn references_that_differ_are_conflicts() {
        let named = |name: &str, lines: &[String]| (name.to_owned(), list(lines));
        let x = named("x", &[line(HOST, "a", '1'), line(HOST, "b", '2')]);
        let y = named("y", &[line(HOST, "b", '2'), line(HOST, "c", '3')]);
        assert_eq!(References::merged(&[x.clone(), y.clone()]).unwrap().iter().count(), 3);
        let z = named("z", &[line(HOST, "b", '9'), line(HOST, "c", '9')]);
        let conflicts = References::merged(&[x, y, z]).unwrap_err();
        let texts: Vec<_> = conflicts.iter().map(ToString::to_string).collect();
        assert_eq!(texts.len(), 2);
        assert!(texts[0].starts_with(&format!("{HOST}/b: `x` says sha256:22")), "{texts:?}");
        assert!(
            texts[1].starts_with(&format!("{HOST}/c: `y` says sha256:33")) && texts[1].contains("`z` says")
        );
    }

    #[test]
    fn other_lines_are_refused() {
        let wrong = format!("\n{}{HOST}/b:1.0.0\n", line(HOST, "a", '1'));
        let error = wrong.parse::<References>().unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("line 3: `{HOST}/b:1.0.0` is not a digest reference such as HOST/NAME@sha256:...")
        );
    }
}
