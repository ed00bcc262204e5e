//! Several accounts, and the policies between them.

use ecr_embedded::Server;
use expect_test::expect;
use serde_json::{Value, json};

use crate::support::{Ecr, MANIFEST, start};

const OTHER: &str = "444455556666";

/// A server on which the key `other` is that of the account 444455556666.
fn two_accounts() -> Ecr {
    let ecr = start(Server::builder().account_of("other", OTHER.parse().unwrap()));
    ecr.create("my-app");
    ecr
}

fn statement(effect: &str, principal: Value, action: Value) -> String {
    json!({"Version": "2012-10-17", "Statement": [{"Effect": effect, "Principal": principal, "Action": action}]}).to_string()
}

fn set(ecr: &Ecr, policy: &str) {
    ecr.ok("SetRepositoryPolicy", json!({"repositoryName": "my-app", "policyText": policy}));
}

#[test]
fn accounts_have_registries_of_their_own() {
    let mut ecr = two_accounts();
    let arns = |ecr: &Ecr| ecr.ok("DescribeRepositories", json!({}))["repositories"].clone();
    assert_eq!(arns(&ecr)[0]["repositoryArn"], "arn:aws:ecr:us-east-1:111122223333:repository/my-app");
    ecr.signed("other", "us-east-1", |ecr| {
        assert_eq!(arns(ecr), json!([]));
        ecr.create("my-app");
        assert_eq!(arns(ecr)[0]["registryId"], OTHER);
    });
    ecr.signed("dummy", "eu-west-1", |ecr| assert_eq!(arns(ecr), json!([])));
}

