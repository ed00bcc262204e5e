//! Tests of the whole: a text, the images, and what becomes of it.

use ecr_types::Digest;

use super::*;

const HOST: &str = "111111111111.dkr.ecr.us-east-1.amazonaws.com";

/// An image with a name. One that no repository can have, as random texts have it, stands for `x`.
fn image(name: &str) -> DeployedImage {
    DeployedImage {
        package: Some(name.to_owned()),
        service: Some(name.to_owned()),
        repository: format!("team/{name}").parse().unwrap_or_else(|_| "team/x".parse().unwrap()),
        host: HOST.to_owned(),
        tag: Some("1.2.3".parse().unwrap()),
        digest: Digest::of(name.as_bytes()),
    }
}

/// The text with every placeholder replaced by an image of its name.
fn resolve(text: &str) -> String {
    let found = find(text);
    assert_eq!(found.invalid, [], "{text}");
    let replacements: Vec<_> = found
        .placeholders
        .iter()
        .map(|it| (it.span.clone(), image(&it.name).text(it.part).unwrap()))
        .collect();
    replaced(text, &replacements)
}

fn problems(text: &str) -> Vec<String> {
    find(text).invalid.iter().map(|it| format!("{}:{}: {}", it.line, it.column, it.message)).collect()
}

fn a(part: Part) -> String {
    image("a").text(part).unwrap()
}

#[test]
fn placeholders_are_found_in_any_text() {
    let (reference, tagged) = (a(Part::Reference), a(Part::Tagged));
    for (text, wanted) in [
        ("image: ecr://a\n", format!("image: {reference}\n")),
        ("image: \"ecr://a\" # why\r\n", format!("image: \"{reference}\" # why\r\n")),
        ("\u{feff}image: ecr://a", format!("\u{feff}image: {reference}")),
        ("{\"image\":\"ecr://a#tagged\",\"x\":1}", format!("{{\"image\":\"{tagged}\",\"x\":1}}")),
        ("X=ecr://a#repository:ecr://a#tag", format!("X={HOST}/team/a:1.2.3")),
        (
            "args: [--image=ecr://a@ecr://a#digest]",
            format!("args: [--image={reference}@{}]", a(Part::Digest)),
        ),
        ("image = \"docker://ecr://a\"", format!("image = \"docker://{reference}\"")),
        ("{{ if .x }}ecr://a{{ end }}", format!("{{{{ if .x }}}}{reference}{{{{ end }}}}")),
        ("- &x ecr://a\n- *x\n", format!("- &x {reference}\n- *x\n")),
        ("\tü ecr://a ü", format!("\tü {reference} ü")),
        ("`ecr://a`, (ecr://a)", format!("`{reference}`, ({reference})")),
        ("a\recr://a\r# ecr://a\r", format!("a\r{reference}\r# ecr://a\r")),
    ] {
        assert_eq!(resolve(text), wanted, "{text}");
    }
}

#[test]
fn comments_stay() {
    for text in [
        "# image: ecr://a\n",
        "  # ecr://a\r\n",
        "// ecr://a",
        "\u{feff}# ecr://a\n",
        "\t#ecr://a#wrong",
        "no token",
    ] {
        assert_eq!(resolve(text), text);
    }
}

#[test]
fn names_are_as_long_as_they_can_be() {
    let names = |text: &str| find(text).placeholders.into_iter().map(|it| it.name).collect::<Vec<_>>();
    assert_eq!(names("ecr://a.b/c_d-e:1"), ["a.b/c_d-e"]);
    assert_eq!(names("ecr://My-App, ecr://b"), ["My-App", "b"]);
    let found = find("x\n  ü: ecr://a\n").placeholders.remove(0);
    assert_eq!((found.line, found.column), (2, 6));
    assert_eq!(find("\u{feff}ecr://a").placeholders[0].column, 1);
}

#[test]
fn placeholders_that_name_nothing_are_problems() {
    assert_eq!(problems("a: ecr:// b\n"), ["1:4: `ecr://` is not followed by a name"]);
    assert_eq!(problems("\necr://a#taggd"), ["2:1: `ecr://a#taggd` names an unknown part of the reference"]);
    assert_eq!(find("ecr://a#taggd").invalid[0].help, "did you mean `#tagged`?");
    assert_eq!(problems("ecr://a#"), ["1:1: `ecr://a#` names an unknown part of the reference"]);
    // The others of the text are found all the same.
    assert_eq!(find("ecr:// ecr://a").placeholders.len(), 1);
}

