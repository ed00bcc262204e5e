"""Workspaces of somebody else adopt the tool, in each of the three ways of the README: installed, an xtask that is a workspace of
its own, a member. The packages that the services are built from stay as they are locked, cargo's commands do what they did, and
`push --local --create` works right after `init --write`."""

import json
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import tomllib
import unittest

from peers import environment

ROOT = pathlib.Path(__file__).resolve().parents[3]
SOURCE = ROOT / "ecr"
# One target folder for all of them: the tool is compiled once for each set of locked packages.
TARGET = ROOT / "target/adopt"
# aws-lc, two minutes of C, is compiled for each profile and way of linking.
COMPILER = {"CC": "ccache cc", "CCACHE_DIR": str(ROOT / "target/ccache")} if shutil.which("ccache") else {}


def package(name, dependencies="", more=""):
    return f'[package]\nname = "{name}"\nversion = "0.1.0"\nedition = "2021"\n{more}\n[dependencies]\n{dependencies}'


HELLO = 'fn main() { println!("hello") }\n#[test]\nfn adds() { assert_eq!(1 + 1, 2) }\n'
# It panics if its build has no provider of cryptography, or several.
TLS = 'fn main() { rustls::ClientConfig::builder(); println!("hello over TLS") }\n'
MEMBERS = '[workspace]\nresolver = "2"\nmembers = [{}]\n'

# Kinds of workspaces: their files, and the packages to lock at old versions.
KINDS = {
    "old pins": (
        {
            "Cargo.toml": MEMBERS.format('"api", "worker"') + '[profile.dev]\ndebug = 2\noverflow-checks = true\n',
            "api/Cargo.toml": package("api", 'tokio = { version = "1", features = ["rt"] }\nserde = "1"\nanyhow = "1"\n'),
            "api/src/main.rs": HELLO,
            "worker/Cargo.toml": package("worker", 'bytes = "1"\nrustls = "0.23"\n'),
            "worker/src/main.rs": TLS,
        },
        {"tokio": "1.49.0", "serde": "1.0.228", "anyhow": "1.0.86", "bytes": "1.10.0"},
    ),
    "one package": ({"Cargo.toml": package("shop", 'anyhow = "1"\n'), "src/main.rs": HELLO}, {"anyhow": "1.0.86"}),
    "several binaries": (
        {
            "Cargo.toml": MEMBERS.format('"shop"'),
            "shop/Cargo.toml": package("shop", more='default-run = "api"'),
            "shop/src/bin/api.rs": HELLO,
            "shop/src/bin/worker.rs": HELLO,
        },
        {},
    ),
    "nested members": (
        {
            "Cargo.toml": MEMBERS.format('"services/*", "crates/*/*"'),
            "services/api/Cargo.toml": package("api", 'shared = { path = "../../crates/base/shared" }\n'),
            "services/api/src/main.rs": HELLO,
            "crates/base/shared/Cargo.toml": package("shared"),
            "crates/base/shared/src/lib.rs": "",
        },
        {},
    ),
    "pinned toolchain": (
        {
            "Cargo.toml": MEMBERS.format('"api"'),
            "rust-toolchain.toml": '[toolchain]\nchannel = "CHANNEL"\n',
            "api/Cargo.toml": package("api"),
            "api/src/main.rs": HELLO,
        },
        {},
    ),
    "with an xtask": (
        {
            "Cargo.toml": MEMBERS.format('"api", "xtask"') + 'default-members = ["api"]\n',
            ".cargo/config.toml": '[alias]\nxtask = "run --package xtask --"\n',
            "api/Cargo.toml": package("api"),
            "api/src/main.rs": HELLO,
            "xtask/Cargo.toml": package("xtask"),
            "xtask/src/main.rs": 'fn main() { println!("their own task") }\n',
        },
        {},
    ),
}


def is_met(requirement, version):
    """Whether a version meets a requirement such as `^1.2`. Others than caret requirements are taken as met."""
    if not requirement.startswith("^"):
        return True
    wanted, found = ([int(it) for it in re.split(r"[-+]", text)[0].split(".")] for text in (requirement[1:], version))
    fixed = next((n for n, it in enumerate(wanted) if it), len(wanted) - 1) + 1
    return wanted <= found and wanted[:fixed] == found[:fixed]


