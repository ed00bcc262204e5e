"""What a request to the embedded ECR costs as a repository grows, beside Debian's docker-registry where it has the request.

    growth.py [IMAGES ...]        (the default: 1000 10000 100000)

Prints the CPU time of the server for each request, in milliseconds, and the time and memory of a start; fails if a request
costs more than LIMIT times as much at the largest size as at the smallest, or if a start takes more than START."""

import hashlib
import http.client
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "tests/peers"))
from peers import ROOT, XTASK, environment, free_port, process, wait_for

SIZES = [int(it) for it in sys.argv[1:]] or [1000, 10_000, 100_000]
REPOSITORIES = 10_000
# Twice is the goal. What is above it is the noise of a shared machine, and pages that are in memory in the small state.
LIMIT = 3.0
START = 0.1, 50_000
OCI = "application/vnd.oci.image.manifest.v1+json"
TICKS = os.sysconf("SC_CLK_TCK")


class Server:
    """A registry, by its process and one connection."""

    def __init__(self, url, pid, name, headers=None):
        self.connection = http.client.HTTPConnection(url.removeprefix("http://"))
        self.pid, self.name, self.headers = pid, name, headers or {}

    def ask(self, method, path, body=None, headers=None, wanted=(200, 201, 202)):
        self.connection.request(method, path, body, self.headers | (headers or {}))
        answer = self.connection.getresponse()
        text = answer.read()
        assert answer.status in wanted, (method, path, answer.status, text[:300])
        return text

    def api(self, operation, body):
        target = {"x-amz-target": f"AmazonEC2ContainerRegistry_V20150921.{operation}"}
        return json.loads(self.ask("POST", "/", json.dumps(body), target))

    def cpu(self):
        fields = pathlib.Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def measure(self, request, count):
        """The milliseconds of CPU time of a request: the best of three series."""
        best = float("inf")
        for series in range(3):
            began = self.cpu()
            for n in range(count):
                request(series * count + n)
            best = min(best, (self.cpu() - began) * 1000 / count)
        return best


def requests(server, at):
    """The requests of both registries: a name, what to do, and how often."""
    manifest = json.loads(server.ask("GET", f"/v2/{server.name}/manifests/v1", headers={"accept": OCI}))

    def put(n):
        manifest["annotations"] = {"number": f"{at} {n}"}
        server.ask("PUT", f"/v2/{server.name}/manifests/new-{n}", json.dumps(manifest), {"content-type": OCI})

    tags = lambda _: server.ask("GET", f"/v2/{server.name}/tags/list?n=100")
    head = lambda n: server.ask("HEAD", f"/v2/{server.name}/manifests/v{n + 1}", headers={"accept": OCI})
    return [("HEAD of a tag", head, 200), ("100 tags", tags, 20), ("PUT of a manifest", put, 100)]


def api_requests(server):
    """The requests of the ECR API."""
    pages = {}

    def page(operation, **more):
        def ask(_):
            token = pages.get(operation)
            answer = server.api(operation, more | ({"nextToken": token} if token else {}))
            pages[operation] = answer.get("nextToken")
        return ask

    of = {"repositoryName": server.name}
    delete = lambda n: server.api("BatchDeleteImage", of | {"imageIds": [{"imageTag": f"v{n + 300}"}]})
    one = lambda n: server.api("DescribeImages", of | {"imageIds": [{"imageTag": f"v{n + 1}"}]})
    return [("page of 100, DescribeImages", page("DescribeImages", **of), 3), ("page of 100, ListImages", page("ListImages", **of), 3),
            ("DescribeImages of a tag", one, 50), ("deletion of an image", delete, 100), ("the page", lambda _: server.ask("GET", "/"), 5)]


def begin(*args, log=subprocess.DEVNULL):
    """`ecr serve`: its process, its URL, and the seconds until it answered."""
    began = time.monotonic()
    child = subprocess.Popen([XTASK, "ecr", "serve", "--port", "0", *map(str, args)], cwd=ROOT, text=True,
                             env=environment("http://127.0.0.1:9"), stdout=subprocess.PIPE, stderr=log)
    url = child.stdout.readline().strip()
    return child, url, time.monotonic() - began


def memory(child):
    status = pathlib.Path(f"/proc/{child.pid}/status").read_text()
    return int(next(it for it in status.splitlines() if it.startswith("VmHWM")).split()[1])


