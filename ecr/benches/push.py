"""One fresh binary into an image and into a registry: `push`, docker, buildah, and the floor.

    push.py [ROUNDS]

All of them go to the same embedded ECR, in turn. The binary gets new bytes for each, so that nothing is cached; the base
layer is there before. `push` is given the binary, so that cargo's own check is apart, and shown by itself."""

import contextlib
import gzip
import hashlib
import http.client
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
import zlib

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "tests/peers"))
from peers import ROOT, XTASK, Workspace, client, dockerd, embedded, environment

ROUNDS = int(sys.argv[1]) if len(sys.argv) > 1 else 5
LARGE = 60_000_000


def payload(size):
    """Executables of this machine, as large as is wanted: they compress as a service does."""
    app = next((ROOT / "target").glob("x86_64-unknown-linux-*/release/my-app"))
    data = app.read_bytes()
    if not size:
        return data
    for folder in ("/usr/bin", "/usr/lib/x86_64-linux-gnu"):
        for path in sorted(pathlib.Path(folder).iterdir()):
            if len(data) >= size:
                return data[:size]
            with contextlib.suppress(OSError):
                if path.is_file() and not path.is_symlink():
                    data += path.read_bytes()
    return data


def main():
    with contextlib.ExitStack() as stack:
        folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
        url = stack.enter_context(embedded(folder / "state"))
        host = url.removeprefix("http://")
        workspace = Workspace(services=("my-app",))
        workspace.run(url, "ecr", "create")
        env = environment(url) | stack.enter_context(dockerd(folder, driver=None)) | {"DOCKER_CONFIG": str(folder / "config")}
        workspace.run(url, "ecr", "login", "--print-token")
        token = client("ecr", url).get_authorization_token()["authorizationData"][0]["authorizationToken"]
        password = workspace.run(url, "ecr", "login", "--print-token").stdout.strip()
        run = lambda *args, **more: subprocess.run(list(map(str, args)), env=env, check=True, capture_output=True, **more)
        run("docker", "login", "--username", "AWS", "--password-stdin", host, input=password.encode())
        context = folder / "context"
        context.mkdir()
        (context / "Dockerfile").write_text("FROM scratch\nCOPY my-app /my-app\nENTRYPOINT [\"/my-app\"]\n")
        (folder / "given").mkdir()
        count = iter(range(10_000))

        def fresh(data):
            """The binary with sixteen new bytes at its end, and a tag that nobody has."""
            data += os.urandom(16)
            (context / "my-app").write_bytes(data)
            (folder / "given/my-app").write_bytes(data)
            return f"1.0.{next(count)}"

        def ours(tag):
            run(XTASK, "push", "-q", "-t", tag, "--binary", f"linux/amd64={folder}/given", cwd=workspace.root)

        def docker(tag):
            name = f"{host}/my-app:{tag}"
            run("docker", "build", "--no-cache", "--tag", name, context)
            run("docker", "push", name)

        def buildah(tag):
            name = f"{host}/my-app:{tag}"
            storage = ["--root", folder / "root", "--runroot", folder / "run", "--storage-driver", "vfs"]
            run("buildah", *storage, "bud", "--no-cache", "--tag", name, context)
            run("buildah", *storage, "push", "--tls-verify=false", "--creds", f"AWS:{password}", name)

        def floor(_):
            data = (context / "my-app").read_bytes()
            packer = zlib.compressobj(6, zlib.DEFLATED, 31)
            packed = packer.compress(data) + packer.flush()
            hashlib.sha256(data)
            digest = "sha256:" + hashlib.sha256(packed).hexdigest()
            connection = http.client.HTTPConnection(host)
            headers = {"authorization": f"Basic {token}"}
            connection.request("POST", "/v2/my-app/blobs/uploads/", headers=headers | {"content-length": "0"})
            answer = connection.getresponse()
            answer.read()
            connection.request("PUT", f"{answer.headers['location']}?digest={digest}", packed, headers)
            assert connection.getresponse().status == 201

        def unchanged(tag):
            run(XTASK, "push", "-q", "-t", tag, "--binary", f"linux/amd64={folder}/given", cwd=workspace.root)

        run(XTASK, "push", "--allow-dirty", "--dry-run", "-q", cwd=ROOT)  # makes target/*/release/my-app
        ways = {"push": ours, "docker build + push": docker, "buildah bud + push": buildah, "floor": floor}
        for size in (0, LARGE):
            data = payload(size)
            print(f"a fresh binary of {len(data) / 1e6:.1f} MB, {len(gzip.compress(data, 6)) / 1e6:.1f} MB compressed")
            times = {name: [] for name in ways}
            same = []
            for number in range(ROUNDS + 1):
                for name, way in ways.items():
                    tag = fresh(data)
                    began = time.monotonic()
                    way(tag)
                    # The first round only warms up.
                    times[name] += [time.monotonic() - began] if number else []
                    if name == "push":
                        began = time.monotonic()
                        unchanged(tag)
                        same += [time.monotonic() - began] if number else []
            medians = {name: statistics.median(it) for name, it in times.items()}
            for name, median in medians.items():
                print(f"  {name:<22} {median * 1000:7.0f} ms   {median / medians['push']:5.2f} x")
            print(f"  {'push, unchanged':<22} {statistics.median(same) * 1000:7.0f} ms")
        began = time.monotonic()
        subprocess.run(["cargo", "build", "--quiet", "--release", "--package", "my-app", "--target",
                        "x86_64-unknown-linux-gnu"], cwd=ROOT, check=False, capture_output=True)
        print(f"cargo's check that nothing is to be compiled: {(time.monotonic() - began) * 1000:.0f} ms")


if __name__ == "__main__":
    main()