#[test]
fn marked_lines_are_resolved_again_and_again() {
    let digest = a(Part::Digest);
    for (text, wanted) in [
        ("image: h.io/x:1 # ecr://a", format!("image: {} # ecr://a", a(Part::Reference))),
        (
            "image: \"h.io/x:1\"   # ecr://a#tagged  \r\n",
            format!("image: \"{}\"   # ecr://a#tagged  \r\n", a(Part::Tagged)),
        ),
        ("  - localhost:5000/x@sha256:0 # ecr://a\n", String::new()),
        ("image = \"h.io/x\" // ecr://a", format!("image = \"{}\" // ecr://a", a(Part::Reference))),
        ("image: docker://h.io/x:1 # ecr://a", format!("image: docker://{} # ecr://a", a(Part::Reference))),
        ("newName: h.io/x # ecr://a#repository", format!("newName: {HOST}/team/a # ecr://a#repository")),
        ("newTag: \"0.1\" # ecr://a#tag", "newTag: \"1.2.3\" # ecr://a#tag".to_owned()),
        ("tag = 'x', # ecr://a#tag", "tag = '1.2.3', # ecr://a#tag".to_owned()),
        ("image: ecr://a # ecr://a", format!("image: {} # ecr://a", a(Part::Reference))),
        (
            "app.kubernetes.io/image: h.io/x # ecr://a",
            format!("app.kubernetes.io/image: {} # ecr://a", a(Part::Reference)),
        ),
        (
            "x: [https://h.io/doc, h.io/x:1] # ecr://a",
            format!("x: [https://h.io/doc, {}] # ecr://a", a(Part::Reference)),
        ),
    ] {
        if wanted.is_empty() {
            assert_eq!(problems(text).len(), 1, "an invalid digest is no reference: {text}");
            continue;
        }
        assert_eq!(resolve(text), wanted, "{text}");
        assert_eq!(resolve(&wanted), wanted, "twice: {text}");
    }
    let old = format!("digest: {} # ecr://a#digest", Digest::of(b"old"));
    assert_eq!(resolve(&old), format!("digest: {digest} # ecr://a#digest"));
}

#[test]
fn markers_without_one_word_are_problems() {
    for (text, wanted) in [
        ("image: x # ecr://a", "1:12: there is no image reference before the marker `ecr://a`"),
        ("x: h.io/a h.io/b # ecr://a", "1:20: there are 2 image references before the marker `ecr://a`"),
        ("path: ./x/y # ecr://a", "1:15: there is no image reference before the marker `ecr://a`"),
        ("digest: 1 # ecr://a#digest", "1:13: there is no digest before the marker `ecr://a#digest`"),
        ("tag: \"\" # ecr://a#tag", "1:11: there is no value before the marker `ecr://a#tag`"),
        ("x: ecr://b # ecr://a", "1:14: the marker `ecr://a` stands behind another placeholder, `ecr://b`"),
        ("x: ecr://a h.io/b # ecr://a", "1:21: there are 2 image references before the marker `ecr://a`"),
    ] {
        assert_eq!(problems(text), [wanted], "{text}");
    }
    // A comment begins after white space, and a marker is nothing but the placeholder.
    assert_eq!(resolve("x#ecr://a"), format!("x#{}", a(Part::Reference)));
    assert_eq!(resolve("h.io/x # see ecr://a"), format!("h.io/x # see {}", a(Part::Reference)));
}

/// Texts of pieces that a parser might trip over, with a generator of numbers that needs no crate.
fn random_texts(n: usize) -> impl Iterator<Item = String> {
    const PIECES: [&str; 20] = [
        "ecr://a",
        "ecr://a#tagged",
        "ecr://b#digest",
        "ecr://",
        "#",
        "//",
        " ",
        "\n",
        "\r\n",
        "\r",
        "ü",
        "\u{feff}",
        "h.io/x:1",
        "\"",
        "'",
        ": ",
        "image",
        "sha256:",
        "# ecr://a",
        "@",
    ];
    let mut state: u64 = 0x9E37_79B9_7F4A_7C15;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as usize
    };
    (0..n).map(move |_| (0..next() % 12).map(|_| PIECES[next() % PIECES.len()]).collect())
}

#[test]
fn other_bytes_stay_and_a_second_run_changes_nothing() {
    for text in random_texts(20_000) {
        let found = find(&text);
        let spans: Vec<_> = found.placeholders.iter().map(|it| it.span.clone()).collect();
        assert!(spans.windows(2).all(|it| it[0].end <= it[1].start), "{text:?}: {spans:?}");
        let without = |text: &str, spans: &[Range<usize>]| {
            replaced(text, &spans.iter().map(|it| (it.clone(), String::new())).collect::<Vec<_>>())
        };
        let new: Vec<_> = found
            .placeholders
            .iter()
            .map(|it| (it.span.clone(), image(&it.name).text(it.part).unwrap()))
            .collect();
        let resolved = replaced(&text, &new);
        let (mut shift, mut new_spans) = (0_isize, Vec::new());
        for (span, text) in &new {
            let start = span.start.checked_add_signed(shift).unwrap();
            new_spans.push(start..start + text.len());
            shift += text.len() as isize - span.len() as isize;
        }
        assert_eq!(without(&resolved, &new_spans), without(&text, &spans), "{text:?}");
        if found.invalid.is_empty() {
            assert_eq!(resolve(&resolved), resolved, "{text:?}");
        }
    }
}

