use super::*;

/// A policy with one statement: `elements` are what comes after `Sid` and `Effect`.
fn policy(elements: &str) -> String {
    format!(r#"{{"Version": "2012-10-17", "Statement": [{{"Sid": "pull", "Effect": "Allow", {elements}}}]}}"#)
}

/// Two texts, whether they are the same policy, and the source. "IAM" is the IAM user guide, "JSON policy elements";
/// "terraform" the tests of hashicorp/awspolicyequivalence, which terraform-provider-aws uses.
fn check(rows: &[(&str, &str, bool, &str)], wrap: impl Fn(&str) -> String) {
    for (a, b, wanted, source) in rows {
        let (a, b) = (wrap(a), wrap(b));
        assert_eq!(same_repository_policy(&a, &b), *wanted, "{source}\n{a}\n{b}");
        assert_eq!(same_repository_policy(&b, &a), *wanted, "{source}, the other way round\n{b}\n{a}");
    }
}

#[test]
fn principals_are_compared_as_aws_rewrites_them() {
    let root = r#""Principal": {"AWS": "arn:aws:iam::111111111111:root"}"#;
    let number = r#""Principal": {"AWS": "111111111111"}"#;
    let both = r#""Principal": {"AWS": ["111111111111", "222222222222"]}"#;
    let role = r#""Principal": {"AWS": "arn:aws:iam::111111111111:role/ci"}"#;
    let rows = [
        (number, root, true, "IAM, Principal, AWS account principals; crossplane-contrib/provider-aws#700"),
        (r#""Principal": "111111111111""#, root, true, "terraform: string root IAM user matches account ID"),
        (
            r#""Principal": {"AWS": ["111111111111"]}"#,
            root,
            true,
            "terraform: map array single root IAM user",
        ),
        (
            both,
            r#""Principal": {"AWS": ["arn:aws:iam::222222222222:root", "arn:aws:iam::111111111111:root"]}"#,
            true,
            "terraform: map array multiple root; aws-controllers-k8s/ecr-controller#152",
        ),
        (
            number,
            r#""Principal": {"AWS": "arn:aws-cn:iam::111111111111:root"}"#,
            true,
            "IAM, ARNs: partition",
        ),
        (number, both, false, "terraform: differences matter"),
        (number, r#""Principal": {"AWS": "111111111112"}"#, false, "terraform: differences matter"),
        (number, role, false, "IAM, Principal: a role is not its account"),
        (number, r#""Principal": {"AWS": "arn:aws:sts::111111111111:root"}"#, false, "IAM identifiers"),
        (role, r#""Principal": {"AWS": "AROAEXAMPLEID"}"#, false, "IAM, Principal: ID of a deleted role"),
        (
            role,
            r#""Principal": {"AWS": "arn:aws:iam::111111111111:role/CI"}"#,
            false,
            "ARNs are case-sensitive",
        ),
        (r#""Principal": "*""#, r#""Principal": {"AWS": "*"}"#, true, "IAM, Principal, All principals"),
        (r#""Principal": "*""#, r#""Principal": {"AWS": ["*"]}"#, true, "terraform: one-length lists"),
        (
            r#""Principal": "*""#,
            r#""Principal": {"Service": "*"}"#,
            false,
            "IAM, Principal, service principals",
        ),
        (r#""Principal": "*""#, r#""NotPrincipal": "*""#, false, "IAM, NotPrincipal"),
        (
            r#""Principal": {"AWS": "111111111111", "Service": ["a.amazonaws.com", "b.amazonaws.com"]}"#,
            r#""Principal": {"Service": ["b.amazonaws.com", "a.amazonaws.com"], "AWS": ["111111111111"]}"#,
            true,
            "terraform: principal order not important",
        ),
        (r#""Principal": {"AWS": []}"#, r#""Action": []"#, false, "an absent action is not an empty one"),
        (r#""Principal": {"AWS": []}"#, r#""Principal": {}"#, true, "terraform: empty principal set"),
        (both, r#""Principal": {"AWS": ["222222222222", "111111111111", "222222222222"]}"#, true, "a set"),
    ];
    check(&rows, policy);
}

#[test]
fn actions_and_resources_are_compared_as_sets() {
    let rows = [
        (
            r#""Action": "ecr:BatchGetImage""#,
            r#""Action": ["ecr:BatchGetImage"]"#,
            true,
            "terraform: single item",
        ),
        (
            r#""Action": "ecr:BatchGetImage""#,
            r#""Action": "ecr:batchgetimage""#,
            true,
            "IAM, Action: any case",
        ),
        (
            r#""Action": "ecr:BatchGetImage""#,
            r#""Action": "ECR:BatchGetImage""#,
            true,
            "IAM, Action: any case",
        ),
        (
            r#""Action": "ecr:BatchGetImage""#,
            r#""NotAction": "ecr:BatchGetImage""#,
            false,
            "terraform: NotAction",
        ),
        (r#""Action": ["ecr:A", "ecr:B"]"#, r#""Action": ["ecr:B", "ecr:A"]"#, true, "a set"),
        (r#""Action": ["ecr:A", "ecr:B"]"#, r#""Action": ["ecr:A"]"#, false, "terraform: different action"),
        (r#""Action": "ecr:*""#, r#""Action": "ecr:Get*""#, false, "IAM, Action: wildcards"),
        (r#""Resource": "*""#, r#""Resource": ["*"]"#, true, "terraform: single item"),
        (r#""Resource": "arn:a""#, r#""Resource": "arn:A""#, false, "ARNs are case-sensitive"),
    ];
    check(&rows, policy);
}

#[test]
fn conditions_are_compared_by_value() {
    let condition = |text: &str| policy(&format!(r#""Condition": {text}"#));
    let equals = r#"{"StringEquals": {"aws:PrincipalOrgID": "o-1"}}"#;
    let rows = [
        (equals, r#"{"StringEquals": {"aws:PrincipalOrgID": ["o-1"]}}"#, true, "terraform: single string"),
        (
            equals,
            r#"{"stringEquals": {"AWS:principalorgid": "o-1"}}"#,
            true,
            "IAM, Condition: keys in any case",
        ),
        (equals, r#"{"StringEquals": {"aws:PrincipalOrgID": "O-1"}}"#, false, "IAM, Condition: StringEquals"),
        (equals, r#"{"StringLike": {"aws:PrincipalOrgID": "o-1"}}"#, false, "terraform: different condition"),
        (
            equals,
            r#"{"ForAnyValue:StringEquals": {"aws:PrincipalOrgID": "o-1"}}"#,
            false,
            "IAM, Condition: sets",
        ),
        (
            equals,
            r#"{"StringEqualsIfExists": {"aws:PrincipalOrgID": "o-1"}}"#,
            false,
            "IAM, Condition: IfExists",
        ),
        (equals, "{}", false, "a condition less"),
        (
            r#"{"Bool": {"aws:SecureTransport": true}}"#,
            r#"{"Bool": {"aws:SecureTransport": "true"}}"#,
            true,
            "terraform: boolean condition with and without quotes",
        ),
        (
            r#"{"Bool": {"aws:SecureTransport": "True"}}"#,
            r#"{"Bool": {"aws:SecureTransport": ["true"]}}"#,
            true,
            "IAM, Condition: booleans in any case",
        ),
        (
            r#"{"NumericLessThan": {"aws:MultiFactorAuthAge": 3600}}"#,
            r#"{"NumericLessThan": {"aws:MultiFactorAuthAge": "3600"}}"#,
            true,
            "terraform: numeric condition with and without quotes",
        ),
        (
            r#"{"StringEquals": {"k": ["a", "b"], "l": "c"}}"#,
            r#"{"StringEquals": {"l": ["c"], "k": ["b", "a", "b"]}}"#,
            true,
            "IAM, Condition: several values are an OR",
        ),
        (
            r#"{"StringEquals": {"k": "a"}, "StringLike": {"k": "a"}}"#,
            r#"{"StringEquals": {"k": "a"}}"#,
            false,
            "terraform: multiple condition blocks",
        ),
    ];
    check(&rows, condition);
}

#[test]
fn documents_are_compared_as_wholes() {
    let deny = r#"{"Sid": "b", "Effect": "Deny", "Principal": "*", "Action": "ecr:*"}"#;
    let allow = r#"{"Sid": "a", "Effect": "Allow", "Principal": "*", "Action": "ecr:*"}"#;
    let statement = |text: &str| format!(r#"{{"Version": "2012-10-17", "Statement": {text}}}"#);
    let whole = |a: &str, b: &str, wanted, source| check(&[(a, b, wanted, source)], str::to_owned);
    let both = |order: [&str; 2]| statement(&format!("[{}, {}]", order[0], order[1]));
    whole(&statement(allow), &statement(&format!("[{allow}]")), true, "terraform: single statement");
    whole(&both([allow, deny]), &both([deny, allow]), true, "terraform: multiple statements, equivalent");
    whole(&both([allow, deny]), &statement(allow), false, "terraform: missing one from policy 2");
    whole(&statement(allow), &statement(&allow.replace("\"a\"", "\"c\"")), false, "another Sid");
    whole(
        &statement(allow),
        &statement(&allow.replace("Allow", "allow")),
        true,
        "terraform: casing of Effect",
    );
    whole(
        &statement(allow),
        &statement(&allow.replace("Allow", "Deny")),
        false,
        "terraform: different effect",
    );
    let old = statement(allow).replace("2012-10-17", "2008-10-17");
    whole(&statement(allow), &old, false, "terraform: different version");
    whole(&old, &old.replace(r#""Version": "2008-10-17", "#, ""), true, "IAM, Version: the default");
    whole(&statement(allow), &statement(&allow.replace("\"Sid\": \"a\", ", "")), false, "IAM, Sid");
    let pretty = serde_json::to_string_pretty(&serde_json::from_str::<Value>(&statement(allow)).unwrap());
    whole(&statement(allow), &pretty.unwrap(), true, "aws ecr get-repository-policy, examples: pretty JSON");
    whole("{", "{", true, "no policy: the texts are compared");
    whole("{", "[", false, "no policy: the texts are compared");
}

#[test]
fn kms_keys_are_compared_by_what_is_known() {
    let id = "1234abcd-12ab-34cd-56ef-1234567890ab";
    let arn = format!("arn:aws:kms:us-east-1:111111111111:key/{id}");
    let alias_arn = "arn:aws:kms:us-east-1:111111111111:alias/ecr";
    for (a, b, wanted) in [
        (id, arn.as_str(), true),
        (&arn, &arn, true),
        (&arn, &arn.replace("us-east-1", "us-west-2"), false),
        (&arn, &arn.replace("ab\"", "ac\"").replace("90ab", "90ac"), false),
        ("1234abcd-12ab-34cd-56ef-1234567890ac", &arn, false),
        ("alias/ecr", &arn, true),
        (alias_arn, &arn, true),
        ("alias/ecr", alias_arn, true),
        ("alias/ecr", "alias/other", false),
        ("mrk-1234abcd", "arn:aws:kms:us-east-1:111111111111:key/mrk-1234abcd", true),
    ] {
        assert_eq!(same_kms_key(a, b), wanted, "{a} {b}");
        assert_eq!(same_kms_key(b, a), wanted, "{b} {a}");
    }
}
