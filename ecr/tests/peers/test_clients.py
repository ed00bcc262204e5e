"""The embedded ECR, used by the AWS CLI, boto3, docker and skopeo."""

import contextlib
import json
import os
import pathlib
import subprocess
import tempfile
import time
import unittest
import urllib.request

from peers import BIN, POLICY, ROOT, XTASK, Workspace, client, embedded, environment, free_port, need, process


def run(url, *args, code=0, **options):
    options.setdefault("env", environment(url))
    result = subprocess.run(args, text=True, capture_output=True, **options)
    assert (result.returncode == 0) == (code == 0), f"{args}: exit {result.returncode}\n{result.stdout}\n{result.stderr}"
    return result


@contextlib.contextmanager
def server():
    with tempfile.TemporaryDirectory() as folder, embedded(pathlib.Path(folder) / "state") as url:
        yield url


class Aws(unittest.TestCase):
    """The AWS CLI does what the seed does with it."""

    def test_the_seeds_commands(self):
        with server() as url:
            aws = lambda *args, **options: run(url, BIN / "aws", *args, **options)
            identity = json.loads(aws("sts", "get-caller-identity").stdout)
            self.assertEqual(identity["Account"], "000000000000")
            aws("ecr", "create-repository", "--repository-name", "my-app", "--image-tag-mutability", "IMMUTABLE",
                "--image-scanning-configuration", "scanOnPush=true")
            again = aws("ecr", "create-repository", "--repository-name", "my-app", code=1)
            self.assertIn("RepositoryAlreadyExistsException", again.stderr)
            aws("ecr", "put-lifecycle-policy", "--repository-name", "my-app", "--lifecycle-policy-text",
                f"file://{ROOT}/ecr/lifecycle-policy.json")
            refused = aws("ecr", "put-lifecycle-policy", "--repository-name", "my-app", "--lifecycle-policy-text",
                          POLICY.replace("any", "tagged"), code=1)
            self.assertIn("Must specify tagPrefixList or tagPatternList when tagStatus=TAGGED.", refused.stderr)
            aws("ecr", "start-lifecycle-policy-preview", "--repository-name", "my-app")
            preview = json.loads(aws("ecr", "get-lifecycle-policy-preview", "--repository-name", "my-app").stdout)
            self.assertEqual((preview["status"], preview["previewResults"]), ("COMPLETE", []))
            missing = aws("ecr", "describe-repositories", "--repository-names", "nothing", code=1)
            self.assertIn("RepositoryNotFoundException", missing.stderr)
            self.assertGreater(len(aws("ecr", "get-login-password").stdout), 50)
            aws("ecr", "delete-repository", "--repository-name", "my-app", "--force")

    def test_boto3_pages_and_sees_what_was_pushed(self):
        with server() as url:
            ecr = client("ecr", url)
            workspace = Workspace()
            report = workspace.json(url, "push", "--create", "--profile", "dev")
            pages = ecr.get_paginator("describe_repositories").paginate(PaginationConfig={"PageSize": 1})
            self.assertEqual([len(page["repositories"]) for page in pages], [1, 1])
            detail = ecr.describe_images(repositoryName="my-app")["imageDetails"][0]
            pushed = next(it for it in report["images"] if it["repository"] == "my-app")
            self.assertEqual((detail["imageDigest"], detail["imageTags"]), (pushed["digest"], ["1.0.0"]))
            images = ecr.batch_get_image(repositoryName="my-app", imageIds=[{"imageTag": "1.0.0"}])["images"]
            with self.assertRaises(ecr.exceptions.ImageAlreadyExistsException):
                ecr.put_image(repositoryName="my-app", imageTag="1.0.0", imageManifest=images[0]["imageManifest"])


def unmount(folder):
    """dockerd leaves its network namespace mounted."""
    mounts = [line.split()[1] for line in pathlib.Path("/proc/mounts").read_text().splitlines()]
    for mount in reversed([it for it in mounts if it.startswith(f"{folder}/")]):
        subprocess.run(["umount", mount], check=False)