class Adopter:
    """A workspace of a kind, in git, with a lock file."""

    def __init__(self, kind, submodule=False):
        self.folder = tempfile.TemporaryDirectory(prefix="adopt-")
        self.root = pathlib.Path(self.folder.name) / "shop"
        files, pins = KINDS[kind]
        channel = subprocess.run(["rustup", "show", "active-toolchain"], capture_output=True, text=True).stdout.split("-")[0]
        for path, text in files.items():
            path = self.root / path
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text.replace("CHANNEL", channel or "stable"))
        (self.root / ".gitignore").write_text("target\n")
        self.run("git", "init", "--quiet")
        if submodule:
            self.run("git", "clone", "--quiet", ROOT, "tools/xtask-ecr")
            shutil.rmtree(self.root / "tools/xtask-ecr/.git")
        self.run("cargo", "generate-lockfile")
        for name, version in pins.items():
            self.run("cargo", "update", "--quiet", "--package", name, "--precise", version)
        self.commit("Before")
        self.before = self.locked()
        self.output = self.run("cargo", "run", "--quiet", code=None)

    def run(self, *args, code=0, folder=".", **more):
        # `ecr init` asks this endpoint, on which nothing listens, whose the keys are.
        env = environment("http://127.0.0.1:9") | {"CARGO_TARGET_DIR": str(TARGET), "CARGO_TERM_COLOR": "never"} | COMPILER
        # Nobody debugs what is compiled here, and debug information takes a third of the time.
        env |= {"CARGO_PROFILE_DEV_DEBUG": "false", "CARGO_INCREMENTAL": "0"}
        for name in ("CARGO", "RUSTUP_TOOLCHAIN"):
            env.pop(name, None)
        done = subprocess.run(list(map(str, args)), cwd=self.root / folder, env=env | more, text=True, capture_output=True,
                              stdin=subprocess.DEVNULL)
        assert code in (None, done.returncode), f"{args}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def commit(self, message):
        self.run("git", "add", "--all")
        self.run("git", "-c", "user.name=x", "-c", "user.email=x@localhost", "commit", "--quiet", "--message", message)

    def locked(self):
        """The locked packages, each with its version and checksum."""
        lock = tomllib.loads((self.root / "Cargo.lock").read_text())
        return {(it["name"], it["version"], it.get("checksum")) for it in lock.get("package", [])}

    def pin(self, manifest, name, version):
        path = self.root / manifest
        path.write_text(path.read_text().replace(f'{name} = {{ version = "1"', f'{name} = {{ version = "={version}"'))
        self.run("cargo", "update", "--quiet", "--package", name, "--precise", version)
        self.commit("Pin")
        self.before = self.locked()

    def needless(self):
        """The locked packages that have changed although every package takes the version that they had."""
        text = self.run("cargo", "metadata", "--format-version", "1", "--quiet").stdout
        wanted = [it for package in json.loads(text)["packages"] for it in package["dependencies"]]
        changed = [(name, version) for name, version, _ in self.before - self.locked()]
        takes = lambda name, version: all(is_met(it["req"], version) for it in wanted if it["name"] == name)
        return [it for it in changed if takes(*it)]

    def cargo_is_as_before(self):
        self.run("cargo", "build", "--workspace", "--quiet")
        for name in ("api", "worker"):
            if (self.root / name / "src/main.rs").exists():
                # The binary of this build, in which the features of all members are joined.
                self.run(TARGET / "debug" / name)
        self.run("cargo", "test", "--quiet")
        after = self.run("cargo", "run", "--quiet", code=None)
        assert (after.returncode, after.stdout) == (self.output.returncode, self.output.stdout), after.stderr


