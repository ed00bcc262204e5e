"""What the embedded ECR acknowledged is whole after kill -9; gigabytes pass through little memory; requests built to hurt
do no harm."""

import contextlib
import base64
import hashlib
import http.client
import json
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import unittest
import urllib.parse

import botocore.exceptions

from peers import ROOT, XTASK, Workspace, client, embedded, environment, free_port, need, process, wait_for
from test_distribution import MANIFEST, Server, sha256


KILLS = int(os.environ.get("XTASK_ECR_SERVER_KILLS", "10"))
MANY = int(os.environ.get("XTASK_ECR_SERVER_IMAGES", "2000"))


class Kill(unittest.TestCase):
    """`kill -9` at random moments while images are pushed, deleted and tagged."""

    def test_every_acknowledged_image_is_whole_after_many_kills(self):
        self.hold(KILLS, {"repositories": [{"name": "kept"}]})

    def test_every_acknowledged_image_is_whole_beside_many_others(self):
        images = [{"tags": ["v{n}"], "repeat": MANY}]
        self.hold(KILLS, {"repositories": [{"name": "kept"}, {"name": "many", "images": images}]}, MANY)

    def hold(self, kills, seed, others=0):
        chance = random.Random(1)
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            state, port = folder / "state", free_port()
            (folder / "seed.json").write_text(json.dumps(seed))
            child, _ = self.serve(state, port, "--seed", folder / "seed.json")
            child.kill()
            child.wait()
            acknowledged, lock = {}, threading.Lock()
            for round_number in range(kills):
                began = time.monotonic()
                child, url = self.serve(state, port)
                self.assertLess(time.monotonic() - began, 3)
                stop = threading.Event()
                pushes = [threading.Thread(target=self.push, args=(url, f"{round_number}-{n}", acknowledged, lock, stop))
                          for n in range(3)]
                [it.start() for it in pushes]
                time.sleep(0.1 + chance.random() * 0.3)
                child.send_signal(signal.SIGKILL)
                child.wait()
                stop.set()
                [it.join() for it in pushes]
            self.assertGreater(len(acknowledged), 2 * kills)
            checked = subprocess.run([XTASK, "ecr", "serve", "--check", "--data", state], cwd=ROOT, text=True,
                                     capture_output=True, env=environment("http://127.0.0.1:9"))
            self.assertEqual(checked.returncode, 0, checked.stdout + checked.stderr)
            child, url = self.serve(state, port)
            self.read(url, acknowledged)
            if others:
                pages = client("ecr", url).get_paginator("list_images").paginate(repositoryName="many", PaginationConfig={"PageSize": 1000})
                self.assertEqual(len({it["imageTag"] for page in pages for it in page["imageIds"]}), others)
            child.terminate()
            child.wait()

    def push(self, url, name, acknowledged, lock, stop):
        """Pushes images until the server is gone, and deletes every third."""
        ecr, n = client("ecr", url), 0
        try:
            token = ecr.get_authorization_token()["authorizationData"][0]["authorizationToken"]
            server = Server(url, "kept", {"authorization": f"Basic {token}"})
            while not stop.is_set():
                n += 1
                tag = f"{name}-{n}"
                blob = server.blob(os.urandom(200_000))
                digest = server.manifest(tag, layers=[
                    {"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": blob, "size": 200_000}])
                with lock:
                    acknowledged[tag] = digest
                if n % 3 == 0:
                    # Whether it is there is open until the deletion is answered.
                    with lock:
                        del acknowledged[tag]
                    self.assertEqual(server.ask("DELETE", server.at(f"manifests/{tag}"))[0], 202)
                    with lock:
                        acknowledged[tag] = None
        except (OSError, http.client.HTTPException, AssertionError, botocore.exceptions.BotoCoreError):
            return

    def read(self, url, acknowledged):
        """Reads every image with its layers."""
        token = client("ecr", url).get_authorization_token()["authorizationData"][0]["authorizationToken"]
        server = Server(url, "kept", {"authorization": f"Basic {token}"})
        for tag, digest in acknowledged.items():
            status, _, body = server.ask("GET", server.at(f"manifests/{tag}"), accept=MANIFEST)
            if digest is None:
                self.assertEqual(status, 404, tag)
                continue
            self.assertEqual((status, sha256(body)), (200, digest), tag)
            for layer in json.loads(body)["layers"]:
                status, _, data = server.ask("GET", server.at(f"blobs/{layer['digest']}"))
                self.assertEqual((status, sha256(data)), (200, layer["digest"]), tag)

    def serve(self, state, port, *args):
        url = f"http://127.0.0.1:{port}"
        command = [XTASK, "ecr", "serve", "--port", str(port), "--data", str(state), *map(str, args)]
        child = subprocess.Popen(command, env=environment(url), cwd=ROOT, text=True, stdout=subprocess.PIPE,
                                 stderr=subprocess.DEVNULL)
        # It prints its URL when it answers.
        self.assertEqual(child.stdout.readline().strip(), url)
        child.stdout.close()
        return child, url


