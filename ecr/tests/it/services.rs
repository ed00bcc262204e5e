//! Packages with several services, and what is wrong with the binary of a service before anything is compiled.

use expect_test::expect;
use serde_json::{Value, json};

use crate::support::Workspace;

/// A package with the binaries `api` and `nightly`, each a service.
fn shop(workspace: Workspace) -> Workspace {
    let manifest = "[package]\nname = \"shop\"\nversion = \"1.2.0\"\nedition = \"2024\"\n\n\
         [package.metadata.ecr]\ntags = { team = \"web\" }\nprotect = false\n\
         [package.metadata.ecr.image]\nenv = { RUST_LOG = \"info\" }\n\
         [package.metadata.ecr.services.api]\n\
         [package.metadata.ecr.services.api.image]\nports = [8080]\nenv = { MODE = \"api\" }\n\
         [package.metadata.ecr.services.cron]\nrepository = \"jobs/nightly\"\n\
         image = { bin = \"nightly\" }\n";
    let workspace = workspace.member("shop", manifest, "");
    std::fs::remove_file(workspace.root().join("shop/src/main.rs")).unwrap();
    workspace.file("shop/src/bin/api.rs", "fn main() { println!(\"api\"); }\n");
    workspace.file("shop/src/bin/nightly.rs", "fn main() { println!(\"nightly\"); }\n");
    workspace
}

