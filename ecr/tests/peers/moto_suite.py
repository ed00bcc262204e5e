"""moto's own ECR tests against `ecr serve`: each test gets a server of its own, and nothing leaves loopback.

    python moto_suite.py [PYTEST ARGUMENTS, for example -k put_image]

`moto_differences.txt`, beside this file, has the tests that have to fail, with the reasons. The exit status is 0 if
exactly these fail. Needs boto3, freezegun, moto, pytest and requests.
"""

import contextlib
import hashlib
import importlib.metadata
import json
import os
import pathlib
import re
import socket
import subprocess
import sys
import tarfile
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
WORK = HERE.parents[2] / "target/moto"
XTASK = os.environ.get("XTASK", str(HERE.parents[2] / "target/debug/xtask"))
ACCOUNT = "123456789012"  # moto's
NOWHERE = "http://127.0.0.1:1"
ENVIRONMENT = {"AWS_ACCESS_KEY_ID": "dummy", "AWS_SECRET_ACCESS_KEY": "dummy", "AWS_DEFAULT_REGION": "us-east-1",
               "AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull, "AWS_ENDPOINT_URL": NOWHERE,
               "AWS_EC2_METADATA_DISABLED": "true", "AWS_MAX_ATTEMPTS": "1", "NO_PROXY": "*"}


@contextlib.contextmanager
def server():
    """A server without any state, to which boto3 is led."""
    with tempfile.TemporaryDirectory() as data:
        command = [XTASK, "ecr", "serve", "--port", "0", "--data", data, "--account-id", ACCOUNT]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=data) as child:
            try:
                os.environ["AWS_ENDPOINT_URL"] = child.stdout.readline().strip()
                yield
            finally:
                os.environ["AWS_ENDPOINT_URL"] = NOWHERE
                child.kill()


def mock_aws(function=None):
    """A decorator with or without parentheses, or a context."""
    return server()(function) if function else server()


def stay_on_loopback():
    """Another name or address is an error before anything is sent."""
    resolve, connect = socket.getaddrinfo, socket.socket.connect

    def checked(host):
        if host not in ("127.0.0.1", "localhost"):
            raise PermissionError(f"{host} is not on loopback")

    socket.getaddrinfo = lambda host, *more, **named: checked(host) or resolve(host, *more, **named)
    socket.socket.connect = lambda self, to: checked(to[0]) or connect(self, to)


def digest(text):
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def adapt_boto3():
    """Uploads the layers of an image before it, which ECR insists on and moto does not. And names the registry as AWS
    does: the one here is where the server listens."""
    from botocore.client import BaseClient

    call = BaseClient._make_api_call
    # The digests of moto's layers are those of numbers; that of a config is made of those of its layers.
    contents = {digest(str(number)): str(number) for number in range(101)}

    def adapted(client, operation, parameters):
        if operation == "PutImage":
            manifest = json.loads(parameters["imageManifest"])
            layers = [layer["digest"] for layer in manifest.get("layers", [])]
            known = contents | {digest("".join(layers)): "".join(layers)}
            for blob in {*layers, manifest.get("config", {}).get("digest")} & known.keys():
                upload(client, parameters["repositoryName"], blob, known[blob].encode())
        answer = call(client, operation, parameters)
        registry = f"{ACCOUNT}.dkr.ecr.{client.meta.region_name}.amazonaws.com"
        for it in [*answer.get("repositories", []), answer.get("repository", {"repositoryUri": ""})]:
            it["repositoryUri"] = re.sub(r"^127\.0\.0\.1:\d+", registry, it["repositoryUri"])
        return answer

    BaseClient._make_api_call = adapted


def upload(client, name, blob, content):
    with contextlib.suppress(client.exceptions.LayerAlreadyExistsException):
        common = {"repositoryName": name, "uploadId": client.initiate_layer_upload(repositoryName=name)["uploadId"]}
        client.upload_layer_part(**common, partFirstByte=0, partLastByte=len(content) - 1, layerPartBlob=content)
        client.complete_layer_upload(**common, layerDigests=[blob])


class Report:
    """A plug-in of pytest that prints a line for each test."""

    def __init__(self):
        self.passed, self.failed = set(), set()

    def pytest_runtest_logreport(self, report):
        name = report.nodeid.removeprefix("tests/test_ecr/").replace(".py::", "::")
        if report.failed:
            self.failed.add(name)
            crash = getattr(report.longrepr, "reprcrash", None)
            print(f"{name} failed: {(crash.message if crash else str(report.longrepr)).splitlines()[0]}", flush=True)
        elif report.when == "call" and report.passed:
            self.passed.add(name)
            print(f"{name} passed", flush=True)


def source():
    """The unpacked source package of the moto that is installed."""
    root = WORK / f"moto-{importlib.metadata.version('moto')}"
    if not root.exists():
        wanted = ["--no-binary", ":all:", "--no-deps", "--dest", root.parent, root.name.replace("-", "==")]
        subprocess.run([sys.executable, "-m", "pip", "download", "--quiet", *wanted], check=True)
        with tarfile.open(f"{root}.tar.gz") as archive:
            archive.extractall(root.parent, filter="data")
    return root


def main():
    os.chdir(source())
    for name in [it for it in os.environ if it.upper().startswith("AWS_") or it.upper().endswith("_PROXY")]:
        del os.environ[name]
    os.environ.update(ENVIRONMENT)
    stay_on_loopback()
    import moto
    import pytest

    moto.mock_aws = mock_aws
    report = Report()
    adapt_boto3()
    quiet = ["-c", os.devnull, "--rootdir", ".", "-p", "no:terminal", "-p", "no:cacheprovider"]
    only_moto = ["--ignore", "tests/test_ecr/test_ecr_policy_validation.py"]
    status = pytest.main([*quiet, *only_moto, "tests/test_ecr", *sys.argv[1:]], plugins=[report])
    expected = set(re.findall(r"^\S+::\S+", HERE.joinpath("moto_differences.txt").read_text(), re.MULTILINE))
    unexpected = sorted(report.failed - expected | report.passed & expected)
    print(f"{len(report.passed)} passed, {len(report.failed)} failed; not as expected: {unexpected or 'none'}")
    sys.exit(status not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED) or bool(unexpected))


if __name__ == "__main__":
    main()
