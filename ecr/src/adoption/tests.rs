//! Proposals for workspaces of many kinds.

use super::*;
use crate::aws::Identity;
use crate::aws::caller::{CallerAccount, CallerRegion};

fn package(name: &str, bins: &[&str]) -> PackageFound {
    PackageFound {
        name: name.to_owned(),
        version: "0.1.0".to_owned(),
        manifest: format!("{name}/Cargo.toml"),
        text: format!("[package] # {name}\nname = \"{name}\"\n"),
        bins: bins.iter().map(|it| (*it).to_owned()).collect(),
        is_default_member: true,
        ..PackageFound::default()
    }
}

fn shop() -> Surroundings {
    Surroundings {
        folder: "shop".to_owned(),
        packages: vec![package("api", &["api"]), package("lib", &[])],
        root_manifest: "[workspace]\n# all of them\nmembers = [\"*\"] # pattern\n".to_owned(),
        has_git: true,
        gitignore: Some("/target".to_owned()),
        ..Surroundings::default()
    }
}

fn paths(proposal: &Proposal) -> Vec<&str> {
    proposal.changes.iter().map(|it| it.path.as_str()).collect()
}

fn change<'a>(proposal: &'a Proposal, path: &str) -> &'a str {
    &proposal.changes.iter().find(|it| it.path == path).unwrap().new
}

/// The workspace after the proposal.
fn applied(mut found: Surroundings, proposal: &Proposal) -> Surroundings {
    for it in &proposal.changes {
        let text = it.new.clone();
        match it.path.as_str() {
            "Cargo.toml" => found.root_manifest = text,
            ".cargo/config.toml" => found.cargo_config = Some(text),
            "ecr/repositories.json" => found.repositories = Some(text),
            "ecr/lifecycle-policy.json" => found.lifecycle_policy = Some(text),
            ".gitignore" => found.gitignore = Some(text),
            "xtask/Cargo.toml" => found.xtask = Some(text),
            "xtask/src/main.rs" => {}
            manifest => found
                .packages
                .iter_mut()
                .filter(|it| it.manifest == manifest)
                .for_each(|it| it.text.clone_from(&text)),
        }
    }
    found
}

#[test]
fn installed_tool_needs_a_table_and_no_more() {
    let proposal = propose(&shop(), Way::Installed, None).unwrap();
    assert_eq!(paths(&proposal), ["api/Cargo.toml", "ecr/repositories.json", "ecr/lifecycle-policy.json"]);
    assert_eq!(
        change(&proposal, "api/Cargo.toml"),
        "[package] # api\nname = \"api\"\n\n[package.metadata.ecr]\n"
    );
    assert!(change(&proposal, "ecr/repositories.json").contains("\"project\": \"shop\""));
    assert!(proposal.choices.iter().any(|it| it.setting == "project" && it.value == "shop"));
}

/// The owner of an account, in a region.
fn caller() -> Caller {
    let account = "123456789012";
    let region = CallerRegion { name: "eu-west-1".parse().unwrap(), origin: "AWS_REGION".to_owned() };
    let identity =
        Identity { account: account.parse().unwrap(), arn: format!("arn:aws:iam::{account}:user/it") };
    Caller { region: Some(region), account: CallerAccount::Known(identity) }
}

#[test]
fn region_and_account_are_those_of_the_environment() {
    let found = Surroundings { caller: caller(), ..shop() };
    let proposal = propose(&found, Way::Member, Some(&Source::Path("tools/ecr".to_owned()))).unwrap();
    let root = change(&proposal, "Cargo.toml");
    let table = "\n[workspace.metadata.ecr]\nregion = \"eu-west-1\"\naccount-id = \"123456789012\"\n";
    assert!(root.contains(table), "{root}");
    // The other edits of the file are there, too.
    assert!(root.contains("exclude = [\"tools\"]") && root.contains("# pattern"), "{root}");
    // The table is that of the user from now on, whoever calls.
    let adopted = applied(found, &proposal);
    let other = Surroundings { caller: Caller::default(), ..adopted };
    let again = propose(&other, Way::Member, Some(&Source::Path("tools/ecr".to_owned()))).unwrap();
    assert_eq!(paths(&again), [""; 0]);
}

