"""`push` through docker and podman: Dockerfiles, private credentials, tags that exist."""

import base64
import contextlib
import hashlib
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.request

from peers import XTASK, Workspace, client, dockerd, embedded, environment, need

DOCKERFILE = 'FROM scratch\nCOPY my-app/greeting.txt /\nLABEL from=docker\nCMD ["/greeting.txt"]\n'


def service(root_url):
    workspace = Workspace(services=("my-app",))
    workspace.write("my-app/Dockerfile", DOCKERFILE)
    workspace.write("my-app/greeting.txt", "hello\n")
    workspace.run(root_url, "ecr", "create")
    return workspace


def private(folder):
    """A folder for temporary files that no other process uses."""
    path = folder / "temporary"
    path.mkdir()
    return str(path)


def nothing_but_a_config(url):
    """Uploads a config. Gives the manifest of an image that has nothing else, which is not in the repository yet."""
    token = client("ecr", url).get_authorization_token()["authorizationData"][0]["authorizationToken"]
    digest = "sha256:" + hashlib.sha256(b"{}").hexdigest()
    request = urllib.request.Request(f"{url}/v2/my-app/blobs/uploads/?digest={digest}", b"{}",
                                     {"authorization": f"Basic {token}"}, method="POST")
    urllib.request.urlopen(request).read()
    config = {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest, "size": 2}
    return json.dumps({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
                       "config": config, "layers": []})


