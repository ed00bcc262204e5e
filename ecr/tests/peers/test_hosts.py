"""The hosts that a push connects to, as FIPS and dual-stack endpoints are asked for: a proxy on loopback logs them, stands for
AWS with a certificate of its own, and passes everything on to the embedded ECR. botocore's endpoint rules say which hosts of
the API are right, and AWS's General Reference ("Amazon ECR endpoints and quotas") which of the registry."""

import contextlib
import http.server
import itertools
import json
import os
import pathlib
import re
import ssl
import subprocess
import tempfile
import threading
import unittest
import urllib.error
import urllib.request

from peers import Workspace, embedded

ACCOUNT = "123456789012"
# Region -> the domain of its services, and that of the registry's dual-stack hosts.
REGIONS = {
    "us-east-1": ("amazonaws.com", "on.aws"),
    "us-west-2": ("amazonaws.com", "on.aws"),
    "eu-west-1": ("amazonaws.com", "on.aws"),
    "ap-southeast-2": ("amazonaws.com", "on.aws"),
    "us-gov-west-1": ("amazonaws.com", "on.aws"),
    "cn-north-1": ("amazonaws.com.cn", "on.amazonwebservices.com.cn"),
    "eusc-de-east-1": ("amazonaws.eu", None),
    "us-iso-east-1": ("c2s.ic.gov", None),
}
SETTINGS = list(itertools.product((False, True), (False, True)))


def registry(region, fips=False, dual_stack=False):
    """The host of the account's registry; None if no dual-stack host is known."""
    domain, dual = REGIONS[region]
    suffix = "-fips" if fips else ""
    if not dual_stack:
        return f"{ACCOUNT}.dkr.ecr{suffix}.{region}.{domain}"
    return dual and f"{ACCOUNT}.dkr-ecr{suffix}.{region}.{dual}"


def resolved(service, region, fips, dual_stack):
    """The host that botocore resolves."""
    os.environ["AWS_EC2_METADATA_DISABLED"] = "true"
    from botocore.endpoint_provider import EndpointProvider
    from botocore.loaders import Loader

    loader = Loader()
    rules = loader.load_service_model(service, "endpoint-rule-set-1")
    parameters = {"UseGlobalEndpoint": False} if service == "sts" else {}
    provider = EndpointProvider(rules, loader.load_data("partitions"))
    found = provider.resolve_endpoint(Region=region, UseFIPS=fips, UseDualStack=dual_stack, **parameters)
    return found.url.removeprefix("https://")


def certificate(folder):
    """A certificate for every host that may be asked for, and its key."""
    names = set()
    for region, (fips, dual_stack) in itertools.product(REGIONS, SETTINGS):
        names |= {resolved(service, region, fips, dual_stack) for service in ("ecr", "sts")}
        names.add(registry(region, fips, dual_stack))
    names = ",".join(f"DNS:{name}" for name in sorted(filter(None, names)))
    paths = folder / "certificate.pem", folder / "key.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                    "-days", "2", "-subj", "/CN=aws", "-addext", f"subjectAltName={names}",
                    "-addext", "basicConstraints=critical,CA:FALSE", "-out", paths[0], "-keyout", paths[1]],
                   check=True, capture_output=True)
    return paths


class Aws(http.server.BaseHTTPRequestHandler):
    """Answers CONNECT as a proxy, then what is in the tunnel as AWS: by the embedded ECR, under the names of AWS."""

    protocol_version = "HTTP/1.1"

    def do_CONNECT(self):
        host, port = self.path.rsplit(":", 1)
        self.server.hosts.append(host if port == "443" else self.path)
        self.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
        self.connection = self.server.context.wrap_socket(self.connection, server_side=True)
        self.rfile, self.wfile = self.connection.makefile("rb"), self.connection.makefile("wb")
        self.close_connection = False

    def anything(self):
        length = self.headers.get("content-length")
        body = self.rfile.read(int(length)) if length else b"".join(self.chunks())
        kept = {name: value for name, value in self.headers.items()
                if name.lower() not in ("host", "connection", "content-length", "transfer-encoding")}
        request = urllib.request.Request(self.server.upstream + self.path, body or None, kept, method=self.command)
        try:
            answer = urllib.request.build_opener(NoRedirect).open(request, timeout=30)
        except urllib.error.HTTPError as error:
            answer = error
        data = answer.read()
        if self.path == "/":
            data = self.under_the_name_of_aws(data.decode()).encode()
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            if name.lower() == "location":
                # ECR calls itself by one name, whatever it was called.
                path = re.sub(r"^https?://[^/]+", "", value)
                self.send_header(name, f"https://{registry(self.server.region)}{path}")
            elif name.lower() not in ("content-length", "connection", "transfer-encoding", "date", "server"):
                self.send_header(name, value)
        head = self.command == "HEAD"
        self.send_header("content-length", answer.headers.get("content-length", "0") if head else str(len(data)))
        self.end_headers()
        if not head:
            self.wfile.write(data)
        self.wfile.flush()

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = anything

    def chunks(self):
        while self.headers.get("transfer-encoding") == "chunked":
            size = int(self.rfile.readline().split(b";")[0], 16)
            data = self.rfile.read(size)
            self.rfile.readline()
            if not size:
                return
            yield data

    def under_the_name_of_aws(self, text):
        upstream = self.server.upstream.removeprefix("http://")
        name = registry(self.server.region)
        return text.replace(f"http://{upstream}", f"https://{name}").replace(upstream, name)

    def log_message(self, *args):
        pass


class NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args):
        return None


@contextlib.contextmanager
def aws(upstream, paths):
    """The proxy: its URL, and itself, with the region that it stands for and the hosts that were asked for."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Aws)
    server.upstream, server.hosts, server.region = upstream, [], None
    server.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.context.load_cert_chain(*paths)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", server
    finally:
        server.shutdown()
        server.server_close()


class Hosts(unittest.TestCase):
    def setUp(self):
        stack = contextlib.ExitStack()
        self.addCleanup(stack.close)
        self.folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
        paths = certificate(self.folder)
        upstream = stack.enter_context(embedded(self.folder / "state", "--compat", "oci"))
        self.proxy, self.server = stack.enter_context(aws(upstream, paths))
        self.trust = str(paths[0])
        self.workspace = Workspace(services=("my-app",))
        self.workspace.run(upstream, "push", "--dry-run")  # compiles

    def run_on(self, region, fips, dual_stack, *args, by_profile=False, code=0, **more):
        """Runs a command with an environment that leads nowhere but to the proxy."""
        self.server.region, self.server.hosts[:] = region, []
        profile = self.folder / "config"
        lines = [f"use_fips_endpoint = {str(fips).lower()}", f"use_dualstack_endpoint = {str(dual_stack).lower()}"]
        profile.write_text("[default]\n" + ("\n".join(lines) if by_profile else ""))
        variables = {"AWS_USE_FIPS_ENDPOINT": str(fips).lower(), "AWS_USE_DUALSTACK_ENDPOINT": str(dual_stack).lower()}
        # An empty endpoint is none.
        return self.workspace.run(
            "", *args, key=ACCOUNT, code=code, AWS_REGION=region, AWS_CONFIG_FILE=str(profile),
            HTTPS_PROXY=self.proxy, SSL_CERT_FILE=self.trust, **({} if by_profile else variables), **more,
        )

    def test_images_go_over_the_hosts_that_were_asked_for(self):
        for n, (region, (fips, dual_stack)) in enumerate(itertools.product(REGIONS, SETTINGS)):
            with self.subTest(region=region, fips=fips, dual_stack=dual_stack):
                wanted = registry(region, fips, dual_stack)
                push = ["push", "--create", "--format", "json"]
                code = 0 if wanted else 1
                result = self.run_on(region, fips, dual_stack, *push, by_profile=n % 2 == 1, code=code)
                hosts = {resolved(service, region, fips, dual_stack) for service in ("ecr", "sts")}
                if not wanted:
                    self.assertEqual(set(self.server.hosts), hosts)
                    self.assertIn(f"no dual-stack host is known for the registries of region {region}", result.stderr)
                    continue
                self.assertEqual(set(self.server.hosts), hosts | {wanted})
                # References are those of the API.
                image = json.loads(result.stdout)["images"][0]
                self.assertTrue(image["reference"].startswith(f"{registry(region)}/my-app@sha256:"), image)

    def test_login_is_to_the_host_of_references_and_to_the_one_that_was_asked_for(self):
        engine = self.folder / "docker"
        engine.write_text(f"#!/bin/sh\ncat >/dev/null\necho \"$@\" >>{self.folder}/logins\n")
        engine.chmod(0o755)
        self.run_on("us-east-1", True, False, "ecr", "login", "--engine", str(engine), DOCKER_CONFIG=str(self.folder))
        logins = [it.split()[-1] for it in (self.folder / "logins").read_text().splitlines() if it.startswith("login")]
        self.assertEqual(set(logins), {registry("us-east-1"), registry("us-east-1", fips=True)})


if __name__ == "__main__":
    unittest.main()
