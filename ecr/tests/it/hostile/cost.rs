//! What bad input may cost: time in proportion to its size, output that fits a screen, and an end.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;

use super::answers::{identity, respond, serve};
use crate::support::Workspace;

/// Runs a command on inputs of 1,000 and of 8,000 parts. Fails if the time grows faster than the input by far: linear is
/// at most 8 times as much, quadratic is 64 times.
fn assert_linear(args: &[&str], workspace: impl Fn(usize) -> Workspace) {
    let times = [1000, 8000].map(|n| {
        let workspace = workspace(n);
        let runs = (0..2).map(|_| {
            let began = Instant::now();
            assert_eq!(workspace.command(args).run().code, 1);
            began.elapsed()
        });
        runs.min().unwrap()
    });
    // A process that starts takes as long as a thousand parts, or longer on a busy machine.
    let small = times[0].max(Duration::from_millis(100));
    assert!(times[1] < small * 24, "{args:?}: {times:?}");
}

fn lines(n: usize, line: impl Fn(usize) -> String, separator: &str) -> String {
    (0..n).map(line).collect::<Vec<_>>().join(separator)
}

#[test]
fn hostile_unknown_keys_of_manifests_cost_what_they_are() {
    let workspace =
        |n: usize| Workspace::new().service("my-app", &lines(n, |it| format!("key-{it} = 1"), "\n"));
    assert_linear(&["ecr", "plan"], workspace);
    let (small, large) = (workspace(50), workspace(8000));
    let shown = |it: &Workspace| it.command(&["ecr", "plan"]).run().stderr;
    assert!(shown(&small).contains("`key-49`") && !shown(&small).contains(" more"), "{}", shown(&small));
    let text = shown(&large);
    assert!(text.contains("there are 8000 problems in the configuration"), "{text}");
    assert!(text.ends_with("\n\nand 7950 more; `--format json` lists all 8000 problems\n"), "{text}");
    assert_eq!(text.matches("unknown key").count(), 50);
    let json = large.command(&["ecr", "plan", "--format", "json"]).run().json_with(1);
    assert_eq!(json["error"]["causes"].as_array().unwrap().len(), 8000);
}