#[test]
fn documents_are_joined_where_they_must_be() {
    use Kind::{Json, Other, Yaml};
    for (texts, wanted) in [
        (vec![(Yaml, "a: 1\n"), (Yaml, "b: 1")], "a: 1\n---\nb: 1"),
        (vec![(Yaml, "a: 1"), (Yaml, "---\nb: 1\n")], "a: 1\n---\nb: 1\n"),
        (vec![(Yaml, "a: 1\n---\n"), (Yaml, "b: 1\n")], "a: 1\n---\nb: 1\n"),
        (vec![(Yaml, "a: 1\n--- # x\n# y\n"), (Yaml, "# z\nb: 1\n")], "a: 1\n--- # x\n# y\n# z\nb: 1\n"),
        (vec![(Yaml, "a: 1\n"), (Yaml, "%YAML 1.2\n---\nb: 1\n")], "a: 1\n...\n%YAML 1.2\n---\nb: 1\n"),
        (vec![(Yaml, "\u{feff}a: 1\r\n"), (Yaml, "\u{feff}b: 1\r\n")], "\u{feff}a: 1\r\n---\nb: 1\r\n"),
        (vec![(Yaml, "a: ---\n"), (Yaml, "b: 1\n")], "a: ---\n---\nb: 1\n"),
        (vec![(Json, "{}"), (Json, "{}\n")], "{}\n{}\n"),
        (vec![(Json, "{}"), (Yaml, "b: 1\n")], "{}\n---\nb: 1\n"),
        (vec![(Other, "A=1\n"), (Other, "B=1\n")], "A=1\nB=1\n"),
        (vec![(Yaml, "one: 1")], "one: 1"),
    ] {
        let texts: Vec<_> = texts.into_iter().map(|(kind, text)| (kind, text.to_owned())).collect();
        assert_eq!(joined(&texts), wanted);
    }
    assert_eq!((Kind::of("-", " {}"), Kind::of("-", "a: 1"), Kind::of("x/y.YML", "")), (Json, Yaml, Yaml));
}

#[test]
fn files_of_a_push_name_images() {
    let (digest, other) = (Digest::of(b"1"), Digest::of(b"2"));
    let document = format!(
        r#"{{"registry":"h.io","images":[
            {{"repository":"a","outcome":"pushed","tags":["1","2"],"reference":"h.io/a@{digest}"}},
            {{"repository":"b","outcome":"conflict","tags":["1"],"reference":"h.io/b@{digest}","error":"other"}},
            {{"repository":"c","outcome":"dry-run","reference":null}}]}}"#
    );
    let mut images = PushedImages::default();
    images.add("x", &document).unwrap();
    images.add("y", &format!("h.io/a@{digest}\nh.io/d@{digest}\n")).unwrap();
    images.add("z", &format!(r#"{{"references":["h.io/d@{other}"]}}"#)).unwrap();
    let tags = |name: &str| images.of(name).iter().map(|it| it.tags.len()).collect::<Vec<_>>();
    assert_eq!(
        (tags("a"), tags("b"), tags("d")),
        (vec![2], vec![], vec![0, 0]),
        "two say the same, two do not"
    );
    assert_eq!(images.failure("b"), Some("`x` says `conflict`: other"));
    assert_eq!(images.failure("c"), Some("`x` says `dry-run`"));
    for wrong in ["{", "{\"a\":1}", "h.io/a:1", "{\"references\":[\"h.io/a\"]}"] {
        assert!(PushedImages::default().add("x", wrong).is_err(), "{wrong}");
    }
}

#[test]
fn values_are_those_of_each_tool() {
    let images = [image("a"), DeployedImage { tag: None, ..image("2-b") }];
    let text = |format: &str| values(format.parse().unwrap(), &images).unwrap();
    let (a, b) = (images[0].reference(), images[1].reference());
    assert_eq!(text("env"), format!("A_IMAGE={a}\n_2_B_IMAGE={b}\n"));
    assert_eq!(text("tfvars"), format!("images = {{\n  \"a\" = \"{a}\"\n  \"2-b\" = \"{b}\"\n}}\n"));
    let json: serde_json::Value = serde_json::from_str(&text("json")).unwrap();
    assert_eq!(json["images"]["a"]["reference"], a);
    assert_eq!(json["images"]["2-b"]["tag"], serde_json::Value::Null);
    assert!(text("helm").contains("  \"a\":\n    repository: \""));
    assert!(text("kustomize").contains("- name: \"ecr://a\"\n  newName: \""));
    let clash = values(ValuesFormat::Env, &[image("a-b"), image("a_b")]).unwrap_err();
    assert_eq!(clash.to_string(), "`a-b` and `a_b` would both be written as A_B_IMAGE");
    assert_eq!(values(ValuesFormat::Helm, &[]).unwrap(), "images: {}\n");
    assert!("yaml".parse::<ValuesFormat>().is_err());
}