#[test]
fn binaries_of_a_package_are_services() {
    let it = shop(Workspace::new().metadata("region = \"us-east-1\"\nprefix = \"team/\"\n"))
        .service("other", "")
        .start();
    let report = it.run(&["push", "--create", "--profile", "dev", "--format", "json"]).json_with(0);
    let images = report["images"].as_array().unwrap();
    let names: Vec<_> = images.iter().map(|it| [&it["package"], &it["service"], &it["repository"]]).collect();
    assert_eq!(
        json!(names),
        json!([
            ["other", "other", "team/other"],
            ["shop", "api", "team/shop-api"],
            ["shop", "cron", "jobs/nightly"]
        ])
    );
    let config = |n: usize| -> Value {
        let (repository, digest) =
            (images[n]["repository"].as_str().unwrap(), images[n]["digest"].as_str().unwrap());
        let manifest = it.registry.manifest(repository, digest);
        let blob = it.registry.blob(repository, manifest["config"]["digest"].as_str().unwrap());
        serde_json::from_slice::<Value>(&blob).unwrap()["config"].clone()
    };
    assert_eq!(
        (&config(1)["Entrypoint"], &config(2)["Entrypoint"]),
        (&json!(["/usr/local/bin/api"]), &json!(["/usr/local/bin/nightly"]))
    );
    assert_eq!(config(1)["Env"].as_array().unwrap().len(), config(2)["Env"].as_array().unwrap().len() + 1);
    let selected = |args: &[&str]| {
        let list = it.run(&[&["push", "--list", "--format", "json"], args].concat()).json_with(0);
        list["services"]
            .as_array()
            .unwrap()
            .iter()
            .map(|it| it["service"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(selected(&["-p", "shop"]), ["api", "cron"]);
    assert_eq!(selected(&["-p", "shop-api"]), ["api"]);
    assert_eq!(selected(&["-p", "cron", "-p", "other"]), ["other", "cron"]);
    assert_eq!(selected(&["--exclude", "shop"]), ["other"]);
    it.workspace.file("a.yaml", "a: ecr://shop-api#repository\nb: ecr://jobs/nightly#tag\n");
    let resolved = it.run(&["resolve", "-f", "a.yaml"]).good().stdout;
    assert_eq!(resolved, format!("a: {}/team/shop-api\nb: 1.2.0\n", it.registry.host()));
    let again = it.run(&["push", "--profile", "dev"]).good();
    assert!(again.stderr.contains("Unchanged shop-api 1.2.0"), "{}", again.stderr);
    let promoted = it.run(&["promote", "--to", "stable", "-p", "shop"]).good();
    assert!(promoted.stderr.contains("Promoted shop-cron 1.2.0 as stable"), "{}", promoted.stderr);
    let plan = it.run(&["ecr", "plan", "--check"]).good();
    assert!(plan.stdout.contains("3 unchanged"), "{plan:#?}");
}

#[test]
fn binary_that_cannot_be_compiled_is_found_by_plan() {
    let workspace =
        Workspace::new().service("both", "").service("gated", "").service("lib", "").service("wrong", "");
    let bin = |path: &str| workspace.file(path, "fn main() {}\n");
    for name in ["both", "lib", "wrong"] {
        std::fs::remove_file(workspace.root().join(name).join("src/main.rs")).unwrap();
    }
    bin("both/src/bin/one.rs");
    bin("both/src/bin/two.rs");
    bin("wrong/src/bin/api.rs");
    workspace.file("lib/src/lib.rs", "");
    workspace.append("gated/Cargo.toml", "[[bin]]\nname = \"gated\"\npath = \"src/main.rs\"\nrequired-features = [\"tls\", \"cli\"]\n[features]\ndefault = [\"cli\"]\ncli = []\ntls = []\n");
    workspace.append("wrong/Cargo.toml", "repository = \"shared\"\n[package.metadata.ecr.services.ap]\n[package.metadata.ecr.services.api]\nimages = {}\n");
    workspace.file("ecr/repositories.json", r#"{"repositories": [{"package": "wrong", "protect": true}]}"#);
    expect![[r#"
        --- stderr
        error: there are 7 problems in the configuration

        both/Cargo.toml:6:1: package `both` has several binaries: `one`, `two`
          help: choose one with `bin = "one"` in [package.metadata.ecr.image], or make each a service: [package.metadata.ecr.services.one]

        ecr/repositories.json:1:31: package `wrong` has several services
          help: name the repository of the service that is meant with `name`

        gated/Cargo.toml:6:1: the binary `gated` of package `gated` requires the features `tls`
          help: enable them in [package.metadata.ecr.image]: features = ["tls"]

        lib/Cargo.toml:6:1: package `lib` has no binary, so that there is nothing to make an image of
          help: add src/main.rs, or a [[bin]] table

        wrong/Cargo.toml:7:14: `repository` would be that of several services
          help: write it in the table of each service, or leave it out

        wrong/Cargo.toml:8:32: package `wrong` has no binary `ap`
          help: did you mean `api`?

        wrong/Cargo.toml:10:1: unknown key `images` in [package.metadata.ecr.services.api]
          help: did you mean `image`?
        --- exit 1
    "#]].assert_eq(&workspace.local(&["ecr", "plan"]).shown());
    // What a Dockerfile makes of a package is its own business.
    let workspace = Workspace::new().service("lib", "");
    std::fs::rename(workspace.root().join("lib/src/main.rs"), workspace.root().join("lib/src/lib.rs"))
        .unwrap();
    workspace.file("lib/Dockerfile", "FROM scratch\n");
    workspace.local(&["ecr", "plan"]).good();
}

#[test]
fn tag_that_git_cannot_give_is_told_before_the_build() {
    let workspace =
        Workspace::new().service("my-app", "[package.metadata.ecr.image]\ntags = [\"{git-sha}\"]\n");
    workspace.file("my-app/src/main.rs", "this does not compile\n");
    expect![[r#"
        --- stderr
            Registry 127.0.0.1:[PORT] (account 000000000000, region us-east-1, embedded ECR)
              Failed my-app: tag `{git-sha}` needs a git commit, but there is none
            Finished 1 image: 1 failed in [TIME]
        --- exit 1
    "#]]
    .assert_eq(&workspace.local(&["push", "--create"]).shown());
    let plan = workspace.local(&["ecr", "plan"]).good();
    assert_eq!(plan.warnings(), ["my-app: tag `{git-sha}` needs a git commit, but there is none"]);
}

#[test]
fn explanation_is_of_the_services_that_other_commands_select() {
    let workspace = shop(Workspace::new().metadata("region = \"us-east-1\"\n"));
    let of = |spec: &str| {
        let args = ["ecr", "explain", "repository", "-p", spec, "--format", "json"];
        let json = workspace.command(&args).run().json_with(0);
        let settings = json["settings"].as_array().unwrap().clone();
        settings.iter().map(|it| it["service"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(of("shop"), ["shop-api", "shop-cron"]);
    assert_eq!(of("cron"), ["shop-cron"]);
    assert_eq!(of("shop-api"), ["shop-api"]);
}

#[test]
fn services_of_one_name_are_refused() {
    let workspace = Workspace::new()
        .service("shop", "[package.metadata.ecr.services.api]\n")
        .service("shop-api", "repository = \"other/api\"\n");
    let fixture = workspace.start();
    let output = fixture.run(&["ecr", "plan"]);
    expect![[r#"
        --- stderr
        error: there are 2 problems in the configuration

        shop-api/Cargo.toml:6:1: two services are named `shop-api`: here and in shop/Cargo.toml:7:1
          help: a service has the name of its package, or PACKAGE-KEY if it is in a table `services`: rename the key

        shop/Cargo.toml:7:32: package `shop` has no binary `api`
          help: its binaries are: `shop`
        --- exit 1
    "#]].assert_eq(&output.shown());
}
