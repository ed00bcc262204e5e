"""Every command of the README, the documents and the examples of `--help`, run in a clone of this repository against the embedded
ECR. What a document shows below a command has to be there, line by line; `…` stands for any text, and numbers may differ."""

import contextlib
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

from peers import ROOT, XTASK, dockerd, environment, free_port, need, process, wait_for

BIN = pathlib.Path(sys.executable).parent
# Commands that other tests run, because they need what this one does not have, or take minutes.
ELSEWHERE = {
    r"^cargo install ": "test_adopt.py",
    r"^cargo test --workspace$": ".ci/run",
    r"^man ": "clap_mangen makes the page; this machine may have no `man`",
}
# Commands that do not end with 0 here, each with the reason.
EXITS = {
    "cargo xtask ecr delete": 5,  # nobody confirms
    "cargo xtask ecr scan --fail-on high": 4,  # the embedded ECR finds something in each image
    "cargo xtask ecr scan --fail-on HIGH --ignore-unfixed": 4,
    "cargo xtask push --fail-on high": 4,
}
# What stands for programs: the tool that was built already, a cluster, which is not here, and a docker whose containers do not hold
# up the shell.
PROGRAMS = {
    "cargo": 'case "$1" in xtask) shift; exec "$XTASK" "$@";; ecr) exec "$CARGO_ECR" "$@";; *) exec "$REAL_CARGO" "$@";; esac',
    "kubectl": """case "$1" in
  apply) text=$(cat); case "$text" in *ecr://*) exit 1;; *sha256:*) exit 0;; *) exit 2;; esac;;
  get) echo "image: 127.0.0.1:1/my-app:0.9.0";;
esac""",
    "docker": 'case "$1" in run) shift; exec "$DOCKER" run --detach --network none "$@";; *) exec "$DOCKER" "$@";; esac',
}
ENVIRONMENTS = """
[workspace.metadata.ecr]
default-environment = "staging"
[workspace.metadata.ecr.environments.staging]
region = "us-east-1"
[workspace.metadata.ecr.environments.prod]
region = "eu-west-1"
"""
PUSHED = "cargo xtask push -q --create -t 1.4.0 -t 1.0.0"
# prod has run two images: a label makes another one.
PROMOTED = ("printf '\\n[workspace.metadata.ecr.image]\\nlabels = { era = \"0\" }\\n' >>Cargo.toml; "
            "cargo xtask push -q --create -t 0.9.0 --allow-dirty; git checkout -q Cargo.toml; cargo xtask ecr create -q -e prod; "
            f"cargo xtask promote -q --from staging --to prod -t 0.9.0; {PUSHED}; cargo xtask promote -q --from staging --to prod -t 1.4.0")
# What the examples of the help take as given.
EXAMPLES = (f"{PROMOTED}; cp ecr/lifecycle-policy.json target/policy.json; "
            "cargo xtask push -q --format json >target/push.json; cp target/push.json .; cp -r app/k8s k8s; cp app/k8s/deployment.yaml deploy.yaml; "
            "git add -A; git -c user.name=x -c user.email=x@localhost commit -qm Files; "
            "mkdir -p ~/.local/share/bash-completion/completions ~/.local/share/man/man1")
# What a page takes as given, in shell.
GIVEN = {
    "README.md": "",
    "ecr/docs/adopting.md": "",
    "ecr/docs/configuration.md": "cp ecr/lifecycle-policy.json ecr/prod-policy.json",
    "ecr/docs/deploying.md": PROMOTED,
    # An image of another tool, for `docker push`.
    "ecr/docs/embedded-ecr.md": "cargo xtask push -q -p my-app --load",
    "ecr/docs/from-the-scripts.md": "",
    "ecr/docs/images.md": "",
    "ecr/docs/lifecycle.md": f"{PUSHED}; cp ecr/lifecycle-policy.json stricter.json; cp stricter.json p.json; "
                             "cargo xtask ecr images --format json >images.json",
    "ecr/docs/many-services.md": PUSHED,
    "ecr/docs/scanning.md": PUSHED,
}


