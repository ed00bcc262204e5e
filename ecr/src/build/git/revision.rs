//! The branch and the pull request that a build is of: git knows the former, and the variables of CI both.

use super::WorkingTree;
use crate::config::tag_template::Revision;

/// What the variables of a CI system say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Pipeline {
    branch: Option<String>,
    pull_request: Option<String>,
}

/// The revision that is built. CI checks out commits without a branch, so that its variables come first.
pub fn revision(tree: Option<&WorkingTree>) -> Revision {
    let pipeline = Pipeline::of(|name| std::env::var(name).ok());
    Revision {
        commit: tree.and_then(|it| it.commit.clone()),
        branch: pipeline.branch.or_else(|| tree.and_then(|it| it.branch.clone())),
        pull_request: pipeline.pull_request,
    }
}

impl Pipeline {
    /// Reads the variables of the CI system that runs this process. Each is documented by that system: "Default environment
    /// variables" (GitHub), "Predefined CI/CD variables reference" (GitLab), "Environment variables" (Buildkite), "Environment
    /// variables in build environments" (CodeBuild), "Pipeline: Multibranch" (Jenkins), "Predefined variables" (Azure
    /// Pipelines), "Variables and secrets" (Bitbucket), "Project values and variables" (CircleCI).
    fn of(variable: impl Fn(&str) -> Option<String>) -> Self {
        let get = |name: &str| variable(name).filter(|it| !it.is_empty());
        let first = |names: &[&str]| names.iter().find_map(|it| get(it));
        let (branch, pull_request) = if get("GITHUB_ACTIONS").is_some() {
            let of_ref =
                || get("GITHUB_REF_NAME").filter(|_| get("GITHUB_REF_TYPE").as_deref() == Some("branch"));
            let number = get("GITHUB_REF").and_then(|it| number_of(it.strip_prefix("refs/pull/")?));
            (get("GITHUB_HEAD_REF").or_else(of_ref), number)
        } else if get("GITLAB_CI").is_some() {
            let branch = first(&["CI_MERGE_REQUEST_SOURCE_BRANCH_NAME", "CI_COMMIT_BRANCH"]);
            (branch, get("CI_MERGE_REQUEST_IID"))
        } else if get("BUILDKITE").is_some() {
            // The build of a tag has its name as that of the branch.
            let branch = get("BUILDKITE_BRANCH").filter(|_| get("BUILDKITE_TAG").is_none());
            (branch, get("BUILDKITE_PULL_REQUEST").filter(|it| it != "false"))
        } else if get("CODEBUILD_BUILD_ID").is_some() {
            let source = first(&["CODEBUILD_WEBHOOK_TRIGGER", "CODEBUILD_SOURCE_VERSION"]);
            let head = get("CODEBUILD_WEBHOOK_HEAD_REF")
                .and_then(|it| it.strip_prefix("refs/heads/").map(str::to_owned));
            (head, source.and_then(|it| number_of(it.strip_prefix("pr/")?)))
        } else if get("JENKINS_URL").is_some() {
            let of_git = || get("GIT_BRANCH").map(|it| it.trim_start_matches("origin/").to_owned());
            (first(&["CHANGE_BRANCH", "BRANCH_NAME"]).or_else(of_git), get("CHANGE_ID"))
        } else if get("TF_BUILD").is_some() {
            let source = first(&["SYSTEM_PULLREQUEST_SOURCEBRANCH", "BUILD_SOURCEBRANCH"]);
            let branch = source.and_then(|it| it.strip_prefix("refs/heads/").map(str::to_owned));
            (branch, first(&["SYSTEM_PULLREQUEST_PULLREQUESTNUMBER", "SYSTEM_PULLREQUEST_PULLREQUESTID"]))
        } else if get("BITBUCKET_BUILD_NUMBER").is_some() {
            (get("BITBUCKET_BRANCH"), get("BITBUCKET_PR_ID"))
        } else if get("CIRCLECI").is_some() {
            let number = get("CIRCLE_PULL_REQUEST").and_then(|it| number_of(it.rsplit('/').next()?));
            (get("CIRCLE_BRANCH"), number)
        } else {
            (None, None)
        };
        Self { branch, pull_request }
    }
}

