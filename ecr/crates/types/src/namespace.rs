//! Namespace prefixes of repository names, as in repository creation templates and pull-through cache rules.

/// The prefix of every repository that no other prefix is about.
pub const ROOT: &str = "ROOT";

/// Whether a prefix is about a repository. "There is always an assumed `/` applied to the end of the prefix", and `ROOT` is
/// about every repository (Amazon ECR API reference, `CreateRepositoryCreationTemplate`).
///
/// ```
/// use ecr_types::namespace::covers;
/// assert!(covers("prod/team", "prod/team/app") && covers("prod/", "prod/app") && covers("ROOT", "app"));
/// assert!(!covers("prod", "production"));
/// ```
pub fn covers(prefix: &str, name: &str) -> bool {
    let rest = name.strip_prefix(prefix.trim_end_matches('/'));
    prefix == ROOT || rest.is_some_and(|it| it.starts_with('/'))
}

/// The value with the longest prefix that is about a repository.
pub fn longest<'a, T>(values: impl Iterator<Item = (&'a str, T)>, name: &str) -> Option<T> {
    let length = |prefix: &str| if prefix == ROOT { 0 } else { prefix.trim_end_matches('/').len() };
    values.filter(|(prefix, _)| covers(prefix, name)).max_by_key(|(prefix, _)| length(prefix)).map(|it| it.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn longest_prefix_of_whole_segments_wins() {
        let values = [("prod", 1), ("prod/team", 2), ("ROOT", 3)];
        let of = |name: &str| longest(values.into_iter(), name);
        assert_eq!(of("prod/team/app"), Some(2));
        assert_eq!(of("prod/teamwork"), Some(1));
        assert_eq!(of("production"), Some(3));
        assert_eq!(longest(values.into_iter().take(0), "prod/app"), None);
    }
}
