//! Nothing that others wrote reaches the terminal raw. With `--color always` a pipe gets what a terminal would get;
//! without it, the sequences would be stripped on the way.

use serde_json::json;

use super::answers::{identity, respond, serve};
use crate::support::scans::basic_scan;
use crate::support::{Fixture, Output, POLICY, Workspace, static_binary};

/// Sets the title of the window, clears the screen, inverts the colours (with ESC and with C1), and turns the text around.
const EVIL: &str = "x\x1b]0;owned\x07\x1b[2J\x1b[7m\u{9b}7m\u{202e}\u{200b}";

/// The same as text of JSON and of TOML.
fn quoted() -> String {
    let escaped = EVIL.chars().map(|c| match c {
        c if c.is_ascii_graphic() => c.to_string(),
        c => format!("\\u{:04x}", u32::from(c)),
    });
    format!("\"{}\"", escaped.collect::<String>())
}

/// Fails unless the value was shown, escaped, and nothing else is in the output than text and this program's own styles.
fn assert_harmless(surface: &str, output: &Output) {
    let text = format!("{}{}", output.stdout, output.stderr);
    let wanted = r"x\u{1b}]0;owned\u{7}\u{1b}[2J\u{1b}[7m\u{9b}7m\u{202e}\u{200b}";
    let in_json = r"x\u001b]0;owned\u0007\u001b[2J\u001b[7m\u009b7m\u202e\u200b";
    assert!(text.contains(wanted) || text.contains(in_json), "{surface}: {text:?}");
    assert_not_raw(surface, text);
}

fn assert_not_raw(surface: &str, text: String) {
    let mut rest = text;
    for style in ["0", "1", "2", "4", "31", "32", "33", "36"] {
        rest = rest.replace(&format!("\x1b[{style}m"), "");
    }
    let is_raw = |c: char| c.is_control() && !"\n\t".contains(c) || "\u{202e}\u{200b}".contains(c);
    assert!(!rest.contains(is_raw), "{surface}: {rest:?}");
}

fn with_binary(workspace: Workspace) -> Workspace {
    workspace.file("my-app/binary", static_binary(std::env::consts::ARCH, 1000));
    workspace
}

#[test]
fn hostile_configuration_is_shown_escaped() {
    let (evil, policy) = (quoted(), POLICY.replace("\"imageCountMoreThan\"", &quoted()));
    let service = |metadata: &str| Workspace::new().service("my-app", metadata);
    let of_workspace = |line: &str| {
        Workspace::new().metadata(&format!("region = \"us-east-1\"\n{line}")).service("my-app", "")
    };
    let repositories = |json: String| service("").repositories(&json);
    let file = service("");
    file.file("policy.json", &policy);
    let rows = [
        ("project", of_workspace(&format!("project = {evil}")), vec!["ecr", "plan"]),
        ("unknown key in TOML", of_workspace(&format!("{evil} = 1")), vec!["ecr", "plan"]),
        ("unknown key in JSON", repositories(format!("{{{evil}: 1}}")), vec!["ecr", "plan"]),
        (
            "name of a repository",
            repositories(format!("{{\"repositories\": [{{\"name\": {evil}}}]}}")),
            vec!["ecr", "plan"],
        ),
        (
            "tag",
            service(&format!("[package.metadata.ecr.image]\ntags = [{evil}]")),
            vec!["push", "--dry-run"],
        ),
        ("user", service(&format!("[package.metadata.ecr.image]\nuser = {evil}")), vec!["push", "--dry-run"]),
        (
            "label key",
            service(&format!("[package.metadata.ecr.image]\nlabels = {{ {evil} = 1 }}")),
            vec!["push", "--dry-run"],
        ),
        ("path", service(&format!("lifecycle-policy = {evil}")), vec!["ecr", "plan"]),
        ("countType", file, vec!["ecr", "lifecycle", "check", "policy.json"]),
    ];
    for (surface, workspace, args) in rows {
        let args = [args, vec!["--color", "always"]].concat();
        assert_harmless(surface, &workspace.command(&args).run());
        if surface == "countType" {
            assert_harmless("JSON", &workspace.command(&[args, vec!["--format", "json"]].concat()).run());
        }
    }
}

