"""From a registry to what runs: `resolve` beside the parsers that others have written, `promote` beside skopeo and oras, and
a container that docker runs from a resolved file."""

import contextlib
import difflib
import hashlib
import importlib.util
import json
import os
import pathlib
import random
import shlex
import subprocess
import tempfile
import time
import unittest
import urllib.request

from peers import ROOT, XTASK, Workspace, client, dockerd, embedded, environment, free_port, moto, need, run

NPM = ROOT / "target/peers-npm"
NOWHERE = "http://127.0.0.1:9"
OCI = "application/vnd.oci.image.manifest.v1+json"
HOST = "111111111111.dkr.ecr.us-east-1.amazonaws.com"
DIGEST = {name: f"sha256:{hashlib.sha256(name.encode()).hexdigest()}" for name in ("my-app", "my-app-worker")}
REFERENCE = {name: f"{HOST}/{name}@{digest}" for name, digest in DIGEST.items()}
TAGGED = {name: f"{HOST}/{name}:1.0.0@{digest}" for name, digest in DIGEST.items()}

KUBERNETES = """\
# A comment with ecr://my-app stays.
apiVersion: apps/v1
kind: Deployment
metadata: {name: my-app, labels: &labels {app: "my-app"}}   # an anchor
spec:
  selector: {matchLabels: *labels}
  template:
    metadata:
      labels: *labels
      annotations:
        note: "it's ecr://my-app#tag"
    spec:
      initContainers:
      - {name: init, image: 'ecr://my-app', args: ["--peer=ecr://my-app-worker#repository"]}
      containers:
      - name: my-app
        image: ecr://my-app#tagged
        env:
        - name: SIDECAR_IMAGE
          value: >-
            ecr://my-app-worker
        - name: SCRIPT
          value: |
            # ecr://my-app in a script is a comment
            pull ecr://my-app-worker
---
---
apiVersion: batch/v1
kind: CronJob
metadata:
  name: worker
spec:
  schedule: "*/5 * * * *"
  jobTemplate:
    spec:
      template:
        spec:
          restartPolicy: Never
          containers:
          - name: worker
            image: ecr://my-app-worker
            command: [run, "--digest", ecr://my-app-worker#digest]
"""
HELM = """\
{{- define "image" -}}
{{- $tag := .Values.tag | default "ecr://my-app#tag" }}
image: "{{ .Values.image | default "ecr://my-app" }}" {{/* ecr://my-app in a comment of Helm is none of YAML */}}
{{- end }}
{{ if .Values.worker.enabled -}}
  # {{ "ecr://my-app" }}
  image: {{ printf "%s" "ecr://my-app-worker#tagged" | quote }}
{{- end }}
"""
TASK = {
    "family": "my-app",
    "containerDefinitions": [
        {"name": "my-app", "image": "ecr://my-app", "memory": 128, "essential": True,
         "portMappings": [{"containerPort": 8080}], "environment": [{"name": "WORKER", "value": "ecr://my-app-worker#tagged"}]},
    ],
}
TFVARS = """\
# image = "ecr://my-app"
image = "ecr://my-app" # with a comment
images = {
  "worker" = "ecr://my-app-worker#tagged" // and another one
  list     = ["ecr://my-app#digest", "x"]
}
"""


def images():
    entry = lambda name: {"repository": name, "outcome": "pushed", "tags": ["1.0.0"], "reference": REFERENCE[name]}
    return json.dumps({"registry": HOST, "images": [entry(name) for name in DIGEST]})


def replaced(value):
    """The value with each placeholder in its strings replaced, in the plainest way."""
    if isinstance(value, dict):
        return {replaced(key): replaced(it) for key, it in value.items()}
    if isinstance(value, list):
        return [replaced(it) for it in value]
    if not isinstance(value, str):
        return value
    lines = value.split("\n")
    for name in sorted(DIGEST, key=len, reverse=True):
        parts = {"#tagged": TAGGED[name], "#repository": f"{HOST}/{name}", "#digest": DIGEST[name], "#tag": "1.0.0", "": REFERENCE[name]}
        for part, text in parts.items():
            lines = [it if it.lstrip().startswith("#") else it.replace(f"ecr://{name}{part}", text) for it in lines]
    return "\n".join(lines)


