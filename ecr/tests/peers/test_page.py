"""The page at `GET /` in a headless Chromium. `python test_page.py FILE.png` takes the README's screenshot instead."""

import base64
import contextlib
import json
import pathlib
import sys
import tempfile
import unittest
import urllib.request

from peers import POLICY, Workspace, client, embedded, environment, free_port, need, process, wait_for
from test_distribution import Server


class Browser:
    """As much of WebDriver (W3C) as is needed, spoken to Debian's chromedriver."""

    def __init__(self, driver, width, height):
        arguments = ["--headless=new", "--no-sandbox", "--disable-gpu", f"--window-size={width},{height}"]
        capabilities = {"alwaysMatch": {"goog:chromeOptions": {"args": arguments, "binary": "/usr/bin/chromium",
                                                               "mobileEmulation": {"deviceMetrics": {
                                                                   "width": width, "height": height, "pixelRatio": 1}}}}}
        self.driver = driver
        self.session = self.post("/session", {"capabilities": capabilities})["sessionId"]

    def post(self, path, body):
        request = urllib.request.Request(self.driver + path, json.dumps(body).encode(),
                                         {"content-type": "application/json"}, method="POST")
        return json.loads(urllib.request.urlopen(request, timeout=60).read())["value"]

    def open(self, url):
        self.post(f"/session/{self.session}/url", {"url": url})

    def run(self, script):
        return self.post(f"/session/{self.session}/execute/sync", {"script": script, "args": []})

    def screenshot(self):
        answer = urllib.request.urlopen(f"{self.driver}/session/{self.session}/screenshot", timeout=60).read()
        return base64.b64decode(json.loads(answer)["value"])

    def close(self):
        request = urllib.request.Request(f"{self.driver}/session/{self.session}", method="DELETE")
        urllib.request.urlopen(request, timeout=60).read()


@contextlib.contextmanager
def browser(width, height):
    port = free_port()
    driver = f"http://127.0.0.1:{port}"
    with process(["chromedriver", f"--port={port}"], env=environment(driver)):
        wait_for(f"{driver}/status")
        it = Browser(driver, width, height)
        try:
            yield it
        finally:
            it.close()


@contextlib.contextmanager
def registry():
    """Two repositories; one has three images, of which its policy keeps two."""
    workspace = Workspace()
    with embedded(workspace.root / "state") as url:
        workspace.write("ecr/lifecycle-policy.json", POLICY.replace(": 10", ": 2"))
        workspace.run(url, "ecr", "create")
        ecr = client("ecr", url)
        token = ecr.get_authorization_token()["authorizationData"][0]["authorizationToken"]
        server = Server(url, "my-app", {"authorization": f"Basic {token}"})
        for n in range(3):
            layer = server.blob(bytes([n]) * 1_400_000)
            server.manifest(f"1.{n}.0", layers=[
                {"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": layer, "size": 1_400_000}])
        yield url


class Page(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        need("chromium"), need("chromedriver")

    def test_a_person_sees_what_is_there_on_a_phone_too(self):
        with registry() as url:
            for width in (1200, 375):
                with browser(width, 800) as it:
                    it.open(url)
                    self.assertEqual(it.run("return document.title"), "Embedded ECR")
                    self.assertEqual(it.run("return [...document.querySelectorAll('h3')].map(it => it.textContent)"),
                                     ["my-app", "my-app-worker"])
                    rows = it.run("return [...document.querySelectorAll('tbody tr')].map(it => it.innerText)")
                    self.assertEqual(len(rows), 3)
                    for text in ("1.2.0", "1.4 MB", "ago", "stays", f"docker pull {url.removeprefix('http://')}/my-app@sha256:"):
                        self.assertIn(text, rows[0])
                    self.assertIn("would expire, rule 1", rows[2])
                    text = it.run("return document.body.innerText")
                    for fact in ("IMMUTABLE", "scanned on push", "lifecycle policy of 1 rule", "docker push", "No images."):
                        self.assertIn(fact, text)
                    self.assertLessEqual(it.run("return document.documentElement.scrollWidth"), width)

    def test_what_clients_write_stays_text(self):
        hostile = "<img src=x onerror=document.title=1>"
        with tempfile.TemporaryDirectory() as folder, embedded(pathlib.Path(folder) / "state") as url:
            request = urllib.request.Request(url, json.dumps({"repositoryName": "my-app"}).encode(), {
                "X-Amz-Target": "AmazonEC2ContainerRegistry_V20150921.CreateRepository",
                "Authorization": f"AWS4-HMAC-SHA256 Credential=dummy/20260101/{hostile}/ecr/aws4_request, Signature=0"})
            urllib.request.urlopen(request, timeout=20).read()
            with browser(1200, 800) as it:
                it.open(url)
                self.assertEqual(it.run("return document.images.length"), 0)
                # What is no region counts as the server's own.
                self.assertIn("us-east-1", it.run("return document.body.innerText"))
                self.assertEqual(it.run("return document.title"), "Embedded ECR")


if __name__ == "__main__":
    if len(sys.argv) > 1 and sys.argv[1].endswith(".png"):
        with registry() as url, browser(1000, 620) as it:
            it.open(url)
            pathlib.Path(sys.argv[1]).write_bytes(it.screenshot())
    else:
        unittest.main()
