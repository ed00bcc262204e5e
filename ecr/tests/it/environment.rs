//! The environment of AWS's tools: variables, profiles and roles. `ecr/tests/peers/test_environment.py` compares the same
//! with the AWS CLI.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use expect_test::expect;
use serde_json::json;

use crate::support::{Fixture, Run, Workspace};

/// A workspace without a region of its own.
fn fixture() -> Fixture {
    Workspace::new().metadata("").service("my-app", "").start()
}

impl Fixture {
    /// `ecr plan`, with the region in a variable.
    fn plan(&self) -> Run {
        self.command(&["ecr", "plan"]).env("AWS_REGION", "eu-west-1")
    }

    /// A command with these profiles and without keys in the environment.
    fn with_profiles(&self, args: &[&str], config: &str) -> Run {
        self.workspace.file(".aws/config", config);
        self.command(args).without_keys()
    }
}

#[test]
fn environment_empty_variables_are_unset_ones() {
    let fixture = fixture();
    let url = fixture.registry.url();
    for variable in [
        "AWS_CA_BUNDLE",
        "AWS_CONFIG_FILE",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
        "AWS_DEFAULTS_MODE",
        "AWS_DEFAULT_PROFILE",
        "AWS_DEFAULT_REGION",
        "AWS_ENDPOINT_URL_ECR",
        "AWS_ENDPOINT_URL_SSO",
        "AWS_ENDPOINT_URL_STS",
        "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS",
        "AWS_MAX_ATTEMPTS",
        "AWS_PROFILE",
        "AWS_RETRY_MODE",
        "AWS_ROLE_ARN",
        "AWS_ROLE_SESSION_NAME",
        "AWS_SDK_UA_APP_ID",
        "AWS_SESSION_TOKEN",
        "AWS_SHARED_CREDENTIALS_FILE",
        "AWS_STS_REGIONAL_ENDPOINTS",
        "AWS_USE_DUALSTACK_ENDPOINT",
        "AWS_USE_FIPS_ENDPOINT",
        "AWS_WEB_IDENTITY_TOKEN_FILE",
    ] {
        let output = fixture.plan().env(variable, "").run().good();
        assert!(output.stderr.contains("region eu-west-1"), "{variable}: {output:#?}");
    }
    let region = fixture.plan().env("AWS_REGION", "").env("AWS_DEFAULT_REGION", "us-west-2").run().good();
    assert!(region.stderr.contains("region us-west-2"), "{region:#?}");
    let endpoints = fixture.plan().env("AWS_ENDPOINT_URL", "");
    endpoints.env("AWS_ENDPOINT_URL_ECR", &url).env("AWS_ENDPOINT_URL_STS", &url).run().good();
    fixture
        .workspace
        .file(".aws/credentials", "[default]\naws_access_key_id = k\naws_secret_access_key = s\n");
    fixture.plan().env("AWS_ACCESS_KEY_ID", "").env("AWS_SECRET_ACCESS_KEY", "").run().good();
}

#[test]
fn environment_empty_profile_keys_are_unset_ones() {
    let fixture = fixture();
    let url = fixture.registry.url();
    let keys = "aws_access_key_id = k\naws_secret_access_key = s\n";
    for config in [
        format!(
            "[default]\n{keys}endpoint_url =\nca_bundle =\nmax_attempts =\nretry_mode =\nuse_fips_endpoint =\n"
        ),
        format!(
            "[default]\n{keys}services = local\n[services local]\necr =\n  endpoint_url =\nsts =\n  endpoint_url =\n"
        ),
        format!("[default]\n{keys}role_arn =\nsource_profile =\ncredential_source =\nsso_session =\n"),
        format!("[default]\n{keys}credential_process =\nweb_identity_token_file =\naws_session_token =\n"),
        // With a byte order mark, as Notepad writes it.
        format!("\u{FEFF}[default]\n{keys}"),
    ] {
        fixture.with_profiles(&["ecr", "plan"], &config).env("AWS_REGION", "eu-west-1").run().good();
    }
    // The endpoint and the region of a profile.
    let config = format!(
        "[default]\n{keys}region = eu-west-3\nservices = local\nendpoint_url = {url}\n\
                          [services local]\necr =\n  endpoint_url =\n"
    );
    let output = fixture.with_profiles(&["ecr", "plan"], &config).env("AWS_ENDPOINT_URL", "").run().good();
    assert!(output.stderr.contains("region eu-west-3"), "{output:#?}");
}