/// ministryofjustice/cloud-platform#7245, aws-actions/amazon-ecr-login#232, hashicorp/terraform-provider-aws#35303.
#[test]
fn repository_of_another_account_needs_its_policy() {
    let mut ecr = two_accounts();
    let digest = ecr.image("my-app", "1", "layer");
    let read =
        json!({"registryId": "111122223333", "repositoryName": "my-app", "imageIds": [{"imageTag": "1"}]});
    ecr.signed("other", "us-east-1", |ecr| {
        expect!["400 AccessDeniedException: User: arn:aws:iam::444455556666:root is not authorized to perform: ecr:BatchGetImage on resource: arn:aws:ecr:us-east-1:111122223333:repository/my-app because no resource-based policy allows the ecr:BatchGetImage action"]
            .assert_eq(&ecr.fail("BatchGetImage", read.clone()));
    });
    set(
        &ecr,
        &statement(
            "Allow",
            json!({"AWS": OTHER}),
            json!(["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]),
        ),
    );
    ecr.signed("other", "us-east-1", |ecr| {
        assert_eq!(ecr.ok("BatchGetImage", read)["images"][0]["imageId"]["imageDigest"], digest);
        let list = json!({"registryId": "111122223333", "repositoryName": "my-app"});
        assert!(ecr.fail("ListImages", list).contains("no resource-based policy allows the ecr:ListImages action"));
        // A push from the other account, to the host of the registry.
        let host = format!("111122223333.dkr.ecr.us-east-1.localhost:{}", ecr.host().split_once(':').unwrap().1);
        let on_host = |method: &str, path: &str| ecr.v2(method, path, &[("host", &host)], b"");
        assert_eq!(on_host("GET", "my-app/manifests/1").status, 200);
        assert_eq!(
            on_host("POST", "my-app/blobs/uploads/").error(),
            "403 DENIED: User: arn:aws:iam::444455556666:root is not authorized to perform: ecr:InitiateLayerUpload on resource: arn:aws:ecr:us-east-1:111122223333:repository/my-app because no resource-based policy allows the ecr:InitiateLayerUpload action"
        );
    });
}

#[test]
fn policy_denies_in_the_own_account_too() {
    let ecr = two_accounts();
    ecr.image("my-app", "1", "layer");
    set(&ecr, &statement("Deny", json!("*"), json!("ecr:BatchDeleteImage")));
    let error =
        ecr.fail("BatchDeleteImage", json!({"repositoryName": "my-app", "imageIds": [{"imageTag": "1"}]}));
    assert!(error.ends_with("repository/my-app with an explicit deny in a resource-based policy"), "{error}");
}

/// awsdocs/amazon-ecr-user-guide#20, hashicorp/terraform-provider-aws#39064; ECR API, `SetRepositoryPolicy`, `force`.
#[test]
fn repository_policy_is_an_iam_document() {
    let ecr = two_accounts();
    let fail = |policy: Value| {
        ecr.fail("SetRepositoryPolicy", json!({"repositoryName": "my-app", "policyText": policy.to_string()}))
    };
    let with_resource =
        json!({"Statement": [{"Effect": "Allow", "Principal": "*", "Action": "ecr:*", "Resource": "*"}]});
    expect!["400 InvalidParameterException: Invalid parameter at 'PolicyText' failed to satisfy constraint: 'Invalid repository policy provided'"]
        .assert_eq(&fail(with_resource));
    let nobody =
        json!({"Statement": [{"Effect": "Allow", "Principal": {"AWS": "nonsense"}, "Action": "ecr:*"}]});
    expect!["400 InvalidParameterException: Invalid parameter at 'PolicyText' failed to satisfy constraint: 'Principal not found'"]
        .assert_eq(&fail(nobody));
    let lock_out = statement("Deny", json!("*"), json!("ecr:*"));
    let input = |force: bool| json!({"repositoryName": "my-app", "policyText": lock_out, "force": force});
    assert!(
        ecr.fail("SetRepositoryPolicy", input(false))
            .contains("would prevent you from setting another policy")
    );
    ecr.ok("SetRepositoryPolicy", input(true));
    assert!(ecr.fail("SetRepositoryPolicy", input(true)).contains("explicit deny"));
}

#[test]
fn registry_policy_is_about_every_repository() {
    let mut ecr = two_accounts();
    let policy = |statement: Value| json!({ "Statement": statement }).to_string();
    let put = |ecr: &Ecr, text: &str| ecr.api("PutRegistryPolicy", json!({ "policyText": text }));
    let refused = put(&ecr, &policy(json!({"Effect": "Allow", "Principal": "*", "Action": "ecr:*"})));
    expect!["400 InvalidParameterException: Invalid parameter at 'PolicyText' failed to satisfy constraint: 'Invalid registry policy provided'"]
        .assert_eq(&refused.error());
    expect!["400 RegistryPolicyNotFoundException: Registry policy does not exist in the registry with id '111122223333'"]
        .assert_eq(&ecr.fail("GetRegistryPolicy", json!({})));
    let allow = json!({"Effect": "Allow", "Principal": {"AWS": OTHER}, "Action": ["ecr:DescribeImages", "ecr:CreateRepository"],
        "Resource": "arn:aws:ecr:us-east-1:111122223333:repository/*"});
    assert_eq!(put(&ecr, &policy(allow)).status, 200);
    let describe = json!({"registryId": "111122223333", "repositoryName": "my-app"});
    ecr.signed("other", "us-east-1", |ecr| ecr.ok("DescribeImages", describe.clone()));
    // The first version of registry policies is about three actions only.
    ecr.ok("PutAccountSetting", json!({"name": "REGISTRY_POLICY_SCOPE", "value": "V1"}));
    ecr.signed("other", "us-east-1", |ecr| ecr.fail("DescribeImages", describe));
    assert!(ecr.ok("DeleteRegistryPolicy", json!({}))["policyText"].is_string());
    ecr.fail("DeleteRegistryPolicy", json!({}));
}

/// Amazon ECR user guide, "Blob mounting": the permission GetDownloadUrlForLayer on the source.
#[test]
fn mount_needs_the_permission_to_download_from_the_source() {
    for (fault, wanted) in [(None, 201), (Some("deny=GetDownloadUrlForLayer"), 403)] {
        let builder = fault.iter().fold(Server::builder(), |it, fault| it.fault(fault.parse().unwrap()));
        let ecr = start(builder);
        ecr.create("my-app");
        ecr.create("other");
        ecr.image("my-app", "1", "layer");
        let mount = || {
            let path = format!("other/blobs/uploads/?mount={}&from=my-app", ecr_types::Digest::of(b"layer"));
            ecr.v2("POST", &path, &[], b"").status
        };
        assert_eq!(mount(), 202, "mounting is off by default");
        ecr.ok("PutAccountSetting", json!({"name": "BLOB_MOUNTING", "value": "ENABLED"}));
        assert_eq!(mount(), wanted, "{fault:?}");
    }
}

/// ECR API, `ListImageReferrers`: it is checked as BatchGetImage, on both planes.
#[test]
fn referrers_are_read_with_the_permission_for_images() {
    let ecr = start(Server::builder().fault("deny=BatchGetImage".parse().unwrap()));
    ecr.create("my-app");
    let digest = format!("sha256:{}", "0".repeat(64));
    let error = ecr.fail(
        "ListImageReferrers",
        json!({"repositoryName": "my-app", "subjectId": {"imageDigest": digest}}),
    );
    assert!(error.contains("not authorized to perform: ecr:BatchGetImage on resource"), "{error}");
    assert_eq!(ecr.v2("GET", &format!("my-app/referrers/{digest}"), &[], b"").status, 403);
    assert_eq!(ecr.v2("GET", "my-app/manifests/1", &[("accept", MANIFEST)], b"").status, 403);
}