#[test]
fn what_is_not_known_of_the_registry_has_a_reason() {
    let note = |caller: Caller, root: &str| {
        let found = Surroundings { caller, root_manifest: root.to_owned(), ..shop() };
        let proposal = propose(&found, Way::Installed, None).unwrap();
        assert!(!paths(&proposal).contains(&"Cargo.toml"), "{proposal:?}");
        proposal.notes.into_iter().find(|it| it.contains("[workspace.metadata.ecr]"))
    };
    let without = "`region` and `account-id` can be added below [workspace.metadata.ecr] at any time: no AWS region is set, and there \
                   are no AWS credentials";
    assert_eq!(note(Caller::default(), "[workspace]").as_deref(), Some(without));
    let package = "[workspace.metadata.ecr] is not added to Cargo.toml, where `region = \"eu-west-1\"` and \
                   `account-id = \"123456789012\"` would stand: the manifest has no table [workspace], or another form of its `metadata`";
    for manifest in ["[package]\nname = \"shop\"", "[workspace]\nmetadata = { other = 1 }"] {
        assert_eq!(note(caller(), manifest).as_deref(), Some(package));
    }
    let there = "the workspace has a table [workspace.metadata.ecr], which stays as it is";
    assert_eq!(note(caller(), "[workspace]\n[workspace.metadata.ecr]").as_deref(), Some(there));
}

#[test]
fn second_proposal_is_empty() {
    let source = Source::Git("https://example.com/tool".to_owned());
    for way in [Way::Installed, Way::Workspace, Way::Member] {
        let first = propose(&shop(), way, Some(&source)).unwrap();
        let after = applied(shop(), &first);
        assert_eq!(paths(&propose(&after, way, Some(&source)).unwrap()), [""; 0], "{way:?}");
    }
}

#[test]
fn xtask_of_its_own_is_excluded_where_a_pattern_takes_it() {
    let source = Source::Path("tools/xtask-ecr/ecr".to_owned());
    let proposal = propose(&shop(), Way::Workspace, Some(&source)).unwrap();
    assert_eq!(
        change(&proposal, "Cargo.toml"),
        "[workspace]\n# all of them\nmembers = [\"*\"] # pattern\nexclude = [\"xtask\", \"tools/xtask-ecr\"]\n"
    );
    let xtask = change(&proposal, "xtask/Cargo.toml");
    assert!(
        xtask.contains("xtask-ecr = { path = \"../tools/xtask-ecr/ecr\" }")
            && xtask.contains("\n[workspace]\n"),
        "{xtask}"
    );
    assert_eq!(
        change(&proposal, ".cargo/config.toml"),
        "[alias]\nxtask = \"run --quiet --manifest-path xtask/Cargo.toml --\"\n"
    );
    assert_eq!(propose(&shop(), Way::Workspace, None), Err(NoProposal::NoSource));
}

#[test]
fn member_takes_the_cryptography_that_the_services_have() {
    let source = Source::Git("https://example.com/tool".to_owned());
    let lock = |dependencies: &str| {
        let other = "[[package]]\nname = \"ring\"\nversion = \"0.17.14\"\n";
        let rustls = format!(
            "[[package]]\nname = \"rustls\"\nversion = \"0.23.46\"\ndependencies = [{dependencies}]\n"
        );
        Some(format!("version = 4\n{other}{rustls}"))
    };
    let own = "xtask-ecr = { git = \"https://example.com/tool\"";
    let other = format!("{own}, default-features = false, features = [\"aws-lc-rs\"] }}\n");
    let default = format!("{own} }}\n");
    let cases = [
        (Way::Member, lock("\"aws-lc-rs\", \"once_cell\""), &other),
        (Way::Member, lock("\"aws-lc-rs 1.17.0\""), &other),
        (Way::Member, lock("\"aws-lc-rs\", \"ring\""), &default),
        (Way::Member, lock("\"ring\""), &default),
        (Way::Member, lock(""), &default),
        (Way::Member, Some("no lock file".to_owned()), &default),
        (Way::Member, None, &default),
        (Way::Workspace, lock("\"aws-lc-rs\""), &default),
    ];
    for (way, lock, wanted) in cases {
        let found = Surroundings { lock, ..shop() };
        let proposal = propose(&found, way, Some(&source)).unwrap();
        let xtask = change(&proposal, "xtask/Cargo.toml");
        assert!(xtask.contains(wanted), "{way:?} {:?}: {xtask}", found.lock);
    }
}