def ours(folder, images):
    """The cost of each request, and of a start, with so many images."""
    seed = {"repositories": [{"name": "many", "images": [{"tags": ["v{n}"], "repeat": images}]}]}
    (folder / "seed.json").write_text(json.dumps(seed))
    began = time.monotonic()
    child, _, _ = begin("--data", folder / "state", "--seed", folder / "seed.json")
    print(f"{images} images made in {time.monotonic() - began:.0f} s", flush=True)
    child.send_signal(signal.SIGKILL)
    child.wait()
    rows = {}
    for name in ("start after kill -9", "start"):
        child, url, seconds = begin("--data", folder / "state")
        rows[name] = seconds * 1000
        rows[f"{name}, MB"] = memory(child) / 1000
        assert seconds < START[0] * 3 and memory(child) < START[1], f"{images} images: {name} in {seconds:.3f} s, {memory(child)} kB"
        child.terminate()
        child.wait()
    rows["`ecr plan --local` beside it, ms"] = plan(folder / "state")
    child, url, _ = begin("--data", folder / "state")
    server = Server(url, child.pid, "many")
    token = server.api("GetAuthorizationToken", {})["authorizationData"][0]["authorizationToken"]
    server.headers = {"authorization": f"Basic {token}"}
    for name, request, count in requests(server, images) + api_requests(server):
        rows[name] = server.measure(request, count)
    child.terminate()
    child.wait()
    return rows


def theirs(folder, images):
    """The cost of the same requests in docker-registry, whose files are written as it writes them."""
    root = folder / "registry/docker/registry/v2"
    config = b"{}"
    descriptor = {"mediaType": "application/vnd.oci.image.config.v1+json", "size": 2}
    descriptor["digest"] = "sha256:" + hashlib.sha256(config).hexdigest()

    def write(path, text):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text)

    def store(text):
        digest = hashlib.sha256(text).hexdigest()
        write(root / "blobs/sha256" / digest[:2] / digest / "data", text)
        return digest

    many = root / "repositories/many"
    store(config)
    write(many / "_layers/sha256" / descriptor["digest"][7:] / "link", descriptor["digest"].encode())
    for n in range(1, images + 1):
        text = json.dumps({"schemaVersion": 2, "mediaType": OCI, "config": descriptor, "layers": [], "annotations": {"n": str(n)}})
        digest = store(text.encode())
        for place in (f"revisions/sha256/{digest}", f"tags/v{n}/current", f"tags/v{n}/index/sha256/{digest}"):
            write(many / "_manifests" / place / "link", f"sha256:{digest}".encode())
    port = free_port()
    (folder / "config.yml").write_text(f"version: 0.1\nlog: {{level: error}}\nhttp: {{addr: '127.0.0.1:{port}'}}\n"
                                       f"storage: {{filesystem: {{rootdirectory: '{folder}/registry'}}}}\n")
    url = f"http://127.0.0.1:{port}"
    with process(["docker-registry", "serve", str(folder / "config.yml")]) as child:
        wait_for(f"{url}/v2/")
        server = Server(url, child.pid, "many")
        return {name: server.measure(request, count) for name, request, count in requests(server, images)}


def plan(state):
    """The milliseconds that `ecr plan --local` takes with a state: the best of five."""
    best = float("inf")
    for _ in range(5):
        began = time.monotonic()
        subprocess.run([XTASK, "ecr", "plan", "--local", "--data", state], cwd=ROOT, check=True, capture_output=True,
                       env=environment("http://127.0.0.1:9"))
        best = min(best, (time.monotonic() - began) * 1000)
    return best


def repositories(folder):
    """The cost of a page of DescribeRepositories, and of `ecr plan --local`, beside many repositories and few."""
    for count in (100, REPOSITORIES):
        state = folder / str(count)
        (folder / "seed.json").write_text(json.dumps({"repositories": [{"name": f"r{n:05}"} for n in range(count)]}))
        child, url, _ = begin("--data", state, "--seed", folder / "seed.json")
        server = Server(url, child.pid, "")
        page = server.measure(lambda _: server.api("DescribeRepositories", {}), 20)
        child.terminate()
        child.wait()
        yield count, page, plan(state)


def show(title, columns):
    names = {name: None for column in columns for name in column}
    print(f"\n{title:34}" + "".join(f"{size:>12,}" for size in SIZES) + f"{'ratio':>9}")
    for name in names:
        values = [column[name] for column in columns]
        print(f"{name:34}" + "".join(f"{it:12.2f}" for it in values) + f"{values[-1] / max(values[0], 0.01):9.1f}")


def main():
    columns, peers = [], []
    for images in SIZES:
        with tempfile.TemporaryDirectory() as folder:
            columns.append(ours(pathlib.Path(folder), images))
        with tempfile.TemporaryDirectory() as folder:
            peers.append(theirs(pathlib.Path(folder), images))
    show("embedded ECR, ms of CPU", columns)
    show("docker-registry, ms of CPU", peers)
    with tempfile.TemporaryDirectory() as folder:
        print()
        for count, page, plan in repositories(pathlib.Path(folder)):
            print(f"{count:6} repositories: {page:6.2f} ms for a page of 100, {plan:6.1f} ms for `ecr plan --local`")
    grown = {name: columns[-1][name] / columns[0][name] for name in columns[0] if columns[0][name] > 0.1}
    dear = {name: ratio for name, ratio in grown.items() if ratio > LIMIT}
    sys.exit(f"dearer with the size: {dear}" if dear else 0)


if __name__ == "__main__":
    main()
