//! Files that no image depends on, by their names.

/// Whether a file of a package, by its path from there, is one for readers or for tests. Sources may still name it. A document in
/// another folder may be content, such as that of a site.
pub fn is_document(path: &str) -> bool {
    let is_for_tests = ["tests/", "benches/", "examples/"].iter().any(|it| path.starts_with(it));
    is_for_tests || (!path.contains('/') && is_text_for_readers(path))
}

/// Whether a file outside of all packages, by its path from the top of the repository, is for readers, for git, or for a service
/// that builds and checks.
pub(super) fn is_for_tools(path: &str) -> bool {
    const FOLDERS: [&str; 8] = [
        ".github/",
        ".gitlab/",
        ".circleci/",
        ".buildkite/",
        ".config/",
        ".vscode/",
        ".idea/",
        ".devcontainer/",
    ];
    const FILES: [&str; 16] = [
        ".gitignore",
        ".gitattributes",
        ".gitlab-ci.yml",
        ".travis.yml",
        ".editorconfig",
        ".pre-commit-config.yaml",
        ".mailmap",
        "CODEOWNERS",
        "rustfmt.toml",
        ".rustfmt.toml",
        "clippy.toml",
        ".clippy.toml",
        "deny.toml",
        "typos.toml",
        "renovate.json",
        "codecov.yml",
    ];
    let name = path.rsplit('/').next().unwrap_or(path);
    FOLDERS.iter().any(|it| path.starts_with(it)) || FILES.contains(&name) || is_text_for_readers(path)
}

/// Whether a file is one for readers, by its name.
pub(super) fn is_text_for_readers(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    let is_license =
        ["LICENSE", "LICENCE", "COPYING", "NOTICE", "AUTHORS"].iter().any(|it| name.starts_with(it));
    is_license || name.ends_with(".md") || name == ".gitignore"
}
