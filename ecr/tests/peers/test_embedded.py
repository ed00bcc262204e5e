"""The crate `ecr-embedded` in a program of its own, outside this workspace and without xtask-ecr: clients that nobody
here wrote create a repository in it and push an image to it."""

import pathlib
import shutil
import subprocess
import tempfile
import unittest

from peers import BIN, ROOT, environment, need, run

CRATE = ROOT / "ecr/crates/embedded"
MANIFEST = f"""\
[package]
name = "program"
version = "0.1.0"
edition = "2024"

[dependencies]
ecr-embedded = {{ path = "{CRATE}" }}
tokio = {{ version = "1", features = ["io-std", "io-util", "macros"] }}

[profile.dev]
debug = false

[workspace]
"""


def layout(folder):
    """An OCI layout by umoci, with one layer."""
    run("umoci", "init", "--layout", folder / "layout")
    run("umoci", "new", "--image", f"{folder}/layout:1.0.0")
    (folder / "file").write_text("content")
    run("umoci", "insert", "--rootless", "--image", f"{folder}/layout:1.0.0", folder / "file", "/file")
    return f"oci:{folder}/layout:1.0.0"


class Program(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.temporary = tempfile.TemporaryDirectory()
        cls.folder = pathlib.Path(cls.temporary.name)
        (cls.folder / "src").mkdir()
        shutil.copy(CRATE / "examples/ephemeral.rs", cls.folder / "src/main.rs")
        shutil.copy(ROOT / "Cargo.lock", cls.folder)
        (cls.folder / "Cargo.toml").write_text(MANIFEST)
        run("cargo", "build", "--quiet", cwd=cls.folder)

    @classmethod
    def tearDownClass(cls):
        cls.temporary.cleanup()

    def test_program_needs_neither_clap_nor_the_aws_sdk(self):
        crates = run("cargo", "tree", "--edges", "normal", "--prefix", "none", cwd=self.folder).splitlines()
        names = {it.split()[0] for it in crates if it}
        self.assertIn("ecr-embedded", names)
        self.assertEqual({it for it in names if it.startswith("aws-") or it.startswith("clap")}, set())

    def test_program_takes_an_image_of_umoci_from_skopeo(self):
        need("skopeo")
        need("umoci")
        image = layout(self.folder)
        program = subprocess.Popen(
            [self.folder / "target/debug/program"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        with program:
            url = program.stdout.readline().strip()
            host, aws = url.removeprefix("http://"), [BIN / "aws", "ecr"]
            options = {"env": environment(url)}
            run(*aws, "create-repository", "--repository-name", "my-app", **options)
            credentials = f"AWS:{run(*aws, 'get-login-password', **options).strip()}"
            target = f"docker://{host}/my-app:1.0.0"
            run("skopeo", "copy", "--dest-tls-verify=false", "--dest-creds", credentials, image, target)
            described = run(*aws, "describe-images", "--repository-name", "my-app", "--output", "text",
                            "--query", "imageDetails[].[imageDigest, imageTags[0]]", **options)
            expected = run("skopeo", "inspect", "--format", "{{.Digest}}", image).strip()
            self.assertEqual(described.split(), [expected, "1.0.0"])
            program.stdin.close()
            self.assertEqual(program.wait(10), 0)


if __name__ == "__main__":
    unittest.main()
