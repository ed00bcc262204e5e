//! Images in use: references and digests, found in a list or in Kubernetes YAML or JSON.

use std::collections::BTreeSet;

use ecr_types::Digest;

use super::Image;

/// The image references of a text.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct InUse {
    digests: BTreeSet<Digest>,
    /// Repository, without the registry's host, and tag.
    tags: BTreeSet<(String, String)>,
}

impl InUse {
    /// Finds every digest and every reference with a tag anywhere in the text. A name without a tag is found only as the
    /// value of a key `image` or alone on its line; it means the tag `latest`.
    ///
    /// Every character that references cannot contain separates words, so that references are found in quotes, in lists and
    /// in JSON strings that contain JSON. Only lines that begin with `#` are comments. A `#` within a line does not begin a
    /// comment, as the rest of the line could name an image.
    pub fn parse(text: &str) -> Self {
        let mut found = Self::default();
        for line in text.lines().map(str::trim).filter(|it| !it.starts_with('#')) {
            let is_part =
                |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '/' | ':' | '@' | '-');
            let words: Vec<_> =
                line.split(|c| !is_part(c)).filter(|it| !matches!(*it, "" | ":" | "-")).collect();
            for (n, word) in words.iter().enumerate() {
                let is_image =
                    n.checked_sub(1).is_some_and(|before| words[before].trim_end_matches(':') == "image");
                found.add(word, is_image || words.len() == 1);
            }
        }
        found
    }

    fn add(&mut self, word: &str, may_lack_tag: bool) {
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
        let tagged = match name.rsplit_once(':') {
            Some((name, tag)) if !tag.is_empty() && !tag.contains('/') => Some((name, tag)),
            None if may_lack_tag && !name.is_empty() => Some((name, "latest")),
            _ => None,
        };
        self.tags.extend(tagged.map(|(name, tag)| (name.to_owned(), tag.to_owned())));
    }

    /// Whether the text has no references.
    pub fn is_empty(&self) -> bool {
        self.digests.is_empty() && self.tags.is_empty()
    }

    /// The reference by which the text names an image of `repository`: `repository:tag`, or `repository@digest` with its
    /// digest or that of a manifest which it lists. `None` if the text does not name the image.
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
    fn in_use_is_found_in_lists_yaml_and_json() {
        let digest = Digest::of(b"x");
        let text = format!(
            "# host/commented:1\n127.0.0.1:4510/my-app:1.0.0\nteam/my-app:2 # why\nalone\n\
             apiVersion: apps/v1\nmetadata:\n  name: my-worker\n\
             \x20     - image: \"1.dkr.ecr.eu-west-1.amazonaws.com/my-worker@{digest}\"\n\
             imageID: docker-pullable://h.io/x:3\n  image: untagged\n\
             {{\"note\":\"issue #12\",\"image\":\"h.io/json:4\",\"last\":\"{{\\\"image\\\":\\\"h.io/inner:5\\\"}}\"}}\n"
        );
        let found = InUse::parse(&text);
        assert_eq!(found.digests.iter().collect::<Vec<_>>(), [&digest]);
        let tags: Vec<_> = found.tags.iter().map(|(name, tag)| format!("{name}:{tag}")).collect();
        let wanted =
            ["alone:latest", "inner:5", "json:4", "my-app:1.0.0", "team/my-app:2", "untagged:latest", "x:3"];
        assert_eq!(tags, wanted);
        assert!(InUse::parse("hello world\nkind: Service\n").is_empty());
    }
}
