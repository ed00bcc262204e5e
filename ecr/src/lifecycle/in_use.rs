//! Images that something runs: references and digests, found in a list or in Kubernetes YAML.

use std::collections::BTreeSet;

use super::Image;
use crate::name::Digest;

/// The images named in a text.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct InUse {
    digests: BTreeSet<Digest>,
    /// Repository (without the registry's host) and tag.
    tags: BTreeSet<(String, String)>,
}

impl InUse {
    /// Finds every word of the text that is a digest or an image reference; comments are left out. A word that only
    /// looks like a reference does no harm: it names no image of the repository.
    pub fn parse(text: &str) -> Self {
        let mut found = Self::default();
        for line in text.lines() {
            let code = line.split_once(" #").map_or(line, |(code, _)| code);
            if code.trim_start().starts_with('#') {
                continue;
            }
            let ends = |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | ',' | '[' | ']' | '{' | '}');
            code.split(ends).for_each(|word| found.add(word));
        }
        found
    }

    fn add(&mut self, word: &str) {
        // Kubernetes reports `docker-pullable://host/name@sha256:...`.
        let word = word.split_once("://").map_or(word, |(_, rest)| rest);
        let (name, digest) = word.split_once('@').unwrap_or((word, word));
        if let Ok(digest) = digest.parse() {
            self.digests.insert(digest);
            return;
        }
        let name = match name.split_once('/') {
            Some((host, rest)) if host.contains(['.', ':']) || host == "localhost" => rest,
            _ => name,
        };
        match name.rsplit_once(':') {
            Some((name, tag)) if !tag.is_empty() && !tag.contains('/') => {
                self.tags.insert((name.to_owned(), tag.to_owned()));
            }
            _ if name.is_empty() || name.ends_with(':') => {}
            _ => {
                self.tags.insert((name.to_owned(), "latest".to_owned()));
            }
        }
    }

    /// Whether nothing was found.
    pub fn is_empty(&self) -> bool {
        self.digests.is_empty() && self.tags.is_empty()
    }

    /// How the text names an image of `repository`: by its tag, its digest, or that of an image which it lists.
    pub fn names(&self, repository: &str, image: &Image) -> Option<String> {
        let by_tag = |tag: &&String| self.tags.contains(&(repository.to_owned(), (*tag).clone()));
        if let Some(tag) = image.tags.iter().find(by_tag) {
            return Some(format!("{repository}:{tag}"));
        }
        let digests = std::iter::once(&image.digest).chain(image.children());
        let mut named = digests.filter(|it| self.digests.contains(it));
        named.next().map(|it| format!("{repository}@{it}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_and_yaml_are_read_alike() {
        let digest = Digest::of(b"x");
        let text = format!(
            "# host/commented:1\n127.0.0.1:4510/my-app:1.0.0\nteam/my-app:2 # why\n\
             apiVersion: apps/v1\n      - image: \"1.dkr.ecr.eu-west-1.amazonaws.com/my-worker@{digest}\"\n\
             imageID: docker-pullable://h.io/x:3\n"
        );
        let found = InUse::parse(&text);
        assert_eq!(found.digests.iter().collect::<Vec<_>>(), [&digest]);
        let has = |name: &str, tag: &str| found.tags.contains(&(name.to_owned(), tag.to_owned()));
        assert!(has("my-app", "1.0.0") && has("team/my-app", "2") && has("x", "3"));
        assert!(!found.tags.iter().any(|(name, _)| name.contains("commented")));
    }
}
