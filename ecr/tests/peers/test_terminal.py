"""What only a terminal shows: the question that `ecr delete` asks, and Ctrl-C."""

import contextlib
import fcntl
import hashlib
import http.server
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import threading
import time
import unittest
import urllib.request

from peers import POLICY, XTASK, Workspace, client, embedded, environment


class Terminal:
    """A command on a pseudo-terminal."""

    def __init__(self, workspace, *args, url="http://127.0.0.1:9", columns=80, rows=24):
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.child = subprocess.Popen(
            [XTASK, *args], cwd=workspace.root, stdin=slave, stdout=slave, stderr=slave,
            env=environment(url) | {"TERM": "xterm"}, start_new_session=True,
        )
        os.close(slave)
        self.seen = ""

    def read(self, seconds=0.2):
        while select.select([self.master], [], [], seconds)[0]:
            try:
                self.seen += os.read(self.master, 4096).decode()
            except OSError:
                return

    def until(self, text, seconds=20):
        end = time.monotonic() + seconds
        while text not in self.seen:
            assert time.monotonic() < end, f"no {text!r} in {self.seen!r}"
            self.read(0.05)

    def type(self, line):
        os.write(self.master, line.encode() + b"\n")

    def end(self):
        self.read()
        code = self.child.wait(20)
        self.read()
        os.close(self.master)
        return code


class Create(unittest.TestCase):
    def test_tagged_images_go_only_with_a_yes(self):
        workspace = Workspace()
        with embedded(workspace.root / "state") as url:
            workspace.run(url, "ecr", "create")
            ecr = client("ecr", url)
            for tag in ("1.0.0", "1.0.1"):
                index = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": [],
                         "annotations": {"tag": tag}}
                ecr.put_image(repositoryName="my-app", imageManifest=json.dumps(index), imageTag=tag)
            workspace.write("ecr/lifecycle-policy.json", POLICY.replace(": 10", ": 1"))
            for answer, code, shown in [("n", 5, "nothing was written"), ("y", 0, "2 repositories: 2 updated")]:
                terminal = Terminal(workspace, "ecr", "create", url=url)
                terminal.until("Continue? [y/N]")
                self.assertIn("tags: 1.0.0", terminal.seen)
                terminal.type(answer)
                self.assertEqual(terminal.end(), code)
                self.assertIn(shown, terminal.seen)


class Scan(unittest.TestCase):
    def test_a_line_tells_what_is_waited_for(self):
        workspace = Workspace(services=("my-app",))
        with embedded(workspace.root / "state") as url:
            workspace.run(url, "ecr", "create")
            ecr = client("ecr", url)
            manifest = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "layers": []}
            digest = push_config(url, ecr, manifest)
            scans = workspace.root / "state/scans"
            scans.mkdir()
            file = scans / f"{digest.removeprefix('sha256:')}.json"
            file.write_text(json.dumps({"imageScanStatus": {"status": "IN_PROGRESS"}}))
            terminal = Terminal(workspace, "ecr", "scan", url=url)
            terminal.until("Scanning my-app:1.0.0 (1 s)")
            found = {"imageScanCompletedAt": 1780000000, "findingSeverityCounts": {}, "findings": []}
            file.write_text(json.dumps({"imageScanStatus": {"status": "COMPLETE"}, "imageScanFindings": found}))
            terminal.until("no findings")
            self.assertEqual(terminal.end(), 0)


def push_config(url, ecr, manifest):
    """An image of nothing but its configuration."""
    token = ecr.get_authorization_token()["authorizationData"][0]["authorizationToken"]
    digest = "sha256:" + hashlib.sha256(b"{}").hexdigest()
    request = urllib.request.Request(f"{url}/v2/my-app/blobs/uploads/?digest={digest}", b"{}",
                                     {"authorization": f"Basic {token}"}, method="POST")
    urllib.request.urlopen(request).read()
    manifest["config"] = {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest, "size": 2}
    made = ecr.put_image(repositoryName="my-app", imageManifest=json.dumps(manifest), imageTag="1.0.0")
    return made["image"]["imageId"]["imageDigest"]


EVIL = "x\x1b]0;owned\x07\x1b[2J\x1b[7m\x9b7m\u202e\u200b"


