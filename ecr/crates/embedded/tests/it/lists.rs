//! Lists in pages, on both planes.

use std::collections::BTreeSet;

use expect_test::expect;
use serde_json::{Value, json};

use crate::support::{Ecr, start};

/// A server with a repository of 250 images with a tag, 30 without one, and 150 other repositories.
fn seeded() -> Ecr {
    let images = json!([{"tags": ["v{n}"], "repeat": 250}, {"repeat": 30}]);
    let others = (0..150).map(|n| json!({"name": format!("other-{n:03}")}));
    let repositories: Vec<_> =
        [json!({"name": "many", "images": images})].into_iter().chain(others).collect();
    let seed = json!({ "repositories": repositories }).to_string();
    start(ecr_embedded::Server::builder().seed(&seed).unwrap())
}

/// All entries of a list of the API, and the sizes of its pages.
fn all(ecr: &Ecr, operation: &str, key: &str, mut input: Value) -> (Vec<Value>, Vec<usize>) {
    let (mut entries, mut sizes) = (Vec::new(), Vec::new());
    loop {
        let page = ecr.ok(operation, input.clone());
        let items = page[key].as_array().unwrap();
        sizes.push(items.len());
        entries.extend(items.iter().cloned());
        match page.get("nextToken") {
            Some(token) => input["nextToken"] = token.clone(),
            None => return (entries, sizes),
        }
    }
}

#[test]
fn api_lists_have_every_entry_once() {
    let ecr = seeded();
    let filter = |kind: &str| json!({"repositoryName": "many", "filter": {"tagStatus": kind}});
    for (operation, key, input, wanted) in [
        ("DescribeRepositories", "repositories", json!({}), vec![100, 51]),
        ("DescribeRepositories", "repositories", json!({"maxResults": 1000}), vec![151]),
        ("DescribeImages", "imageDetails", json!({"repositoryName": "many"}), vec![100, 100, 80]),
        ("DescribeImages", "imageDetails", filter("TAGGED"), vec![100, 100, 50]),
        ("DescribeImages", "imageDetails", filter("UNTAGGED"), vec![30]),
        ("ListImages", "imageIds", json!({"repositoryName": "many"}), vec![100, 100, 80]),
        ("ListImages", "imageIds", filter("TAGGED"), vec![100, 100, 50]),
        ("ListImages", "imageIds", filter("UNTAGGED"), vec![30]),
        ("ListImages", "imageIds", json!({"repositoryName": "other-000"}), vec![0]),
    ] {
        let (entries, sizes) = all(&ecr, operation, key, input.clone());
        assert_eq!(sizes, wanted, "{operation} {input}");
        let distinct: BTreeSet<_> = entries.iter().map(ToString::to_string).collect();
        assert_eq!(distinct.len(), entries.len(), "{operation} {input}");
    }
}

#[test]
fn pages_go_on_after_entries_that_were_deleted() {
    let ecr = seeded();
    let page = ecr.ok("DescribeImages", json!({"repositoryName": "many"}));
    let last = page["imageDetails"][99]["imageDigest"].clone();
    ecr.ok("BatchDeleteImage", json!({"repositoryName": "many", "imageIds": [{"imageDigest": last}]}));
    let input = json!({"repositoryName": "many", "nextToken": page["nextToken"]});
    assert_eq!(all(&ecr, "DescribeImages", "imageDetails", input).0.len(), 180);
}

#[test]
fn token_of_another_list_is_refused() {
    let ecr = seeded();
    let token = ecr.ok("DescribeImages", json!({"repositoryName": "many"}))["nextToken"].clone();
    for (operation, input) in [
        ("ListImages", json!({"repositoryName": "many", "nextToken": token})),
        ("DescribeImages", json!({"repositoryName": "other-000", "nextToken": token})),
        ("DescribeRepositories", json!({"nextToken": token})),
        ("DescribeRepositories", json!({"nextToken": "nonsense"})),
    ] {
        let refused = expect![
            "400 InvalidParameterException: Invalid parameter at 'nextToken' failed to satisfy constraint: 'is not a valid token'"
        ];
        refused.assert_eq(&ecr.fail(operation, input));
    }
}

/// deitch/docker_registry2#34 (a whole answer), google/go-containerregistry#681 and #1091.
#[test]
fn registry_lists_have_pages_of_100_with_tokens() {
    let ecr = seeded();
    for (path, key, wanted) in [
        ("many/tags/list", "tags", vec![100, 100, 50]),
        ("many/tags/list?n=120", "tags", vec![120, 120, 10]),
        ("_catalog", "repositories", vec![100, 51]),
        ("_catalog?n=1000", "repositories", vec![151]),
    ] {
        let (mut entries, mut sizes, mut next) = (Vec::new(), Vec::new(), path.to_owned());
        loop {
            let page = ecr.v2("GET", &next, &[], b"");
            assert_eq!(page.header("content-type"), Some("text/plain; charset=utf-8"));
            let items = page.json()[key].as_array().unwrap().clone();
            sizes.push(items.len());
            entries.extend(items.iter().map(|it| it.as_str().unwrap().to_owned()));
            let Some(link) = page.header("link") else { break };
            let url = link.strip_prefix('<').unwrap().strip_suffix(">; rel=\"next\"").unwrap();
            next = url.strip_prefix(&format!("{}/v2/", ecr.server.url())).unwrap().to_owned();
        }
        assert_eq!(sizes, wanted, "{path}");
        let mut sorted = entries.clone();
        sorted.sort();
        sorted.dedup();
        assert_eq!(sorted.len(), entries.len(), "{path}");
        // Who takes the first page for all, or the order for one of names, is wrong.
        assert_eq!(sorted == entries, key == "repositories", "{path}");
    }
    for path in ["many/tags/list?n=1001", "_catalog?n=1001"] {
        let refused = expect![
            "405 UNSUPPORTED: Invalid parameter at 'maxResults' failed to satisfy constraint: 'Member must have value less than or equal to 1000'"
        ];
        refused.assert_eq(&ecr.v2("GET", path, &[], b"").error());
    }
    assert_eq!(ecr.v2("GET", "_catalog?last=other-001", &[], b"").status, 405, "a token and no name");
}
