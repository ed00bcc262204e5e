"""The embedded ECR, used by the AWS CLI, boto3, docker and skopeo."""

import contextlib
import hashlib
import json
import os
import pathlib
import subprocess
import tempfile
import time
import unittest
import urllib.error
import urllib.request

from peers import BIN, POLICY, ROOT, XTASK, Workspace, client, dockerd, embedded, environment, free_port, need


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
    """The AWS CLI, with the commands of a shell script that creates repositories and pushes."""

    def test_commands_of_a_shell_script(self):
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
            preview = ["get-lifecycle-policy-preview", "--repository-name", "my-app"]
            self.assertEqual(json.loads(aws("ecr", *preview).stdout)["status"], "IN_PROGRESS")
            preview = json.loads(aws("ecr", *preview).stdout)
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


class Docker(unittest.TestCase):
    """docker runs what was pushed, and is refused what ECR refuses."""

    @classmethod
    def setUpClass(cls):
        need("dockerd")
        cls.stack = contextlib.ExitStack()
        folder = pathlib.Path(cls.stack.enter_context(tempfile.TemporaryDirectory()))
        cls.url = cls.stack.enter_context(embedded(folder / "state"))
        cls.host = cls.url.removeprefix("http://")
        cls.env = environment(cls.url) | cls.stack.enter_context(dockerd(folder))
        cls.env["DOCKER_CONFIG"] = str(folder / "config")
        run(cls.url, XTASK, "push", "--create", "--allow-dirty", env=cls.env, cwd=ROOT)
        run(cls.url, XTASK, "ecr", "login", "--engine", "docker", env=cls.env, cwd=ROOT)

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

    def uttered(self, script):
        """What `ecr login` makes of the words in which docker fails."""
        with tempfile.TemporaryDirectory() as folder:
            engine = pathlib.Path(folder) / "engine"
            engine.write_text(f"#!/bin/sh\nexec {script}\n")
            engine.chmod(0o755)
            env = self.env | {"EMPTY": folder}
            return run(self.url, XTASK, "ecr", "login", "--engine", engine, env=env, cwd=ROOT, code=1).stderr

    def test_dockers_errors_become_advice(self):
        image = f"{self.host}/my-app:1.0.0"
        self.docker("pull", image)
        for script, word, advice in [
            (f"docker --config $EMPTY push {image}", "no basic auth credentials", "cargo xtask ecr login"),
            (f"docker pull {self.host}/nothing:1", "does not exist", "cargo xtask ecr create"),
            ("docker --host unix:///nowhere info", "docker daemon", "start docker"),
        ]:
            said = self.uttered(script)
            self.assertIn(word, said)
            self.assertIn(advice, said)
        # Another image under a tag that is taken.
        taken = f"{self.host}/my-app-worker:1.0.0"
        self.docker("tag", image, taken)
        self.addCleanup(self.docker, "rmi", taken)
        said = self.uttered(f"docker push {taken}")
        self.assertIn("tag invalid", said)
        self.assertIn("bump the version", said)

    def test_what_is_loaded_runs(self):
        loaded = run(self.url, XTASK, "push", "--load", "--engine", "docker", "-p", "my-app", "--allow-dirty",
                     env=self.env, cwd=ROOT).stdout.strip()
        self.assertEqual(loaded, "my-app:1.0.0")
        port = free_port()
        container = self.docker("run", "--detach", "--network", "host", "--env", f"PORT={port}", loaded).stdout.strip()
        self.addCleanup(self.docker, "rm", "--force", container)
        for _ in range(100):
            with contextlib.suppress(OSError):
                page = urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=1).read().decode()
                break
            time.sleep(0.05)
        self.assertIn("<h1>ECR Test</h1>", page)

    def test_status_tells_dockers_version(self):
        status = run(self.url, XTASK, "ecr", "status", env=self.env, cwd=ROOT).stdout
        version = self.docker("version", "--format", "{{.Server.Version}}").stdout.strip()
        self.assertIn(f"docker {version}", status)

    def test_the_worker_starts_and_stops(self):
        image = f"{self.host}/my-app-worker:1.0.0"
        container = self.docker("run", "--detach", "--network", "host", "--env", f"PROBE_URL={self.url}/nothing", image)
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
        # An index of two images, made, pushed, looked at and pulled.
        both = [f"{self.host}/team/by-docker:{tag}" for tag in ("index", "1", "2")]
        self.docker("manifest", "create", "--insecure", *both)
        self.docker("manifest", "annotate", "--arch", "arm64", both[0], both[2])
        self.docker("manifest", "push", "--insecure", both[0])
        looked = json.loads(self.docker("manifest", "inspect", "--insecure", both[0]).stdout)
        self.assertEqual(sorted(it["platform"]["architecture"] for it in looked["manifests"]), ["amd64", "arm64"])
        self.docker("pull", both[0])
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