class Docker(unittest.TestCase):
    """docker runs what was pushed, and is refused what ECR refuses."""

    @classmethod
    def setUpClass(cls):
        need("dockerd")
        cls.stack = contextlib.ExitStack()
        folder = pathlib.Path(cls.stack.enter_context(tempfile.TemporaryDirectory()))
        cls.stack.callback(unmount, folder)
        cls.url = cls.stack.enter_context(embedded(folder / "state"))
        cls.host = cls.url.removeprefix("http://")
        socket = f"unix://{folder}/docker.sock"
        cls.env = environment(cls.url) | {"DOCKER_HOST": socket, "DOCKER_CONFIG": str(folder / "config")}
        arguments = ["--host", socket, "--data-root", folder / "data", "--exec-root", folder / "exec",
                     "--pidfile", folder / "pid", "--bridge", "none", "--iptables=false", "--storage-driver", "vfs"]
        cls.stack.enter_context(process(["dockerd", *map(str, arguments)]))
        for _ in range(300):
            if subprocess.run(["docker", "info"], env=cls.env, capture_output=True).returncode == 0:
                break
            time.sleep(0.1)
        run(cls.url, XTASK, "push", "--create", "--allow-dirty", env=cls.env, cwd=ROOT)
        password = run(cls.url, BIN / "aws", "ecr", "get-login-password").stdout
        cls.docker("login", "--username", "AWS", "--password-stdin", cls.host, input=password)

    @classmethod
    def tearDownClass(cls):
        cls.stack.close()

    @classmethod
    def docker(cls, *args, **options):
        return run(cls.url, "docker", *args, env=cls.env, **options)

    def test_the_pushed_service_runs_as_nobody_on_a_read_only_root(self):
        port = free_port()
        image = f"{self.host}/my-app:1.0.0"
        self.docker("pull", image)
        container = self.docker(
            "run", "--detach", "--read-only", "--network", "host", "--env", f"PORT={port}", image
        ).stdout.strip()
        for _ in range(100):
            with contextlib.suppress(OSError):
                page = urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=1).read().decode()
                break
            time.sleep(0.05)
        self.assertIn("<h1>ECR Test</h1>", page)
        pid = int(self.docker("inspect", "--format", "{{.State.Pid}}", container).stdout)
        status = pathlib.Path(f"/proc/{pid}/status").read_text()
        self.assertIn("65532\t65532\t65532\t65532", status)
        began = time.monotonic()
        self.docker("kill", "--signal", "TERM", container)
        self.assertEqual(self.docker("wait", container).stdout.strip(), "0")
        self.assertLess(time.monotonic() - began, 2)
        self.docker("rm", container)

    def test_the_worker_starts_and_stops(self):
        image = f"{self.host}/my-app-worker:1.0.0"
        container = self.docker("run", "--detach", "--network", "host", "--env", f"PROBE_URL={self.url}", image)
        container = container.stdout.strip()
        for _ in range(100):
            logs = self.docker("logs", container).stdout
            if "unhealthy" in logs or "unreachable" in logs:
                break
            time.sleep(0.05)
        self.assertIn('"message":"unhealthy"', logs)
        self.docker("kill", "--signal", "TERM", container)
        self.assertEqual(self.docker("wait", container).stdout.strip(), "0")
        self.docker("rm", container)

    def test_docker_pushes_once_and_is_refused_what_ecr_refuses(self):
        run(self.url, BIN / "aws", "ecr", "create-repository", "--repository-name", "team/by-docker",
            "--image-tag-mutability", "IMMUTABLE")
        with tempfile.TemporaryDirectory() as folder:
            (pathlib.Path(folder) / "Dockerfile").write_text("FROM scratch\nCOPY text /text\n")
            for text, tag, code in [("one", "1", 0), ("two", "1", 1), ("two", "2", 0)]:
                (pathlib.Path(folder) / "text").write_text(text)
                image = f"{self.host}/team/by-docker:{tag}"
                self.docker("build", "--quiet", "--tag", image, folder)
                result = self.docker("push", image, code=code)
                if code:
                    self.assertIn("tag invalid", result.stderr)
            image = f"{self.host}/nothing:1"
            self.docker("build", "--quiet", "--tag", image, folder)
            self.assertIn("does not exist", self.docker("push", image, code=1).stderr)
        self.docker("rmi", "--force", f"{self.host}/team/by-docker:2")
        self.docker("pull", f"{self.host}/team/by-docker:2")
        wrong = self.docker("login", "--username", "AWS", "--password-stdin", self.host, input="wrong", code=1)
        self.assertIn("401", wrong.stderr)
        self.docker("login", "--username", "AWS", "--password-stdin", self.host,
                    input=run(self.url, BIN / "aws", "ecr", "get-login-password").stdout)


class Skopeo(unittest.TestCase):
    """skopeo copies out and in again without changing a digest."""

    def test_copies_both_ways(self):
        need("skopeo")
        with server() as url, tempfile.TemporaryDirectory() as folder:
            host = url.removeprefix("http://")
            report = Workspace().json(url, "push", "--create", "--profile", "dev")
            digest = next(it["digest"] for it in report["images"] if it["repository"] == "my-app")
            password = run(url, BIN / "aws", "ecr", "get-login-password").stdout.strip()
            auth = os.path.join(folder, "auth.json")
            run(url, "skopeo", "login", "--tls-verify=false", "--authfile", auth, "--username", "AWS",
                "--password-stdin", host, input=password)
            insecure = ["--authfile", auth, "--src-tls-verify=false", "--dest-tls-verify=false"]
            run(url, "skopeo", "copy", *insecure, f"docker://{host}/my-app:1.0.0", f"oci:{folder}/layout:1.0.0")
            run(url, BIN / "aws", "ecr", "create-repository", "--repository-name", "copy",
                "--image-tag-mutability", "IMMUTABLE")
            run(url, "skopeo", "copy", *insecure, f"oci:{folder}/layout:1.0.0", f"docker://{host}/copy:1.0.0")
            inspect = run(url, "skopeo", "inspect", "--tls-verify=false", "--authfile", auth, f"docker://{host}/copy:1.0.0")
            self.assertEqual(json.loads(inspect.stdout)["Digest"], digest)
            again = run(url, "skopeo", "copy", *insecure, f"oci:{folder}/layout:1.0.0", f"docker://{host}/nothing:1",
                        code=1)
            self.assertIn("does not exist", again.stderr)


if __name__ == "__main__":
    unittest.main()
