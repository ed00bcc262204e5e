use ecr_lifecycle::StoredPolicy;
use ecr_types::EncryptionType;

use super::differences::same_encryption;
use super::*;
use crate::config::desired::{Encryption, LifecyclePolicy};

const POLICY: &str = r#"{"rules": [{"rulePriority": 1, "selection": {"tagStatus": "any",
    "countType": "imageCountMoreThan", "countNumber": 10}, "action": {"type": "expire"}}]}"#;

fn desired() -> DesiredRepository {
    DesiredRepository {
        name: "my-app".parse().unwrap(),
        package: Some("my-app".to_owned()),
        service: Some("my-app".to_owned()),
        image_tag_mutability: ImageTagMutability::Immutable,
        exclusion_filters: Vec::new(),
        scan_on_push: true,
        encryption: None,
        lifecycle_policy: Some(LifecyclePolicy::Document(Document::parse("", POLICY).unwrap())),
        repository_policy: None,
        tags: tags(&[("ManagedBy", MANAGED_BY), ("Project", "ours")]),
        protect: false,
    }
}

fn current() -> ObservedRepository {
    ObservedRepository {
        arn: "arn:aws:ecr:us-east-1:123456789012:repository/my-app".to_owned(),
        uri: "123456789012.dkr.ecr.us-east-1.amazonaws.com/my-app".to_owned(),
        image_tag_mutability: "IMMUTABLE".to_owned(),
        exclusion_filters: Vec::new(),
        scan_on_push: true,
        encryption: Some(Encryption { kind: EncryptionType::Aes256, kms_key: None }),
        lifecycle_policy: Property::Known(Some(StoredPolicy::parse(POLICY.to_owned()))),
        repository_policy: Property::Skipped,
        tags: Property::Known(tags(&[("ManagedBy", MANAGED_BY), ("Project", "ours"), ("theirs", "stays")])),
    }
}

fn tags(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect()
}

fn observed(found: ObservedRepository) -> Observed {
    Observed { repositories: [("my-app".parse().unwrap(), found)].into(), scanning_rules: Vec::new() }
}

/// State and steps in one line: `drifted PutLifecyclePolicy(lifecyclePolicy)`.
fn outline(desired: &DesiredRepository, observed: &Observed) -> String {
    let plan = plan(std::slice::from_ref(desired), Some("ours"), observed);
    let repository = &plan.repositories[0];
    let steps =
        repository.steps.iter().map(|it| format!(" {}({})", it.action.operation(), it.field.unwrap_or("-")));
    let blocked = repository.blocked.iter().map(|it| format!(" !{}", it.field));
    repository.state.as_str().to_owned() + &steps.chain(blocked).collect::<String>()
}

#[test]
fn plan_creates_an_absent_repository_with_its_policy() {
    assert_eq!(
        outline(&desired(), &Observed::default()),
        "absent CreateRepository(-) PutLifecyclePolicy(lifecyclePolicy)"
    );
}

#[test]
fn plan_for_a_current_repository_has_no_writes() {
    assert_eq!(outline(&desired(), &observed(current())), "current");
}

#[test]
fn plan_has_one_step_per_differing_field() {
    let found = ObservedRepository {
        image_tag_mutability: "MUTABLE".to_owned(),
        scan_on_push: false,
        lifecycle_policy: Property::Known(None),
        tags: Property::Known(BTreeMap::new()),
        ..current()
    };
    assert_eq!(
        outline(&desired(), &observed(found)),
        "drifted PutImageTagMutability(imageTagMutability) PutImageScanningConfiguration(scanOnPush) \
         PutLifecyclePolicy(lifecyclePolicy) TagResource(tags)"
    );
}

#[test]
fn plan_ignores_the_order_of_exclusion_filters() {
    let with = |filters: &[&str]| filters.iter().map(|it| it.to_string()).collect::<Vec<_>>();
    let wanted = DesiredRepository {
        image_tag_mutability: ImageTagMutability::ImmutableWithExclusion,
        exclusion_filters: with(&["latest*", "dev*"]),
        ..desired()
    };
    let found = |filters: &[&str]| ObservedRepository {
        image_tag_mutability: "IMMUTABLE_WITH_EXCLUSION".to_owned(),
        exclusion_filters: with(filters),
        ..current()
    };
    assert_eq!(outline(&wanted, &observed(found(&["dev*", "latest*"]))), "current");
    assert_eq!(
        outline(&wanted, &observed(found(&["latest*"]))),
        "drifted PutImageTagMutability(imageTagMutabilityExclusionFilters)"
    );
}