class Hostile(http.server.BaseHTTPRequestHandler):
    """Says who is asking, and answers everything else with an error whose `field` is hostile."""

    field = "message"

    def do_POST(self):
        if "x-amz-target" not in self.headers:
            return self.answer(200, "text/xml", "<GetCallerIdentityResponse><GetCallerIdentityResult>"
                               "<Arn>arn:aws:iam::123456789012:root</Arn><UserId>x</UserId><Account>123456789012</Account>"
                               "</GetCallerIdentityResult></GetCallerIdentityResponse>")
        error = {"__type": "InvalidParameterException", "message": "no"} | {self.field: EVIL}
        return self.answer(400, "application/x-amz-json-1.1", json.dumps(error))

    def do_GET(self):
        self.answer(403, "application/json", json.dumps({"errors": [{"code": "DENIED", "message": EVIL}]}))

    do_HEAD = do_GET

    def answer(self, status, kind, text):
        self.rfile.read(int(self.headers.get("content-length", 0)))
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *args):
        pass


@contextlib.contextmanager
def hostile(field="message"):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), type("Field", (Hostile,), {"field": field}))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


class Escapes(unittest.TestCase):
    """What others wrote moves no cursor, sets no title and turns no text around."""

    # What a program may send to its terminal: styles that it uses itself, and the progress line.
    OWN = re.compile(r"\x1b\[(0|1|2|4|31|32|33|36)m|\r\n|\r|\x1b\[K|\n|\t")
    RAW = re.compile("[\0-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]")

    def harmless(self, surface, workspace, *args, url="http://127.0.0.1:9"):
        terminal = Terminal(workspace, *args, url=url)
        terminal.end()
        with self.subTest(surface):
            self.assertTrue(r"x\u{1b}]0;ow" in terminal.seen or r"x\u001b]0;ow" in terminal.seen, terminal.seen)
            self.assertIsNone(self.RAW.search(self.OWN.sub("", terminal.seen)), terminal.seen)

    def manifest(self, name, old, new):
        workspace = Workspace(services=("my-app",))
        text = (workspace.root / name).read_text()
        self.assertIn(old, text)
        workspace.write(name, text.replace(old, new))
        return workspace

    def test_configuration(self):
        quoted, root = json.dumps(EVIL), "[workspace.metadata.ecr]\n"
        service = "[package.metadata.ecr]\n"
        image = f"{service}[package.metadata.ecr.image]\n"
        for surface, file, header, line, args in [
            ("unknown key", "Cargo.toml", root, f"{root}{quoted} = 1\n", ("ecr", "plan")),
            ("path", "my-app/Cargo.toml", service, f"{service}lifecycle-policy = {quoted}\n", ("ecr", "plan")),
            ("image tag", "my-app/Cargo.toml", service, f"{image}tags = [{quoted}]\n", ("push", "--dry-run")),
            ("user", "my-app/Cargo.toml", service, f"{image}user = {quoted}\n", ("push", "--dry-run")),
        ]:
            self.harmless(surface, self.manifest(file, header, line), *args)
        workspace = self.manifest("Cargo.toml", 'project = "my-project"', f"project = {quoted}")
        self.harmless("project", workspace, "ecr", "plan", "--local")
        workspace.write("policy.json", POLICY.replace('"imageCountMoreThan"', quoted))
        self.harmless("countType", workspace, "ecr", "lifecycle", "check", "policy.json")
        self.harmless("JSON", workspace, "ecr", "lifecycle", "check", "policy.json", "--format", "json")

    def test_answers(self):
        workspace = Workspace(services=("my-app",))
        for field in ("__type", "message"):
            with hostile(field) as host:
                self.harmless(field, workspace, "ecr", "plan", url=f"http://{host}")
        with hostile() as host:
            based = self.manifest("my-app/Cargo.toml", "[package.metadata.ecr]\n",
                                  f'[package.metadata.ecr]\n[package.metadata.ecr.image]\nbase = "{host}/base:1"\n')
            self.harmless("base", based, "push", "--dry-run")

    def test_findings(self):
        workspace = Workspace(services=("my-app",))
        with embedded(workspace.root / "state") as url:
            workspace.run(url, "ecr", "create")
            manifest = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "layers": []}
            digest = push_config(url, client("ecr", url), manifest)
            scans = workspace.root / "state/scans"
            scans.mkdir()
            found = {"findingSeverityCounts": {"HIGH": 1}, "findings": [{"name": EVIL, "severity": "HIGH", "uri": EVIL}]}
            scan = {"imageScanStatus": {"status": "COMPLETE"}, "imageScanFindings": found}
            (scans / f"{digest.removeprefix('sha256:')}.json").write_text(json.dumps(scan))
            self.harmless("finding", workspace, "ecr", "scan", url=url)