def commands(text):
    """The commands of the `console` blocks, each with the lines that are shown below it."""
    found = []
    for block in re.findall(r"^```console\n(.*?)^```", text, re.M | re.S):
        for line in block.splitlines():
            if line.startswith("$ "):
                found.append((re.sub(r"\s+#.*$", "", line[2:]), []))
            elif line.strip():
                found[-1][1].append(line)
    return found


def shown(line):
    """A pattern for a line of a document: any text for `…`, any digits for those of a digest or a number."""
    line = re.sub(r"\s{2,}\(.*\)$", "", line.strip())
    tokens = re.findall(r"…|[0-9a-f]{8,}|\d+(?:\.\d+)?|\s+|.", line)
    kinds = {r"…": ".*", r"[0-9a-f]{8,}": "[0-9a-f]+", r"\d+(\.\d+)?": r"[\d.]+", r"\s+": r"\s+"}
    pattern = (next((text for kind, text in kinds.items() if re.fullmatch(kind, token)), re.escape(token)) for token in tokens)
    return re.compile(r"^\s*" + "".join(pattern))


class Page:
    """A clone, an embedded ECR, and a shell for the commands of a page."""

    def __init__(self, folder, docker):
        self.root = folder / "clone"
        programs = folder / "bin"
        # The clone of the page before, as it was: its services need not be compiled again.
        for command in ("reset --quiet --hard origin/HEAD", "clean --quiet -fd") if self.root.exists() else ():
            subprocess.run(["git", *command.split()], cwd=self.root, check=True, capture_output=True)
        shutil.rmtree(self.root / "target/ecr-local", ignore_errors=True)
        if not self.root.exists():
            subprocess.run(["git", "clone", "--quiet", ROOT, self.root], check=True, capture_output=True)
            programs.mkdir()
            # Where an example expects a checkout of the tool.
            (folder / "xtask-ecr").symlink_to(ROOT)
        for name, script in PROGRAMS.items():
            (programs / name).write_text(f"#!/bin/sh\n{script}\n")
            (programs / name).chmod(0o755)
        self.port = free_port()
        url = f"http://127.0.0.1:{self.port}"
        real = subprocess.run(["which", "cargo"], text=True, capture_output=True).stdout.strip()
        home = pathlib.Path.home()
        self.env = environment(url) | docker | {
            "DOCKER": shutil.which("docker"),
            "HOME": str(folder), "CARGO_HOME": os.environ.get("CARGO_HOME", str(home / ".cargo")),
            "RUSTUP_HOME": os.environ.get("RUSTUP_HOME", str(home / ".rustup")),
            "PATH": f"{programs}:{BIN}:{os.environ['PATH']}", "XTASK": str(XTASK), "REAL_CARGO": real,
            "CARGO_ECR": str(pathlib.Path(XTASK).parent / "cargo-ecr"), "CARGO_TERM_COLOR": "never",
        }

    def run(self, command):
        # The address in the documents is that of the server of this page.
        command = command.replace(":4510", f":{self.port}").replace("--port 4510", f"--port {self.port}")
        command = re.sub(r" HOST$", f" 127.0.0.1:{self.port}", command)
        return subprocess.run(["bash", "-o", "pipefail", "-c", command], cwd=self.root, env=self.env,
                              text=True, capture_output=True, stdin=subprocess.DEVNULL, timeout=1800)

    def serve(self):
        """Runs another server until the page ends, with the state of --local."""
        port = str(free_port())
        self.servers.enter_context(process([XTASK, "ecr", "serve", "--port", port], env=self.env, cwd=self.root))
        wait_for(f"http://127.0.0.1:{port}")

    def configure(self, toml):
        """Adds the keys of [workspace.metadata.ecr] and the tables below it to the root manifest, in a commit."""
        head = "[workspace.metadata.ecr]\n"
        keys, mark, tables = toml.replace(head, "", 1).partition("[workspace.metadata.ecr.")
        manifest = self.root / "Cargo.toml"
        text = manifest.read_text()
        assert head in text
        manifest.write_text(text.replace(head, f"{head}{keys.strip()}\n", 1) + f"\n{mark}{tables}")
        done = self.run("git -c user.name=x -c user.email=x@localhost commit -qam Environments")
        assert done.returncode == 0, done.stderr


