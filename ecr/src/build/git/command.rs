//! How git is run.

use std::path::Path;
use std::process::Command;

/// The variables that tell git where a repository is, as git sets them for hooks (githooks(5)).
const OF_REPOSITORY: [&str; 5] =
    ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_COMMON_DIR"];

/// The last commit, without what `log.showSignature` would say of it.
pub(super) const LAST: [&str; 3] = ["log", "-1", "--no-show-signature"];

/// git in a folder. Its messages are in English, as some of them are recognised.
pub(super) fn git(folder: &Path) -> Command {
    let mut git = Command::new("git");
    // Without the first option, git may lock the index, and a git command of the user fails (git(1), "--no-optional-locks").
    git.arg("--no-optional-locks").env("LC_ALL", "C").current_dir(folder);
    // In a hook they are about the folder in which git was called. Where there is none to be found, the user has set them.
    if folder.ancestors().any(|it| it.join(".git").exists()) {
        for variable in OF_REPOSITORY {
            git.env_remove(variable);
        }
    }
    git
}

/// Whether git has looked for a repository and found none. A repository that cannot be read is another error, which begins with
/// the same words: its state must not be taken for clean.
pub(super) fn is_no_repository(stderr: &str) -> bool {
    stderr.contains("not a git repository (or any ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repository_that_cannot_be_read_is_not_a_missing_one() {
        for (said, wanted) in [
            ("fatal: not a git repository (or any of the parent directories): .git", true),
            (
                "fatal: not a git repository (or any parent up to mount point /)\nStopping at filesystem boundary",
                true,
            ),
            ("fatal: not a git repository: /w/.git/worktrees/x", false),
            ("fatal: not a git repository: '/nowhere'", false),
            ("fatal: detected dubious ownership in repository at '/w'", false),
        ] {
            assert_eq!(is_no_repository(said), wanted, "{said}");
        }
    }
}
