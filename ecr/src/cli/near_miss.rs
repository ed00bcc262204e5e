//! What people type who know other tools, and the words that this one has.

/// The advice for a word that is no subcommand. `parent` is the command in which it was typed, such as `ecr`.
pub fn of_subcommand(parent: Option<&str>, word: &str) -> Option<String> {
    let command = match word.to_ascii_lowercase().as_str() {
        "list" | "ls" | "image" | "tags" | "describe" => "ecr images",
        "setup" | "adopt" => "ecr init",
        "apply" | "up" | "sync" | "new" | "add" | "ensure" | "make" => "ecr create",
        "diff" | "check" | "preview" | "drift" => "ecr plan",
        "rm" | "remove" | "destroy" | "down" | "del" | "prune" | "clean" => "ecr delete",
        "info" | "show" | "state" | "cost" => "ecr status",
        "policy" | "iam" => "ecr iam-policy ci",
        "scans" | "findings" => "ecr scan",
        "server" | "local" | "start" | "run" | "registry" => "ecr serve",
        "build" => "push --dry-run",
        "publish" | "upload" | "release" | "deploy" | "ship" | "image-push" => "push",
        "load" => "push --load",
        "render" | "template" | "manifest" | "manifests" => "resolve -f FILE",
        "rollback" | "undo" => "promote --rollback ENV",
        "retag" | "tag" | "copy" | "cp" | "mv" => "promote --to TAG",
        "running" | "environments" | "history" => "ecr deployed",
        // The right word in the wrong place.
        "push" | "resolve" | "promote" if parent == Some("ecr") => word,
        "plan" | "create" | "delete" | "status" | "images" | "scan" | "lifecycle" | "iam-policy"
        | "pin-bases" | "login" | "serve" | "deployed"
            if parent.is_none() =>
        {
            return Some(format!("this is `cargo xtask ecr {word}`"));
        }
        _ => return None,
    };
    Some(format!("this is `cargo xtask {command}`"))
}

/// The advice for an argument that a command does not have.
pub fn of_argument(command: &str, argument: &str) -> Option<String> {
    let name = argument.split('=').next().unwrap_or_default();
    let text = match (command, name) {
        ("push", "--release" | "-r") => {
            "release is the profile that push compiles with; another one is `--profile NAME`"
        }
        ("push", "--debug") => "the profile for that is `--profile dev`",
        ("push", "--target") => "the platforms of an image are `--platform linux/amd64,linux/arm64`",
        ("push", "--no-push") => "to build without pushing, pass `--dry-run`",
        ("push", "--file" | "-f") => {
            "the key `dockerfile` of [package.metadata.ecr.image] names a Dockerfile"
        }
        ("push", "--all" | "--workspace") => "all services are pushed, unless -p selects some",
        ("create", "--dry-run" | "-n" | "--plan") => "`cargo xtask ecr plan` shows what create would do",
        ("create" | "delete" | "promote", "--force" | "-f" | "--auto-approve") => {
            "to go on without a question, pass `--yes`"
        }
        ("delete", "--dry-run" | "-n") => {
            "without --yes, delete shows what goes and asks; without a terminal it deletes nothing"
        }
        ("delete" | "create" | "plan", "--all") => {
            "all repositories of the workspace are meant, unless -p selects some"
        }
        ("promote", "-r") => "to go back to what ran before, pass `--rollback ENV`",
        (_, "--json" | "-o" | "--output") if command != "resolve" => {
            "for a JSON document, pass `--format json`"
        }
        (_, "--profile") => "the AWS profile is `--aws-profile NAME`; --profile is that of cargo, for push",
        (_, "--env" | "--stage") => "the environment is `-e NAME`",
        (_, "--repository" | "--repository-name" | "--service" | "--name") => {
            "select a service with `-p NAME`"
        }
        (_, "--endpoint-url" | "--endpoint") => {
            "the endpoint is AWS_ENDPOINT_URL; `--local` is the embedded ECR"
        }
        (_, argument) if !argument.starts_with('-') => {
            return Some(format!("select a service with `-p {argument}`"));
        }
        _ => return None,
    };
    Some(text.to_owned())
}