class Resolve(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.workspace = Workspace()
        cls.workspace.write("push.json", images())

    def resolve(self, text, name="a.yaml", *args):
        """What becomes of the bytes of a file."""
        path = self.workspace.root / name
        path.write_bytes(text)
        result = subprocess.run([XTASK, "resolve", "-f", name, "--images", "push.json", *args], cwd=self.workspace.root,
                                env=environment(NOWHERE), capture_output=True)
        self.assertEqual(result.returncode, 0, result.stderr.decode())
        return result.stdout

    def check_lines(self, before, after):
        """Only lines with a placeholder differ, and a second run changes nothing."""
        before, after = before.splitlines(keepends=True), after.splitlines(keepends=True)
        self.assertEqual(len(before), len(after))
        changed = [(a, b) for a, b in zip(before, after) if a != b]
        self.assertTrue(all(b"ecr://" in a and b"ecr://" not in b for a, b in changed), changed)
        self.assertEqual(len(changed), sum(b"ecr://" in a and not self.is_comment(a) for a in before))

    @staticmethod
    def is_comment(line):
        return line.removeprefix(b"\xef\xbb\xbf").lstrip().startswith((b"#", b"//"))

    VARIANTS = {
        "as it is": lambda it: it.encode(),
        "CRLF": lambda it: it.replace("\n", "\r\n").encode(),
        "BOM": lambda it: b"\xef\xbb\xbf" + it.encode(),
        "no final newline": lambda it: it.rstrip("\n").encode(),
    }

    def test_trees_of_yaml_are_equal_but_for_the_strings(self):
        import yaml
        need("npm"), need("node")
        run("npm", "install", "--prefix", NPM, "--no-audit", "--no-fund", "--prefer-offline", "yaml@2.9.1")
        script = """
            import { parseAllDocuments } from 'yaml'; import { readFileSync } from 'node:fs';
            const all = parseAllDocuments(readFileSync(0, 'utf8')); for (const it of all) if (it.errors.length) throw it.errors[0];
            console.log(JSON.stringify(all.map(it => it.toJS())));"""
        node = lambda data: json.loads(subprocess.run(["node", "--input-type=module", "--eval", script], cwd=NPM, input=data,
                                                      capture_output=True, check=True).stdout)
        for name, variant in self.VARIANTS.items():
            with self.subTest(name):
                before = variant(KUBERNETES)
                after = self.resolve(before)
                self.check_lines(before, after)
                self.assertEqual(self.resolve(after), after)
                for load in (lambda it: list(yaml.safe_load_all(it.decode("utf-8-sig"))), node):
                    self.assertEqual(load(after), replaced(load(before)))

    def test_kubernetes_accepts_what_was_resolved(self):
        import kubernetes_validate
        import yaml
        workspace = self.workspace.root
        files = [ROOT / "app/k8s", ROOT / "worker/k8s"]
        args = [it for file in files for it in ("-f", file)]
        text = run(XTASK, "resolve", *args, "--images", workspace / "push.json", cwd=ROOT, env=environment(NOWHERE))
        documents = list(yaml.safe_load_all(text))
        self.assertEqual([it["kind"] for it in documents], ["Deployment", "Service", "Deployment"])
        for document in documents + [it for it in yaml.safe_load_all(self.resolve(KUBERNETES.encode())) if it]:
            kubernetes_validate.validate(document, "1.34", strict=True)
        self.assertEqual(documents[0]["spec"]["template"]["spec"]["containers"][0]["image"], TAGGED["my-app"])

    def test_templates_of_helm_stay_templates(self):
        before = HELM.encode()
        after = self.resolve(before, "_helpers.tpl")
        self.check_lines(before, after)
        diff = [it for it in difflib.ndiff(before.decode().split("\n"), after.decode().split("\n")) if it[0] in "+-"]
        self.assertEqual(len(diff), 6, diff)
        self.assertEqual(after.count(b"{{"), before.count(b"{{"))

    def test_task_definitions_are_registered(self):
        for text in (json.dumps(TASK), json.dumps(TASK, indent=2), json.dumps(TASK, indent="\t").replace("\n", "\r\n")):
            resolved = self.resolve(text.encode(), "task.json")
            self.assertEqual(json.loads(resolved), replaced(TASK))
        with moto() as url:
            definition = self.workspace.root / "resolved.json"
            definition.write_bytes(resolved)
            aws = pathlib.Path(importlib.util.find_spec("awscli").origin).parents[4] / "bin/aws"
            run(aws, "ecs", "register-task-definition", "--cli-input-json", f"file://{definition}", env=environment(url))
            made = client("ecs", url).describe_task_definition(taskDefinition="my-app")["taskDefinition"]
        self.assertEqual(made["containerDefinitions"][0]["image"], REFERENCE["my-app"])

    def test_variables_of_terraform_are_loaded(self):
        import hcl2
        resolved = self.resolve(TFVARS.encode(), "a.tfvars").decode()
        # hcl2 keeps quotes, and gives comments in keys of its own.
        plain = lambda it: {key: value for key, value in json.loads(json.dumps(it).replace('\\"', "")).items() if key[0] != "_"}
        self.assertEqual(plain(hcl2.loads(resolved)), replaced(plain(hcl2.loads(TFVARS))))
        self.resolve(b"", "a.yaml", "--write", "tfvars=w.tfvars")
        run(XTASK, "resolve", "--write", "tfvars=w.tfvars", "--images", "push.json", cwd=self.workspace.root, env=environment(NOWHERE))
        written = plain(hcl2.loads((self.workspace.root / "w.tfvars").read_text()))
        self.assertEqual(written["images"], REFERENCE)

    def test_values_are_what_others_read(self):
        import yaml
        formats = ["kustomize=k.yaml", "helm=h.yaml", "env=e.env", "json=j.json"]
        args = [it for value in formats for it in ("--write", value)]
        run(XTASK, "resolve", *args, "--images", "push.json", cwd=self.workspace.root, env=environment(NOWHERE))
        read = lambda name: (self.workspace.root / name).read_text()
        component = yaml.safe_load(read("k.yaml"))
        self.assertEqual(component["kind"], "Component")
        wanted = [{"name": name, "newName": f"{HOST}/{package}", "digest": digest}
                  for package, digest in DIGEST.items() for name in (f"ecr://{package}", package)]
        self.assertEqual(component["images"], wanted)
        values = yaml.safe_load(read("h.yaml"))["images"]
        self.assertEqual(values, json.loads(read("j.json"))["images"])
        self.assertEqual(values["my-app"], {"repository": f"{HOST}/my-app", "tag": "1.0.0", "digest": DIGEST["my-app"],
                                            "reference": REFERENCE["my-app"]})
        shell = f". {shlex.quote(str(self.workspace.root / 'e.env'))}; echo $MY_APP_IMAGE $MY_APP_WORKER_IMAGE"
        self.assertEqual(run("sh", "-c", shell).split(), list(REFERENCE.values()))

    def test_bytes_outside_of_placeholders_are_the_same(self):
        pieces = [b"ecr://my-app", b"ecr://my-app-worker#digest", b"\n", b"\r\n", b"\xc3\xa4", b" ", b"\t", b"'", b'"', b"{{ x }}",
                  b"- ", b": ", b"a", b"\xef\xbb\xbf", b"# x\n"]
        generator = random.Random(20)
        for n in range(30):
            text = b"".join(generator.choice(pieces) for _ in range(generator.randrange(1, 60)))
            # A name ends where a character follows that names cannot have.
            text = text.replace(b"ecr://my-app", b"ecr://my-app ").replace(b"my-app -worker#digest", b"my-app-worker#digest ")
            resolved = self.resolve(text, f"fuzz{n}.txt")
            lines = zip(text.splitlines(keepends=True), resolved.splitlines(keepends=True), strict=True)
            for before, after in lines:
                is_comment = self.is_comment(before)
                for name in sorted(DIGEST, key=len, reverse=True):
                    if not is_comment:
                        before = before.replace(f"ecr://{name}#digest".encode(), DIGEST[name].encode())
                        before = before.replace(f"ecr://{name} ".encode(), REFERENCE[name].encode() + b" ")
                self.assertEqual(before, after)

    def test_stdin_is_a_file(self):
        result = subprocess.run([XTASK, "resolve", "-f", "-", "--images", "push.json"], cwd=self.workspace.root,
                                env=environment(NOWHERE), input=b"image: ecr://my-app\n", capture_output=True)
        self.assertEqual(result.stdout, f"image: {REFERENCE['my-app']}\n".encode())


def attach(url, password, digest):
    """An SBOM that refers to an image, as `oras attach` pushes one."""
    import requests
    ask = lambda method, path, **options: requests.request(method, path if "://" in path else url + path, auth=("AWS", password),
                                                           timeout=30, **options)
    def blob(data):
        found = f"sha256:{hashlib.sha256(data).hexdigest()}"
        upload = ask("POST", "/v2/my-app/blobs/uploads/").headers["location"]
        upload = upload if "://" in upload else url + upload
        answer = ask("PUT", f"{upload}{'&' if '?' in upload else '?'}digest={found}", data=data)
        assert answer.status_code == 201, answer.text
        return {"digest": found, "size": len(data)}
    size = int(ask("HEAD", f"/v2/my-app/manifests/{digest}", headers={"accept": OCI}).headers["content-length"])
    sbom = "application/vnd.cyclonedx+json"
    manifest = {
        "schemaVersion": 2, "mediaType": OCI, "artifactType": sbom,
        "config": {"mediaType": "application/vnd.oci.empty.v1+json", **blob(b"{}")},
        "layers": [{"mediaType": sbom, **blob(b'{"bomFormat": "CycloneDX"}'),
                    "annotations": {"org.opencontainers.image.title": "sbom.cdx.json"}}],
        "subject": {"mediaType": OCI, "digest": digest, "size": size},
    }
    data = json.dumps(manifest).encode()
    path = f"/v2/my-app/manifests/sha256:{hashlib.sha256(data).hexdigest()}"
    answer = ask("PUT", path, data=data, headers={"content-type": OCI})
    assert answer.status_code == 201, answer.text


class Promote(unittest.TestCase):
    """Images go from one embedded ECR to another; skopeo and oras look at both."""

    def test_both_sides_are_the_same_for_skopeo_and_oras(self):
        need("skopeo")
        package = importlib.util.find_spec("oras")
        need(package.origin if package else "the Python package oras")
        from oras.client import OrasClient
        workspace = Workspace(services=("my-app",))
        for name in ("dev", "prod"):
            workspace.append("Cargo.toml", f'[workspace.metadata.ecr.environments.{name}]\naws-profile = "{name}"\n')
        with tempfile.TemporaryDirectory() as folder, embedded(f"{folder}/dev") as dev, embedded(f"{folder}/prod") as prod:
            profile = lambda name, url: f"[profile {name}]\nendpoint_url = {url}\naws_access_key_id = dummy\naws_secret_access_key = dummy\n"
            config = pathlib.Path(folder) / "config"
            config.write_text(profile("dev", dev) + profile("prod", prod))
            env = {name: value for name, value in environment(NOWHERE).items() if not name.startswith("AWS_")}
            env |= {"AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": str(config), "HTTPS_PROXY": NOWHERE}
            xtask = lambda *args: run(XTASK, *args, cwd=workspace.root, env=env)
            pushed = xtask("push", "--create", "-e", "dev").strip().rsplit("@", 1)[1]
            xtask("ecr", "create", "-e", "prod")
            attach(dev, xtask("ecr", "login", "--print-token", "-e", "dev").strip(), pushed)
            reference = xtask("promote", "--from", "dev", "--to", "prod").strip()
            digest = reference.rsplit("@", 1)[1]
            self.assertEqual(digest, pushed)
            hosts = [it.removeprefix("http://") for it in (dev, prod)]
            self.assertEqual(reference, f"{hosts[1]}/my-app@{digest}")
            passwords = [xtask("ecr", "login", "--print-token", "-e", it).strip() for it in ("dev", "prod")]
            raw = [run("skopeo", "inspect", "--raw", "--tls-verify=false", "--creds", f"AWS:{password}",
                       f"docker://{host}/my-app@{digest}") for host, password in zip(hosts, passwords)]
            self.assertEqual(raw[0], raw[1])
            self.assertEqual(f"sha256:{hashlib.sha256(raw[1].encode()).hexdigest()}", digest)
            layers = []
            for host, password in zip(hosts, passwords):
                oras = OrasClient(insecure=True, auth_backend="basic")
                oras.login("AWS", password, hostname=host, config_path=f"{folder}/config.json")
                found = oras.do_request(f"http://{host}/v2/my-app/referrers/{digest}").json()["manifests"]
                self.assertEqual([it["artifactType"] for it in found], ["application/vnd.cyclonedx+json"])
                pulled = oras.pull(f"{host}/my-app@{found[0]['digest']}", outdir=f"{folder}/{host}")
                layers.append([pathlib.Path(it).read_bytes() for it in pulled])
            self.assertEqual(layers[0], layers[1])
            history = client("ecr", prod).describe_images(repositoryName="my-app", imageIds=[{"imageTag": "prod-0001"}])
            self.assertEqual(history["imageDetails"][0]["imageDigest"], digest)


class Article(unittest.TestCase):
    """The way of the article, to its end: `push`, `resolve`, and the container of the pod, which docker runs."""

    def test_docker_runs_the_container_of_a_resolved_pod(self):
        import yaml
        need("dockerd")
        with contextlib.ExitStack() as stack:
            folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
            url = stack.enter_context(embedded(folder / "state"))
            env = environment(url) | stack.enter_context(dockerd(folder)) | {"DOCKER_CONFIG": str(folder / "config")}
            run(XTASK, "push", "--create", "--allow-dirty", env=env, cwd=ROOT)
            run(XTASK, "ecr", "login", "--engine", "docker", env=env, cwd=ROOT)
            text = run(XTASK, "resolve", "-f", "app/k8s", "-f", "worker/k8s", env=env, cwd=ROOT)
            pod = next(it for it in yaml.safe_load_all(text) if it["kind"] == "Deployment")["spec"]["template"]["spec"]
            container, security = pod["containers"][0], pod["securityContext"]
            self.assertTrue(container["securityContext"]["readOnlyRootFilesystem"])
            port = free_port()
            args = ["--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--network", "host",
                    "--user", f"{security['runAsUser']}:{security['runAsGroup']}", "--env", f"PORT={port}"]
            args += [it for variable in container["env"] for it in ("--env", f"{variable['name']}={variable['value']}")]
            started = run("docker", "run", "--detach", *args, container["image"], env=env).strip()
            probes = [container[it]["httpGet"]["path"] for it in ("startupProbe", "livenessProbe", "readinessProbe")]
            for _ in range(100):
                with contextlib.suppress(OSError):
                    urllib.request.urlopen(f"http://127.0.0.1:{port}{probes[0]}", timeout=1)
                    break
                time.sleep(0.05)
            for path in probes:
                self.assertEqual(urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=1).status, 200)
            run("docker", "rm", "--force", started, env=env)


if __name__ == "__main__":
    os.umask(0o022)
    unittest.main()
