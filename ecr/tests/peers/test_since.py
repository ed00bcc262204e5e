"""`push --since` beside real builds of both sides, and beside determinator, over edits of a workspace of twelve members.

An edit that changes the digest of an image must select its service. One that selects a service without need costs a build.
"""

import dataclasses
import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

from peers import ROOT, XTASK, environment

SERVICES = ("api", "cron", "feed", "gate", "mail", "page")
HEAD = '[package]\nname = "{}"\nversion.workspace = true\nedition = "2024"\n{}'
FILES = {
    "Cargo.toml": """[workspace]
resolver = "3"
members = ["crates/*", "tool"]
exclude = ["vendor"]
[workspace.package]
version = "1.0.0"
description = "One of six"
[workspace.dependencies]
itoa = "1"
fnv = { version = "1", default-features = false }
[workspace.metadata.ecr]
region = "us-east-1"
project = "p"
[profile.release]
opt-level = 1
""",
    ".gitignore": "target\n",
    "README.md": "Six services.\n",
    "texts/hello.txt": "hello\n",
    "proto/feed.proto": "message Feed\n",
    "assets/style.css": "body {}\n",
    "assets/script.js": "1\n",
    "docs/design.md": "How it works.\n",
    "vendor/outside/Cargo.toml": '[package]\nname = "outside"\nversion = "1.0.0"\nedition = "2024"\n',
    "vendor/outside/src/lib.rs": "pub fn outside() -> u8 { 1 }\n",
    "tool/Cargo.toml": HEAD.format("tool", '[dependencies]\ncore-lib = { path = "../crates/core-lib" }\n'),
    "tool/src/main.rs": "fn main() { println!(\"{}\", core_lib::core()); }\n",
}
LIBRARIES = {
    "core-lib": ("[features]\ndefault = []\nwide = []\n", "pub fn core() -> u8 { if cfg!(feature = \"wide\") { 2 } else { 1 } }\n"),
    "util-lib": ('[dependencies]\ncore-lib = { path = "../core-lib" }\n', "pub fn util() -> u8 { core_lib::core() }\n"),
    "macro-lib": ("[lib]\nproc-macro = true\n",
                  "#[proc_macro]\npub fn told(_: proc_macro::TokenStream) -> proc_macro::TokenStream { \"1u8\".parse().unwrap() }\n"),
    "build-lib": ("", "pub fn text() -> String { \"built\".to_owned() }\n"),
    "test-lib": ("", "pub fn helper() {}\n"),
}
ECR = "[package.metadata.ecr]\n"
# The manifest of each service, and its source.
MEMBERS = {
    "api": ('description.workspace = true\n[dependencies]\nutil-lib = { path = "../util-lib" }\nitoa.workspace = true\n'
            '[dev-dependencies]\ntest-lib = { path = "../test-lib" }\ncfg-if = "1"\n' + ECR,
            'fn main() { println!("{} {}", util_lib::util(), itoa::Buffer::new().format(1)); }\n'),
    "cron": ('[dependencies]\nmacro-lib = { path = "../macro-lib" }\n[target.\'cfg(windows)\'.dependencies]\nmemchr = "2"\n' + ECR,
             'fn main() { println!("{}", macro_lib::told!()); }\n'),
    "feed": ('[build-dependencies]\nbuild-lib = { path = "../build-lib" }\n'
             + '[package.metadata.ecr]\naffected-by = ["../../proto/**"]\n',
             'fn main() { println!(env!("TOLD")); }\n'),
    "gate": ("[dependencies]\noutside = { path = \"../../vendor/outside\" }\nfnv.workspace = true\n" + ECR,
             'fn main() { println!("{} {}", outside::outside(), include_str!("../../../texts/hello.txt")); }\n'),
    "mail": ("[dependencies]\ncore-lib = { path = \"../core-lib\" }\n" + ECR
             + '[package.metadata.ecr.image]\nfiles = [{ from = "../../assets", to = "/srv" }]\n',
             'fn main() { println!("{} {}", core_lib::core(), include_str!("data.txt")); }\n'),
    "page": (ECR, 'mod part;\nfn main() { println!("{}", part::PART); }\n'),
}
MORE = {
    # It computes the path, so that no source names the file.
    "crates/feed/build.rs": """fn main() {
    let file = ["..", "..", "proto", "feed.proto"].iter().collect::<std::path::PathBuf>();
    println!("cargo::rerun-if-changed={}\\ncargo::rerun-if-changed=schema.txt", file.display());
    println!("cargo::rustc-env=TOLD={}{}{}", build_lib::text(), std::fs::read_to_string(file).unwrap().trim(),
        std::fs::read_to_string("schema.txt").unwrap().trim());
}
""",
    "crates/feed/schema.txt": "schema\n",
    "crates/mail/src/data.txt": "data\n",
    "crates/page/src/part.rs": "pub const PART: u8 = 1;\n",
    "crates/page/src/unused.rs": "pub const UNUSED: u8 = 1;\n",
    "crates/page/README.md": "A page.\n",
    "crates/page/tests/it.rs": "#[test]\nfn it() {}\n",
    "crates/page/benches/it.rs": "fn main() {}\n",
    "crates/page/examples/it.rs": "fn main() {}\n",
}


