use super::*;
use serde_json::json;

fn problems(statement: Value) -> Vec<String> {
    let text = json!({"Version": "2012-10-17", "Statement": [statement]}).to_string();
    let problems = Policy::parse(&text, PolicyKind::Repository).err().unwrap_or_default();
    problems.iter().map(|it| format!("{it} [{}]", it.constraint(PolicyKind::Repository))).collect()
}

/// A statement with an element added or, if it is null, removed.
fn with(element: &str, value: Value) -> Value {
    let mut statement = json!({"Effect": "Allow", "Principal": "*", "Action": "ecr:BatchGetImage"});
    match value {
        Value::Null => drop(statement.as_object_mut().map(|it| it.remove(element))),
        value => statement[element] = value,
    }
    statement
}

#[test]
fn policy_elements_are_checked() {
    for good in [
        with("Sid", json!("pull")),
        with("Action", json!(["ecr:*", "ecr:Get*", "*"])),
        with("Principal", json!({"AWS": ["111122223333", "arn:aws:iam::111122223333:root", "*"]})),
        with(
            "Principal",
            json!({"AWS": "arn:aws:iam::111122223333:role/path/ci", "Service": "codebuild.amazonaws.com"}),
        ),
        with("Principal", json!({"AWS": "arn:aws-cn:sts::111122223333:assumed-role/ci/session"})),
        with("Principal", json!({"AWS": "AROAEXAMPLEEXAMPLE123"})),
        with(
            "Condition",
            json!({"StringEquals": {"aws:PrincipalOrgID": ["o-1", "o-2"]}, "Bool": {"aws:SecureTransport": true}}),
        ),
        with("Condition", json!({"ForAnyValue:StringLikeIfExists": {"aws:SourceArn": "arn:*"}})),
    ] {
        assert_eq!(problems(good.clone()), Vec::<String>::new(), "{good}");
    }
    let invalid = "[Invalid repository policy provided]";
    let principal = "[Principal not found]";
    for (bad, wanted) in [
        (
            with("Resource", json!("*")),
            format!(
                "Statement[0].Resource: a repository policy is about its repository: ECR refuses this element {invalid}"
            ),
        ),
        (
            with("Effect", json!("allow")),
            format!("Statement[0].Effect: must be \"Allow\" or \"Deny\" {invalid}"),
        ),
        (
            with("Action", Value::Null),
            format!("Statement[0]: must have one of Action and NotAction {invalid}"),
        ),
        (
            with("NotAction", json!("ecr:*")),
            format!("Statement[0]: must have one of Action and NotAction {invalid}"),
        ),
        (
            with("Action", json!("BatchGetImage")),
            format!(
                "Statement[0].Action: `BatchGetImage` is not valid, such as \"ecr:BatchGetImage\" is {invalid}"
            ),
        ),
        (
            with("Action", json!([])),
            format!("Statement[0].Action: must be text or a list of texts {invalid}"),
        ),
        (
            with("Actions", json!("ecr:*")),
            format!(
                "Statement[0].Actions: not an element of a policy: use Sid, Effect, Principal, NotPrincipal, Action, NotAction, Condition {invalid}"
            ),
        ),
        (
            with("Principal", Value::Null),
            format!("Statement[0]: must have one of Principal and NotPrincipal {invalid}"),
        ),
        (
            with("Principal", json!("me")),
            format!(
                "Statement[0].Principal: must be \"*\" or an object such as {{\"AWS\": \"111122223333\"}} {principal}"
            ),
        ),
        (
            with("Principal", json!({"AWS": "nonsense"})),
            format!("Statement[0].Principal: AWS: `nonsense` is not a principal that can exist {principal}"),
        ),
        (
            with("Principal", json!({"AWS": "arn:aws:iam::1:role/x"})),
            format!(
                "Statement[0].Principal: AWS: `arn:aws:iam::1:role/x` is not a principal that can exist {principal}"
            ),
        ),
        (
            with("Principal", json!({"AWS": "arn:aws:iam::111122223333:role/ci-*"})),
            format!(
                "Statement[0].Principal: AWS: `arn:aws:iam::111122223333:role/ci-*` is not a principal that can exist {principal}"
            ),
        ),
        (
            with("Principal", json!({"Service": "lambda"})),
            format!(
                "Statement[0].Principal: Service: `lambda` is not a principal that can exist {principal}"
            ),
        ),
        (
            with("Condition", json!({"StringIs": {"a": "b"}})),
            format!("Statement[0].Condition: `StringIs` is not a condition operator {invalid}"),
        ),
    ] {
        assert_eq!(problems(bad.clone()), [wanted], "{bad}");
    }
}

#[test]
fn policy_problems_are_reported_together() {
    let text = r#"{"Version": "2020-01-01", "Rules": 1, "Statement": [{"Effect": "Allow", "Action": "*", "Principal": "x"}, 1]}"#;
    let problems = Policy::parse(text, PolicyKind::Repository).unwrap_err();
    let paths: Vec<_> = problems.iter().map(|it| it.path.as_str()).collect();
    assert_eq!(paths, ["Rules", "Version", "Statement[0].Principal", "Statement[1]"]);
    assert!(Policy::parse("{", PolicyKind::Repository).unwrap_err()[0].reason.starts_with("not JSON"));
    // A policy of a registry names its resources.
    let statement = r#"{"Statement": {"Effect": "Allow", "Action": "ecr:*", "Principal": "*"}}"#;
    assert!(Policy::parse(statement, PolicyKind::Repository).is_ok());
    let problems = Policy::parse(statement, PolicyKind::Registry).unwrap_err();
    assert_eq!(problems[0].to_string(), "Statement: must have one of Resource and NotResource");
    assert_eq!(problems[0].constraint(PolicyKind::Registry), "Invalid registry policy provided");
}