class Builder:
    """What holds for docker and podman alike."""

    def push(self, workspace, *args, code=0, env=None):
        command = [XTASK, "push", "--engine", self.engine, "--format", "json", *args]
        result = subprocess.run(list(map(str, command)), cwd=workspace.root, env=self.env | (env or {}), text=True,
                                capture_output=True, stdin=subprocess.DEVNULL)
        self.assertEqual(result.returncode, code, f"{result.stdout}\n{result.stderr}")
        document = json.loads(result.stdout)
        return document["images"][0] if "images" in document else document, result.stderr

    def secrets(self):
        return list(pathlib.Path(self.env["TMPDIR"]).glob("xtask-ecr-*"))

    def manifest(self, reference):
        ecr = client("ecr", self.url)
        image = ecr.batch_get_image(repositoryName="my-app", imageIds=[{"imageTag": reference}])["images"][0]
        return json.loads(image["imageManifest"])

    def test_a_dockerfile_is_built_and_pushed(self):
        workspace = service(self.url)
        self.addCleanup(workspace.run, self.url, "ecr", "delete", "--yes")
        workspace.write("target/large", "x" * 100_000)
        first, said = self.push(workspace)
        self.assertEqual(first["outcome"], "pushed", said)
        self.assertEqual(first["reference"], f"{self.host}/my-app@{first['digest']}")
        found = client("ecr", self.url).describe_images(repositoryName="my-app")["imageDetails"][0]
        self.assertEqual((found["imageDigest"], found["imageTags"]), (first["digest"], ["1.0.0"]))
        self.assertEqual(self.secrets(), [])
        # The same again is unchanged; another image under the same tag is a conflict, and a tag of its own is not.
        again, _ = self.push(workspace)
        self.assertEqual((again["outcome"], again["digest"]), ("unchanged", first["digest"]))
        workspace.write("my-app/greeting.txt", "changed\n")
        conflict, said = self.push(workspace, code=3)
        self.assertEqual(conflict["outcome"], "conflict")
        self.assertIn("docker built another image", conflict["error"])
        self.assertIn("bump the version", said)
        other, _ = self.push(workspace, "-t", "{version}-{digest}")
        self.assertEqual(other["outcome"], "pushed")
        skipped, _ = self.push(workspace, "--skip-existing")
        self.assertEqual((skipped["outcome"], skipped["digest"]), ("unchanged", first["digest"]))

    def test_a_dockerfile_around_the_binary(self):
        workspace = Workspace(services=("my-app",))
        workspace.run(self.url, "ecr", "create")
        self.addCleanup(workspace.run, self.url, "ecr", "delete", "--yes")
        image, said = self.push(workspace, "--builder", "docker", "--profile", "dev")
        self.assertEqual(image["outcome"], "pushed", said)
        self.assertGreaterEqual(len(self.manifest("1.0.0")["layers"]), 2)

    def test_a_dockerfile_that_fails_says_why(self):
        workspace = service(self.url)
        self.addCleanup(workspace.run, self.url, "ecr", "delete", "--yes")
        workspace.write("my-app/Dockerfile", "FROM scratch\nCOPY nothing.txt /\n")
        failed, _ = self.push(workspace, code=1)
        self.assertIn("nothing.txt", failed["error"])
        self.assertEqual(self.secrets(), [])

    def test_arguments_go_to_the_build(self):
        workspace = service(self.url)
        self.addCleanup(workspace.run, self.url, "ecr", "delete", "--yes")
        self.push(workspace, "--", "--label", "extra=yes")
        digest = self.manifest("1.0.0")["config"]["digest"]
        ecr = client("ecr", self.url)
        url = ecr.get_download_url_for_layer(repositoryName="my-app", layerDigest=digest)["downloadUrl"]
        config = json.loads(urllib.request.urlopen(url).read())
        labels = {key: value for key, value in config["config"]["Labels"].items() if key in ("from", "extra")}
        self.assertEqual(labels, {"from": "docker", "extra": "yes"})

    def test_the_users_configuration_is_neither_written_nor_given_the_token(self):
        workspace = service(self.url)
        self.addCleanup(workspace.run, self.url, "ecr", "delete", "--yes")
        home = workspace.root / "config"
        home.mkdir()
        # A store that notes everything that it is told.
        store = workspace.root / "bin/docker-credential-noting"
        store.parent.mkdir()
        store.write_text(f"#!/bin/sh\necho \"$@\" >>{workspace.root}/store.log; cat >>{workspace.root}/store.log\n"
                         "[ \"$1\" = list ] && echo '{}' || { echo 'credentials not found in native keychain'; exit 1; }\n")
        store.chmod(0o755)
        text = json.dumps({"auths": {"example.com": {"auth": base64.b64encode(b"me:secret").decode()}},
                           "credsStore": "noting"})
        (home / "config.json").write_text(text)
        env = {"DOCKER_CONFIG": str(home), "PATH": f"{store.parent}:{os.environ['PATH']}"}
        image, _ = self.push(workspace, env=env)
        self.assertEqual(image["outcome"], "pushed")
        self.assertEqual((home / "config.json").read_text(), text)
        self.assertEqual([it.name for it in home.iterdir()], ["config.json"])
        log = workspace.root / "store.log"
        self.assertNotIn("store\n", log.read_text() if log.exists() else "")
        self.assertEqual(self.secrets(), [])

    def test_ctrl_c_leaves_no_credentials(self):
        workspace = service(self.url)
        self.addCleanup(workspace.run, self.url, "ecr", "delete", "--yes")
        slow = workspace.root / "slow"
        slow.write_text(f"#!/bin/sh\ncase \"$1\" in build) touch {workspace.root}/building; exec sleep 30;; esac\n"
                        f"exec {self.engine} \"$@\"\n")
        slow.chmod(0o755)
        child = subprocess.Popen([XTASK, "push", "--engine", str(slow)], cwd=workspace.root, env=self.env,
                                 stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        for _ in range(200):
            if (workspace.root / "building").exists():
                break
            time.sleep(0.05)
        self.assertTrue(self.secrets())
        child.send_signal(signal.SIGINT)
        self.assertEqual(child.wait(10), 130)
        self.assertEqual(self.secrets(), [])

    def test_kills_leave_no_credentials(self):
        workspace = service(self.url)
        self.addCleanup(workspace.run, self.url, "ecr", "delete", "--yes")
        left = []
        for n in range(int(os.environ.get("XTASK_ECR_KILLS", "8"))):
            workspace.write("my-app/greeting.txt", f"{n}\n")
            child = subprocess.Popen([XTASK, "push", "--engine", self.engine, "--tag", f"k{n}"], cwd=workspace.root,
                                     env=self.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                     start_new_session=True)
            time.sleep(0.05 + 0.07 * (n % 8))
            # The whole group, as the end of a job in CI does it.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            child.wait(10)
            left += self.secrets()
            texts = [it.read_text(errors="replace") for folder in self.secrets() for it in folder.rglob("*")
                     if it.is_file() and not it.is_symlink()]
            self.assertFalse([it for it in texts if '"auth"' in it or "Secret" in it], texts)
        self.assertTrue(left)
        # The next run removes what the others have left.
        self.push(workspace, "--tag", "last")
        self.assertEqual(self.secrets(), [])


class Docker(Builder, unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        need("dockerd")
        cls.stack = contextlib.ExitStack()
        folder = pathlib.Path(cls.stack.enter_context(tempfile.TemporaryDirectory()))
        cls.url = cls.stack.enter_context(embedded(folder / "state"))
        cls.host = cls.url.removeprefix("http://")
        cls.engine = "docker"
        cls.env = environment(cls.url) | cls.stack.enter_context(dockerd(folder)) | {"TMPDIR": private(folder)}

    @classmethod
    def tearDownClass(cls):
        cls.stack.close()


class Buildx(unittest.TestCase):
    """There is no buildx here: a stand-in shows the arguments, and that its digest is taken once the registry has it."""

    def test_a_builder_builds_and_pushes_in_one(self):
        with tempfile.TemporaryDirectory() as folder, embedded(pathlib.Path(folder) / "state") as url:
            workspace = service(url)
            engine = workspace.root / "engine"
            manifest = nothing_but_a_config(url)
            digest = "sha256:" + hashlib.sha256(manifest.encode()).hexdigest()
            put = (f"import sys; sys.path.insert(0, {str(pathlib.Path(__file__).parent)!r}); from peers import client\n"
                   f"for tag in sys.argv[1:]: client('ecr', {url!r}).put_image(\n"
                   f"    repositoryName='my-app', imageManifest={manifest!r}, imageTag=tag)\n")
            workspace.write("put.py", put)
            engine.write_text(
                f"#!/bin/sh\necho \"$@\" >>{workspace.root}/args\n"
                "case \"$1 $2\" in\n"
                "'buildx version') exit 0;;\n"
                f"'buildx build') {sys.executable} {workspace.root}/put.py $(cat {workspace.root}/pushed)\n"
                "  while [ $# -gt 0 ]; do\n"
                "  [ \"$1\" = --file ] && cp \"$2\" \"$2.dockerignore\" .\n"
                f"  [ \"$1\" = --metadata-file ] && echo '{{\"containerimage.digest\": \"{digest}\"}}' >\"$2\"; shift; done;;\n"
                "*) cat >/dev/null;;\nesac\n")
            engine.chmod(0o755)
            workspace.write("target/large", "x")
            args = ["push", "--engine", str(engine), "--engine-builder", "far", "--platform", "linux/amd64,linux/arm64",
                    "-t", "1", "-t", "2"]
            # A builder that says so is not enough: the registry is asked for each tag.
            workspace.write("pushed", "1")
            failed = workspace.run(url, *args, code=1)
            self.assertIn("the registry does not have the pushed tag `2`", failed.stderr)
            workspace.write("pushed", "3 4")
            args[-3], args[-1] = "3", "4"
            image = workspace.json(url, *args)["images"][0]
            self.assertEqual((image["outcome"], image["digest"]), ("pushed", digest))
            host = url.removeprefix("http://")
            build = (workspace.root / "args").read_text().splitlines()[-1]
            # The context is the folder itself, with rules beside a private copy of the Dockerfile.
            self.assertRegex(build, "^buildx build --builder far --push --provenance=false --metadata-file /[^ ]* "
                             f"--platform linux/amd64,linux/arm64 --tag {host}/my-app:3 --tag {host}/my-app:4 "
                             f"--file /[^ ]*/Dockerfile {workspace.root}$")
            self.assertEqual((workspace.root / "Dockerfile").read_text(), DOCKERFILE)
            self.assertEqual((workspace.root / "Dockerfile.dockerignore").read_text(), "target\n# no rules\n")
            # Without buildx it says so.
            engine.write_text("#!/bin/sh\n[ \"$1\" = buildx ] && exit 1; cat >/dev/null\n")
            args[-3], args[-1] = "5", "6"
            failed = workspace.run(url, *args, code=1)
            self.assertIn("has no buildx: install docker-buildx-plugin", failed.stderr)


class Podman(Builder, unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        need("podman")
        cls.stack = contextlib.ExitStack()
        folder = pathlib.Path(cls.stack.enter_context(tempfile.TemporaryDirectory()))
        cls.url = cls.stack.enter_context(embedded(folder / "state"))
        cls.host = cls.url.removeprefix("http://")
        engine = folder / "engine"
        storage = f"--root {folder}/root --runroot {folder}/run --storage-driver vfs"
        engine.write_text(f"#!/bin/sh\nexec podman {storage} \"$@\"\n")
        engine.chmod(0o755)
        cls.engine = str(engine)
        cls.env = environment(cls.url) | {"TMPDIR": private(folder)}

    @classmethod
    def tearDownClass(cls):
        cls.stack.close()


if __name__ == "__main__":
    unittest.main()