def upload(url, name, headers, size, chunk=bytes(range(256)) * 4096):
    """Streams a blob of `size` bytes by POST and PUT, and gives its digest and the seconds that it took."""
    digest = hashlib.sha256()
    for _ in range(size // len(chunk)):
        digest.update(chunk)
    digest = f"sha256:{digest.hexdigest()}"
    server = Server(url, name, headers)
    begun = time.monotonic()
    location = server.begin()
    joint = "&" if "?" in location else "?"
    connection = http.client.HTTPConnection(server.host, timeout=300)
    connection.putrequest("PUT", f"{location}{joint}digest={digest}")
    for key, value in {**headers, "content-length": str(size), "content-type": "application/octet-stream"}.items():
        connection.putheader(key, value)
    connection.endheaders()
    for _ in range(size // len(chunk)):
        connection.send(chunk)
    response = connection.getresponse()
    assert response.status == 201, (response.status, response.read())
    response.read()
    return digest, time.monotonic() - begun


class FullDisk(unittest.TestCase):
    """A file system of 4 MB that is full, and then is not."""

    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", self.folder.name], capture_output=True)
        if mounted.returncode != 0:
            self.skipTest("only root may mount a file system")
        self.addCleanup(subprocess.run, ["umount", self.folder.name], check=True)
        self.state, self.filler = pathlib.Path(self.folder.name) / "state", pathlib.Path(self.folder.name) / "filler"

    def fill(self):
        with self.filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(4096))

    def test_it_is_answered_as_such_and_heals(self):
        with embedded(self.state) as url:
            ecr = client("ecr", url)
            ecr.create_repository(repositoryName="kept")
            token = ecr.get_authorization_token()["authorizationData"][0]["authorizationToken"]
            server = Server(url, "kept", {"authorization": f"Basic {token}"})
            small = server.blob(b"small")
            for _ in range(3):
                large = os.urandom(8 * 1024**2)
                status, _, body = server.ask("PUT", f"{server.begin()}?digest={sha256(large)}", large)
                self.assertEqual(status, 507, body)
                self.assertIn("No space left on device", json.loads(body)["errors"][0]["message"])
            # What failed takes no space: there is as much as before.
            self.assertGreater(shutil.disk_usage(self.folder.name).free, 3_500_000)
            self.fill()
            with self.assertRaises(ecr.exceptions.ClientError) as refused:
                for n in range(1000):
                    ecr.create_repository(repositoryName=f"new-{n}")
            answer = refused.exception.response
            self.assertEqual((answer["ResponseMetadata"]["HTTPStatusCode"], answer["Error"]["Code"]), (507, "ServerException"))
            self.assertIn("No space left on device", answer["Error"]["Message"])
            self.filler.unlink()
            ecr.create_repository(repositoryName="healed")
            status, _, body = server.ask("GET", server.at(f"blobs/{small}"))
            self.assertEqual((status, body), (200, b"small"))
        checked = subprocess.run([XTASK, "ecr", "serve", "--check", "--data", self.state], cwd=ROOT, text=True,
                                 capture_output=True, env=environment("http://127.0.0.1:9"))
        self.assertEqual(checked.returncode, 0, checked.stdout + checked.stderr)
        with embedded(self.state) as url:
            names = [it["repositoryName"] for it in client("ecr", url).describe_repositories()["repositories"]]
            self.assertTrue({"kept", "healed"} <= set(names), names)

    def test_a_command_ends_at_once(self):
        workspace = Workspace()
        with embedded(self.state) as url:
            self.fill()
            begun = time.monotonic()
            created = subprocess.run([XTASK, "ecr", "create"], cwd=workspace.root, env=environment(url), text=True,
                                     capture_output=True)
            self.assertLess(time.monotonic() - begun, 10)
            self.assertEqual(created.returncode, 1)
            self.assertIn("No space left on device", created.stderr)
            self.filler.unlink()
            workspace.run(url, "ecr", "create")


class Size(unittest.TestCase):
    def test_two_gigabytes_pass_through_little_memory(self):
        with tempfile.TemporaryDirectory() as folder:
            port = free_port()
            url = f"http://127.0.0.1:{port}"
            command = [XTASK, "ecr", "serve", "--port", str(port), "--data", f"{folder}/state"]
            child = subprocess.Popen(command, env=environment(url), cwd=ROOT, stdout=subprocess.DEVNULL,
                                     stderr=subprocess.DEVNULL)
            try:
                wait_for(url)
                ecr = client("ecr", url)
                ecr.create_repository(repositoryName="large")
                token = ecr.get_authorization_token()["authorizationData"][0]["authorizationToken"]
                headers = {"authorization": f"Basic {token}"}
                size = 2 * 1024**3
                digest, _ = upload(url, "large", headers, size)
                connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=300)
                connection.request("GET", f"/v2/large/blobs/{digest}", headers=headers)
                redirect = connection.getresponse()
                redirect.read()
                connection.request("GET", urllib.parse.urlsplit(redirect.headers["location"]).path)
                response, found, received = connection.getresponse(), hashlib.sha256(), 0
                while data := response.read(1 << 20):
                    found.update(data)
                    received += len(data)
                self.assertEqual((received, f"sha256:{found.hexdigest()}"), (size, digest))
                status = pathlib.Path(f"/proc/{child.pid}/status").read_text()
                peak = int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1])
                self.assertLess(peak, 100 * 1024, "kB of resident memory")
            finally:
                child.terminate()
                child.wait()


