"""What only a terminal shows: the question that `ecr delete` asks, and Ctrl-C."""

import fcntl
import hashlib
import json
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time
import unittest
import urllib.request

from peers import POLICY, XTASK, Workspace, client, embedded, environment


class Terminal:
    """A command on a pseudo-terminal."""

    def __init__(self, workspace, *args, url="http://127.0.0.1:9"):
        self.master, slave = pty.openpty()
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

    def test_ctrl_c_ends_with_130(self):
        workspace = Workspace()
        terminal = Terminal(workspace, "ecr", "serve", "--port", "0")
        terminal.until("Serving")
        os.killpg(terminal.child.pid, signal.SIGINT)
        self.assertEqual(terminal.end(), 130)


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