class Podman(unittest.TestCase):
    def test_login_by_standard_input(self):
        need("podman")
        with tempfile.TemporaryDirectory() as folder, server() as url:
            host = url.removeprefix("http://")
            env = environment(url) | {"REGISTRY_AUTH_FILE": f"{folder}/auth.json", "XDG_RUNTIME_DIR": folder}
            said = run(url, XTASK, "ecr", "login", "--engine", "podman", env=env, cwd=ROOT).stderr
            self.assertIn(f"to {host} with podman, until ", said)
            auths = json.loads(pathlib.Path(folder, "auth.json").read_text())["auths"]
            self.assertEqual(list(auths), [host])


class Foreign(unittest.TestCase):
    """skopeo and buildah push, pull, copy, list and delete single images and indexes, and are refused what ECR refuses."""

    @classmethod
    def setUpClass(cls):
        need("skopeo"), need("buildah")
        cls.stack = contextlib.ExitStack()
        cls.folder = pathlib.Path(cls.stack.enter_context(tempfile.TemporaryDirectory()))
        cls.url = cls.stack.enter_context(embedded(cls.folder / "state"))
        cls.host = cls.url.removeprefix("http://")
        cls.auth = str(cls.folder / "auth.json")
        cls.ecr = client("ecr", cls.url)
        cls.env = environment(cls.url) | {"BUILDAH_ISOLATION": "chroot", "STORAGE_DRIVER": "vfs",
                                          "XDG_RUNTIME_DIR": str(cls.folder), "REGISTRY_AUTH_FILE": cls.auth}
        password = run(cls.url, BIN / "aws", "ecr", "get-login-password").stdout.strip()
        cls.call("skopeo", "login", "--tls-verify=false", "--username", "AWS", "--password-stdin", cls.host, input=password)

    @classmethod
    def tearDownClass(cls):
        cls.stack.close()

    @classmethod
    def call(cls, *args, **options):
        return run(cls.url, *args, env=cls.env, **options)

    def buildah(self, *args, **options):
        storage = ["--root", str(self.folder / "storage"), "--runroot", str(self.folder / "run")]
        return self.call("buildah", *storage, *args, **options)

    def image(self, name, text):
        """An image of one file, made by buildah."""
        container = self.buildah("from", "scratch").stdout.strip()
        path = self.folder / "file"
        path.write_text(text)
        self.buildah("copy", container, str(path), "/file")
        self.buildah("commit", "--quiet", container, name)
        self.buildah("rm", container)

    def repository(self, name, mutability="IMMUTABLE"):
        self.ecr.create_repository(repositoryName=name, imageTagMutability=mutability)
        return f"{self.host}/{name}"

    def test_buildah_pushes_pulls_and_is_refused(self):
        target = self.repository("team/by-buildah")
        self.image("localhost/one:1", "one")
        self.image("localhost/two:1", "two")
        push = lambda image, to, **options: self.buildah("push", "--tls-verify=false", image, f"docker://{to}", **options)
        push("localhost/one:1", f"{target}:1")
        self.assertIn("cannot be overwritten", push("localhost/two:1", f"{target}:1", code=1).stderr)
        self.assertIn("does not exist", push("localhost/one:1", f"{self.host}/nothing:1", code=1).stderr)
        self.buildah("pull", "--tls-verify=false", f"docker://{target}:1")
        wrong = self.buildah("push", "--tls-verify=false", "--creds", "AWS:wrong", "localhost/one:1", f"docker://{target}:2", code=1)
        self.assertIn("authentication required", wrong.stderr.lower().replace("unauthorized", "authentication required"))

    def test_zstd_layers_are_unpacked(self):
        workspace = Workspace(services=("my-app",))
        workspace.write("my-app/data.txt", "zstd " * 1_000_000)
        workspace.append("my-app/Cargo.toml", '[package.metadata.ecr.image]\ncompression = "zstd"\n'
                         'files = [{ from = "data.txt", to = "/data.txt" }]\n')
        workspace.run(self.url, "push", "--create", "--profile", "dev")
        image = f"{self.host}/my-app:1.0.0"
        layers = json.loads(self.call("skopeo", "inspect", "--raw", "--tls-verify=false", f"docker://{image}").stdout)["layers"]
        self.assertEqual({it["mediaType"] for it in layers}, {"application/vnd.oci.image.layer.v1.tar+zstd"})
        container = self.buildah("from", "--tls-verify=false", f"docker://{image}").stdout.strip()
        root = pathlib.Path(self.buildah("mount", container).stdout.strip())
        self.assertEqual((root / "data.txt").read_text(), "zstd " * 1_000_000)
        self.assertEqual(subprocess.run([root / "usr/local/bin/my-app"], capture_output=True).stdout, b"hello\n")
        self.buildah("rm", container)

    def test_an_index_goes_in_and_out_and_away(self):
        target, copy = self.repository("index"), self.repository("index-copy")
        self.image("localhost/a:1", "a")
        self.image("localhost/b:1", "b")
        self.buildah("manifest", "create", "localhost/both:1")
        self.buildah("manifest", "add", "--arch", "amd64", "localhost/both:1", "localhost/a:1")
        self.buildah("manifest", "add", "--arch", "arm64", "localhost/both:1", "localhost/b:1")
        self.buildah("manifest", "push", "--all", "--tls-verify=false", "localhost/both:1", f"docker://{target}:1")
        insecure = ["--src-tls-verify=false", "--dest-tls-verify=false"]
        self.call("skopeo", "copy", "--all", *insecure, f"docker://{target}:1", f"docker://{copy}:1")
        raw = [self.call("skopeo", "inspect", "--raw", "--tls-verify=false", f"docker://{it}:1").stdout for it in (target, copy)]
        self.assertEqual(raw[0], raw[1])
        children = [it["digest"] for it in json.loads(raw[0])["manifests"]]
        self.assertEqual(len(children), 2)
        listed = json.loads(self.call("skopeo", "list-tags", "--tls-verify=false", f"docker://{copy}").stdout)
        self.assertEqual(listed["Tags"], ["1"])
        refused = self.ecr.batch_delete_image(repositoryName="index-copy", imageIds=[{"imageDigest": children[0]}])
        self.assertEqual(refused["failures"][0]["failureCode"], "ImageReferencedByManifestList")
        self.call("skopeo", "delete", "--tls-verify=false", f"docker://{copy}:1")
        left = self.ecr.describe_images(repositoryName="index-copy")["imageDetails"]
        self.assertEqual(sorted(it["imageDigest"] for it in left), sorted(children))
        deleted = self.ecr.batch_delete_image(repositoryName="index-copy", imageIds=[{"imageDigest": it} for it in children])
        self.assertEqual(deleted["failures"], [])

    def test_skopeo_is_refused_what_ecr_refuses(self):
        target = self.repository("by-skopeo")
        self.image("localhost/first:1", "first")
        self.image("localhost/second:1", "second")
        layouts = []
        for name in ("first", "second"):
            layouts.append(f"oci:{self.folder}/{name}:1")
            self.buildah("push", f"localhost/{name}:1", layouts[-1])
        copy = lambda source, to, *args, **options: self.call(
            "skopeo", "copy", "--dest-tls-verify=false", *args, source, f"docker://{to}", **options)
        copy(layouts[0], f"{target}:1")
        self.assertIn("cannot be overwritten", copy(layouts[1], f"{target}:1", code=1).stderr)
        self.assertIn("does not exist", copy(layouts[0], f"{self.host}/nothing:1", code=1).stderr)
        wrong = copy(layouts[0], f"{target}:2", "--dest-creds", "AWS:wrong", code=1).stderr
        self.assertRegex(wrong, "(?i)unauthorized|authentication required|not authorized")
        out = f"oci:{self.folder}/out:1"
        self.call("skopeo", "copy", "--src-tls-verify=false", f"docker://{target}:1", out)
        digests = [json.loads(self.call("skopeo", "inspect", it).stdout)["Digest"] for it in (layouts[0], out)]
        self.assertEqual(digests[0], digests[1])

    def test_the_aws_cli_and_boto3_list_delete_and_are_refused(self):
        target = self.repository("by-cli")
        aws = lambda *args, **options: run(self.url, BIN / "aws", "ecr", *args, **options)
        for name in ("one", "two"):
            self.image(f"localhost/{name}-cli:1", name)
            self.buildah("push", "--tls-verify=false", f"localhost/{name}-cli:1", f"docker://{target}:{name}")
        got = self.ecr.batch_get_image(repositoryName="by-cli", imageIds=[{"imageTag": "two"}])["images"][0]
        overwrite = aws("put-image", "--repository-name", "by-cli", "--image-tag", "one",
                        "--image-manifest", got["imageManifest"], code=1)
        self.assertIn("ImageTagAlreadyExistsException", overwrite.stderr)
        with self.assertRaises(self.ecr.exceptions.ImageTagAlreadyExistsException):
            self.ecr.put_image(repositoryName="by-cli", imageTag="one", imageManifest=got["imageManifest"])
        with self.assertRaises(self.ecr.exceptions.RepositoryNotFoundException):
            self.ecr.put_image(repositoryName="nothing", imageTag="one", imageManifest=got["imageManifest"])
        self.assertIn("RepositoryNotFoundException", aws("list-images", "--repository-name", "nothing", code=1).stderr)
        rows = json.loads(aws("list-images", "--repository-name", "by-cli").stdout)["imageIds"]
        self.assertEqual([it["imageTag"] for it in rows], ["one", "two"])
        gone = json.loads(aws("batch-delete-image", "--repository-name", "by-cli", "--image-ids", "imageTag=one",
                              "imageTag=three").stdout)
        self.assertEqual([it["imageTag"] for it in gone["imageIds"]], ["one"])
        self.assertEqual(gone["failures"][0]["failureCode"], "ImageNotFound")
        left = json.loads(aws("describe-images", "--repository-name", "by-cli").stdout)["imageDetails"]
        self.assertEqual([it["imageTags"] for it in left], [["two"]])

    def test_the_control_plane_uploads_in_parts_and_hands_out_urls(self):
        self.repository("parts")
        part, blob = 5 * 1024 * 1024, os.urandom(5 * 1024 * 1024 + 3)
        upload = self.ecr.initiate_layer_upload(repositoryName="parts")["uploadId"]
        for first in (0, part):
            data = blob[first:first + part]
            self.ecr.upload_layer_part(repositoryName="parts", uploadId=upload, partFirstByte=first,
                                       partLastByte=first + len(data) - 1, layerPartBlob=data)
        digest = "sha256:" + hashlib.sha256(blob).hexdigest()
        self.ecr.complete_layer_upload(repositoryName="parts", uploadId=upload, layerDigests=[digest])
        url = self.ecr.get_download_url_for_layer(repositoryName="parts", layerDigest=digest)["downloadUrl"]
        self.assertEqual(urllib.request.urlopen(url, timeout=20).read(), blob)
        with self.assertRaises(urllib.error.HTTPError):
            urllib.request.urlopen(url[:-1] + ("0" if url[-1] != "0" else "1"), timeout=20)

    def test_scans_are_never_invented(self):
        target = self.repository("scanned")
        self.image("localhost/scanned:1", "scanned")
        self.buildah("push", "--tls-verify=false", "localhost/scanned:1", f"docker://{target}:1")
        image = {"repositoryName": "scanned", "imageId": {"imageTag": "1"}}
        with self.assertRaises(self.ecr.exceptions.ScanNotFoundException):
            self.ecr.describe_image_scan_findings(**image)
        self.ecr.start_image_scan(**image)
        with self.assertRaises(self.ecr.exceptions.LimitExceededException):
            self.ecr.start_image_scan(**image)
        self.assertEqual(self.ecr.describe_image_scan_findings(**image)["imageScanStatus"]["status"], "UNSUPPORTED_IMAGE")
        digest = self.ecr.describe_images(repositoryName="scanned")["imageDetails"][0]["imageDigest"]
        (self.folder / "state/scans").mkdir()
        (self.folder / f"state/scans/{digest.removeprefix('sha256:')}.json").write_text(json.dumps({
            "statuses": ["IN_PROGRESS", "COMPLETE"],
            "imageScanFindings": {"findings": [{"name": "CVE-2026-1", "severity": "HIGH", "uri": "https://example.invalid"}],
                                  "findingSeverityCounts": {"HIGH": 1}}}))
        scans = [self.ecr.describe_image_scan_findings(**image) for _ in range(3)]
        self.assertEqual([it["imageScanStatus"]["status"] for it in scans], ["IN_PROGRESS", "COMPLETE", "COMPLETE"])
        self.assertNotIn("imageScanFindings", scans[0])
        self.assertEqual(scans[-1]["imageScanFindings"]["findings"][0]["name"], "CVE-2026-1")
        self.assertEqual(self.ecr.describe_images(repositoryName="scanned")["imageDetails"][0]["imageScanFindingsSummary"]
                         ["findingSeverityCounts"], {"HIGH": 1})


if __name__ == "__main__":
    unittest.main()
