"""What the tests against foreign clients and servers share: processes on loopback, and an environment that can
reach nothing else."""

import contextlib
import http.server
import json
import os
import pathlib
import select
import shutil
import socket
import socketserver
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[3]
XTASK = os.environ.get("XTASK", str(ROOT / "target/debug/xtask"))
BIN = pathlib.Path(sys.executable).parent

POLICY = (ROOT / "ecr/lifecycle-policy.json").read_text()
# The permissions that ecr/docs/aws.md requires. AWS never denies sts:GetCallerIdentity.
REQUIRED_PERMISSIONS = [
    "ecr:CreateRepository", "ecr:DeleteRepository", "ecr:DescribeRepositories", "ecr:GetAuthorizationToken",
    "ecr:PutLifecyclePolicy", "ecr:BatchCheckLayerAvailability", "ecr:PutImage", "ecr:InitiateLayerUpload",
    "ecr:UploadLayerPart", "ecr:CompleteLayerUpload", "sts:GetCallerIdentity",
]


def environment(url, key="dummy", secret="dummy"):
    """Dummy keys, an endpoint on loopback, and never a metadata service."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "CARGO_HOME", "RUSTUP_HOME") if name in os.environ}
    return kept | {
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_ACCESS_KEY_ID": key,
        "AWS_SECRET_ACCESS_KEY": secret,
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": url,
        "AWS_PAGER": "",
    }


def client(service, url, key="dummy", secret="dummy", region="us-east-1"):
    """A boto3 client that knows no profile and no other endpoint."""
    os.environ.update(environment(url, key, secret))
    import boto3

    return boto3.client(
        service, endpoint_url=url, region_name=region, aws_access_key_id=key, aws_secret_access_key=secret
    )


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(url, seconds=30):
    """Waits until something answers there, whatever it says."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            urllib.request.urlopen(url, timeout=1)
            return
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.05)
    raise RuntimeError(f"nothing listens at {url}")


def wait_for_port(port, seconds=30):
    """Waits until somebody listens there."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.05)
    raise RuntimeError(f"nothing listens on port {port}")


def run(*args, **options):
    """The standard output of a program, which must succeed."""
    result = subprocess.run(list(map(str, args)), text=True, capture_output=True, **options)
    assert result.returncode == 0, f"{args}: exit {result.returncode}\n{result.stdout}\n{result.stderr}"
    return result.stdout


@contextlib.contextmanager
def process(args, **options):
    """A process that ends with the block."""
    child = subprocess.Popen(args, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **options)
    try:
        yield child
    finally:
        child.terminate()
        try:
            child.wait(10)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


@contextlib.contextmanager
def moto(tls=None, **extra):
    """moto's server on a free port; `tls` is a certificate and its key, for HTTPS."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    secure = ["--ssl-cert", tls[0], "--ssl-key", tls[1]] if tls else []
    with process([BIN / "moto_server", "-H", "127.0.0.1", "-p", str(port), *secure], env=environment(url) | extra):
        if not tls:
            wait_for(url)
            yield url
            return
        wait_for_port(port)
        yield url.replace("http:", "https:")


def certificate(folder):
    """A certificate for 127.0.0.1 that stands for itself, and its key."""
    paths = folder / "certificate.pem", folder / "key.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                    "-days", "2", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1",
                    "-addext", "basicConstraints=critical,CA:FALSE", "-out", paths[0], "-keyout", paths[1]],
                   check=True, capture_output=True)
    return paths


