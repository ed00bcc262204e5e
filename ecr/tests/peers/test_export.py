"""What `push` writes for others: OCI layouts, archives for docker and podman, and an image for a foreign platform."""

import base64
import contextlib
import json
import os
import pathlib
import struct
import tempfile
import unittest

from peers import ROOT, XTASK, Workspace, environment, embedded, need, run

NOWHERE = "http://127.0.0.1:9"


def arm_binary(folder):
    """Debian's busybox for 64-bit Arm: a real static binary of another architecture."""
    run("dpkg", "--add-architecture", "arm64")
    run("apt-get", "update", "-qq")
    run("apt-get", "download", "busybox-static:arm64", cwd=folder)
    package = next(pathlib.Path(folder).glob("busybox-static_*_arm64.deb"))
    run("dpkg-deb", "--extract", package, folder)
    found = [it for it in pathlib.Path(folder).rglob("busybox") if it.is_file() and it.stat().st_size > 100_000]
    return found[0]


class Layout(unittest.TestCase):
    def test_skopeo_reads_every_image_of_a_layout(self):
        need("skopeo")
        with tempfile.TemporaryDirectory() as folder:
            layout = f"{folder}/layout"
            args = [XTASK, "push", "--oci-layout", layout, "--allow-dirty"]
            names = run(*args, cwd=ROOT, env=environment(NOWHERE)).split()
            self.assertEqual(names, [f"oci:{layout}:my-app:1.0.0", f"oci:{layout}:my-app-worker:1.0.0"])
            for name in names:
                self.assertEqual(json.loads(run("skopeo", "inspect", name))["Os"], "linux")
                run("skopeo", "copy", name, f"dir:{folder}/{name.rsplit(':', 2)[1]}")


class Load(unittest.TestCase):
    def test_podman_has_the_image_afterwards(self):
        need("podman")
        with tempfile.TemporaryDirectory() as folder:
            storage = ["--root", f"{folder}/root", "--runroot", f"{folder}/run", "--storage-driver", "vfs"]
            engine = pathlib.Path(folder) / "engine"
            engine.write_text(f"#!/bin/sh\nexec podman {' '.join(storage)} \"$@\"\n")
            engine.chmod(0o755)
            args = [XTASK, "push", "--load", "--engine", engine, "-p", "my-app", "--allow-dirty"]
            self.assertEqual(run(*args, cwd=ROOT, env=environment(NOWHERE)), "my-app:1.0.0\n")
            image = json.loads(run(engine, "image", "inspect", "my-app:1.0.0"))[0]
            self.assertEqual(image["Config"]["User"], "65532:65532")


class Disk(unittest.TestCase):
    @unittest.skipUnless(os.geteuid() == 0, "only root mounts")
    def test_a_full_disk_is_told_and_leaves_nothing(self):
        workspace = Workspace(services=("my-app",))
        full = workspace.root / "full"
        full.mkdir()
        # Magic, 64 bits, little endian, version 1; ET_EXEC for x86-64, without segments and sections.
        header = b"\x7fELF\x02\x01\x01".ljust(16, b"\0") + struct.pack("<HHIQQQIHHHHHH", 2, 62, 1, 0, 0, 0, 0, 64, 56, 0, 64, 0, 0)
        (workspace.root / "my-app/binary").write_bytes(header + os.urandom(3_000_000))
        with contextlib.ExitStack() as stack:
            run("mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", full)
            stack.callback(run, "umount", full)
            args = ["push", "--binary", "linux/amd64=my-app/binary"]
            cache = workspace.run(NOWHERE, *args, "--dry-run", code=1, CARGO_TARGET_DIR=str(full)).stderr
            self.assertIn("failed to write a layer below", cache)
            self.assertIn("No space left on device", cache)
            layout = workspace.run(NOWHERE, *args, "--oci-layout", str(full / "layout"), code=1).stderr
            self.assertIn(f"failed to write the OCI layout `{full}/layout`: No space left on device", layout)
            self.assertEqual([it for it in full.rglob("*") if it.name.startswith(".tmp-")], [])


class Platforms(unittest.TestCase):
    def test_an_index_of_a_foreign_platform(self):
        need("skopeo"), need("docker")
        with tempfile.TemporaryDirectory() as folder:
            workspace = Workspace(services=("my-app",))
            binary = arm_binary(folder)
            with embedded(workspace.root / "state") as url:
                args = ["push", "--create", "--profile", "dev", "--platform", "linux/amd64,linux/arm64",
                        "--binary", f"linux/arm64={binary}"]
                report = workspace.json(url, *args)
                self.assertEqual(report["images"][0]["platforms"], ["linux/amd64", "linux/arm64"])
                # A wrong architecture is found out before anything is pushed.
                wrong = workspace.run(url, "push", "--binary", f"linux/amd64={binary}", "-t", "2", code=1)
                self.assertIn("is built for linux/arm64, but the image is for linux/amd64", wrong.stderr)
                host = url.removeprefix("http://")
                token = workspace.run(url, "ecr", "login", "--print-token").stdout.strip()
                def skopeo(*options, architecture="amd64"):
                    return json.loads(run("skopeo", "--override-arch", architecture, "inspect", "--tls-verify=false",
                                          "--creds", f"AWS:{token}", *options, f"docker://{host}/my-app:1.0.0"))

                platforms = [it["platform"]["architecture"] for it in skopeo("--raw")["manifests"]]
                self.assertEqual(platforms, ["amd64", "arm64"])
                # So does docker's client, which needs no daemon for that.
                docker = environment(url) | {"DOCKER_CONFIG": folder}
                login = json.dumps({"auths": {host: {"auth": base64.b64encode(f"AWS:{token}".encode()).decode()}}})
                pathlib.Path(folder, "config.json").write_text(login)
                listed = json.loads(run("docker", "manifest", "inspect", "--insecure", f"{host}/my-app:1.0.0", env=docker))
                self.assertEqual([it["platform"]["architecture"] for it in listed["manifests"]], platforms)
                for architecture in platforms:
                    self.assertEqual(skopeo("--config", architecture=architecture)["architecture"], architecture)


if __name__ == "__main__":
    unittest.main()