#[test]
fn hostile_arguments_are_shown_escaped() {
    let workspace = Workspace::new().service("my-app", "");
    for args in [
        vec!["ecr", "plan", EVIL],
        vec!["ecr", "plan", "--format", EVIL],
        vec!["push", "--tag", EVIL, "--dry-run"],
        vec!["ecr", "plan", "-p", EVIL],
        vec!["ecr", "lifecycle", "check", EVIL],
        vec!["ecr", "plan", "--manifest-path", EVIL],
    ] {
        let output = workspace
            .command(&[args.clone(), vec!["--color", "always"]].concat())
            .env("CLICOLOR_FORCE", "1")
            .run();
        // clap leaves out sequences that begin with ESC.
        assert!(output.stderr.contains(r"\u{9b}7m\u{202e}\u{200b}"), "{output:?}");
        assert_not_raw(&format!("{args:?}"), output.stdout + &output.stderr);
    }
}

#[test]
fn hostile_answers_are_shown_escaped() {
    let answer = |field: &'static str| -> String {
        serve(move |request, stream| {
            if identity(request, stream) {
                return;
            }
            let mut body = json!({"__type": "InvalidParameterException", "message": "no"});
            body[field] = json!(EVIL);
            respond(stream, 400, "application/x-amz-json-1.1", &body.to_string());
        })
    };
    let workspace = Workspace::new().service("my-app", "");
    for (surface, field) in [("error code of AWS", "__type"), ("message of AWS", "message")] {
        let url = format!("http://{}", answer(field));
        for format in ["human", "json"] {
            let args = ["ecr", "plan", "--color", "always", "--format", format];
            assert_harmless(surface, &workspace.command(&args).env("AWS_ENDPOINT_URL", &url).run());
        }
    }
    let host = serve(|_, stream| {
        let body = json!({"errors": [{"code": "DENIED", "message": EVIL}]});
        respond(stream, 403, "application/json", &body.to_string());
    });
    let base = format!("[package.metadata.ecr.image]\nbase = \"{host}/base:1\"\n");
    let workspace = with_binary(Workspace::new().service("my-app", &base));
    let here = if cfg!(target_arch = "x86_64") { "linux/amd64" } else { "linux/arm64" };
    let binary = format!("{here}=my-app/binary");
    let args = ["push", "--dry-run", "--binary", &binary, "--color", "always"];
    assert_harmless("message of a base's registry", &workspace.command(&args).run());
}

#[test]
fn hostile_content_of_a_registry_is_shown_escaped() {
    let fixture = Fixture::service().created();
    let digest = fixture.registry.image("my-app", "1.0.0");
    fixture.registry.scan(&digest, &basic_scan(&[(EVIL, "HIGH")]));
    assert_harmless("finding", &fixture.run(&["ecr", "scan", "--color", "always"]));
    let description = json!({"imageScanStatus": {"status": "FAILED", "description": EVIL}});
    fixture.registry.scan(&digest, &description);
    assert_harmless("description of a scan", &fixture.run(&["ecr", "scan", "--color", "always"]));
    assert_harmless(
        "JSON of a scan",
        &fixture.run(&["ecr", "scan", "--format", "json", "--color", "always"]),
    );
    let subject =
        json!({"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": digest, "size": 1});
    fixture.registry.layered("my-app", &[], json!({"subject": subject, "artifactType": EVIL}), None);
    let json = fixture.run(&["ecr", "images", "--format", "json", "--color", "always"]);
    assert_harmless("artifact type", &json);
    let table = fixture.run(&["ecr", "images", "--color", "always"]).good().stdout;
    // The cell is cut.
    assert!(table.contains(r"x\u{1b}]0;ow") && !table.contains('\x07'), "{table:?}");
}

#[test]
fn hostile_output_of_a_program_is_quoted_escaped() {
    let fixture = Fixture::service().created();
    let script = format!("printf '%s' '{EVIL}' >&2; exit 1");
    let engine = fixture.workspace.program("engine", &script);
    let output = fixture.run(&["ecr", "login", "--engine", &engine, "--color", "always"]);
    assert_harmless("engine", &output);
}