@contextlib.contextmanager
def embedded(data, *args):
    """`ecr serve` on a free port."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [XTASK, "ecr", "serve", "--port", str(port), "--data", str(data), *args]
    with process(command, env=environment(url), cwd=ROOT):
        wait_for(url)
        yield url


@contextlib.contextmanager
def dockerd(folder, driver="vfs"):
    """A docker daemon of our own; gives what has to be in the environment of its clients."""
    socket = f"unix://{folder}/docker.sock"
    arguments = ["--host", socket, "--data-root", folder / "data", "--exec-root", folder / "exec",
                 "--pidfile", folder / "pid", "--bridge", "none", "--iptables=false"]
    arguments += ["--storage-driver", driver] if driver else []
    env = {"DOCKER_HOST": socket}
    with process(["dockerd", *map(str, arguments)]):
        for _ in range(300):
            if subprocess.run(["docker", "info"], env=os.environ | env, capture_output=True).returncode == 0:
                break
            time.sleep(0.1)
        yield env
    # It leaves its network namespace mounted.
    mounts = [line.split()[1] for line in pathlib.Path("/proc/mounts").read_text().splitlines()]
    for mount in reversed([it for it in mounts if it.startswith(f"{folder}/")]):
        subprocess.run(["umount", mount], check=False)


class Counting(http.server.BaseHTTPRequestHandler):
    """Passes requests on and remembers the operations."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        target = self.headers.get("x-amz-target", "sts.GetCallerIdentity")
        self.server.operations.append(target.rsplit(".", 1)[1])
        headers = {name: value for name, value in self.headers.items() if name.lower() != "connection"}
        request = urllib.request.Request(self.server.upstream + self.path, body, headers, method="POST")
        try:
            answer = urllib.request.urlopen(request, timeout=30)
        except urllib.error.HTTPError as error:
            answer = error
        data = answer.read()
        self.send_response(answer.status)
        self.send_header("content-type", answer.headers.get("content-type", "application/json"))
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args):
        pass


@contextlib.contextmanager
def counting(upstream):
    """A server that counts what it passes on to `upstream`."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Counting)
    server.upstream, server.operations = upstream, []
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", server.operations
    finally:
        server.shutdown()
        server.server_close()


class Tunnelling(socketserver.StreamRequestHandler):
    """CONNECT as RFC 9110 has it, to wherever is asked."""

    def handle(self):
        target = self.rfile.readline().decode().split()[1]
        while self.rfile.readline().strip():
            pass
        host, port = target.rsplit(":", 1)
        self.server.targets.append(target)
        with socket.create_connection((host, int(port))) as far:
            self.connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            ends = {self.connection: far, far: self.connection}
            while True:
                for end in select.select(list(ends), [], [])[0]:
                    data = end.recv(65536)
                    if not data:
                        return
                    ends[end].sendall(data)


@contextlib.contextmanager
def proxy():
    """A proxy for HTTPS, and where it was asked to lead."""
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Tunnelling) as server:
        server.daemon_threads, server.block_on_close, server.targets = True, False, []
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}", server.targets
        finally:
            server.shutdown()


class Workspace:
    """A workspace of two services in a folder of its own."""

    def __init__(self, services=("my-app", "my-app-worker"), repositories=None, project="my-project"):
        self.folder = tempfile.TemporaryDirectory()  # goes with the object
        self.root = pathlib.Path(self.folder.name)
        members = ", ".join(f'"{name}"' for name in services)
        metadata = f'region = "us-east-1"\nproject = "{project}"\n'
        self.write("Cargo.toml", f'[workspace]\nresolver = "3"\nmembers = [{members}]\n[workspace.metadata.ecr]\n{metadata}')
        for name in services:
            manifest = f'[package]\nname = "{name}"\nversion = "1.0.0"\nedition = "2024"\n[package.metadata.ecr]\n'
            self.write(f"{name}/Cargo.toml", manifest)
            self.write(f"{name}/src/main.rs", 'fn main() { println!("hello"); }\n')
        self.write("ecr/lifecycle-policy.json", POLICY)
        if repositories:
            entries = [{"name": name} for name in repositories]
            self.write("ecr/repositories.json", json.dumps({"repositories": entries}))

    def write(self, path, text):
        path = self.root / path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def append(self, path, text):
        self.write(path, (self.root / path).read_text() + text)

    def run(self, url, *args, key="dummy", secret="dummy", code=0, **more):
        """Runs xtask, with more variables in its environment, and expects an exit code; None is any."""
        result = subprocess.run(
            [XTASK, *args], cwd=self.root, env=environment(url, key, secret) | more, text=True, capture_output=True,
            stdin=subprocess.DEVNULL,
        )
        assert code in (None, result.returncode), f"exit {result.returncode}\n{result.stdout}\n{result.stderr}"
        return result

    def json(self, url, *args, **options):
        return json.loads(self.run(url, *args, "--format", "json", **options).stdout)


def writes(operations):
    """The operations that change something."""
    return [it for it in operations if not it.startswith(("Get", "Describe", "List", "Batch"))]


def need(program):
    """A peer that CI must have, and a developer may lack."""
    import unittest

    if shutil.which(program) or pathlib.Path(program).exists():
        return
    if os.environ.get("CI"):
        raise RuntimeError(f"{program} is missing, and CI must have it")
    raise unittest.SkipTest(f"{program} is not installed")