@dataclasses.dataclass
class Edit:
    name: str
    change: object
    selected: str = ""       # by us, in a fresh clone
    determinator: str = None # what it selects, if that is something else
    why: str = ""            # why it selects something else


def write(path, text):
    def change(root):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    return change


def append(path, text):
    return lambda root: (root / path).write_text((root / path).read_text() + text)


def replace(path, old, new):
    def change(root):
        text = (root / path).read_text()
        assert old in text, (path, old)
        (root / path).write_text(text.replace(old, new))
    return change


def remove(path):
    return lambda root: (root / path).unlink()


def update(package, version):
    return lambda root: cargo(root, "update", "--quiet", "--package", package, "--precise", version)


def cargo(root, *args):
    subprocess.run(["cargo", *args], cwd=root, check=True, env=environment("http://127.0.0.1:9"))


def both(*changes):
    return lambda root: [it(root) for it in changes]


ALL = " ".join(SERVICES)
EDITS = [
    Edit("source of a service", append("crates/api/src/main.rs", "// x\nfn _f() {}\n"), "api"),
    Edit("text of a service", replace("crates/api/src/main.rs", "{} {}", "{}-{}"), "api"),
    Edit("library of some", replace("crates/core-lib/src/lib.rs", "{ 1 }", "{ 3 }"), "api mail"),
    Edit("library of one", replace("crates/util-lib/src/lib.rs", "core_lib::core()", "core_lib::core() + 1"), "api"),
    Edit("procedural macro", replace("crates/macro-lib/src/lib.rs", "1u8", "2u8"), "cron"),
    Edit("library of a build script", replace("crates/build-lib/src/lib.rs", "built", "made"), "feed"),
    Edit("library of tests", append("crates/test-lib/src/lib.rs", "pub fn more() {}\n"), "",
         determinator="api", why="it follows development dependencies"),
    Edit("build script", replace("crates/feed/build.rs", "TOLD={}", "TOLD=x{}"), "feed"),
    Edit("what a build script reads", write("crates/feed/schema.txt", "other\n"), "feed"),
    Edit("what it reads elsewhere, by a computed path", write("proto/feed.proto", "message Other\n"), "feed",
         determinator=ALL, why="a file outside of all packages"),
    Edit("included file elsewhere", write("texts/hello.txt", "hi\n"), "gate", determinator=ALL, why="a file outside of all packages"),
    Edit("included file in the package", write("crates/mail/src/data.txt", "other\n"), "mail"),
    Edit("copied file", write("assets/style.css", "p {}\n"), "mail", determinator=ALL, why="a file outside of all packages"),
    Edit("another copied file", write("assets/script.js", "2\n"), "mail", determinator=ALL, why="a file outside of all packages"),
    Edit("new copied file", write("assets/more.css", "p {}\n"), "mail", determinator=ALL, why="a file outside of all packages"),
    Edit("module", write("crates/page/src/part.rs", "pub const PART: u8 = 2;\n"), "page"),
    Edit("file that no module names", append("crates/page/src/unused.rs", "// x\n"), "page"),
    Edit("new file that no module names", write("crates/page/src/new.rs", "// x\n"), "page"),
    Edit("deleted file that no module names", remove("crates/page/src/unused.rs"), "page"),
    Edit("renamed file", lambda root: (root / "crates/page/src/unused.rs").rename(root / "crates/page/src/other.rs"), "page"),
    Edit("new build script", write("crates/page/build.rs", 'fn main() { println!("cargo::rustc-env=X=1"); }\n'), "page"),
    Edit("README of a service", append("crates/page/README.md", "x\n"), ""),
    Edit("README of a service with a build script", write("crates/feed/README.md", "x\n"), "feed",
         determinator="", why="it ignores README files, which a build script may read"),
    Edit("test", append("crates/page/tests/it.rs", "// x\n"), "", determinator="page", why="any file of a package"),
    Edit("benchmark", append("crates/page/benches/it.rs", "// x\n"), "", determinator="page", why="any file of a package"),
    Edit("example", append("crates/page/examples/it.rs", "// x\n"), "", determinator="page", why="any file of a package"),
    Edit("README", append("README.md", "x\n"), ""),
    Edit("documents", append("docs/design.md", "x\n"), "", determinator=ALL, why="a file outside of all packages"),
    Edit("workflow", write(".github/workflows/ci.yml", "on: push\n"), "", determinator=ALL, why="a file outside of all packages"),
    Edit("ignored files", append(".gitignore", "*.tmp\n"), ""),
    Edit("file that nobody owns", write("scripts/run", "x\n"), ALL),
    Edit("program that is no service", append("tool/src/main.rs", "// x\n"), ""),
    Edit("new member", both(write("crates/new-lib/Cargo.toml", HEAD.format("new-lib", "")), write("crates/new-lib/src/lib.rs", "")), ""),
    Edit("package outside of the workspace", replace("vendor/outside/src/lib.rs", "{ 1 }", "{ 2 }"), "gate",
         determinator=ALL, why="a file outside of all members"),
    Edit("profile", replace("Cargo.toml", "opt-level = 1", "opt-level = 2"), ALL),
    Edit("profile of development", append("Cargo.toml", "[profile.dev]\nopt-level = 1\n"), "", determinator=ALL, why="the root manifest"),
    Edit("version of all", replace("Cargo.toml", '"1.0.0"', '"1.0.1"'), ALL),
    Edit("inherited description", replace("Cargo.toml", "One of six", "Another"), "api", determinator=ALL, why="the root manifest"),
    Edit("features of an inherited dependency", replace("Cargo.toml", ", default-features = false", ""), "gate",
         determinator=ALL, why="the root manifest"),
    Edit("user of all images", append("Cargo.toml", '[workspace.metadata.ecr.image]\nuser = "1:1"\n'), ALL),
    Edit("resource tags", append("Cargo.toml", '[workspace.metadata.ecr.tags]\na = "b"\n'), "", determinator=ALL, why="the root manifest"),
    Edit("variable of an image", append("crates/page/Cargo.toml", '[package.metadata.ecr.image]\nenv = { A = "1" }\n'), "page"),
    Edit("features of a library", replace("crates/core-lib/Cargo.toml", "default = []", 'default = ["wide"]'), "api mail"),
    Edit("crate of one", update("itoa", "1.0.10"), "api"),
    Edit("crate of tests", update("cfg-if", "1.0.0"), "", determinator="api", why="it follows development dependencies"),
    Edit("crate of another system", update("memchr", "2.7.2"), ""),
    Edit("flags of the compiler", write(".cargo/config.toml", '[build]\nrustflags = ["-Copt-level=2"]\n'), ALL),
    Edit("toolchain", write("rust-toolchain.toml", '[toolchain]\ntargets = ["x86_64-unknown-linux-gnu"]\n'), ALL),
]


