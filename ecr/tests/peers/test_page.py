"""The page at `GET /` in a headless Chromium. `python test_page.py FILE.png` takes the README's screenshot instead."""

import base64
import contextlib
import json
import os
import pathlib
import sys
import tempfile
import time
import unittest
import urllib.request

from peers import (BIN, POLICY, Workspace, client, dockerd, embedded, environment, free_port, need, process, run,
                   wait_for)
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

    def click(self, selector):
        """A click of a person, which may use the clipboard."""
        path = f"/session/{self.session}/element"
        found = self.post(path, {"using": "css selector", "value": selector})
        self.post(f"{path}/{next(iter(found.values()))}/click", {})

    def follow(self, text):
        path = f"/session/{self.session}/element"
        found = self.post(path, {"using": "link text", "value": text})
        self.post(f"{path}/{next(iter(found.values()))}/click", {})

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
def seeded(seed):
    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder) / "seed.json"
        file.write_text(json.dumps(seed))
        with embedded(pathlib.Path(folder) / "state", "--seed", file) as url:
            yield url


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


# The elements with text that is cut off, that are outside of the window, or whose word is broken.
CUT_OFF = """
return [...document.querySelectorAll("code, td, h3, li, button")].filter(it => {
  const box = it.getBoundingClientRect();
  const isBroken = it.tagName == "BUTTON" && box.height > 40;
  return it.scrollWidth > it.clientWidth + 1 && getComputedStyle(it).overflowX != "visible"
      || box.right > innerWidth + 1 || box.left < -1 || isBroken;
}).map(it => it.outerHTML);
"""


def wait_until(is_done, seconds=10):
    end = time.monotonic() + seconds
    while not is_done():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.05)


class Page(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        need("chromium"), need("chromedriver")

    def test_a_person_sees_what_is_there_on_a_phone_too(self):
        with registry() as url:
            for width in (1280, 420):
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
                    self.assertEqual(it.run(CUT_OFF), [], f"{width} pixels")

    def test_commands_are_copied_and_work(self):
        need("docker"), need("dockerd")
        seed = {"repositories": [{"name": "my-app", "images": [{"tags": ["1.0.0"]}]}]}
        with seeded(seed) as url, browser(1280, 800) as it, tempfile.TemporaryDirectory() as folder:
            it.open(url)
            it.click("tbody tr button")
            wait_until(lambda: it.run("return document.querySelector('tbody tr button').textContent") == "Copied")
            login, _, pull = it.run("return [...document.querySelectorAll('.command code')].map(it => it.textContent)")
            self.assertTrue(login.startswith("aws ecr get-login-password") and pull.startswith("docker pull"), (login, pull))
            config = {"DOCKER_CONFIG": f"{folder}/config", "PATH": f"{BIN}:{os.environ['PATH']}"}
            with dockerd(pathlib.Path(folder)) as env:
                for command in (login, pull):
                    run("bash", "-o", "pipefail", "-c", command, env=environment(url) | env | config)

    def test_images_and_repositories_have_pages_of_a_hundred(self):
        seed = {"repositories": [{"name": "many", "images": [{"tags": ["v{n}"], "repeat": 250}]},
                                 *({"name": f"other-{n:03}"} for n in range(120))]}
        with seeded(seed) as url, browser(1280, 800) as it:
            it.open(url)
            self.assertEqual(it.run("return document.querySelectorAll('section').length"), 100)
            it.follow("Further repositories")
            self.assertEqual(it.run("return document.querySelectorAll('section').length"), 21)
            it.open(url)
            tags = []
            while it.run("return [...document.querySelectorAll('a')].some(it => it.textContent == 'Older images')"):
                it.follow("Older images")
                tags.append(it.run("return [...document.querySelectorAll('tbody tr td:first-child')].map(it => it.innerText)"))
            # The first page has ten images of each repository.
            self.assertEqual([len(it) for it in tags], [100, 100, 40])
            self.assertEqual([it.strip() for page in tags for it in page], [f"v{n}" for n in range(240, 0, -1)])

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
