"""Build contexts: what `push` gives to docker and podman is what docker's own client reads from the same folder.

The builder of docker 20.10 and its BuildKit build `COPY . /` themselves and through `push --load`, and the files of both
images are compared: names, kinds, modes, times, links. The rows are those of ../dockerignore.json.
"""

import contextlib
import io
import json
import os
import pathlib
import random
import socket
import subprocess
import tarfile
import tempfile
import unittest

from peers import XTASK, Workspace, dockerd, environment, need

TABLE = json.loads((pathlib.Path(__file__).parent.parent / "dockerignore.json").read_text())
# With a layer in any case: docker 20.10 cannot save an image without one.
DOCKERFILE = "FROM scratch\nWORKDIR /always\nCOPY . /\n"
TIME = 1_700_000_000
# A docker client with BuildKit inside. Newer ones need the plugin buildx.
BUILDKIT_CLIENT = "/usr/bin/docker"


def contexts(texts):
    """A workspace with a service and a folder `ctx` in it for each text of a `.dockerignore`."""
    workspace = Workspace(services=[f"svc-{n}" for n in range(len(texts))])
    for n, text in enumerate(texts):
        for path in [*TABLE["tree"], "empty/folder/x"]:
            workspace.write(f"svc-{n}/ctx/{path}", path)
        (workspace.root / f"svc-{n}/ctx/empty/folder/x").unlink()
        workspace.write(f"svc-{n}/ctx/Dockerfile", DOCKERFILE)
        (workspace.root / f"svc-{n}/ctx/.dockerignore").write_bytes(text.encode())
        workspace.append(f"svc-{n}/Cargo.toml",
                         "[package.metadata.ecr.image]\ndockerfile = \"ctx/Dockerfile\"\ncontext = \"ctx\"\n")
        set_times(workspace.root / f"svc-{n}/ctx")
        # BuildKit takes a file of the same name, size and time for the one that it has.
        os.utime(workspace.root / f"svc-{n}/ctx/.dockerignore", (TIME, TIME + n))
    return workspace


def set_times(folder):
    for path, folders, files in os.walk(os.fsencode(folder), topdown=False):
        for name in [*files, *folders]:
            os.utime(os.path.join(path, name), (TIME, TIME), follow_symlinks=False)


def files(layers):
    """The files of layers by their names: kind, mode, time, owner, target. Folders that a builder has made on its own have
    the present time, which is left out."""
    found = {}
    for layer in layers:
        for it in tarfile.open(fileobj=io.BytesIO(layer), encoding="utf-8", errors="surrogateescape"):
            time = it.mtime if it.mtime < TIME + 1000 else "now"
            found[it.name] = (it.type, oct(it.mode & 0o7777), time, it.uid, it.gid, it.linkname)
    return found


def saved(command, names, env):
    """The files of images in an engine."""
    done = subprocess.run([*command, "save", *names], env=env, capture_output=True)
    assert done.returncode == 0, done.stderr
    archive = done.stdout
    with tarfile.open(fileobj=io.BytesIO(archive)) as archive:
        read = lambda name: archive.extractfile(name).read()
        images = json.loads(read("manifest.json"))
        by_name = {tag: [read(layer) for layer in it["Layers"]] for it in images for tag in it["RepoTags"]}
    return {tag: files(layers) for tag, layers in by_name.items()}