/// The number at the beginning of a text such as `12/merge`.
fn number_of(text: &str) -> Option<String> {
    let digits = text.split('/').next()?;
    (!digits.is_empty() && digits.bytes().all(|it| it.is_ascii_digit())).then(|| digits.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn branch_and_pull_request_are_those_of_the_ci_system() {
        let rows: &[(&[&str], Option<&str>, Option<&str>)] = &[
            (
                &[
                    "GITHUB_ACTIONS=true",
                    "GITHUB_REF=refs/heads/main",
                    "GITHUB_REF_NAME=main",
                    "GITHUB_REF_TYPE=branch",
                    "GITHUB_HEAD_REF=",
                ],
                Some("main"),
                None,
            ),
            (
                &[
                    "GITHUB_ACTIONS=true",
                    "GITHUB_REF=refs/pull/12/merge",
                    "GITHUB_REF_NAME=12/merge",
                    "GITHUB_REF_TYPE=branch",
                    "GITHUB_HEAD_REF=feature/x",
                ],
                Some("feature/x"),
                Some("12"),
            ),
            (
                &[
                    "GITHUB_ACTIONS=true",
                    "GITHUB_REF=refs/tags/v1",
                    "GITHUB_REF_NAME=v1",
                    "GITHUB_REF_TYPE=tag",
                ],
                None,
                None,
            ),
            (&["GITLAB_CI=true", "CI_COMMIT_BRANCH=main"], Some("main"), None),
            (
                &["GITLAB_CI=true", "CI_MERGE_REQUEST_IID=7", "CI_MERGE_REQUEST_SOURCE_BRANCH_NAME=x"],
                Some("x"),
                Some("7"),
            ),
            (
                &["BUILDKITE=true", "BUILDKITE_BRANCH=main", "BUILDKITE_PULL_REQUEST=false"],
                Some("main"),
                None,
            ),
            (
                &["BUILDKITE=true", "BUILDKITE_BRANCH=v1", "BUILDKITE_TAG=v1", "BUILDKITE_PULL_REQUEST=9"],
                None,
                Some("9"),
            ),
            (
                &[
                    "CODEBUILD_BUILD_ID=a:1",
                    "CODEBUILD_WEBHOOK_HEAD_REF=refs/heads/x",
                    "CODEBUILD_SOURCE_VERSION=pr/3",
                ],
                Some("x"),
                Some("3"),
            ),
            (&["CODEBUILD_BUILD_ID=a:1", "CODEBUILD_SOURCE_VERSION=0123456789abcdef"], None, None),
            (&["JENKINS_URL=http://j/", "GIT_BRANCH=origin/main"], Some("main"), None),
            (
                &["JENKINS_URL=http://j/", "BRANCH_NAME=PR-4", "CHANGE_BRANCH=x", "CHANGE_ID=4"],
                Some("x"),
                Some("4"),
            ),
            (&["TF_BUILD=True", "BUILD_SOURCEBRANCH=refs/heads/main"], Some("main"), None),
            (
                &[
                    "TF_BUILD=True",
                    "BUILD_SOURCEBRANCH=refs/pull/5/merge",
                    "SYSTEM_PULLREQUEST_SOURCEBRANCH=refs/heads/x",
                    "SYSTEM_PULLREQUEST_PULLREQUESTID=5",
                ],
                Some("x"),
                Some("5"),
            ),
            (&["BITBUCKET_BUILD_NUMBER=1", "BITBUCKET_BRANCH=x", "BITBUCKET_PR_ID=6"], Some("x"), Some("6")),
            (
                &["CIRCLECI=true", "CIRCLE_BRANCH=x", "CIRCLE_PULL_REQUEST=https://github.com/o/r/pull/8"],
                Some("x"),
                Some("8"),
            ),
            (&["BITBUCKET_BRANCH=x", "CHANGE_ID=4"], None, None),
        ];
        for (variables, branch, pull_request) in rows {
            let get = |name: &str| {
                let found = variables.iter().filter_map(|it| it.split_once('=')).find(|(it, _)| *it == name);
                found.map(|(_, value)| value.to_owned())
            };
            let wanted =
                Pipeline { branch: branch.map(str::to_owned), pull_request: pull_request.map(str::to_owned) };
            assert_eq!(Pipeline::of(get), wanted, "{variables:?}");
        }
    }
}
