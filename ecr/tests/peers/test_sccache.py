"""Compilations that go through sccache, in two folders and on two servers, and a build folder apart: the digests are the same, and what cargo by
itself finds in the cache of another folder is found by `push`, too."""

import contextlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import time
import unittest

from peers import BIN, XTASK, environment, free_port, need, process

SCCACHE = BIN / "sccache"
MANIFEST = """[package]
name = "app"
version = "1.0.0"
edition = "2024"
[dependencies]
itoa = "1"
fnv = "1"
lib = { path = "../lib" }
[package.metadata.ecr]
"""
# The message of the panic has the path of its source, which a build script has written.
BUILD = """fn main() {
    let file = std::path::Path::new(&std::env::var("OUT_DIR").unwrap()).join("made.rs");
    std::fs::write(file, "pub fn made(n: usize) -> u8 { [1, 2, 3][n] }").unwrap();
}
"""


def write(root, path, text):
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(text)


def generate(root):
    write(root, "Cargo.toml", '[workspace]\nresolver = "3"\nmembers = ["app", "lib"]\n[workspace.metadata.ecr]\nregion = "us-east-1"\n')
    write(root, "app/Cargo.toml", MANIFEST)
    write(root, "app/src/main.rs", 'fn main() { println!("{}", itoa::Buffer::new().format(lib::made(std::env::args().count()))); }\n')
    write(root, "lib/Cargo.toml", '[package]\nname = "lib"\nversion = "1.0.0"\nedition = "2024"\n')
    write(root, "lib/src/lib.rs", 'include!(concat!(env!("OUT_DIR"), "/made.rs"));\n')
    write(root, "lib/build.rs", BUILD)


class Sccache(unittest.TestCase):
    def setUp(self):
        stack = contextlib.ExitStack()
        self.addCleanup(stack.close)
        self.folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
        self.env = environment("http://127.0.0.1:9") | {
            "SCCACHE_DIR": str(self.folder / "cache"), "SCCACHE_SERVER_PORT": str(free_port()), "CARGO_INCREMENTAL": "0"}
        stack.callback(lambda: self.sccache("--stop-server"))
        for name in ("one", "two", "three", "four"):
            generate(self.folder / name)

    def sccache(self, *args):
        return subprocess.run([SCCACHE, *args], env=self.env, text=True, capture_output=True).stdout

    def hits(self):
        found = re.search(r"^Cache hits +(\d+)$", self.sccache("--show-stats"), re.MULTILINE)
        self.sccache("--zero-stats")
        return int(found[1])

    def digest(self, name, **more):
        done = subprocess.run([XTASK, "push", "--dry-run", "--format", "json"], cwd=self.folder / name, env=self.env | more,
                              text=True, capture_output=True, stdin=subprocess.DEVNULL)
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)["images"][0]["digest"]

    def test_digests_and_hits(self):
        plain = self.digest("one", CARGO_TARGET_DIR=str(self.folder / "plain"))
        self.assertEqual(self.digest("two", CARGO_BUILD_BUILD_DIR=str(self.folder / "build")), plain, "build-dir")
        wrapper = {"RUSTC_WRAPPER": str(SCCACHE)}
        self.assertEqual(self.digest("one", **wrapper), plain, "with sccache")
        self.hits()
        write(self.folder / "two", ".cargo/config.toml", f'[build]\nrustc-wrapper = "{SCCACHE}"\n')
        self.assertEqual(self.digest("two"), plain, "with sccache, in another folder")
        ours = self.hits()
        for name in ("three", "four"):
            subprocess.run(["cargo", "build", "--quiet", "--release", "--target", "x86_64-unknown-linux-gnu"], check=True,
                           cwd=self.folder / name, env=self.env | wrapper | {"RUSTFLAGS": "-Cdebuginfo=0"})
            by_cargo = self.hits()
        self.assertGreater(by_cargo, 0)
        self.assertEqual(ours, by_cargo)

    @unittest.skipUnless(os.geteuid() == 0, "the servers of sccache-dist need root")
    def test_compilations_on_other_machines(self):
        need("bwrap")
        plain = self.digest("one", CARGO_TARGET_DIR=str(self.folder / "plain"))
        with self.distributed() as dist:
            self.assertEqual(self.digest("one", RUSTC_WRAPPER=str(SCCACHE), **dist), plain)
            stats = json.loads(subprocess.run([SCCACHE, "--show-stats", "--stats-format", "json"], env=self.env | dist,
                                              capture_output=True, check=True).stdout)["stats"]
        self.assertEqual(stats["dist_errors"], 0)
        self.assertGreaterEqual(sum(stats["dist_compiles"].values()), 3, stats["dist_compiles"])

    @contextlib.contextmanager
    def distributed(self):
        """A scheduler and two servers of sccache-dist on loopback; gives the variables of a client."""
        scheduler, insecure = f"127.0.0.1:{free_port()}", '_auth]\ntype = "DANGEROUSLY_INSECURE"\n'
        token = 'type = "token"\ntoken = "dummy"\n'
        write(self.folder, "scheduler.conf", f'public_addr = "{scheduler}"\n[client_auth]\n{token}[server{insecure}')
        write(self.folder, "client.conf", f'[dist]\nscheduler_url = "http://{scheduler}"\n[dist.auth]\n{token}')
        commands = [("scheduler", "scheduler.conf")]
        for n in (1, 2):
            builder = f'[builder]\ntype = "overlay"\nbuild_dir = "{self.folder}/work{n}"\nbwrap_path = "{shutil.which("bwrap")}"\n'
            head = f'cache_dir = "{self.folder}/toolchains{n}"\npublic_addr = "127.0.0.1:{free_port()}"\n'
            write(self.folder, f"server{n}.conf", f'{head}scheduler_url = "http://{scheduler}"\n{builder}[scheduler{insecure}')
            commands.append(("server", f"server{n}.conf"))
        dist = {"SCCACHE_CONF": str(self.folder / "client.conf"), "SCCACHE_DIR": str(self.folder / "dist-cache"),
                "SCCACHE_SERVER_PORT": str(free_port())}
        with contextlib.ExitStack() as stack:
            for kind, conf in commands:
                args = [BIN / "sccache-dist", kind, "--config", self.folder / conf]
                stack.enter_context(process(args, env=self.env | {"SCCACHE_NO_DAEMON": "1"}))
            stack.callback(lambda: subprocess.run([SCCACHE, "--stop-server"], env=self.env | dist, capture_output=True))
            end = time.monotonic() + 120
            while b'"num_servers":2' not in subprocess.run([SCCACHE, "--dist-status"], env=self.env | dist, capture_output=True).stdout:
                self.assertLess(time.monotonic(), end, "the servers do not register")
                time.sleep(0.2)
            yield dist


if __name__ == "__main__":
    os.umask(0o022)
    unittest.main()