class Contexts(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        need("dockerd")
        cls.stack = contextlib.ExitStack()
        cls.folder = pathlib.Path(cls.stack.enter_context(tempfile.TemporaryDirectory()))
        cls.env = environment("http://127.0.0.1:9") | cls.stack.enter_context(dockerd(cls.folder))

    @classmethod
    def tearDownClass(cls):
        cls.stack.close()

    def docker(self, client, buildkit, folder, name, *args, code=0):
        """Lets docker build a folder by itself."""
        env = self.env | {"DOCKER_BUILDKIT": buildkit}
        done = subprocess.run([client, "build", "--tag", name, *args, "."], cwd=folder, env=env, capture_output=True)
        self.assertEqual(done.returncode, code, done.stderr)

    def push(self, workspace, engine, buildkit, code=0):
        env = self.env | {"DOCKER_BUILDKIT": buildkit}
        done = subprocess.run([XTASK, "push", "--load", "--engine", engine], cwd=workspace.root, env=env, text=True,
                              capture_output=True, errors="replace")
        self.assertEqual(done.returncode, code, done.stderr)
        return done.stderr

    def compare(self, workspace, client, buildkit, args=lambda n: ()):
        """Builds each service by docker alone and by `push`, and compares."""
        count = len(list(workspace.root.glob("svc-*")))
        for n in range(count):
            self.docker(client, buildkit, workspace.root / f"svc-{n}/ctx", f"direct-{n}", *args(n))
        self.push(workspace, client, buildkit)
        names = [f"direct-{n}:latest" for n in range(count)] + [f"svc-{n}:1.0.0" for n in range(count)]
        images = saved([client], names, self.env)
        for n in range(count):
            text = (workspace.root / f"svc-{n}/ctx/.dockerignore").read_bytes()
            with self.subTest(n=n, dockerignore=text):
                self.assertEqual(images[f"svc-{n}:1.0.0"], images[f"direct-{n}:latest"])
        return images

    def test_rows_in_the_builder_of_docker(self):
        images = self.compare(contexts([it["text"] for it in TABLE["rows"]]), "docker", "0")
        every = {*TABLE["tree"], ".dockerignore"}
        for n, row in enumerate(TABLE["rows"]):
            with self.subTest(row["source"]):
                sent = {name for name, it in images[f"svc-{n}:1.0.0"].items() if it[0] != tarfile.DIRTYPE}
                self.assertEqual(sorted(every - sent), row["excluded"])

    def test_rows_in_buildkit(self):
        need(BUILDKIT_CLIENT)
        # The BuildKit of docker 20.10 takes the `$` of a file's name for that of a regular expression.
        self.compare(contexts([it["text"] for it in TABLE["rows"] if "$" not in it["text"]][::3]), BUILDKIT_CLIENT, "1")

    def test_rows_in_podman(self):
        need("podman")
        rows = TABLE["rows"][::4]
        workspace = contexts([it["text"] for it in rows])
        storage = ["--root", self.folder / "root", "--runroot", self.folder / "run", "--storage-driver", "vfs"]
        command = ["podman", *map(str, storage)]
        engine = self.folder / "podman"
        engine.write_text(f"#!/bin/sh\nexec {' '.join(command)} \"$@\"\n")
        engine.chmod(0o755)
        self.push(workspace, str(engine), "0")
        every = {*TABLE["tree"], ".dockerignore"}
        for n, row in enumerate(rows):
            with self.subTest(row["source"]):
                image = saved(command, [f"svc-{n}:1.0.0"], self.env)
                [found] = image.values()
                sent = {name: it for name, it in found.items() if it[0] != tarfile.DIRTYPE}
                self.assertEqual(sorted(every - sent.keys()), row["excluded"])
                self.assertEqual({it[2] for it in sent.values()} - {TIME, TIME + n}, set())

    def test_rules_that_docker_refuses(self):
        workspace = contexts([it["text"] for it in TABLE["refused"]])
        for n, _ in enumerate(TABLE["refused"]):
            self.docker("docker", "0", workspace.root / f"svc-{n}/ctx", "refused", code=1)
        said = self.push(workspace, "docker", "0", code=1)
        self.assertEqual(said.count("is not a valid pattern"), len(TABLE["refused"]), said)

    def test_random_rules(self):
        """Rules of pieces, with a fixed seed."""
        random.seed(7)
        pieces = ["*", "**", "/", "/", "!", "src", "docs", "temp", "t", "?", ".md", "bin", "[a-t]", "[^d]", "\\d", ".", "guide",
                  "..", "x", "README", " ", "#"]
        line = lambda: "".join(random.choices(pieces, k=random.randint(1, 5)))
        texts = ["".join(random.choice(["", "", "!"]) + line() + "\n" for _ in range(random.randint(1, 5))) for _ in range(30)]
        workspace = contexts(texts)
        good = []
        for n, text in enumerate(texts):
            env = self.env | {"DOCKER_BUILDKIT": "0"}
            done = subprocess.run(["docker", "build", "."], cwd=workspace.root / f"svc-{n}/ctx", env=env, capture_output=True)
            good += [text] if done.returncode == 0 else []
        said = self.push(workspace, "docker", "0", code=0 if len(good) == len(texts) else 1)
        self.assertEqual(said.count("Failed svc-"), len(texts) - len(good), said)
        self.compare(contexts(good), "docker", "0")

    def test_kinds_of_files(self):
        workspace = contexts(["", "target\n", ""])
        for n in range(3):
            self.fill(workspace.root / f"svc-{n}/ctx")
        with self.subTest("the builder of docker"):
            images = self.compare(workspace, "docker", "0")
            image = images["svc-0:1.0.0"]
            self.assertEqual(image["many/run"][:3], (tarfile.REGTYPE, "0o751", TIME))
            self.assertEqual(image["many/same"][0], tarfile.LNKTYPE)
            self.assertEqual(image["many/pipe"][0], tarfile.FIFOTYPE)
            self.assertIn(os.fsdecode(b"many/caf\xe9"), image)
            self.assertNotIn("many/socket", image)
        with self.subTest("BuildKit"):
            need(BUILDKIT_CLIENT)
            self.compare(workspace, BUILDKIT_CLIENT, "1")

    def fill(self, folder):
        many = folder / "many"
        many.mkdir()
        for name, mode in {"run": 0o751, "secret": 0o600, "none": 0, "setuid": 0o4755}.items():
            (many / name).write_text(name)
            (many / name).chmod(mode)
        os.link(many / "run", many / "same")
        os.mkfifo(many / "pipe")
        for name, target in {"link": "./run", "dangling": "nowhere/", "absolute": "/etc/passwd", "up": "../../..",
                             "long": "x" * 200}.items():
            os.symlink(target, many / name)
        with socket.socket(socket.AF_UNIX) as it:
            it.bind(str(many / "socket"))
        open(os.fsencode(many) + b"/caf\xe9", "w").close()
        deep = many / ("a" * 120) / ("b" * 120) / ("ü" * 60)
        deep.mkdir(parents=True)
        (deep / "deep").write_text("deep")
        (many / "shared").mkdir(mode=0o700)
        (many / "shared").chmod(0o1777)
        set_times(folder)
        os.utime(many / "secret", (0, -1000))
        os.utime(many / "run", ns=(0, TIME * 10**9 + 999_999_999))

    def test_dockerfiles_in_other_places(self):
        """The Dockerfile that is excluded, outside of the context, or with rules of its own, never lands in `COPY . /`."""
        workspace = contexts(["**/Dockerfile\n", "docs\n", "docs\n.dockerignore\n"])
        for n in (1, 2):
            workspace.write(f"svc-{n}/Other", DOCKERFILE)
            (workspace.root / f"svc-{n}/ctx/Dockerfile").unlink()
            manifest = workspace.root / f"svc-{n}/Cargo.toml"
            manifest.write_text(manifest.read_text().replace("ctx/Dockerfile", "Other"))
            set_times(workspace.root / f"svc-{n}/ctx")
        arguments = lambda n: ("--file", f"{workspace.root}/svc-{n}/Other") if n else ()
        need(BUILDKIT_CLIENT)
        expected = self.compare(workspace, BUILDKIT_CLIENT, "1", arguments)
        self.push(workspace, "docker", "0")
        images = saved(["docker"], [f"svc-{n}:1.0.0" for n in range(3)], self.env)
        for name, image in images.items():
            with self.subTest(name):
                self.assertEqual(image.keys(), expected[name].keys())
        # Rules beside the Dockerfile, which the builder of docker does not know by itself.
        for n in range(3):
            name = "Other" if n else "ctx/Dockerfile"
            workspace.write(f"svc-{n}/{name}.dockerignore", "src\n*.dockerignore\n")
        expected = self.compare(workspace, BUILDKIT_CLIENT, "1", arguments)
        self.push(workspace, "docker", "0")
        images = saved(["docker"], [f"svc-{n}:1.0.0" for n in range(3)], self.env)
        for name, image in images.items():
            with self.subTest(name, rules="beside the Dockerfile"):
                self.assertEqual(image.keys(), expected[name].keys())
                self.assertNotIn("src", image)


if __name__ == "__main__":
    unittest.main()