#[test]
fn member_leaves_cargo_run_to_the_services() {
    let found = Surroundings {
        root_manifest: "[workspace]\nmembers = [\"api\", \"lib\"]\n".to_owned(),
        cargo_config: Some("# mine\n[build]\njobs = 2\n".to_owned()),
        ..shop()
    };
    let source = Source::Git("https://example.com/tool".to_owned());
    let proposal = propose(&found, Way::Member, Some(&source)).unwrap();
    assert_eq!(
        change(&proposal, "Cargo.toml"),
        "[workspace]\nmembers = [\"api\", \"lib\", \"xtask\"]\ndefault-members = [\"api\", \"lib\"]\n"
    );
    assert_eq!(
        change(&proposal, ".cargo/config.toml"),
        "# mine\n[build]\njobs = 2\n\n[alias]\nxtask = \"run --package xtask --\"\n"
    );
    assert!(!change(&proposal, "xtask/Cargo.toml").contains("[workspace]"));
}

#[test]
fn what_is_there_stays() {
    let mut found = shop();
    found.packages[0].text += "[package.metadata.ecr]\r\n";
    found.packages.push(PackageFound { is_default_member: false, ..package("tool", &["tool"]) });
    found.repositories = Some("{}".to_owned());
    found.lifecycle_policy = Some("{}".to_owned());
    found.cargo_config = Some("[alias]\nxtask = \"run -p tasks --\"\n".to_owned());
    let proposal = propose(&found, Way::Member, Some(&Source::Git("g://x".to_owned()))).unwrap();
    assert_eq!(paths(&proposal), [""; 0]);
    let notes = proposal.notes.join("\n");
    for wanted in [
        "`api` is a service already",
        "`tool` is no default member",
        "repositories.json is there",
        "there is an xtask",
    ] {
        assert!(notes.contains(wanted), "{notes}");
    }
    found.packages.truncate(0);
    assert_eq!(propose(&found, Way::Installed, None), Err(NoProposal::NoBinary));
}

#[test]
fn services_are_what_the_packages_have() {
    let mut found = shop();
    found.gitignore = None;
    found.packages = vec![
        PackageFound {
            changed_since_version: Some(true),
            text: "[package]\r\nname = \"a\"".to_owned(),
            ..package("a", &["a"])
        },
        PackageFound { has_dockerfile: true, ..package("b", &["b"]) },
        package("c", &["one", "two"]),
    ];
    let proposal = propose(&found, Way::Installed, None).unwrap();
    assert_eq!(
        change(&proposal, "a/Cargo.toml"),
        "[package]\r\nname = \"a\"\r\n\r\n[package.metadata.ecr]\r\n[package.metadata.ecr.image]\r\ntags = [\"{version}-{git-short-sha}\"]\r\n"
    );
    assert!(
        change(&proposal, "c/Cargo.toml")
            .ends_with("[package.metadata.ecr.services.one]\n[package.metadata.ecr.services.two]\n")
    );
    assert!(proposal.notes.iter().any(|it| it.contains("`b` has a Dockerfile")));
    assert_eq!(change(&proposal, ".gitignore"), "/target\n");
}

#[test]
fn diff_is_unified() {
    let change = |old: Option<&str>, new: &str| {
        unified(&FileChange { path: "x".to_owned(), old: old.map(str::to_owned), new: new.to_owned() })
    };
    assert_eq!(change(None, "a\n"), "--- /dev/null\n+++ b/x\n@@ -0,0 +1,1 @@\n+a\n");
    assert_eq!(
        change(Some("1\n2\n3\n4\n5\n6\n7\n"), "1\n2\n3\n4\nfive\n6\n7\n"),
        "--- a/x\n+++ b/x\n@@ -2,6 +2,6 @@\n 2\n 3\n 4\n-5\n+five\n 6\n 7\n"
    );
    assert_eq!(
        change(Some("a"), "a\nb\n"),
        "--- a/x\n+++ b/x\n@@ -1,1 +1,2 @@\n-a\n\\ No newline at end of file\n+a\n+b\n"
    );
}
