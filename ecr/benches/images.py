"""`ecr images` over 10,000 images in one repository of the embedded ECR, beside the AWS CLI's describe-images with pages of
the same size.

    images.py [IMAGES]

Prints seconds and peak memory of each, and fails if the memory of `ecr images` grows by more than 8 kB an image."""

import concurrent.futures
import contextlib
import hashlib
import http.client
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "tests/peers"))
from peers import BIN, XTASK, Workspace, client, embedded, environment

FEW, MANY = 100, int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
MOST_BYTES_AN_IMAGE = 8_000
OCI = "application/vnd.oci.image.manifest.v1+json"


def descriptor(kind, content):
    return {"mediaType": kind, "digest": "sha256:" + hashlib.sha256(content).hexdigest(), "size": len(content)}


def fill(url, name, count):
    """Images of one config and five layers of which they share four, each with a tag."""
    token = client("ecr", url).get_authorization_token()["authorizationData"][0]["authorizationToken"]
    headers = {"authorization": f"Basic {token}"}
    own = threading.local()

    def send(method, path, body, more={}):
        if not hasattr(own, "connection"):
            own.connection = http.client.HTTPConnection(url.removeprefix("http://"))
        own.connection.request(method, path, body, headers | more)
        answer = own.connection.getresponse()
        text = answer.read()
        assert answer.status == 201, text

    shared = [f"layer {n}".encode() * 1000 for n in range(4)]
    last = [f"last {n}".encode() * 100 for n in range(20)]
    for blob in [*shared, *last]:
        digest = descriptor("", blob)["digest"]
        send("POST", f"/v2/{name}/blobs/uploads/?digest={digest}", blob)

    def put(n):
        layers = [descriptor("application/vnd.oci.image.layer.v1.tar", it) for it in [*shared, last[n % 20]]]
        config = descriptor("application/vnd.oci.image.config.v1+json", last[0])
        manifest = {"schemaVersion": 2, "mediaType": OCI, "config": config, "layers": layers,
                    "annotations": {"number": str(n)}}
        send("PUT", f"/v2/{name}/manifests/1.0.{n}", json.dumps(manifest), {"content-type": OCI})

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        list(pool.map(put, range(count)))


def measure(args, url, folder):
    """Seconds, and peak memory in MB: what /proc last tells, as wait4 would count this process's own memory, too."""
    with open(os.devnull, "w") as nothing:
        began = time.monotonic()
        child = subprocess.Popen(args, cwd=folder, env=environment(url), stdout=nothing, stderr=nothing)
        peak = 0
        while child.poll() is None:
            with contextlib.suppress(OSError, StopIteration):
                lines = pathlib.Path(f"/proc/{child.pid}/status").read_text().splitlines()
                peak = int(next(it for it in lines if it.startswith("VmHWM")).split()[1])
            time.sleep(0.002)
    assert child.returncode == 0, args
    return time.monotonic() - began, peak / 1000


def main():
    with tempfile.TemporaryDirectory() as folder, embedded(pathlib.Path(folder) / "state") as url:
        workspace = Workspace(services=("few", "many"))
        workspace.run(url, "ecr", "create")
        for name, count in (("few", FEW), ("many", MANY)):
            began = time.monotonic()
            fill(url, name, count)
            print(f"{count} images pushed in {time.monotonic() - began:.1f} s")
        ours = lambda *args: [XTASK, "ecr", "images", *args]
        aws = lambda name: [BIN / "aws", "ecr", "describe-images", "--repository-name", name, "--page-size", "1000"]
        memory = {}
        for what, name, args in [
            (f"ecr images, {FEW} images", "few", ours("-p", "few")),
            (f"ecr images, {MANY} images", "many", ours("-p", "many")),
            (f"ecr images --format json, {MANY} images", "json", ours("-p", "many", "--format", "json")),
            (f"ecr images --keep-pull-times, {MANY} images", "plain", ours("-p", "many", "--keep-pull-times")),
            (f"aws ecr describe-images, {FEW} images", "aws few", aws("few")),
            (f"aws ecr describe-images, {MANY} images", "aws many", aws("many")),
        ]:
            seconds, memory[name] = measure(args, url, workspace.root)
            print(f"{what:48} {seconds:6.2f} s {memory[name]:7.1f} MB")
        most = max(memory["many"], memory["json"])
        each = (most - memory["few"]) * 1e6 / (MANY - FEW)
        print(f"memory of ecr images: {each:.0f} bytes an image")
        if each > MOST_BYTES_AN_IMAGE:
            sys.exit(f"more than {MOST_BYTES_AN_IMAGE} bytes an image")


if __name__ == "__main__":
    main()
