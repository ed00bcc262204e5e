"""Base images from registries as others configure and run them: credentials, challenges, redirects and platforms are
given to docker and skopeo as well, and the answers are compared."""

import base64
import contextlib
import hashlib
import http.server
import io
import json
import os
import pathlib
import ssl
import subprocess
import tarfile
import tempfile
import threading
import unittest
import urllib.parse

from peers import XTASK, Workspace, certificate, need

MANIFEST, INDEX = "application/vnd.oci.image.manifest.v1+json", "application/vnd.oci.image.index.v1+json"
CONFIG, LAYER = "application/vnd.oci.image.config.v1+json", "application/vnd.oci.image.layer.v1.tar"
UP, VQ = base64.b64encode(b"u:p").decode(), base64.b64encode(b"v:q").decode()


def digest(content):
    return "sha256:" + hashlib.sha256(content).hexdigest()


def layer(name):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        archive.addfile(tarfile.TarInfo(name))
    return out.getvalue()


class Content:
    """The blobs and manifests of one repository."""

    def __init__(self):
        self.by_digest = {}

    def add(self, media_type, content):
        self.by_digest[digest(content)] = (media_type, content)
        return {"mediaType": media_type, "digest": digest(content), "size": len(content)}

    def json(self, media_type, value):
        return self.add(media_type, json.dumps(value).encode())

    def image(self, name="etc/base", **platform):
        archive = layer(name)
        config = self.json(CONFIG, platform | {"rootfs": {"type": "layers", "diff_ids": [digest(archive)]}, "config": {}})
        layers = [self.add(LAYER, archive)]
        return self.json(MANIFEST, {"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers})

    def index(self, *platforms):
        """An index of one image for each `os/architecture[/variant]`; `-` is an entry without a platform."""
        entries = []
        for at, text in enumerate(platforms):
            keys = dict(zip(("os", "architecture", "variant"), ("linux", "amd64") if text == "-" else text.split("/")))
            entry = self.image(f"etc/{at}", **keys)
            entries.append(entry if text == "-" else entry | {"platform": keys})
        return self.json(INDEX, {"schemaVersion": 2, "mediaType": INDEX, "manifests": entries})


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        body = self.rfile.read(int(self.headers.get("content-length", 0))).decode()
        self.server.log.append((self.command, self.path, self.headers.get("authorization"), body))
        status, headers, content = self.server.answer(self)
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    do_HEAD = do_POST = do_GET

    def log_message(self, *args):
        pass


@contextlib.contextmanager
def registry(content, top, answer=None, certificate=None):
    """A registry with the tag `t` in the repository `ns/repo`. `answer` may answer a request in its own way. docker wants
    one with a certificate, and the others a plain one."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    server.scheme = "https" if certificate else "http"
    server.host = f"127.0.0.1:{server.server_port}"
    server.log = []

    def stored(request):
        own = answer and answer(request)
        if own:
            return own
        name = urllib.parse.unquote(urllib.parse.urlparse(request.path).path).rsplit("/", 1)[1]
        found = content.by_digest.get(top["digest"] if name == "t" else name)
        if request.path == "/v2/":
            return 200, [], b"{}"
        if not found:
            return 404, [], b"{}"
        return 200, [("content-type", found[0]), ("docker-content-digest", digest(found[1]))], found[1]

    server.answer = stored
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


def basic(request):
    """Asks for any Basic credentials."""
    if not request.headers.get("authorization", "").startswith("Basic "):
        return 401, [("WWW-Authenticate", 'Basic realm="x"')], b"{}"


class Client:
    """Runs docker, skopeo and xtask on a reference in a home folder of its own."""

    def __init__(self, test, registry):
        self.registry = registry
        self.home = pathlib.Path(tempfile.mkdtemp(dir=test.folder))
        self.workspace = test.workspace
        self.env = {"PATH": os.environ["PATH"], "HOME": str(self.home), "XDG_RUNTIME_DIR": str(self.home / "run"),
                    "AWS_EC2_METADATA_DISABLED": "true"}
        self.env |= {key: os.environ.get(key, f"{os.environ['HOME']}/{default}")
                     for key, default in (("CARGO_HOME", ".cargo"), ("RUSTUP_HOME", ".rustup"))}

    def write(self, path, text):
        path = self.home / path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.replace("HOST", self.registry.host))
        return path

    def run(self, *command, cwd=None):
        """Whether it succeeded, and the requests that it made."""
        before = len(self.registry.log)
        result = subprocess.run(list(map(str, command)), cwd=cwd, env=self.env, text=True, capture_output=True,
                                stdin=subprocess.DEVNULL, timeout=120)
        self.out, self.said = result.stdout, result.stdout + result.stderr
        return result.returncode == 0, self.registry.log[before:]

    @property
    def reference(self):
        return f"{self.registry.host}/ns/repo:t"

    def skopeo(self, *args):
        return self.run("skopeo", *args, "inspect", "--no-tags", "--tls-verify=false", f"docker://{self.reference}")

    def docker(self):
        return self.run("docker", "manifest", "inspect", "--insecure", self.reference)

    def xtask(self, platform="linux/amd64"):
        """The layout of an image on the base is left in `layout`."""
        self.layout = pathlib.Path(tempfile.mkdtemp(dir=self.home))
        manifest = (self.workspace.root / "my-app/Cargo.toml").read_text().partition("[package.metadata.ecr.image]")[0]
        base = f'[package.metadata.ecr.image]\nbase = "{self.reference}"\n'
        self.workspace.write("my-app/Cargo.toml", manifest + base)
        arguments = ["push", "--oci-layout", self.layout, "--platform", platform, "--allow-dirty",
                     "--binary", f"{platform}={self.workspace.root}/my-app.{platform.split('/')[1]}"]
        self.env["CARGO_TARGET_DIR"] = str(self.home / "target")  # nothing is fetched before
        return self.run(XTASK, *arguments, cwd=self.workspace.root)


def credentials(requests):
    """The user and password that arrived last; `None` without any. skopeo sends empty ones to be anonymous."""
    sent = [it[2] for it in requests if it[2] and it[2].startswith("Basic ")]
    return base64.b64decode(sent[-1][6:]).decode().strip(":") or None if sent else None


class Bases(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        need("skopeo")
        need("docker")
        cls.temporary = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.temporary.cleanup)
        cls.folder = cls.temporary.name
        cls.certificate = certificate(pathlib.Path(cls.folder))
        cls.workspace = Workspace(services=("my-app",))
        for architecture, machine in (("amd64", 62), ("arm64", 183), ("arm", 40)):
            cls.workspace.write(f"my-app.{architecture}", "")
            elf = bytearray(64)
            elf[:20] = b"\x7fELF" + bytes([1 if architecture == "arm" else 2, 1, 1]) + bytes(9) + bytes([2, 0, machine, 0])
            elf[20:24] = bytes([1, 0, 0, 0])
            (cls.workspace.root / f"my-app.{architecture}").write_bytes(bytes(elf))

    def test_credentials_are_found_where_docker_or_skopeo_finds_them(self):
        entry = '{"auths":{"HOST":%s}}'
        docker = {
            "the host": '{"auths":{"HOST":{"auth":"UP"}}}',
            "https": '{"auths":{"https://HOST":{"auth":"UP"}}}',
            "http and a slash": '{"auths":{"http://HOST/":{"auth":"UP"}}}',
            "version 1": '{"auths":{"https://HOST/v1/":{"auth":"UP"}}}',
            "version 2": '{"auths":{"https://HOST/v2/":{"auth":"UP"}}}',
            "a path without a scheme": '{"auths":{"HOST/v2/":{"auth":"UP"}}}',
            "a namespace": '{"auths":{"HOST/ns":{"auth":"UP"}}}',
            "the host before an address": '{"auths":{"https://HOST/v1/":{"auth":"VQ"},"HOST":{"auth":"UP"}}}',
            "another host": '{"auths":{"other.io":{"auth":"UP"}}}',
            "another port": '{"auths":{"127.0.0.1:1":{"auth":"UP"}}}',
            "a line break": entry % '{"auth":"dT\\npw\\n"}',
            "NULs": entry % json.dumps({"auth": base64.b64encode(b"u:p\0\0").decode()}),
            "two colons": entry % json.dumps({"auth": base64.b64encode(b"u:p:q").decode()}),
            "user and password": entry % '{"username":"u","password":"p"}',
            "auth over user and password": entry % '{"username":"x","password":"y","auth":"UP"}',
            "an identity token beside": entry % '{"auth":"UP","identitytoken":""}',
            "an empty entry": entry % "{}",
            "an entry that is null": entry % "null",
            "capitals": '{"AUTHS":{"HOST":{"AUTH":"UP"}}}',
            "unknown fields": '{"auths":{"HOST":{"auth":"UP","x":[1]}},"y":{"z":1}}',
            "text behind": '{"auths":{"HOST":{"auth":"UP"}}} more',
            "malformed": '{"auths":{"HOST":{"auth":"UP"}}',
            "an empty file": "",
            "a list": "[]",
            "a helper": '{"credHelpers":{"HOST":"good"},"auths":{"HOST":{"auth":"VQ"}}}',
            "a store": '{"credsStore":"good"}',
            "no helper for this host": '{"credHelpers":{"HOST":""},"credsStore":"none","auths":{"HOST":{"auth":"UP"}}}',
            "a helper without an answer": '{"credHelpers":{"HOST":"none"}}',
            "a helper with an empty answer": '{"credHelpers":{"HOST":"empty"}}',
            "no helpers": '{"credHelpers":null,"credsStore":"","auths":{"HOST":{"auth":"UP"}}}',
        }
        helpers = {
            "good": '#!/bin/sh\nread key; test "$key" = HOST && echo \'{"Username":"u","Secret":"p"}\'\n',
            "none": '#!/bin/sh\necho credentials not found in native keychain; exit 1\n',
            "empty": '#!/bin/sh\necho \'{"Username":"","Secret":""}\'\n',
        }
        content = Content()
        top = content.image(os="linux", architecture="amd64")
        def found(tool, server, config):
            client = Client(self, server)
            client.write(".docker/config.json", config.replace("UP", UP).replace("VQ", VQ))
            for helper, script in helpers.items():
                client.write(f"bin/docker-credential-{helper}", script).chmod(0o755)
            client.env["PATH"] = f"{client.home}/bin:{client.env['PATH']}"
            return credentials(getattr(client, tool)()[1])

        with registry(content, top, basic) as server, registry(content, top, basic, self.certificate) as secure:
            for name, config in docker.items():
                with self.subTest(name):
                    others = [found("docker", secure, config), found("skopeo", server, config)]
                    self.assertEqual(found("xtask", server, config), others[0] or others[1], others)
            for path, variable in (("run/containers/auth.json", None), (".config/containers/auth.json", None),
                                   ("xdg/containers/auth.json", "XDG_CONFIG_HOME"), ("f.json", "REGISTRY_AUTH_FILE")):
                with self.subTest(path):
                    client = Client(self, server)
                    file = client.write(path, docker["the host"].replace("UP", UP))
                    if variable:
                        client.env[variable] = str(file if path == "f.json" else file.parents[1])
                    self.assertEqual(credentials(client.skopeo()[1]), "u:p")
                    self.assertEqual(credentials(client.xtask()[1]), "u:p", client.said)

    def test_a_refresh_token_is_exchanged_as_docker_exchanges_it(self):
        def answer(request):
            authorization, (_, path, _, body) = request.headers.get("authorization"), request.server.log[-1]
            if path.startswith("/token"):
                is_good = "grant_type=refresh_token" in body and "refresh_token=R" in body
                return (200, [], b'{"access_token":"T"}') if is_good else (401, [], b"{}")
            if authorization != "Bearer T":
                realm = f'Bearer realm="{request.server.scheme}://{request.server.host}/token",service="s"'
                return 401, [("WWW-Authenticate", realm)], b"{}"

        content = Content()
        top, forms = content.image(os="linux", architecture="amd64"), {}
        for tool, certificate in (("docker", self.certificate), ("xtask", None)):
            with registry(content, top, answer, certificate) as server:
                client = Client(self, server)
                client.write(".docker/config.json", '{"auths":{"HOST":{"auth":"MDA6","identitytoken":"R"}}}')
                done, requests = getattr(client, tool)()
                self.assertTrue(done, client.said)
                body = next(it[3] for it in requests if it[0] == "POST")
                forms[tool] = {key: value for key, value in urllib.parse.parse_qsl(body) if key != "client_id"}
        self.assertEqual(forms["xtask"], forms["docker"])

    def test_challenges_lead_to_the_token_that_skopeo_asks_for(self):
        rows = {
            "as docker's registry": 'Bearer realm="URL",service="s",scope="repository:ns/repo:pull"',
            "without a scope": 'Bearer realm="URL",service="s"',
            "without a service": 'Bearer realm="URL"',
            "capitals": 'BEARER REALM="URL",SERVICE="s"',
            "blanks": 'Bearer  realm="URL" ,  service="s"',
            "an order": 'Bearer service="s",realm="URL"',
            "without quotes": 'Bearer realm="URL",service=s',
            "escapes": 'Bearer realm="URL",service="a\\"b"',
            "a comma behind": 'Bearer realm="URL",service="s",',
            "a query": 'Bearer realm="URL?x=1",service="s"',
            "Basic behind": 'Bearer realm="URL",service="s", Basic realm="b"',
            "an error": 'Bearer realm="URL",service="s",error="invalid_token"',
            "two realms": 'Bearer realm="http://127.0.0.1:1/",realm="URL",service="s"',
        }
        tokens = {
            "token": b'{"token":"T"}', "access_token": b'{"access_token":"T"}',
            "an empty token": b'{"token":"","access_token":"T"}', "numbers": b'{"token":"T","expires_in":300}',
        }
        content = Content()
        top = content.image(os="linux", architecture="amd64")
        cases = [(name, it, b'{"token":"T"}') for name, it in rows.items()]
        cases += [(name, rows["without a scope"], it) for name, it in tokens.items()]
        for name, challenge, token in cases:
            def answer(request):
                if request.path.startswith("/token"):
                    return 200, [], token
                if request.headers.get("authorization") != "Bearer T":
                    realm = challenge.replace("URL", f"http://{request.server.host}/token")
                    return 401, [("WWW-Authenticate", realm)], b"{}"

            with self.subTest(name), registry(content, top, answer) as server:
                client, asked = Client(self, server), {}
                for it in ("skopeo", "xtask"):
                    done, requests = getattr(client, it)()
                    self.assertTrue(done, client.said)
                    path = next(it[1] for it in requests if it[1].startswith("/token"))
                    asked[it] = sorted(urllib.parse.parse_qsl(path.partition("?")[2]))
                self.assertEqual(asked["xtask"], asked["skopeo"])

    def test_redirects_lead_where_skopeo_goes(self):
        rows = ["/x", "./x", "x", "../x", "?y=2", "//HOST/x", "http://HOST/x?sig=%2F", "/a b", "/ü", "/x#part", " /lead ",
                "/../x", "HTTP://HOST/x", "file:///etc/passwd", "ftp://HOST/x", "", "http://[::1"]
        content = Content()
        top = content.image(os="linux", architecture="amd64")
        manifest = content.by_digest[top["digest"]][1]
        for location in rows:
            def answer(request):
                if request.path == "/v2/ns/repo/manifests/t":
                    to = location.replace("HOST", request.server.host).encode().decode("latin-1")
                    return 307, [("Location", to)], b""
                if request.path != "/v2/" and "/blobs/" not in request.path:
                    return 200, [("content-type", MANIFEST)], manifest

            with self.subTest(location), registry(content, top, answer) as server:
                client, then = Client(self, server), {}
                for it in ("skopeo", "xtask"):
                    done, requests = getattr(client, it)()
                    paths = [it[1] for it in requests]
                    at = paths.index("/v2/ns/repo/manifests/t")
                    then[it] = (done, paths[at + 1] if done else None)
                self.assertEqual(then["xtask"], then["skopeo"], client.said)

    def test_platforms_are_chosen_where_skopeo_chooses_one(self):
        rows = [
            (["linux/arm64", "linux/amd64"], "linux/amd64"),
            (["linux/amd64/v3", "linux/amd64"], "linux/amd64"),
            (["linux/amd64/v3", "linux/amd64/v2"], "linux/amd64"),
            (["linux/amd64", "linux/amd64"], "linux/amd64"),
            (["linux/386"], "linux/amd64"),
            (["linux/arm64/v8"], "linux/arm64"),
            (["linux/arm/v7"], "linux/arm64"),
            (["linux/arm/v6", "linux/arm/v7"], "linux/arm/v7"),
            (["linux/arm/v6"], "linux/arm/v7"),
            (["linux/arm/v7"], "linux/arm/v6"),
            (["windows/amd64", "linux/amd64"], "linux/amd64"),
            (["-"], "linux/amd64"),
            (["-", "linux/amd64"], "linux/amd64"),
        ]
        for platforms, wanted in rows:
            content = Content()
            top = content.index(*platforms)
            with self.subTest(platforms=platforms, wanted=wanted), registry(content, top) as server:
                client = Client(self, server)
                _, architecture, *variant = wanted.split("/")
                override = ["--override-os", "linux", "--override-arch", architecture]
                override += ["--override-variant", variant[0]] if variant else []
                skopeo, _ = client.skopeo(*override)
                layers = json.loads(client.out)["Layers"] if skopeo else None
                xtask, _ = client.xtask(wanted)
                self.assertEqual(xtask, skopeo, client.said)
                if xtask:
                    self.assertEqual(self.base_layer(client.layout), layers[0])

    def base_layer(self, layout):
        blob = lambda it: json.loads((layout / "blobs/sha256" / it.removeprefix("sha256:")).read_text())
        index = json.loads((layout / "index.json").read_text())
        return blob(index["manifests"][0]["digest"])["layers"][0]["digest"]
