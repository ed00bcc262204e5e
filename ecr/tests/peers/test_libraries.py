"""The libraries of a binary on a base: a push is accepted if, and only if, the loader of glibc starts the binary there."""

import dataclasses
import io
import os
import pathlib
import platform
import shutil
import subprocess
import tarfile
import tempfile
import unittest

from peers import Workspace, embedded, need, run
from test_tree import layout, push_base

MULTIARCH = "lib/x86_64-linux-gnu"
RPATH, RUNPATH = "-Wl,--disable-new-dtags,-rpath,", "-Wl,--enable-new-dtags,-rpath,"


@dataclasses.dataclass
class Row:
    """A base, and how the binary on it was linked. The binary needs liba.so, which needs libb.so."""

    name: str
    starts: bool
    libraries: str = "opt"   # the folder of both libraries
    flags: str = ""          # of the linker, for the binary
    own: str = ""            # of the linker, for liba.so
    path: str = ""           # LD_LIBRARY_PATH
    conf: str = ""           # /etc/ld.so.conf
    cached: bool = False     # ldconfig ran
    change: object = None    # what is done to the base then


def other_architecture(root):
    """A liba.so for 64-bit Arm that comes first."""
    wrong = bytearray((root / "opt/liba.so").read_bytes())
    wrong[18] = 183
    (root / "wrong").mkdir()
    (root / "wrong/liba.so").write_bytes(wrong)


def behind_a_link(root):
    """The folder of the libraries is a link."""
    (root / "opt").rename(root / "usr/elsewhere")
    (root / "opt").symlink_to("usr/elsewhere")


def on_newer_processors(root):
    """glibc before 2.37 puts `haswell` in the place of `$PLATFORM` on processors that have its instructions."""
    shutil.copytree(root / f"opt/{MULTIARCH}/x86_64", root / f"opt/{MULTIARCH}/haswell")


ROWS = [
    Row("default folder", True, libraries=MULTIARCH),
    Row("no folder of the loader", False),
    Row("a folder for others", False, libraries="usr/local/lib"),
    Row("LD_LIBRARY_PATH", True, path="/none:/opt"),
    Row("LD_LIBRARY_PATH with semicolons", True, path="/none;/opt"),
    Row("LD_LIBRARY_PATH through a link", True, path="/opt", change=behind_a_link),
    Row("another architecture comes first", True, path="/wrong:/opt", change=other_architecture),
    Row("another architecture alone", False, path="/wrong", change=other_architecture),
    Row("ld.so.conf alone", False, conf="/opt"),
    Row("ld.so.cache", True, conf="/opt", cached=True),
    Row("ld.so.cache of what is gone", False, conf="/opt", cached=True, change=lambda root: shutil.rmtree(root / "opt")),
    Row("DT_RPATH, for the libraries of a library, too", True, flags=f"{RPATH}/opt"),
    Row("DT_RUNPATH, for its own libraries only", False, flags=f"{RUNPATH}/opt"),
    Row("DT_RUNPATH of both", True, flags=f"{RUNPATH}/opt", own=f"{RUNPATH}$ORIGIN"),
    Row("DT_RUNPATH of the library turns DT_RPATH off", False, flags=f"{RPATH}/opt", own=f"{RUNPATH}/none"),
    Row("$ORIGIN", True, libraries="usr/local/lib", flags=f"{RPATH}$ORIGIN/../lib"),
    Row("${ORIGIN}", True, libraries="usr/local/bin", flags=RPATH + "${ORIGIN}"),
    Row("$LIB and $PLATFORM", True, libraries=f"opt/{MULTIARCH}/x86_64", flags=f"{RPATH}/opt/$LIB/$PLATFORM",
        change=on_newer_processors),
    Row("an empty file", False, libraries=MULTIARCH, change=lambda root: (root / MULTIARCH / "liba.so").write_bytes(b"")),
    Row("no loader", False, libraries=MULTIARCH, change=lambda root: (root / "lib64/ld-linux-x86-64.so.2").unlink()),
]


@unittest.skipUnless(os.geteuid() == 0 and platform.machine() == "x86_64", "only root changes its root folder")
class Libraries(unittest.TestCase):
    def test_what_is_accepted_starts(self):
        need("cc"), need("skopeo"), need("/lib/x86_64-linux-gnu/libc.so.6")
        workspace = Workspace(services=("my-app",))
        manifest = (workspace.root / "my-app/Cargo.toml").read_text()
        with tempfile.TemporaryDirectory() as folder, embedded(f"{folder}/state") as url:
            for number, row in enumerate(ROWS):
                with self.subTest(row.name):
                    work = pathlib.Path(folder) / str(number)
                    root = self.base(work, row)
                    self.assertEqual(self.starts(root, row.path), row.starts)
                    (root / "usr/local/bin/my-app").rename(work / "my-app")
                    env = [f"LD_LIBRARY_PATH={row.path}"] if row.path else []
                    layout(work / "layout", [self.archive(root)], env)
                    config = push_base(workspace, url, work / "layout", tag=str(number))
                    base = f"{url.removeprefix('http://')}/base:{number}"
                    workspace.write("my-app/Cargo.toml", f'{manifest}[package.metadata.ecr.image]\nbase = "{base}"\n')
                    arguments = ["push", "--binary", f"linux/amd64={work}/my-app", "--dry-run"]
                    done = workspace.run(url, *arguments, code=0 if row.starts else 1, **config)
                    self.assertEqual("does not contain" in done.stderr, not row.starts)

    def starts(self, root, path):
        """Whether the binary runs with `root` as its root folder. The loader finds `$ORIGIN` in /proc."""
        (root / "proc").mkdir()
        run("mount", "-t", "proc", "proc", root / "proc")
        try:
            env = {"LD_LIBRARY_PATH": path} if path else {}
            command = ["/usr/sbin/chroot", root, "/usr/local/bin/my-app"]
            return subprocess.run(command, capture_output=True, env=env).returncode == 0
        finally:
            run("umount", root / "proc")

    def base(self, work, row):
        """The root folder of a base with its binary."""
        root = work / "root"
        for path in ("lib64", MULTIARCH, "usr/local/bin", "etc", row.libraries):
            (root / path).mkdir(parents=True, exist_ok=True)
        shutil.copy("/lib64/ld-linux-x86-64.so.2", root / "lib64")
        shutil.copy("/lib/x86_64-linux-gnu/libc.so.6", root / MULTIARCH)
        for name, text in [("b", "int b(void) { return 1; }"), ("a", "int b(void); int a(void) { return b(); }"),
                           ("m", "int a(void); int main(void) { return a() - 1; }")]:
            (work / f"{name}.c").write_text(text)
        libraries = root / row.libraries
        run("cc", "-shared", "-fPIC", "-o", libraries / "libb.so", work / "b.c")
        search = ["-L", libraries, f"-Wl,-rpath-link={libraries}"]
        run("cc", "-shared", "-fPIC", "-o", libraries / "liba.so", work / "a.c", *search, "-lb", *row.own.split())
        run("cc", "-o", root / "usr/local/bin/my-app", work / "m.c", *search, "-la", *row.flags.split())
        if row.conf:
            (root / "etc/ld.so.conf").write_text(row.conf + "\n")
        if row.cached:
            run("/sbin/ldconfig", "-r", root)
        if row.change:
            row.change(root)
        return root

    def archive(self, root):
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w") as tar:
            for path in sorted(root.rglob("*")):
                tar.add(path, path.relative_to(root), recursive=False)
        return out.getvalue()


if __name__ == "__main__":
    unittest.main()
