//! The search for shared libraries in an image.

use std::collections::BTreeMap;

use ecr_oci::image::elf::Elf;
use ecr_oci::image::loader::Search;
use ecr_oci::image::tree::{Content, FileTree, LayerTree, Node};

const AMD64: u16 = 62;
const ARM64: u16 = 183;

/// A library, or a binary with the loader `interpreter`.
fn elf(needed: &str, search: &str, is_runpath: bool) -> Elf {
    let words = |it: &str| it.split(' ').filter(|it| !it.is_empty()).map(str::to_owned).collect();
    Elf { machine: AMD64, needed: words(needed), search: words(search), is_runpath, ..Elf::default() }
}

fn library(elf: Elf) -> Node {
    Node::File(Content::Elf(Box::new(elf)))
}

fn so(needed: &str) -> Node {
    library(elf(needed, "", false))
}

fn text(text: &str) -> Node {
    Node::File(Content::Text(text.to_owned()))
}

fn cache(entries: &[(&str, &str)]) -> Node {
    let entry = |(name, path): &(&str, &str)| ((*name).to_owned(), (*path).to_owned());
    Node::File(Content::LoaderCache(entries.iter().map(entry).collect()))
}

fn link(target: &str) -> Node {
    Node::Link(target.to_owned())
}

struct Row {
    /// The rule and its source.
    rule: &'static str,
    binary: Elf,
    env: &'static str,
    files: Vec<(&'static str, Node)>,
    missing: &'static str,
}

fn row(
    rule: &'static str,
    binary: Elf,
    env: &'static str,
    files: Vec<(&'static str, Node)>,
    missing: &'static str,
) -> Row {
    Row { rule, binary, env, files, missing }
}

fn glibc() -> Vec<Row> {
    let needs = || elf("liba.so.1", "", false);
    let runpath = |path| elf("liba.so.1", path, true);
    let rpath = |path| elf("liba.so.1", path, false);
    let arm = || library(Elf { machine: ARM64, ..elf("", "", false) });
    vec![
        row("nothing is there", needs(), "", vec![], "liba.so.1"),
        row("default folder", needs(), "", vec![("usr/lib/liba.so.1", so(""))], ""),
        row("multiarch of Debian", needs(), "", vec![("lib/x86_64-linux-gnu/liba.so.1", so(""))], ""),
        row(
            "/usr/local/lib is searched by way of the cache only",
            needs(),
            "",
            vec![("usr/local/lib/liba.so.1", so(""))],
            "liba.so.1",
        ),
        row(
            "through links",
            needs(),
            "",
            vec![("lib64", link("usr/x")), ("usr/x/liba.so.1", link("../liba.so")), ("usr/liba.so", so(""))],
            "",
        ),
        row("a dangling link", needs(), "", vec![("lib/liba.so.1", link("liba.so"))], "liba.so.1"),
        row("another architecture is passed over", needs(), "", vec![("lib/liba.so.1", arm())], "liba.so.1"),
        row(
            "another architecture comes first",
            needs(),
            "",
            vec![("lib64/liba.so.1", arm()), ("lib/liba.so.1", so(""))],
            "",
        ),
        row(
            "no library at all",
            needs(),
            "",
            vec![("lib/liba.so.1", Node::File(Content::Other))],
            "liba.so.1",
        ),
        row("a folder of that name", needs(), "", vec![("lib/liba.so.1/x", so(""))], "liba.so.1"),
        row("LD_LIBRARY_PATH, ld.so(8)", needs(), "/no:/opt/lib", vec![("opt/lib/liba.so.1", so(""))], ""),
        row(
            "LD_LIBRARY_PATH with semicolons, ld.so(8)",
            needs(),
            "/no;/opt/lib;",
            vec![("opt/lib/liba.so.1", so(""))],
            "",
        ),
        row(
            "LD_LIBRARY_PATH is relative",
            needs(),
            "opt/lib",
            vec![("opt/lib/liba.so.1", so(""))],
            "liba.so.1",
        ),
        row(
            "ld.so.cache, ldconfig(8)",
            needs(),
            "",
            vec![("etc/ld.so.cache", cache(&[("liba.so.1", "/opt/liba.so.1")])), ("opt/liba.so.1", so(""))],
            "",
        ),
        row(
            "ld.so.cache is out of date",
            needs(),
            "",
            vec![("etc/ld.so.cache", cache(&[("liba.so.1", "/opt/liba.so.1")]))],
            "liba.so.1",
        ),
        row(
            "ld.so.cache is not what ld.so.conf says",
            needs(),
            "",
            vec![("etc/ld.so.conf", text("/opt")), ("opt/liba.so.1", so(""))],
            "liba.so.1",
        ),
        row("DT_RUNPATH", runpath("/opt"), "", vec![("opt/liba.so.1", so(""))], ""),
        row("DT_RPATH", rpath("/no /opt"), "", vec![("opt/liba.so.1", so(""))], ""),
        row("$ORIGIN", runpath("$ORIGIN/../lib"), "", vec![("usr/local/lib/liba.so.1", so(""))], ""),
        row(
            "${ORIGIN} of a library",
            runpath("/opt"),
            "",
            vec![("opt/liba.so.1", library(elf("libb.so", "${ORIGIN}/b", true))), ("opt/b/libb.so", so(""))],
            "",
        ),
        row(
            "$LIB and $PLATFORM",
            runpath("/opt/$LIB/${PLATFORM}"),
            "",
            vec![("opt/lib64/x86_64/liba.so.1", so("")), ("opt/lib64/haswell/liba.so.1", so(""))],
            "",
        ),
        row(
            "$PLATFORM of older processors alone",
            runpath("/opt/$PLATFORM"),
            "",
            vec![("opt/x86_64/liba.so.1", so(""))],
            "liba.so.1",
        ),
        row(
            "DT_RPATH holds for the libraries of a library",
            rpath("/opt"),
            "",
            vec![("opt/liba.so.1", so("libb.so")), ("opt/libb.so", so(""))],
            "",
        ),
        row(
            "DT_RUNPATH does not",
            runpath("/opt"),
            "",
            vec![("opt/liba.so.1", so("libb.so")), ("opt/libb.so", so(""))],
            "libb.so (liba.so.1)",
        ),
        row(
            "a DT_RUNPATH of the library turns DT_RPATH off",
            rpath("/opt"),
            "",
            vec![("opt/liba.so.1", library(elf("libb.so", "/no", true))), ("opt/libb.so", so(""))],
            "libb.so (liba.so.1)",
        ),
        row(
            "needs of needs",
            needs(),
            "",
            vec![("lib/liba.so.1", so("libb.so libc.so")), ("lib/libb.so", so("libc.so libd.so"))],
            "libc.so (liba.so.1) libd.so (libb.so)",
        ),
        row(
            "needs in a circle",
            needs(),
            "",
            vec![("lib/liba.so.1", so("libb.so")), ("lib/libb.so", so("liba.so.1"))],
            "",
        ),
        row("a library may need the loader", needs(), "", vec![("lib/liba.so.1", so("ld.so"))], ""),
        row("a name with a slash is a path", elf("/opt/x.so", "", false), "", vec![("opt/x.so", so(""))], ""),
        row("a relative path", elf("opt/x.so", "", false), "", vec![("opt/x.so", so(""))], "opt/x.so"),
    ]
}

fn musl() -> Vec<Row> {
    let needs = || elf("liba.so libc.musl-x86_64.so.1 libpthread.so", "", false);
    vec![
        row("default folder, dynlink.c", needs(), "", vec![("usr/local/lib/liba.so", so(""))], ""),
        row("not that of glibc", needs(), "", vec![("lib64/liba.so", so(""))], "liba.so"),
        row(
            "the file .path is instead of the default",
            needs(),
            "",
            vec![("etc/ld-musl-x86_64.path", text("/opt\n/lib2:/lib3")), ("lib3/liba.so", so(""))],
            "",
        ),
        row(
            "and the default is out",
            needs(),
            "",
            vec![("etc/ld-musl-x86_64.path", text("/opt")), ("lib/liba.so", so(""))],
            "liba.so",
        ),
        row(
            "no cache",
            needs(),
            "",
            vec![("etc/ld.so.cache", cache(&[("liba.so", "/opt/liba.so")])), ("opt/liba.so", so(""))],
            "liba.so",
        ),
        row("LD_LIBRARY_PATH", needs(), "/opt", vec![("opt/liba.so", so(""))], ""),
        row(
            "DT_RUNPATH holds for the libraries of a library",
            elf("liba.so", "/opt", true),
            "",
            vec![("opt/liba.so", so("libb.so")), ("opt/libb.so", so(""))],
            "",
        ),
    ]
}

fn check(rows: Vec<Row>, loader: &'static str) {
    for row in rows {
        let mut layer = LayerTree::default();
        layer.add(loader, so("")).unwrap();
        for (path, node) in row.files {
            layer.add(path, node).unwrap();
        }
        let mut tree = FileTree::default();
        tree.apply(&layer).unwrap();
        let binary = Elf { interpreter: Some(format!("/{loader}")), ..row.binary };
        let env = BTreeMap::from([("LD_LIBRARY_PATH".to_owned(), row.env.to_owned())]);
        let missing = Search::new(&tree, &binary, "/usr/local/bin/app", &env).missing();
        let missing = missing.iter().map(|it| match &it.user {
            Some(user) => format!("{} ({user})", it.name),
            None => it.name.clone(),
        });
        assert_eq!(missing.collect::<Vec<_>>().join(" "), row.missing, "{}", row.rule);
    }
}

#[test]
fn loader_of_glibc_finds_libraries() {
    check(glibc(), "lib/ld.so");
}

#[test]
fn loader_of_musl_finds_libraries() {
    check(musl(), "lib/ld-musl-x86_64.so.1");
}

#[test]
fn loader_itself_must_be_there() {
    let binary = Elf { interpreter: Some("/lib/ld.so".to_owned()), ..elf("", "", false) };
    let tree = FileTree::default();
    let missing = Search::new(&tree, &binary, "/app", &BTreeMap::new()).missing();
    assert_eq!(missing.iter().map(|it| it.name.as_str()).collect::<Vec<_>>(), ["/lib/ld.so"]);
    let binary = elf("liba.so", "", false);
    assert_eq!(Search::new(&tree, &binary, "/app", &BTreeMap::new()).missing(), []);
}