class Delete(unittest.TestCase):
    def test_the_question_says_that_ownership_could_not_be_checked(self):
        workspace = Workspace()
        with embedded(workspace.root / "state", "--fault", "deny=ListTagsForResource") as url:
            workspace.run(url, "ecr", "create")
            terminal = Terminal(workspace, "ecr", "delete", "--assume-owned", url=url)
            terminal.until("The ownership of 2 repositories could not be checked.")
            terminal.until("(`my-project`) to delete:")
            terminal.type("no")
            self.assertEqual(terminal.end(), 5)

    def test_the_projects_name_has_to_be_typed(self):
        workspace = Workspace()
        workspace.run("http://127.0.0.1:9", "ecr", "create", "--local")
        for answer, code, shown in [("yes", 5, "nothing was deleted"), ("my-project", 0, "2 repositories: 2 deleted")]:
            terminal = Terminal(workspace, "ecr", "delete", "--local")
            terminal.until("(`my-project`) to delete:")
            terminal.type(answer)
            self.assertEqual(terminal.end(), code)
            self.assertIn(shown, terminal.seen)

    def test_ctrl_c_at_the_question_deletes_nothing(self):
        workspace = Workspace()
        workspace.run("http://127.0.0.1:9", "ecr", "create", "--local")
        terminal = Terminal(workspace, "ecr", "delete", "--local")
        terminal.until("(`my-project`) to delete:")
        os.killpg(terminal.child.pid, signal.SIGINT)
        self.assertEqual(terminal.end(), 130)
        workspace.run("http://127.0.0.1:9", "ecr", "plan", "--local", "--check")

    def test_ctrl_c_is_the_way_to_end_serve(self):
        workspace = Workspace()
        terminal = Terminal(workspace, "ecr", "serve", "--port", "0")
        terminal.until("Serving")
        os.killpg(terminal.child.pid, signal.SIGINT)
        self.assertEqual(terminal.end(), 0)


class Tables(unittest.TestCase):
    def test_they_are_as_wide_as_the_terminal_and_whole_in_a_pipe(self):
        names = [f"my-organisation/production/team-payments/the-service-of-the-payment-gateway-{n}" for n in (1, 2, 3)]
        workspace = Workspace(services=("my-app",), repositories=names)
        with embedded(workspace.root / "state") as url:
            workspace.run(url, "ecr", "create")
            piped = workspace.run(url, "ecr", "status").stdout
            self.assertTrue(all(f"  {name}  " in piped for name in names), piped)
            for columns in (80, 120):
                terminal = Terminal(workspace, "ecr", "status", url=url, columns=columns)
                self.assertEqual(terminal.end(), 0)
                rows = [re.sub("\x1b\\[[0-9;]*m", "", it).rstrip() for it in terminal.seen.split("\n")]
                rows = [it for it in rows if it.startswith("  my-organ")]
                # What tells the names apart is there.
                self.assertEqual([re.match(r"  \S+-(\d) ", it)[1] for it in rows], ["1", "2", "3"], rows)
                self.assertTrue(all(columns - 2 <= len(it) <= columns for it in rows), rows)


class Help(unittest.TestCase):
    def test_lines_fit_the_terminal(self):
        for columns in (60, 80, 100):
            master, slave = pty.openpty()
            fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
            printed = subprocess.run([XTASK, "push", "--help"], stdin=slave, stdout=subprocess.PIPE, stderr=slave,
                                     env=environment("http://127.0.0.1:9"), text=True).stdout
            os.close(slave)
            os.close(master)
            lines = printed.splitlines()
            self.assertLessEqual(max(map(len, lines)), columns)
            self.assertGreater(max(map(len, lines)), columns - 10)


if __name__ == "__main__":
    unittest.main()