#[test]
fn hostile_definitions_cost_what_they_are() {
    // Wrong names, unknown keys, and duplicates, in one line.
    let definitions =
        |n: usize| lines(n, |it| format!(r#"{{"name": "Wrong {it}", "key-{it}": 1, "key-{it}": 2}}"#), ",");
    assert_linear(&["ecr", "plan"], |n| {
        Workspace::new()
            .service("my-app", "")
            .repositories(&format!("{{\"repositories\": [{}]}}", definitions(n)))
    });
    assert_linear(&["ecr", "plan"], |n| {
        let keys = lines(n, |it| format!("\"key-{it}\": {it}"), ",");
        Workspace::new().service("my-app", "").repositories(&format!("{{{keys}}}"))
    });
}

#[test]
fn hostile_policies_are_refused_by_their_length() {
    let workspace = Workspace::new();
    let rule = r#"{"rulePriority": 0, "selection": {"tagStatus": "some"}}"#;
    workspace.file("rules.json", format!("{{\"rules\": [{}]}}", vec![rule; 8000].join(",")));
    workspace.file("deep.json", "[".repeat(100_000));
    workspace.file("long.json", format!("{{\"rules\": \"{}\"}}", "x".repeat(10_000_000)));
    for file in ["rules.json", "deep.json", "long.json"] {
        let began = Instant::now();
        let output = workspace.command(&["ecr", "lifecycle", "check", file]).run();
        assert!(began.elapsed() < Duration::from_secs(30), "{file}: {:?}", began.elapsed());
        assert_eq!((output.code, output.stdout.lines().count()), (1, 2), "{file}: {output:?}");
        assert!(output.stdout.contains("a lifecycle policy has at most 30720 characters"), "{output:?}");
    }
    let short = lines(4000, |_| "1".to_owned(), ",");
    workspace.file("short.json", format!("{{\"rules\": [{short}]}}"));
    let output = workspace.command(&["ecr", "lifecycle", "check", "short.json"]).run();
    assert!(output.stdout.ends_with("and 3951 more; `--format json` lists all 4001 errors\n"), "{output:?}");
}

#[test]
fn hostile_nesting_is_an_error_of_one_line() {
    for text in ["[".repeat(100_000), "{\"repositories\": ".repeat(100_000)] {
        let output =
            Workspace::new().service("my-app", "").repositories(&text).command(&["ecr", "plan"]).run();
        assert!(output.code == 1 && output.stderr.contains("repositories.json:1:"), "{output:?}");
    }
}

#[test]
fn hostile_large_files_are_not_read() {
    let workspace = Workspace::new().service("my-app", "");
    let file = std::fs::File::create(workspace.root().join("ecr/repositories.json")).unwrap();
    // A sparse file, and a device without an end.
    file.set_len(100_000_000).unwrap();
    let output = workspace.command(&["ecr", "plan"]).run();
    assert!(
        output.stderr.contains("`ecr/repositories.json` cannot be read: it is larger than 16 MiB"),
        "{output:?}"
    );
    let output = workspace.command(&["ecr", "lifecycle", "check", "/dev/zero"]).run();
    assert!(output.code == 1 && output.stderr.contains("it is larger than 16 MiB"), "{output:?}");
}

#[test]
fn hostile_is_not_a_list_of_many_images() {
    let workspace = Workspace::new();
    let image = |it: usize| {
        let digest = format!("sha256:{it:064x}");
        json!({"digest": digest, "tags": (0..12).map(|n| format!("{it}-{n}-{}", "x".repeat(100))).collect::<Vec<_>>(), "pushedAt": format!("2026-01-01T{:02}:{:02}:{:02}Z", it / 3600, it / 60 % 60, it % 60),
               "sizeBytes": 1, "mediaType": "application/vnd.oci.image.manifest.v1+json", "storageClass": "standard"})
    };
    let images = lines(12_000, |it| image(it).to_string(), ",");
    workspace.file("images.json", format!("[{images}]"));
    assert!(images.len() > 16 << 20);
    let args =
        ["ecr", "lifecycle", "preview", "--images", "images.json", "--policy", "ecr/lifecycle-policy.json"];
    let output = workspace.command(&args).run().good();
    assert!(
        output.stdout.starts_with("images: 12000 images, 11990 would expire"),
        "{}",
        &output.stdout[..200]
    );
}

/// A server with one repository, whose list of images has pages with the tokens that `token` gives, and the number of pages that were asked for.
fn endless(token: impl Fn(usize) -> String + Send + Sync + 'static) -> (String, Arc<AtomicUsize>) {
    let pages = Arc::new(AtomicUsize::new(0));
    let counted = pages.clone();
    let host = serve(move |request, stream| {
        if identity(request, stream) {
            return;
        }
        if request.operation == "DescribeRepositories" {
            let arn = "arn:aws:ecr:us-east-1:123456789012:repository/my-app";
            let repository = json!({"repositoryName": "my-app", "repositoryArn": arn, "repositoryUri": "127.0.0.1:9/my-app"});
            let body = json!({"repositories": [repository]}).to_string();
            return respond(stream, 200, "application/x-amz-json-1.1", &body);
        }
        if request.operation == "GetAuthorizationToken" {
            let token = json!({"authorizationToken": "QVdTOng=", "proxyEndpoint": "http://127.0.0.1:9"});
            let body = json!({"authorizationData": [token]}).to_string();
            return respond(stream, 200, "application/x-amz-json-1.1", &body);
        }
        if request.operation == "GetLifecyclePolicy" {
            let body = json!({"__type": "LifecyclePolicyNotFoundException", "message": "none"}).to_string();
            return respond(stream, 400, "application/x-amz-json-1.1", &body);
        }
        let n = counted.fetch_add(1, Ordering::Relaxed);
        let body = json!({"imageDetails": [], "nextToken": token(n)});
        respond(stream, 200, "application/x-amz-json-1.1", &body.to_string());
    });
    (format!("http://{host}"), pages)
}

#[test]
fn hostile_lists_have_an_end() {
    let workspace = Workspace::new().service("my-app", "");
    let images = |url: &str| workspace.command(&["ecr", "images"]).env("AWS_ENDPOINT_URL", url).run();
    let (url, pages) = endless(|n| format!("token-{}", n % 3));
    let output = images(&url);
    assert!(output.code == 1 && pages.load(Ordering::Relaxed) < 20, "{pages:?} {output:?}");
    assert!(output.stderr.contains("the list goes back to a page that it had before"), "{output:?}");
    let (url, pages) = endless(|n| format!("token-{n}"));
    let output = images(&url);
    assert!(output.code == 1 && pages.load(Ordering::Relaxed) <= 2010, "{pages:?} {output:?}");
    assert!(output.stderr.contains("the list has no end after 2000 pages"), "{output:?}");
}

#[test]
fn hostile_answer_of_a_gigabyte_is_read_once_and_not_to_its_end() {
    let (sent, attempts) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let counted = (sent.clone(), attempts.clone());
    let host = serve(move |request, stream| {
        if identity(request, stream) {
            return;
        }
        counted.1.fetch_add(1, Ordering::Relaxed);
        let head = "HTTP/1.1 200 OK\r\nContent-Type: application/x-amz-json-1.1\r\nContent-Length: 1000000000\r\n\r\n";
        let _ = stream.write_all(head.as_bytes());
        let part = vec![b' '; 1 << 20];
        for _ in 0..1000 {
            if stream.write_all(&part).is_err() {
                return;
            }
            counted.0.fetch_add(part.len(), Ordering::Relaxed);
        }
    });
    let workspace = Workspace::new().service("my-app", "");
    let url = format!("http://{host}");
    let output = workspace.command(&["ecr", "images"]).env("AWS_ENDPOINT_URL", &url).run();
    assert!(
        output.code == 1 && output.stderr.contains("the response is longer than 67108864 bytes"),
        "{output:?}"
    );
    // Beside what was read, buffers of the sockets.
    let (sent, attempts) = (sent.load(Ordering::Relaxed), attempts.load(Ordering::Relaxed));
    assert!(sent < attempts * 80_000_000 && attempts <= 2, "{sent} bytes in {attempts} attempts");
}
