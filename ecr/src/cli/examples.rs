//! Examples for `--help`, and the exit codes.

use clap::Command;

use super::program::named;

/// The examples of each command, by its name.
const EXAMPLES: [(&str, &str); 20] = [
    (
        "plan",
        "cargo xtask ecr plan\ncargo xtask ecr plan --check        # in CI: exit code 2 if create would write\ncargo xtask ecr plan -e '*'         # every environment",
    ),
    (
        "create",
        "cargo xtask ecr create\ncargo xtask ecr create -p my-app --yes\nkubectl get pods -A -o yaml | cargo xtask ecr create --in-use /dev/stdin",
    ),
    ("delete", "cargo xtask ecr delete\ncargo xtask ecr delete -p my-app --yes"),
    ("status", "cargo xtask ecr status\ncargo xtask ecr status --format json | jq .total"),
    (
        "explain",
        "cargo xtask ecr explain\ncargo xtask ecr explain -p my-app image\ncargo xtask ecr explain region -e prod",
    ),
    (
        "init",
        "cargo xtask ecr init            # shows what it would write\ncargo xtask ecr init --write\ncargo xtask ecr init --way workspace --source ../xtask-ecr",
    ),
    ("images", "cargo xtask ecr images -p my-app"),
    ("scan", "cargo xtask ecr scan\ncargo xtask ecr scan --fail-on HIGH --ignore-unfixed"),
    ("check", "cargo xtask ecr lifecycle check\ncargo xtask ecr lifecycle check target/policy.json"),
    (
        "preview",
        "cargo xtask ecr lifecycle preview\ncargo xtask ecr lifecycle preview --policy target/policy.json --now 2027-01-01T00:00:00Z",
    ),
    (
        "iam-policy",
        "cargo xtask ecr iam-policy ci >policy.json\ncargo xtask ecr iam-policy ci --trust github:my-org/my-repo >trust.json",
    ),
    ("pin-bases", "cargo xtask ecr pin-bases\ncargo xtask ecr pin-bases --write"),
    ("deployed", "cargo xtask ecr deployed\ncargo xtask ecr deployed -e prod --format json"),
    (
        "login",
        "cargo xtask ecr login\ncargo xtask ecr login --print-token | docker login --username AWS --password-stdin HOST",
    ),
    ("serve", "cargo xtask ecr serve\nAWS_ENDPOINT_URL=http://127.0.0.1:4510 aws ecr describe-repositories"),
    ("man", "cargo ecr man ~/.local/share/man/man1\nman cargo-ecr-push"),
    ("completions", "cargo ecr completions bash >~/.local/share/bash-completion/completions/cargo-ecr"),
    (
        "push",
        "cargo xtask push --local --create    # all of it, without an account\ncargo xtask push -p my-app -t '{git-sha}'\ncargo xtask push --since origin/main --explain\ndocker run $(cargo xtask push -p my-app)",
    ),
    (
        "resolve",
        "cargo xtask resolve -f k8s | kubectl apply -f -\ncargo xtask resolve -f k8s --images push.json -o out\ncargo xtask resolve -f deploy.yaml --in-place -p my-app",
    ),
    (
        "promote",
        "cargo xtask promote --from staging --to prod\ncargo xtask promote --to stable -t 1.4.0\ncargo xtask promote --rollback prod",
    ),
];

const EXIT_CODES: &str = "\
Exit codes:
  0    done
  1    failed, usage errors included
  2    plan --check, pin-bases --check or resolve --check found changes
  3    a tag is immutable and points to another image
  4    an image did not pass the gate of scans or of signatures
  5    refused: protected, another project's repository, wrong account, unclean tree, not confirmed
  130  interrupted";

/// The command with examples and exit codes at the end of each `--help`.
pub fn with_examples(command: Command) -> Command {
    let names: Vec<String> = command.get_subcommands().map(|it| it.get_name().to_owned()).collect();
    let command = names.into_iter().fold(command, |it, name| it.mut_subcommand(name, with_examples));
    if command.has_subcommands() {
        return command.after_long_help(EXIT_CODES);
    }
    match EXAMPLES.iter().find(|(name, _)| *name == command.get_name()) {
        Some((_, examples)) => {
            let lines: String = examples.lines().map(|it| format!("  {it}\n")).collect();
            command.after_long_help(format!("Examples:\n{}\n{EXIT_CODES}", named(&lines)))
        }
        None => command,
    }
}