class Documents(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="docs-")
        cls.addClassCleanup(cls.folder.cleanup)
        need("dockerd")
        daemon = cls.enterClassContext(tempfile.TemporaryDirectory(prefix="docs-docker-"))
        cls.docker = cls.enterClassContext(dockerd(pathlib.Path(daemon)))

    def page(self, name, given="", toml="", config=None):
        # What deletes comes last.
        files = sorted(ROOT.glob(name), key=lambda it: (it.stem == "ecr-delete", it.stem))
        text = "\n".join(it.read_text() for it in files)
        page = Page(pathlib.Path(self.folder.name), self.docker)
        if config:
            # Profiles in place of keys in the environment.
            page.env["AWS_CONFIG_FILE"] = config
            for key in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
                page.env.pop(key)
        with tempfile.TemporaryDirectory() as state, contextlib.ExitStack() as page.servers:
            serve = [XTASK, "ecr", "serve", "--port", str(page.port), "--data", state, "--control"]
            with process(serve, env=page.env, cwd=ROOT):
                wait_for(page.env["AWS_ENDPOINT_URL"])
                with self.subTest(name):
                    if toml:
                        page.configure(toml)
                    done = page.run(given or "true")
                    self.assertEqual(done.returncode, 0, f"what is given: {done.stderr}")
                for command, lines in commands(text):
                    if len(files) > 1:
                        # Each page begins with a clean tree.
                        page.run("git checkout -q . && git clean -fdq")
                    with self.subTest(name, command=command):
                        self.command(page, command, lines)

    def command(self, page, command, lines):
        if any(re.search(pattern, command) for pattern in ELSEWHERE):
            return
        if command.startswith("export "):
            pairs = dict(re.findall(r"(\w+)=(\S+)", command))
            page.env.update({key: value for key, value in pairs.items() if key != "AWS_ENDPOINT_URL"})
            return
        if "ecr serve" in command:
            # The server of the page is the one of this command: it answers at the address that is shown.
            self.assertEqual(lines, ["http://127.0.0.1:4510"] if lines else [])
            if command == "cargo xtask ecr serve":
                page.serve()
            return
        done = page.run(command)
        self.assertEqual(done.returncode, EXITS.get(command, 0), f"{command}\n{done.stdout}\n{done.stderr}")
        output = (done.stderr + done.stdout).replace(str(page.root), "/work").splitlines()
        for line in lines:
            if line.strip().startswith(("Compiling", "Running")):
                continue  # cargo's, about the tool and about services that this test has compiled before
            self.assertTrue(any(shown(line).search(it) for it in output), f"{line!r} is not in\n" + "\n".join(output))

    def test_pages(self):
        pages = sorted(it.relative_to(ROOT).as_posix() for it in (ROOT / "ecr/docs").glob("*.md"))
        for name in ["README.md", *pages]:
            if name == "ecr/docs/configuration.md":
                continue
            self.page(name, GIVEN.get(name, ""), ENVIRONMENTS if name == "ecr/docs/deploying.md" else "")

    def test_accounts(self):
        """The page with two environments in two accounts, each with a profile."""
        name = "ecr/docs/configuration.md"
        with tempfile.NamedTemporaryFile("w", suffix=".config") as config:
            config.write("[default]\naws_access_key_id = 111111111111\naws_secret_access_key = x\n"
                         "[profile production]\naws_access_key_id = 222222222222\naws_secret_access_key = x\n")
            config.flush()
            # The block of the section "Environments".
            toml = re.findall(r"^```toml\n(.*?)^```", (ROOT / name).read_text(), re.M | re.S)[1]
            self.page(name, GIVEN[name], toml, config.name)

    def test_examples_of_the_help(self):
        self.page("ecr/docs/commands/*.md", EXAMPLES, ENVIRONMENTS)


if __name__ == "__main__":
    unittest.main()
