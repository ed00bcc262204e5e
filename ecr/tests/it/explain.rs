//! `ecr explain`: where each setting comes from.

use expect_test::expect;

use crate::support::Workspace;

fn workspace() -> Workspace {
    let metadata = "region = \"us-east-1\"\nproject = \"shop\"\naccount-id = \"111111111111\"\n\
         [workspace.metadata.ecr.tags]\nteam = \"web\"\n\
         [workspace.metadata.ecr.image]\nbase = \"scratch\"\nenv = { RUST_LOG = \"info\" }\n\
         [workspace.metadata.ecr.environments.prod]\nregion = \"eu-west-1\"\nprefix = \"prod/\"\ntags = { team = \"ops\" }\n\
         [workspace.metadata.ecr.environments.dev]\n";
    let service = "image-tag-mutability = \"MUTABLE\"\nprotect = false\n\
         [package.metadata.ecr.image]\nports = [8080]\nenv = { RUST_LOG = \"debug\" }\ntags = [\"{version}\", \"{git-sha}\"]\n";
    Workspace::new()
        .metadata(metadata)
        .service("my-app", service)
        .repositories(r#"{"repositories": [{"package": "my-app", "protect": true}]}"#)
}

#[test]
fn settings_have_their_origins() {
    let workspace = workspace();
    let explained = |args: &[&str]| {
        let command = workspace.command(&[&["ecr", "explain", "-e", "prod"], args].concat());
        command.env("AWS_REGION", "ap-south-1").run().shown()
    };
    expect![[r#"
        workspace
          project                    shop  Cargo.toml:7:11
          region                     eu-west-1  Cargo.toml:15:10, instead of ap-south-1 (AWS_REGION), us-east-1 (Cargo.toml:6:10)
          aws-profile                default  built-in
          account-id                 111111111111  Cargo.toml:8:14
          prefix                     prod/  Cargo.toml:16:10
          default-environment        not set  built-in
          repositories               ecr/repositories.json  built-in
          scan-ignore                ecr/scan-ignore.toml  built-in
          price-per-gb-month         0.10  built-in
        my-app
          repository                 prod/my-app  built-in
          image-tag-mutability       MUTABLE  my-app/Cargo.toml:7:24
          mutability-exclusions      []  built-in
          scan-on-push               true  built-in
          encryption                 any  built-in
          kms-key                    not set  built-in
          lifecycle-policy           ecr/lifecycle-policy.json  Cargo.toml
          repository-policy          left as it is  built-in
          protect                    true  ecr/repositories.json:1:52, instead of false (my-app/Cargo.toml:8:11)
          tags.team                  ops  Cargo.toml:17:10, instead of web (Cargo.toml:10:1)
          image.bin                  my-app  built-in
          image.tags                 ["{version}", "{git-sha}"]  my-app/Cargo.toml:12:8
          image.ports                [8080]  my-app/Cargo.toml:10:9
          image.args                 []  built-in
          image.user                 65532:65532  built-in
          image.workdir              /  built-in
          image.base                 scratch  Cargo.toml:12:8
          image.platforms            that of this machine  built-in
          image.compression          gzip  built-in
          image.files                []  built-in
          image.features             []  built-in
          image.no-default-features  false  built-in
          image.dockerfile           not set  built-in
          image.context              the root of the workspace  built-in
          image.env.RUST_LOG         debug  my-app/Cargo.toml:11:9, instead of info (Cargo.toml:13:9)
    "#]].assert_eq(&explained(&[]));
    expect![[r#"
        workspace
          region  us-west-2  --region, instead of eu-west-1 (Cargo.toml:15:10), ap-south-1 (AWS_REGION), us-east-1 (Cargo.toml:6:10)
    "#]].assert_eq(&explained(&["region", "--region", "us-west-2"]));
    expect![[r#"
        my-app
          image.env.RUST_LOG  debug  my-app/Cargo.toml:11:9, instead of info (Cargo.toml:13:9)
    "#]]
    .assert_eq(&explained(&["-p", "my-app", "image.env"]));
    expect![[r#"
        --- stderr
        error: there is no setting `imag`

        help: without a key, `cargo xtask ecr explain` lists all settings
        --- exit 1
    "#]]
    .assert_eq(&explained(&["imag"]));
    let json =
        workspace.command(&["ecr", "explain", "protect", "-e", "dev", "--format", "json"]).run().json_with(0);
    assert_eq!(json["environment"], "dev");
    assert_eq!(json["settings"][0]["origin"], "ecr/repositories.json:1:52");
    assert_eq!(json["settings"][0]["overrides"][0]["origin"], "my-app/Cargo.toml:8:11");
}

#[test]
fn explanation_of_a_wrong_configuration_is_its_problems() {
    let workspace = workspace();
    let shown = workspace.command(&["ecr", "explain"]).run().shown();
    assert!(shown.contains("no environment is selected"), "{shown}");
    workspace.append("my-app/Cargo.toml", "colour = 1\n");
    let shown = workspace.command(&["ecr", "explain", "-e", "dev"]).run().shown();
    assert!(shown.contains("unknown key `colour` in `image`"), "{shown}");
    let shown = Workspace::example().command(&["ecr", "explain", "-p", "my-ap"]).run().shown();
    assert!(shown.contains("did you mean `my-app`?"), "{shown}");
}