class Hostile(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.outside = pathlib.Path(cls.folder.name)
        cls.context = embedded(cls.outside / "state")
        cls.url = cls.context.__enter__()
        cls.ecr = client("ecr", cls.url)
        cls.ecr.create_repository(repositoryName="my-app")
        token = cls.ecr.get_authorization_token()["authorizationData"][0]["authorizationToken"]
        cls.server = Server(cls.url, "my-app", {"authorization": f"Basic {token}"})

    @classmethod
    def tearDownClass(cls):
        cls.context.__exit__(None, None, None)
        cls.folder.cleanup()

    def tearDown(self):
        """It still answers, and nothing appeared beside the state."""
        self.assertEqual(self.server.ask("GET", "/v2/")[0], 200)
        self.assertEqual(sorted(it.name for it in self.outside.iterdir()), ["state"])

    def raw(self, data):
        with socket.create_connection(self.url.removeprefix("http://").split(":"), timeout=20) as connection:
            connection.sendall(data)
            # The server may have closed the connection already.
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_WR)
            answer = b""
            while part := connection.recv(65536):
                answer += part
            return int(answer.split(b" ", 2)[1]) if answer else None

    def test_paths_lead_nowhere(self):
        outside = "..%2f..%2f..%2fetc%2fpasswd"
        for method in ("GET", "HEAD", "PUT", "PATCH", "POST", "DELETE"):
            for path in ("/v2/../../etc/passwd", f"/v2/my-app/blobs/{outside}", "/v2/my-app/blobs/sha256:../../state.json",
                         f"/v2/my-app/blobs/uploads/{outside}", "/v2/my-app/blobs/uploads/../../lock",
                         f"/v2/{outside}/manifests/1", "/v2/my-app/manifests/../../../state.json",
                         "/download/x/../../state.json", f"/download/{outside}", "/../state.json"):
                status = self.server.ask(method, path)[0]
                self.assertTrue(400 <= status < 500, f"{method} {path}: {status}")

    def test_malformed_json_is_an_error(self):
        for body in (b"", b"{", b"null", b"[]", b"\xff\xfe", b'{"repositoryName": {"a": [1, {}]}}', b"[" * 100_000,
                     b'{"repositoryName": 1e999}', b'{"a": "' + b"x" * 1_000_000 + b'"}'):
            for operation in ("CreateRepository", "PutImage", "TagResource", "Nonsense"):
                status = self.server.ask("POST", "/", body, X_Amz_Target=f"AmazonEC2ContainerRegistry_V20150921.{operation}")[0]
                self.assertTrue(400 <= status < 500, (status, body[:40]))

    def test_malformed_manifests_are_errors(self):
        for body in (b"", b"{}", b"[]", b"null", b'"text"', b'{"schemaVersion": 2, "layers": {}}', b"[" * 100_000,
                     json.dumps({"schemaVersion": 2, "mediaType": MANIFEST, "config": [], "layers": "x"}).encode(),
                     json.dumps({"schemaVersion": 2, "mediaType": MANIFEST, "config": {"digest": "sha256:../x"}}).encode(),
                     json.dumps({"schemaVersion": 1, "mediaType": MANIFEST}).encode(), b"x" * 5_000_000):
            status = self.server.ask("PUT", self.server.at("manifests/broken"), body, content_type=MANIFEST)[0]
            self.assertTrue(400 <= status < 500, (status, body[:60]))

    def test_giant_headers_and_broken_requests_are_refused(self):
        head = b"GET /v2/ HTTP/1.1\r\nhost: 127.0.0.1\r\n"
        for data in (head + b"x: " + b"a" * 2_000_000 + b"\r\n\r\n", head + b"\r\n".join([b"a: b"] * 5000) + b"\r\n\r\n",
                     b"\0" * 1000, b"GET", b"GET / HTTP/9.9\r\n\r\n", b"POST / HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: -1\r\n\r\n",
                     b"POST / HTTP/1.1\r\nhost: 127.0.0.1\r\ntransfer-encoding: chunked\r\n\r\nZZ\r\n"):
            try:
                status = self.raw(data)
            except (ConnectionError, BrokenPipeError):
                continue
            self.assertTrue(status is None or 400 <= status < 500, (status, data[:40]))

    def test_other_hosts_and_origins_are_refused(self):
        for headers in ({"Host": "evil.example"}, {"Host": "127.0.0.1.evil.example"}, {"Origin": "http://evil.example"},
                        {"Origin": "null"}):
            for method, path in (("GET", "/"), ("POST", "/"), ("GET", "/v2/")):
                self.assertEqual(self.server.ask(method, path, **headers)[0], 403, headers)

    def test_ten_thousand_uploads_may_be_open(self):
        connection = http.client.HTTPConnection(self.server.host, timeout=60)
        location = None
        for _ in range(10_000):
            connection.request("POST", self.server.at("blobs/uploads/"), headers=self.server.headers)
            response = connection.getresponse()
            response.read()
            self.assertEqual(response.status, 202)
            location = response.getheader("location")
        status, _, _ = self.server.ask("PUT", f"{location}?digest={sha256(b'last')}", b"last")
        self.assertEqual(status, 201)

    def test_ten_thousand_tags_are_listed_in_pages(self):
        self.ecr.create_repository(repositoryName="many")
        many = Server(self.url, "many", self.server.headers)
        config = many.blob(b"{}")
        connection = http.client.HTTPConnection(many.host, timeout=60)
        for image in range(10):
            text = json.dumps({"schemaVersion": 2, "mediaType": MANIFEST, "layers": [], "annotations": {"n": str(image)}, "config": {
                "mediaType": "application/vnd.oci.image.config.v1+json", "digest": config, "size": 2}})
            for n in range(1000):
                headers = many.headers | {"content-type": MANIFEST}
                connection.request("PUT", many.at(f"manifests/t-{image}-{n:04}"), text, headers)
                response = connection.getresponse()
                body = response.read()
                self.assertEqual(response.status, 201, body)
        # The thousand-and-first tag of an image is one too many (service quotas).
        status, _, body = many.ask("PUT", many.at("manifests/one-more"), text, content_type=MANIFEST)
        self.assertEqual((status, json.loads(body)["errors"][0]["code"]), (403, "DENIED"))
        pages, path = 0, many.at("tags/list?n=1000")
        tags = []
        while path:
            status, headers, body = many.ask("GET", path)
            tags += json.loads(body)["tags"]
            path = headers.get("link", "").partition(">")[0].lstrip("<")
            pages += 1
        self.assertEqual((pages, len(set(tags))), (10, 10_000))
        self.assertEqual(len(self.ecr.get_paginator("list_images").paginate(repositoryName="many").build_full_result()["imageIds"]), 10_000)

    def test_names_and_tags_are_harmless_on_the_page(self):
        self.server.manifest("tag-1")
        status, headers, body = self.server.ask("GET", "/")
        self.assertEqual((status, headers["content-type"]), (200, "text/html; charset=utf-8"))
        self.assertIn("default-src 'none'", headers["content-security-policy"])
        self.assertIn(b"tag-1", body)
        # The one script of the page, by its hash.
        self.assertIn("script-src 'sha256-", headers["content-security-policy"])
        self.assertEqual(body.count(b"<script"), 1)


if __name__ == "__main__":
    unittest.main()
