"""What `push` writes for others: OCI layouts, archives for docker and podman, and an image for a foreign platform."""

import json
import pathlib
import subprocess
import tempfile
import unittest

from peers import ROOT, XTASK, Workspace, environment, embedded, need

NOWHERE = "http://127.0.0.1:9"


def run(*args, **options):
    result = subprocess.run(list(map(str, args)), text=True, capture_output=True, **options)
    assert result.returncode == 0, f"{args}: exit {result.returncode}\n{result.stdout}\n{result.stderr}"
    return result.stdout


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


class Platforms(unittest.TestCase):
    def test_an_index_of_a_foreign_platform(self):
        need("skopeo")
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
                self.assertIn("is built for linux/arm64, and the image is for linux/amd64", wrong.stderr)
                host = url.removeprefix("http://")
                token = workspace.run(url, "ecr", "login", "--print-token").stdout.strip()
                def skopeo(*options, architecture="amd64"):
                    return json.loads(run("skopeo", "--override-arch", architecture, "inspect", "--tls-verify=false",
                                          "--creds", f"AWS:{token}", *options, f"docker://{host}/my-app:1.0.0"))

                platforms = [it["platform"]["architecture"] for it in skopeo("--raw")["manifests"]]
                self.assertEqual(platforms, ["amd64", "arm64"])
                for architecture in platforms:
                    self.assertEqual(skopeo("--config", architecture=architecture)["architecture"], architecture)


if __name__ == "__main__":
    unittest.main()