def generate(root):
    members = {f"crates/{name}/Cargo.toml": HEAD.format(name, manifest) for name, (manifest, _) in (MEMBERS | LIBRARIES).items()}
    sources = {f"crates/{name}/src/main.rs": source for name, (_, source) in MEMBERS.items()}
    libraries = {f"crates/{name}/src/lib.rs": source for name, (_, source) in LIBRARIES.items()}
    for path, text in (FILES | members | sources | libraries | MORE).items():
        write(path, text)(root)
    cargo(root, "generate-lockfile", "--quiet")
    for package, version in (("itoa", "1.0.9"), ("cfg-if", "1.0.1"), ("memchr", "2.7.1")):
        update(package, version)(root)
    git(root, "init", "--quiet")
    git(root, "add", ".")
    git(root, "commit", "--quiet", "--message", "First")


def git(root, *args):
    command = ["git", "-c", "user.name=Test", "-c", "user.email=test@localhost", *args]
    return subprocess.run(command, cwd=root, check=True, capture_output=True, text=True).stdout


class Edits(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = pathlib.Path(folder.name) / "workspace"
        self.root.mkdir()
        generate(self.root)
        self.before = pathlib.Path(folder.name) / "before"
        shutil.copytree(self.root, self.before)
        self.target, self.empty = pathlib.Path(folder.name) / "target", pathlib.Path(folder.name) / "empty"

    def push(self, target, *args):
        command = [XTASK, "push", "--allow-dirty", "--format", "json", *args]
        env = environment("http://127.0.0.1:9") | {"CARGO_TARGET_DIR": str(target)}
        done = subprocess.run(command, cwd=self.root, env=env, text=True, capture_output=True, stdin=subprocess.DEVNULL)
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)

    def digests(self):
        return {it["package"]: it["digest"] for it in self.push(self.target, "--dry-run")["images"]}

    def selected(self, target):
        services = self.push(target, "--list", "--since", "HEAD")["services"]
        return {it["package"]: it["reasons"] for it in services if it["affected"]}

    def determined(self):
        tracked = git(self.root, "diff", "--name-only", "--no-renames", "HEAD").split()
        paths = tracked + git(self.root, "ls-files", "--others", "--exclude-standard").split()
        manifest = ROOT / "ecr/tests/peers/determinator/Cargo.toml"
        command = ["cargo", "run", "--quiet", "--manifest-path", manifest, "--", self.before, self.root]
        env = environment("http://127.0.0.1:9") | {"CARGO_TARGET_DIR": str(ROOT / "target/peers/determinator")}
        done = subprocess.run(command, env=env, input="\n".join(paths), text=True, capture_output=True, check=True)
        return sorted(set(done.stdout.split()) & set(SERVICES))

    def test_an_edit_that_changes_a_digest_selects_its_service(self):
        self.assertGreaterEqual(len(EDITS), 40)
        before = self.digests()
        self.assertEqual(sorted(before), list(SERVICES))
        self.assertEqual(self.selected(self.empty), {})
        needless = 0
        for edit in EDITS:
            with self.subTest(edit.name):
                edit.change(self.root)
                in_clone, after_build = self.selected(self.empty), self.selected(self.target)
                theirs = self.determined()
                after = self.digests()
                changed = {it for it in SERVICES if before[it] != after[it]}
                git(self.root, "reset", "--quiet", "--hard")
                git(self.root, "clean", "--quiet", "--force", "-d")
                self.assertLessEqual(changed, set(in_clone), "in a fresh clone")
                self.assertLessEqual(changed, set(after_build), "beside the dep-info of the last build")
                self.assertEqual(" ".join(sorted(in_clone)), edit.selected, in_clone)
                wanted = edit.selected if edit.determinator is None else edit.determinator
                self.assertEqual(" ".join(theirs), wanted, "determinator")
                self.assertEqual(bool(edit.why), edit.determinator is not None)
                needless += len(set(after_build) - changed)
        print(f"{len(EDITS)} edits; services selected without need after a build: {needless}", flush=True)