#[test]
fn environment_malformed_endpoints_are_named() {
    let fixture = fixture();
    for (variable, value) in [
        ("AWS_ENDPOINT_URL", "127.0.0.1:4510"),
        ("AWS_ENDPOINT_URL_ECR", "localhost"),
        ("AWS_ENDPOINT_URL_ECR", " "),
        ("AWS_ENDPOINT_URL_STS", "http://a b"),
        ("AWS_ENDPOINT_URL_STS", "http://"),
        ("AWS_ENDPOINT_URL_ECR", "http://localhost:port"),
    ] {
        let output = fixture.plan().env(variable, value).run();
        assert_eq!(output.code, 1, "{output:#?}");
        assert!(output.stderr.starts_with(&format!("error: {variable} is `{value}`, but ")), "{output:#?}");
    }
    // All at once.
    let both = fixture.plan().env("AWS_ENDPOINT_URL_ECR", "a").env("AWS_ENDPOINT_URL_STS", "http://").run();
    expect![[r#"
        --- stderr
        error: AWS_ENDPOINT_URL_ECR is `a`, but an endpoint must begin with http:// or https://; AWS_ENDPOINT_URL_STS is `http://`, but it is not a valid URL

        help: write an endpoint such as `http://127.0.0.1:[PORT]`, or remove it to use AWS's own
        --- exit 1
    "#]].assert_eq(&both.shown());
    let config = "[default]\nservices = local\n[services local]\necr =\n  endpoint_url = localhost\n";
    let of_profile = fixture.with_profiles(&["ecr", "plan"], config).env("AWS_ENDPOINT_URL", "").run();
    expect![[r#"
        --- stderr
        error: `ecr.endpoint_url` of [services local] is `localhost`, but an endpoint must begin with http:// or https://

        help: write an endpoint such as `http://127.0.0.1:[PORT]`, or remove it to use AWS's own
        --- exit 1
    "#]].assert_eq(&of_profile.shown());
    // Endpoints that are ignored may be anything.
    let ignored =
        fixture.plan().env("AWS_ENDPOINT_URL_ECR", "x").env("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true");
    let ignored = ignored.env("AWS_ACCESS_KEY_ID", "").env("AWS_SECRET_ACCESS_KEY", "").run();
    assert!(ignored.stderr.contains("no credentials found in chain"), "{ignored:#?}");
}

#[test]
fn environment_profile_that_does_not_exist_is_named() {
    let fixture = fixture();
    let config = "[profile staging]\nregion = us-east-1\n[profile production]\nregion = us-east-1\n";
    let flag = fixture.with_profiles(&["ecr", "plan", "--aws-profile", "stagin"], config);
    expect![[r#"
        --- stderr
        error: there is no AWS profile `stagin`, which --aws-profile names

        help: did you mean `staging`? the profiles are `production`, `staging`
        --- exit 1
    "#]]
    .assert_eq(&flag.run().shown());
    let variable = fixture.with_profiles(&["ecr", "plan"], config).env("AWS_PROFILE", "nosuch");
    expect![[r#"
        --- stderr
        error: there is no AWS profile `nosuch`, which AWS_PROFILE names

        help: the profiles are `production`, `staging`
        --- exit 1
    "#]]
    .assert_eq(&variable.run().shown());
    // As with the AWS CLI, keys in the environment do not help.
    let with_keys = fixture.plan().env("AWS_PROFILE", "nosuch").run();
    assert!(with_keys.stderr.contains("there is no AWS profile `nosuch`"), "{with_keys:#?}");
    let bare = fixture
        .with_profiles(&["ecr", "plan"], "[staging]\nregion = us-east-1\n")
        .env("AWS_PROFILE", "staging");
    expect![[r#"
        --- stderr
        error: there is no AWS profile `staging`, which AWS_PROFILE names

        help: write [profile staging] in place of [staging] in `[ROOT]/.aws/config`: only the file of credentials has names alone
        --- exit 1
    "#]].assert_eq(&bare.run().shown());
    let nothing = fixture.with_profiles(&["ecr", "plan"], "").env("AWS_PROFILE", "default");
    expect![[r#"
        --- stderr
        error: there is no AWS profile `default`, which AWS_PROFILE names

        help: create it with `aws configure --profile default`; no profile is defined in `[ROOT]/.aws/config`, `[ROOT]/.aws/credentials`
        --- exit 1
    "#]].assert_eq(&nothing.run().shown());
}

#[test]
fn environment_references_of_profiles_are_checked() {
    let fixture = fixture();
    let role = "role_arn = arn:aws:iam::123456789012:role/deploy\n";
    let config = format!(
        "[profile first]\n{role}source_profile = second\n[profile second]\n{role}source_profile = keyz\n\
         [profile keys]\naws_access_key_id = k\naws_secret_access_key = s\n\
         [profile sso]\nsso_session = corp\nsso_account_id = 123456789012\nsso_role_name = deploy\n\
         [sso-session corporation]\nsso_region = us-east-1\nsso_start_url = https://x\n\
         [profile loop]\n{role}source_profile = pool\n[profile pool]\n{role}source_profile = loop\n"
    );
    let plan = |profile| {
        let run = fixture.with_profiles(&["ecr", "plan", "--aws-profile", profile], &config);
        run.env("AWS_REGION", "us-east-1").run().shown()
    };
    expect![[r#"
        --- stderr
        error: there is no AWS profile `keyz`, which profile `second` names as its `source_profile`

        help: did you mean `keys`? the profiles are `first`, `keys`, `loop`, `pool`, `second`, `sso`
        --- exit 1
    "#]]
    .assert_eq(&plan("first"));
    expect![[r#"
        --- stderr
        error: there is no section [sso-session corp], which AWS profile `sso` names

        help: the SSO sessions are `corporation`
        --- exit 1
    "#]]
    .assert_eq(&plan("sso"));
    expect![[r#"
        --- stderr
        error: the AWS profiles `loop`, `pool` name each other as their `source_profile`

        help: give one of them keys of its own, or another `source_profile`
        --- exit 1
    "#]]
    .assert_eq(&plan("loop"));
    // As with the AWS CLI, a source that is not needed is not looked for.
    let with_keys =
        fixture.command(&["ecr", "plan"]).env("AWS_PROFILE", "first").env("AWS_REGION", "us-east-1");
    with_keys.run().good();
}

#[test]
fn environment_half_of_a_key_pair_is_named() {
    let fixture = fixture();
    let output = fixture.plan().without_keys().env("AWS_ACCESS_KEY_ID", "k").run();
    expect![[r#"
        --- stderr
        error: AWS_ACCESS_KEY_ID is set, but AWS_SECRET_ACCESS_KEY is not

        help: set AWS_SECRET_ACCESS_KEY as well, or unset AWS_ACCESS_KEY_ID
        --- exit 1
    "#]]
    .assert_eq(&output.shown());
}

#[test]
fn environment_invalid_profile_file_is_named() {
    let fixture = fixture();
    let output = fixture.with_profiles(&["ecr", "plan"], "[default]\nregion\n").run();
    expect![[r#"
        --- stderr
        error: could not parse profile file

        Caused by:
          error parsing [ROOT]/.aws/config on line 2:
            Expected an '=' sign defining a property
        --- exit 1
    "#]]
    .assert_eq(&output.shown());
}

/// Profiles with roles in account 222222222222.
const ROLES: &str = "[profile keys]
aws_access_key_id = k
aws_secret_access_key = s
[profile role]
role_arn = arn:aws:iam::222222222222:role/teams/deploy
role_session_name = ci
source_profile = keys
[profile chained]
role_arn = arn:aws:iam::333333333333:role/other
role_session_name = ci
source_profile = role
external_id = 12345
[profile variables]
role_arn = arn:aws:iam::222222222222:role/deploy
role_session_name = ci
credential_source = Environment
[profile web]
role_arn = arn:aws:iam::222222222222:role/pod
role_session_name = ci
web_identity_token_file = TOKEN
[profile wrong]
role_arn = arn:aws:iam::222222222222:user/deploy
source_profile = keys
";

/// A token of an identity provider that expires at `expires` (seconds since 1970).
fn web_identity_token(expires: u64) -> String {
    let part = |value: serde_json::Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    let claims = json!({"sub": "pod", "iss": "https://oidc", "aud": ["sts.amazonaws.com"], "exp": expires});
    format!("{}.{}.c2ln\n", part(json!({"alg": "RS256"})), part(claims))
}

#[test]
fn environment_roles_are_assumed_at_the_endpoint() {
    let fixture = Workspace::new().service("my-app", "").start();
    fixture.workspace.file("token", web_identity_token(32_503_680_000));
    let token = fixture.workspace.root().join("token").display().to_string();
    let config = ROLES.replace("TOKEN", &token);
    for (profile, account, operations) in [
        ("role", "222222222222", ["AssumeRole"].as_slice()),
        ("chained", "333333333333", &["AssumeRole", "AssumeRole"]),
        ("web", "222222222222", &["AssumeRoleWithWebIdentity"]),
    ] {
        for run in [
            fixture.with_profiles(&["ecr", "create", "--aws-profile", profile], &config),
            fixture.with_profiles(&["ecr", "create"], &config).env("AWS_PROFILE", profile),
        ] {
            let output = run.run().good();
            assert!(output.stderr.contains(&format!("(account {account}, ")), "{profile}: {output:#?}");
            let calls = fixture.registry.writes();
            let assumed: Vec<_> = calls.iter().filter(|it| it.starts_with("Assume")).collect();
            assert_eq!(assumed, operations, "{profile}");
        }
    }
    let with_keys =
        fixture.command(&["ecr", "plan", "--aws-profile", "variables"]).env("AWS_SESSION_TOKEN", "");
    let with_keys = with_keys.run().good();
    assert!(with_keys.stderr.contains("(account 222222222222, "), "{with_keys:#?}");
    let without = fixture.command(&["ecr", "plan", "--aws-profile", "variables"]).without_keys().run();
    assert!(without.stderr.contains("failed to identify the AWS account"), "{without:#?}");
    // The pinned account is the one of the role.
    let fixture = Workspace::new().metadata("region = \"us-east-1\"\naccount-id = \"123456789012\"\n");
    let fixture = fixture.service("my-app", "").start();
    let refused = fixture.with_profiles(&["ecr", "create", "--aws-profile", "role"], ROLES).run();
    expect![[r#"
        --- stderr
        error: the credentials belong to account 222222222222, but the workspace is pinned to account 123456789012

        help: use the credentials of account 123456789012 (--aws-profile, AWS_PROFILE), or change `account-id` below [workspace.metadata.ecr]; the current identity is arn:aws:sts::222222222222:assumed-role/deploy/ci
        --- exit 5
    "#]].assert_eq(&refused.shown());
}

#[test]
fn environment_role_of_a_web_identity_is_assumed() {
    let fixture = fixture();
    fixture.workspace.file("token", web_identity_token(32_503_680_000));
    fixture.workspace.file("expired", web_identity_token(1));
    let run = |file: &str| {
        let path = fixture.workspace.root().join(file).display().to_string();
        let run = fixture.plan().without_keys().env("AWS_WEB_IDENTITY_TOKEN_FILE", &path);
        run.env("AWS_ROLE_ARN", "arn:aws:iam::222222222222:role/pod").env("AWS_ROLE_SESSION_NAME", "ci").run()
    };
    let output = run("token").good();
    assert!(output.stderr.contains("(account 222222222222, "), "{output:#?}");
    let expired = run("expired");
    assert!(
        expired.stderr.contains("sts:AssumeRoleWithWebIdentity: ExpiredTokenException: Token expired"),
        "{expired:#?}"
    );
    expect![[r#"
        --- stderr
        error: failed to identify the AWS account

        Caused by:
          sts:GetCallerIdentity: an error occurred while loading credentials: No such file or directory (os error 2)

        help: check that AWS_WEB_IDENTITY_TOKEN_FILE (`[ROOT]/missing`) can be read
        --- exit 1
    "#]].assert_eq(&run("missing").shown());
}

#[test]
fn environment_role_that_may_not_be_assumed_is_named() {
    let fixture = fixture().with_faults(&["deny=AssumeRole"]);
    let run = |profile| {
        let run = fixture.with_profiles(&["ecr", "plan", "--aws-profile", profile], ROLES);
        run.env("AWS_REGION", "us-east-1").run().shown()
    };
    expect![[r#"
        --- stderr
        error: failed to identify the AWS account

        Caused by:
          sts:AssumeRole: AccessDenied: User: arn:aws:iam::123456789012:root is not authorized to perform: sts:AssumeRole on resource: arn:aws:iam::222222222222:role/teams/deploy

        help: check the ARN of the role, and that its trust policy allows sts:AssumeRole to its caller
        --- exit 1
    "#]].assert_eq(&run("role"));
    let fixture = self::fixture();
    let wrong = fixture.with_profiles(&["ecr", "plan", "--aws-profile", "wrong"], ROLES);
    expect![[r#"
        --- stderr
        error: failed to identify the AWS account

        Caused by:
          sts:AssumeRole: ValidationError: Request ARN is invalid

        help: check the ARN of the role, and that its trust policy allows sts:AssumeRole to its caller
        --- exit 1
    "#]]
    .assert_eq(&wrong.env("AWS_REGION", "us-east-1").run().shown());
}