class Adopt(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.tools = tempfile.TemporaryDirectory(prefix="tools-")
        # As the README says, but for the profile: a build with optimisations takes minutes. The dependencies are compiled already.
        subprocess.run(
            ["cargo", "install", "--quiet", "--locked", "--debug", "--path", SOURCE, "--root", cls.tools.name],
            env=os.environ | {"CARGO_TARGET_DIR": str(ROOT / "target")}, check=True, capture_output=True, text=True,
        )
        cls.path = f"{cls.tools.name}/bin:{os.environ['PATH']}"

    def pushes(self, adopter, *command):
        adopter.commit("Adopt")
        services = {"several binaries": 2, "old pins": 2}.get(self.kind, 1)
        data = adopter.root / "target/state"
        pushed = adopter.run(*command, "push", "--local", "--data", data, "--create", "--profile", "dev", PATH=self.path)
        self.assertEqual(len(pushed.stdout.splitlines()), services, pushed.stderr)

    def each(self, way):
        for self.kind in KINDS:
            with self.subTest(self.kind):
                way(Adopter(self.kind))

    def test_installed(self):
        self.each(self.installed)

    def installed(self, adopter):
        adopter.run("cargo", "ecr", "init", "--write", PATH=self.path)
        self.pushes(adopter, "cargo", "ecr")
        self.assertEqual(adopter.locked(), adopter.before)
        changed = adopter.run("git", "diff", "--unified=0", "HEAD~1", "--", "Cargo.toml", ".cargo").stdout.splitlines()
        changed = [it for it in changed if it[:1] in "+-" and it[:3] not in ("+++", "---")]
        if self.kind != "one package":
            # The region of the environment.
            self.assertEqual(changed, ["+", "+[workspace.metadata.ecr]", '+region = "us-east-1"'])
        adopter.cargo_is_as_before()

    def test_workspace_of_its_own(self):
        self.each(self.workspace)

    def workspace(self, adopter):
        if self.kind == "with an xtask":
            shown = adopter.run("cargo", "ecr", "init", "--way", "workspace", "--source", SOURCE, PATH=self.path)
            self.assertIn("there is an xtask: add `xtask-ecr` to its dependencies", shown.stderr)
            return
        if self.kind == "old pins":
            # Lower than what the tool takes.
            adopter.pin("api/Cargo.toml", "tokio", "1.47.1")
        adopter.run("cargo", "ecr", "init", "--way", "workspace", "--source", SOURCE, "--write", PATH=self.path)
        adopter.run("cargo", "metadata", "--format-version", "1", "--quiet", "--manifest-path", "xtask/Cargo.toml")
        self.assertEqual(adopter.locked(), adopter.before)
        adopter.cargo_is_as_before()
        # The tool is compiled for one of them only: that takes minutes.
        if self.kind != "old pins":
            return
        self.pushes(adopter, "cargo", "xtask")
        self.assertEqual(adopter.locked(), adopter.before)
        # In another folder, what the note says.
        folder = next(adopter.root.glob("**/src"))
        elsewhere = adopter.run("cargo", "xtask", "ecr", "plan", "--local", folder=folder, code=101)
        self.assertIn("manifest path `xtask/Cargo.toml` does not exist", elsewhere.stderr)
        top = adopter.run("git", "rev-parse", "--show-toplevel", folder=folder).stdout.strip()
        adopter.run("cargo", "run", "--quiet", "--manifest-path", f"{top}/xtask/Cargo.toml", "--", "ecr", "explain", folder=folder)

    def test_member(self):
        self.each(self.member)

    def member(self, adopter):
        if self.kind == "with an xtask":
            self.mount(adopter)
        else:
            adopter.run("cargo", "ecr", "init", "--way", "member", "--source", SOURCE, "--write", PATH=self.path)
        adopter.run("cargo", "metadata", "--format-version", "1", "--quiet")
        self.assertEqual(adopter.needless(), [])
        adopter.run("cargo", "build", "--quiet")
        after = adopter.run("cargo", "run", "--quiet", code=None)
        self.assertEqual(after.stdout, adopter.output.stdout, after.stderr)
        # The tool is compiled with the versions of one of them, and checked with those of another.
        if self.kind == "old pins":
            self.pushes(adopter, "cargo", "xtask")
            adopter.cargo_is_as_before()
        if self.kind == "with an xtask":
            adopter.run("cargo", "check", "--quiet", "--package", "xtask")

    def mount(self, adopter):
        """The commands in an xtask that is there, as the README says."""
        adopter.run("cargo", "ecr", "init", "--write", PATH=self.path)
        manifest = adopter.root / "xtask/Cargo.toml"
        manifest.write_text(manifest.read_text() + f'xtask-ecr = {{ path = "{SOURCE}" }}\nclap = {{ version = "4", features = ["derive"] }}\n')
        (adopter.root / "xtask/src/main.rs").write_text("""
#[derive(clap::Parser)]
enum Task {
    #[command(flatten)]
    Ecr(xtask_ecr::Task),
    /// Their own
    Lint,
}

fn main() -> std::process::ExitCode {
    match xtask_ecr::parse::<Task>("cargo xtask") {
        Ok(Task::Ecr(task)) => task.run(),
        Ok(Task::Lint) => std::process::ExitCode::SUCCESS,
        Err(exit) => exit,
    }
}
""")

    def test_checkout_below_the_workspace(self):
        for way in ("workspace", "member"):
            with self.subTest(way):
                adopter = Adopter("old pins", submodule=True)
                adopter.run("cargo", "ecr", "init", "--way", way, "--source", "tools/xtask-ecr/ecr", "--write", PATH=self.path)
                manifest = "xtask/Cargo.toml" if way == "workspace" else "Cargo.toml"
                adopter.run("cargo", "metadata", "--format-version", "1", "--quiet", "--manifest-path", manifest)
                adopter.run("cargo", "build", "--quiet")
                if way == "member":
                    self.assertEqual(adopter.needless(), [])
                else:
                    self.assertLessEqual(adopter.before, adopter.locked())


if __name__ == "__main__":
    unittest.main()