#[test]
fn policy_decides_as_iam_does() {
    let decide = |statements: Value, caller: &str, action: &str| {
        let text = json!({ "Statement": statements }).to_string();
        let resource = "arn:aws:ecr:us-east-1:111122223333:repository/my-app";
        let request = Request { caller, action, resource, is_secure: false };
        Policy::parse(&text, PolicyKind::Repository).unwrap().decide(&request)
    };
    let root = "arn:aws:iam::444455556666:root";
    let session = "arn:aws:sts::444455556666:assumed-role/ci/build-1";
    let allow = |principal: Value| json!({"Effect": "Allow", "Principal": principal, "Action": ["ecr:Batch*", "ecr:getdownloadurlforlayer"]});
    let deny = json!({"Effect": "Deny", "Principal": "*", "NotAction": "ecr:BatchGetImage"});
    let insecure = json!({"Effect": "Deny", "Principal": "*", "Action": "*", "Condition": {"Bool": {"aws:SecureTransport": "False"}}});
    let of_org = json!({"Effect": "Allow", "Principal": "*", "Action": "*", "Condition": {"StringEquals": {"aws:PrincipalOrgID": "o-1"}}});
    let of_account = json!({"Effect": "Allow", "Principal": "*", "Action": "*", "Condition": {"StringEquals": {"aws:PrincipalAccount": "444455556666"}}});
    let all_but = json!({"Effect": "Deny", "NotPrincipal": {"AWS": root}, "Action": "*"});
    let all_of_none = json!({"Effect": "Deny", "Principal": "*", "Action": "*", "Condition": {"ForAllValues:StringEquals": {"aws:TagKeys": "a"}}});
    let outside = json!({"Effect": "Deny", "Principal": "*", "Action": "*", "Condition": {"NotIpAddress": {"aws:SourceIp": "10.0.0.0/8"}}});
    let with_path = json!({"AWS": "arn:aws:iam::444455556666:role/service-role/ci"});
    let of_another = json!({"AWS": "arn:aws:iam::444455556666:role/ci/other"});
    let account = json!({"AWS": "444455556666"});
    let role = json!({"AWS": "arn:aws:iam::444455556666:role/ci"});
    for (statements, caller, action, wanted) in [
        (json!([allow(json!("*"))]), root, "ecr:BatchGetImage", Decision::Allowed),
        (json!([allow(json!("*"))]), root, "ecr:PutImage", Decision::Silent),
        (json!([allow(account.clone())]), session, "ecr:GetDownloadUrlForLayer", Decision::AllowedToAccount),
        (json!([allow(json!({"AWS": "777788889999"}))]), root, "ecr:BatchGetImage", Decision::Silent),
        (json!([allow(role.clone())]), session, "ecr:BatchGetImage", Decision::Allowed),
        (
            json!([allow(role)]),
            "arn:aws:sts::444455556666:assumed-role/other/x",
            "ecr:BatchGetImage",
            Decision::Silent,
        ),
        (json!([allow(json!("*")), deny]), root, "ecr:BatchCheckLayerAvailability", Decision::Denied),
        (json!([allow(json!("*")), deny]), root, "ecr:BatchGetImage", Decision::Allowed),
        (json!([allow(json!("*")), insecure]), root, "ecr:BatchGetImage", Decision::Denied),
        (json!([allow(with_path)]), session, "ecr:BatchGetImage", Decision::Allowed),
        (json!([allow(of_another)]), session, "ecr:BatchGetImage", Decision::Silent),
        (json!([all_of_none]), root, "ecr:BatchGetImage", Decision::Denied),
        (json!([outside]), root, "ecr:BatchGetImage", Decision::Denied),
        (json!([of_org]), root, "ecr:BatchGetImage", Decision::Silent),
        (json!([of_account]), session, "ecr:BatchGetImage", Decision::Allowed),
        (json!([all_but]), session, "ecr:BatchGetImage", Decision::Denied),
        (json!([allow(json!("*")), all_but]), root, "ecr:BatchGetImage", Decision::Allowed),
    ] {
        assert_eq!(decide(statements.clone(), caller, action), wanted, "{caller} {action}: {statements}");
    }
}

#[test]
fn wildcards_match_as_in_iam() {
    for (pattern, text, wanted) in [
        ("ecr:*", "ecr:BatchGetImage", true),
        ("ecr:Batch?etImage", "ecr:BatchGetImage", true),
        ("*Image", "ecr:BatchGetImage", true),
        ("ecr:*Get*", "ecr:BatchGetImage", true),
        ("ecr:Put*", "ecr:BatchGetImage", false),
        ("", "", true),
        ("*a*b", "xaxbxb", true),
        ("*a*b", "xaxbx", false),
    ] {
        assert_eq!(decision::is_like(pattern, text), wanted, "{pattern} {text}");
    }
}
