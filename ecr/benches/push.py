"""One fresh binary into an image and into a registry: `push`, docker, buildah, and one core of this process.

    push.py [ROUNDS]

All of them go to the same embedded ECR, in turn. The binary gets new bytes for each, so that nothing is cached; the base
layer is there before. `push` is given the binary, so that cargo's own check is apart, and shown by itself. One core is this
process reading the binary, compressing it on one core with the fastest zlib that there is, hashing it, and sending it once.
Medians; quotients are taken round by round, and their medians printed."""

import contextlib
import hashlib
import http.client
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "tests/peers"))
from zlib_ng import zlib_ng

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


def compressed(data):
    packer = zlib_ng.compressobj(6, zlib_ng.DEFLATED, 31)
    return packer.compress(data) + packer.flush()


def as_under_cargo():
    """What `cargo xtask` puts into the environment: the cargo of the toolchain that rustup has chosen."""
    ask = lambda *args: subprocess.run(["rustup", *args], text=True, capture_output=True).stdout.strip()
    cargo, toolchain = ask("which", "cargo"), ask("show", "active-toolchain")
    return {"CARGO": cargo, "RUSTUP_TOOLCHAIN": toolchain.split()[0]} if cargo and toolchain else {}


def timed(way, *args):
    began = time.monotonic()
    way(*args)
    return time.monotonic() - began


def table(times, base="push"):
    for name, row in times.items():
        quotient = statistics.median(own / ours for own, ours in zip(row, times[base]))
        print(f"  {name:<32} {statistics.median(row) * 1000:7.0f} ms   {quotient:5.2f} x")


def main():
    with contextlib.ExitStack() as stack:
        folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
        url = stack.enter_context(embedded(folder / "state"))
        host = url.removeprefix("http://")
        workspace = Workspace(services=("my-app",))
        workspace.run(url, "ecr", "create")
        env = environment(url) | as_under_cargo() | stack.enter_context(dockerd(folder, driver=None))
        env["DOCKER_CONFIG"] = str(folder / "config")
        zstd = Workspace(services=("my-app",))
        zstd.append("Cargo.toml", '[workspace.metadata.ecr.image]\ncompression = "zstd"\n')
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

        def ours(tag, workspace=workspace):
            run(XTASK, "push", "-q", "-t", tag, "--binary", f"linux/amd64={folder}/given", cwd=workspace.root)

        def with_zstd(tag):
            ours(tag, zstd)

        def docker(tag):
            name = f"{host}/my-app:{tag}"
            run("docker", "build", "--no-cache", "--tag", name, context)
            run("docker", "push", name)

        def buildah(tag):
            name = f"{host}/my-app:{tag}"
            storage = ["--root", folder / "root", "--runroot", folder / "run", "--storage-driver", "vfs"]
            run("buildah", *storage, "bud", "--no-cache", "--tag", name, context)
            run("buildah", *storage, "push", "--tls-verify=false", "--creds", f"AWS:{password}", name)

        def one_core(_):
            data = (context / "my-app").read_bytes()
            packed = compressed(data)
            hashlib.sha256(data)
            digest = "sha256:" + hashlib.sha256(packed).hexdigest()
            connection = http.client.HTTPConnection(host)
            headers = {"authorization": f"Basic {token}"}
            connection.request("POST", "/v2/my-app/blobs/uploads/", headers=headers | {"content-length": "0"})
            answer = connection.getresponse()
            answer.read()
            connection.request("PUT", f"{answer.headers['location']}?digest={digest}", packed, headers)
            assert connection.getresponse().status == 201

        run(XTASK, "push", "--allow-dirty", "--dry-run", "-q", cwd=ROOT)  # makes target/*/release/my-app
        ways = {"push": ours, "push, zstd": with_zstd, "docker build + push": docker, "buildah bud + push": buildah,
                "one core": one_core}
        for size in (0, LARGE):
            data = payload(size)
            print(f"a fresh binary of {len(data) / 1e6:.1f} MB, {len(compressed(data)) / 1e6:.1f} MB compressed")
            times = {name: [] for name in ways} | {"push again, unchanged": []}
            for number in range(ROUNDS + 1):
                for name, way in ways.items():
                    tag = fresh(data)
                    times[name].append(timed(way, tag))
                    if name == "push":
                        times["push again, unchanged"].append(timed(ours, tag))
            # The first round only warms up.
            table({name: row[1:] for name, row in times.items()})

        print("a service that cargo builds, unchanged")
        check = [env.get("CARGO", "cargo"), "build", "--release", "--bin", "my-app", "--target", "x86_64-unknown-linux-gnu",
                 "--message-format", "json"]
        push = [XTASK, "push", "-q", "-t", "built"]
        metadata = [env.get("CARGO", "cargo"), "metadata", "--no-deps", "--format-version", "1"]
        ways = {"push": push, "cargo build by itself": check, "cargo metadata by itself": metadata}
        times = {name: [] for name in ways}
        for number in range(4 * ROUNDS + 1):
            for name, args in ways.items():
                times[name].append(timed(lambda: run(*args, cwd=workspace.root)))
        times = {name: row[1:] for name, row in times.items()}
        table(times)
        for name, others in {"push beyond cargo build": list(ways)[1:2], "push beyond both": list(ways)[1:]}.items():
            beyond = [push - sum(rest) for push, *rest in zip(times["push"], *(times[it] for it in others))]
            print(f"  {name:<32} {statistics.median(beyond) * 1000:7.0f} ms")


if __name__ == "__main__":
    main()
