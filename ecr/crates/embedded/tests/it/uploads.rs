//! What ECR is known to answer to uploads of blobs. Each test names its source.

use expect_test::expect;

use crate::support::{begin, with_repository};

/// dotnet/sdk-container-builds#424 and PR 279: only the last part may be smaller than 5 MiB, on both planes.
#[test]
fn part_below_5_mib_is_refused_but_for_the_last() {
    let ecr = with_repository();
    let (small, whole) = (vec![1; 1 << 20], vec![2; 5 << 20]);
    let refused = expect![[
        r#"400 LayerPartTooSmallException: All layer parts except the last part should be at least 5MB"#
    ]];
    refused.assert_eq(&ecr.upload_parts("my-app", &[&small, &small]).error());
    assert_eq!(ecr.upload_parts("my-app", &[&whole, &small]).status, 200);

    let chunks = |chunks: &[&[u8]]| {
        let path = begin(&ecr, "my-app");
        for chunk in chunks {
            assert_eq!(ecr.v2("PATCH", &path, &[], chunk).status, 201);
        }
        let digest = ecr_types::Digest::of(&chunks.concat());
        ecr.v2("PUT", &format!("{path}?digest={digest}"), &[], b"")
    };
    expect![[r#"400 BLOB_UPLOAD_INVALID: All layer parts except the last part should be at least 5MB"#]]
        .assert_eq(&chunks(&[&small, &small, &small]).error());
    assert_eq!(chunks(&[&whole, &whole, &small]).status, 201);
    assert_eq!(chunks(&[&small]).status, 201);
}

/// aws/containers-roadmap#2831: a chunk is answered with 201, and with the range of the first chunk.
#[test]
fn chunk_is_answered_with_201_and_the_range_of_the_first() {
    let ecr = with_repository();
    let path = begin(&ecr, "my-app");
    for _ in 0..2 {
        let answer = ecr.v2("PATCH", &path, &[], &vec![0; 5 << 20]);
        assert_eq!((answer.status, answer.header("range")), (201, Some("0-5242879")));
    }
}

/// apple/containerization#790.
#[test]
fn chunk_out_of_order_is_416() {
    let ecr = with_repository();
    let path = begin(&ecr, "my-app");
    ecr.v2("PATCH", &path, &[], &vec![0; 5 << 20]);
    let answer = ecr.v2("PATCH", &path, &[("content-range", "0-9")], b"0123456789");
    expect!["416 BLOB_UPLOAD_INVALID: First byte of the layer part is 0 instead of 5242880"]
        .assert_eq(&answer.error());
}

/// devcontainers/cli#814, radius-project/radius#7855.
#[test]
fn blob_without_content_is_refused() {
    let ecr = with_repository();
    let digest = ecr_types::Digest::of(b"");
    let answer = ecr.v2("POST", &format!("my-app/blobs/uploads/?digest={digest}"), &[], b"");
    let error = answer.error();
    assert!(error.starts_with("400 BLOB_UPLOAD_INVALID: The upload with id '"), "{error}");
    assert!(error.ends_with(
        "' in the repository with name 'my-app' in registry with id '111122223333' cannot be completed because it does not have any parts"
    ), "{error}");
    let error = ecr.upload_parts("my-app", &[]).error();
    assert!(error.starts_with("400 EmptyUploadException: The upload with id '"), "{error}");
}

/// dotnet/sdk-container-builds#424.
#[test]
fn upload_with_another_digest_is_refused() {
    let ecr = with_repository();
    let digest = ecr_types::Digest::of(b"other");
    let answer = ecr.v2("POST", &format!("my-app/blobs/uploads/?digest={digest}"), &[], b"content");
    expect!["400 BLOB_UPLOAD_INVALID: None of the provided layer digests match the calculated layer digest"]
        .assert_eq(&answer.error());
}