#[test]
fn plan_considers_the_scanning_rules_of_the_registry() {
    let mut observed = observed(ObservedRepository { scan_on_push: false, ..current() });
    assert!(needs_scanning_rules(&[desired()], &observed));
    let rule = |frequency: &str, filter: &str| ScanningRule {
        frequency: frequency.to_owned(),
        filters: vec![filter.to_owned()],
    };
    for (rule, expected) in [
        (rule("SCAN_ON_PUSH", "*"), "current"),
        (rule("CONTINUOUS_SCAN", "app"), "current"),
        (rule("MANUAL", "*"), "drifted PutImageScanningConfiguration(scanOnPush)"),
        (rule("SCAN_ON_PUSH", "other*"), "drifted PutImageScanningConfiguration(scanOnPush)"),
    ] {
        observed.scanning_rules = vec![rule];
        assert_eq!(outline(&desired(), &observed), expected);
    }
}
use ecr_types::ScanningRule;

#[test]
fn plan_blocks_a_change_of_encryption() {
    let wanted = DesiredRepository {
        encryption: Some(Encryption { kind: EncryptionType::Kms, kms_key: None }),
        ..desired()
    };
    assert_eq!(outline(&wanted, &observed(current())), "blocked !encryptionConfiguration");
}

#[test]
fn encryption_key_id_equals_its_arn() {
    let kms = |key: &str| Encryption { kind: EncryptionType::Kms, kms_key: Some(key.to_owned()) };
    let arn = "arn:aws:kms:us-east-1:123456789012:key/1234";
    assert!(same_encryption(&kms("1234"), &kms(arn)));
    assert!(same_encryption(&kms("alias/mine"), &kms(arn)));
    assert!(!same_encryption(&kms("4321"), &kms(arn)));
}

#[test]
fn plan_does_not_change_a_repository_of_another_project() {
    let theirs =
        |tags| observed(ObservedRepository { tags, image_tag_mutability: "MUTABLE".into(), ..current() });
    let foreign = theirs(Property::Known(tags(&[("Project", "theirs")])));
    assert_eq!(outline(&desired(), &foreign), "foreign");
    let untagged = theirs(Property::Known(BTreeMap::new()));
    assert!(outline(&desired(), &untagged).starts_with("drifted PutImageTagMutability"));
    let unreadable = theirs(Property::Denied);
    assert_eq!(outline(&desired(), &unreadable), "drifted PutImageTagMutability(imageTagMutability)");
    assert!(
        plan(&[desired()], None, &foreign).repositories[0].state != RepositoryState::Foreign("theirs".into())
    );
}

#[test]
fn plan_writes_an_unreadable_lifecycle_policy_again() {
    let found = ObservedRepository { lifecycle_policy: Property::Denied, ..current() };
    assert_eq!(outline(&desired(), &observed(found)), "drifted PutLifecyclePolicy(lifecyclePolicy)");
}

#[test]
fn plan_removes_a_lifecycle_policy_only_if_it_must_be_absent() {
    let none = DesiredRepository { lifecycle_policy: Some(LifecyclePolicy::Absent), ..desired() };
    assert_eq!(outline(&none, &observed(current())), "drifted DeleteLifecyclePolicy(lifecyclePolicy)");
    let silent = DesiredRepository { lifecycle_policy: None, ..desired() };
    assert_eq!(outline(&silent, &observed(current())), "current");
}

#[test]
fn orphans_are_recognized_by_their_tags() {
    let ours = tags(&[("ManagedBy", MANAGED_BY), ("Project", "ours")]);
    assert!(is_orphan(&ours, Some("ours")));
    assert!(!is_orphan(&ours, Some("theirs")));
    assert!(!is_orphan(&tags(&[("Project", "ours")]), Some("ours")));
}
