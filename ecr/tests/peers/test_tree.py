"""The file system of layers: ours beside that of containerd and docker, which run containers on overlayfs, and of umoci,
which unpacks layers into one folder. The cases are those of the Rust tests, and random ones."""

import base64
import contextlib
import gzip
import hashlib
import io
import json
import os
import pathlib
import random
import re
import stat
import struct
import subprocess
import tarfile
import tempfile
import unittest

from peers import ROOT, Workspace, client, dockerd, embedded, need, process, run

NOWHERE = "http://127.0.0.1:9"

CASES = json.loads((ROOT / "ecr/crates/oci/tests/trees.json").read_text())
TYPES = {"d": tarfile.DIRTYPE, "l": tarfile.SYMTYPE, "h": tarfile.LNKTYPE, "p": tarfile.FIFOTYPE, "c": tarfile.CHRTYPE}
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
RANDOM = 200


def archive(entries):
    """An archive of entries: d(ir), f(ile), l(ink), h(ard link), p(ipe), c(haracter device), each KIND:NAME[=TARGET]."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for entry in entries.split():
            kind, rest = entry.split(":", 1)
            name, _, target = rest.partition("=")
            info = tarfile.TarInfo(name)
            info.mode, info.type = 0o755, TYPES.get(kind, tarfile.REGTYPE)
            if kind == "d" and target:
                info.mode = int(target, 8)
            elif target:
                info.linkname = target
            if kind == "c":
                info.devmajor, info.devminor = 1, 3
            tar.addfile(info)
    return out.getvalue()


def layout(folder, layers, env=()):
    """An OCI image layout with one image `x`, which docker loads as well. Layers are archives, or the entries of one. Returns
    the paths of the layers."""
    blobs = pathlib.Path(folder, "blobs/sha256")
    blobs.mkdir(parents=True)

    def put(data, kind=None):
        digest = hashlib.sha256(data).hexdigest()
        (blobs / digest).write_bytes(data)
        return {"digest": f"sha256:{digest}", "size": len(data)} | ({"mediaType": kind} if kind else {})

    archives = [archive(it) if isinstance(it, str) else it for it in layers]
    listed = [put(it, "application/vnd.oci.image.layer.v1.tar") for it in archives]
    diff_ids = [it["digest"] for it in listed]
    config = {"architecture": "amd64", "os": "linux", "config": {"Cmd": ["x"], "Env": list(env)},
              "rootfs": {"type": "layers", "diff_ids": diff_ids}, "history": [{"created_by": "test"} for _ in layers]}
    config = put(json.dumps(config).encode(), "application/vnd.oci.image.config.v1+json")
    manifest = {"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": listed}
    names = {"org.opencontainers.image.ref.name": "x", "io.containerd.image.name": "docker.io/library/x:1"}
    index = {"schemaVersion": 2, "manifests": [put(json.dumps(manifest).encode(), MANIFEST) | {"annotations": names}]}
    path = [f"blobs/sha256/{it.removeprefix('sha256:')}" for it in [config["digest"], *diff_ids]]
    saved = [{"Config": path[0], "RepoTags": ["x:1"], "Layers": path[1:]}]
    for name, value in [("index.json", index), ("oci-layout", {"imageLayoutVersion": "1.0.0"}), ("manifest.json", saved)]:
        pathlib.Path(folder, name).write_text(json.dumps(value))
    return [pathlib.Path(folder, it) for it in path[1:]]


def walk(root):
    """What is in a folder, in the notation of the cases."""
    found = []
    for base, folders, files in os.walk(root):
        for name in folders + files:
            path = os.path.join(base, name)
            try:
                shown, mode = os.path.relpath(path, root), os.lstat(path).st_mode
            except FileNotFoundError:
                continue  # overlayfs lists a whiteout in a folder that has nothing below it
            if stat.S_ISLNK(mode):
                shown += f"->{os.readlink(path)}"
            elif stat.S_ISDIR(mode):
                shown += "/" if stat.S_IMODE(mode) == 0o755 else f"/={stat.S_IMODE(mode):o}"
            elif not stat.S_ISREG(mode):
                shown += "!"
            found.append(shown)
    return " ".join(sorted(found))


def ours(paths):
    """The tree of layers as this project reads it."""
    program = ROOT / "target/debug/examples/tree"
    result = subprocess.run([program, *paths], text=True, capture_output=True)
    if result.returncode:
        return "refused"
    found = []
    for line in result.stdout.splitlines():
        kind, path, *more = line.split(" ")
        ends = {"file": "", "special": "!", "link": f"->{more[0]}" if more else "", "folder": "/" if more[:1] == ["755"] else f"/={(more or ['?'])[0]}"}
        found.append(path + ends[kind])
    return " ".join(sorted(found))


def need_overlayfs():
    """Containers run on overlayfs, which some file systems cannot hold, such as overlayfs itself."""
    with tempfile.TemporaryDirectory() as folder:
        for name in ("lower", "upper", "work", "merged"):
            os.mkdir(f"{folder}/{name}")
        options = f"lowerdir={folder}/lower,upperdir={folder}/upper,workdir={folder}/work"
        command = ["mount", "-t", "overlay", "overlay", "-o", options, f"{folder}/merged"]
        if subprocess.run(command, capture_output=True).returncode == 0:
            run("umount", f"{folder}/merged")
            return
    if os.environ.get("CI"):
        raise RuntimeError("overlayfs cannot be mounted, and CI must be able to")
    raise unittest.SkipTest("overlayfs cannot be mounted")


class Refused(Exception):
    """A peer does not unpack the layers."""


def attempt(*args, **options):
    """The output of a program that may refuse its input."""
    result = subprocess.run(list(map(str, args)), text=True, capture_output=True, timeout=60, **options)
    if result.returncode:
        raise Refused(result.stderr)
    return result.stdout


@contextlib.contextmanager
def containerd(folder):
    """A containerd of our own; gives what has to be in the environment of its clients."""
    config = folder / "config.toml"
    config.write_text(
        f'version = 2\nroot = "{folder}/root"\nstate = "{folder}/state"\n'
        f'disabled_plugins = ["io.containerd.grpc.v1.cri"]\n[grpc]\naddress = "{folder}/sock"\n'
    )
    env = os.environ | {"CONTAINERD_ADDRESS": f"{folder}/sock", "CONTAINERD_NAMESPACE": "test"}
    with process(["containerd", "--config", str(config)]):
        for _ in range(100):
            if subprocess.run(["ctr", "version"], env=env, capture_output=True).returncode == 0:
                break
        yield env


def by_containerd(env, folder, work):
    """The files that containerd mounts."""
    target = work / "mount"
    target.mkdir()
    run("tar", "-C", folder, "-cf", work / "layout.tar", ".")
    try:
        attempt("ctr", "image", "import", work / "layout.tar", env=env)
        attempt("ctr", "image", "mount", "docker.io/library/x:1", target, env=env)
        return walk(target)
    finally:
        subprocess.run(["ctr", "image", "unmount", "--rm", str(target)], env=env, capture_output=True)
        subprocess.run(["ctr", "image", "rm", "--sync", "docker.io/library/x:1"], env=env, capture_output=True)


def by_docker(env, folder, work):
    """The files that docker exports, without those that it adds to each container."""
    run("tar", "-C", folder, "-cf", work / "layout.tar", ".")
    env = os.environ | env
    attempt("docker", "load", "--input", work / "layout.tar", env=env)
    container = attempt("docker", "create", "x:1", env=env).strip()
    attempt("docker", "export", "--output", work / "export.tar", container, env=env)
    attempt("docker", "rm", container, env=env)
    attempt("docker", "rmi", "x:1", env=env)
    target = work / "files"
    target.mkdir()
    run("tar", "-xpf", work / "export.tar", "-C", target)
    return walk(target)


def by_umoci(folder, work):
    """The files that umoci unpacks."""
    attempt("umoci", "raw", "unpack", "--image", f"{folder}:x", work / "files")
    return walk(work / "files")


def without_dockers_own(tree):
    """What docker adds to a container depends on its version."""
    added = ("dev", "proc", "sys", "etc", ".dockerenv", "dev/console", "dev/pts", "dev/shm", "etc/hostname", "etc/hosts",
             "etc/mtab", "etc/resolv.conf")
    return " ".join(it for it in tree.split(" ") if it.split("->")[0].split("/=")[0].rstrip("/") not in added)


def push_base(workspace, url, folder, tag="1"):
    """Pushes a layout to the embedded ECR as `base`; gives what has to be in the environment to pull it."""
    host = url.removeprefix("http://")
    with contextlib.suppress(client("ecr", url).exceptions.RepositoryAlreadyExistsException):
        client("ecr", url).create_repository(repositoryName="base", imageTagMutability="MUTABLE")
    token = workspace.run(url, "ecr", "login", "--print-token").stdout.strip()
    run("skopeo", "copy", "--dest-tls-verify=false", "--dest-creds", f"AWS:{token}", f"oci:{folder}:x", f"docker://{host}/base:{tag}")
    auth = base64.b64encode(f"AWS:{token}".encode()).decode()
    workspace.write("docker/config.json", json.dumps({"auths": {host: {"auth": auth}}}))
    return {"DOCKER_CONFIG": str(workspace.root / "docker")}


def layers_of(layout):
    """The file names of the layers of the only image in a layout."""
    def read(descriptor):
        return json.loads((layout / "blobs/sha256" / descriptor["digest"].removeprefix("sha256:")).read_text())

    manifest = read(json.loads((layout / "index.json").read_text())["manifests"][0])
    return [it["digest"].removeprefix("sha256:") for it in manifest["layers"]]


class Sequence:
    """Random layers over few names, so that entries meet. They have no whiteouts in the lowest layer, which containerd applies
    to that layer itself, and no opaque whiteout of the root folder, which overlayfs ignores."""

    NAMES = ["a", "b", "a/b", "b/a", "a/b/c", "c", "c/a", "c/a/b", "b/b"]
    TARGETS = ["a", "b", "c", "/a", "/b/a", "../a", "../../b", "b/a", "nowhere", "/"]

    def __init__(self, seed):
        self.random = random.Random(seed)

    def layers(self):
        count = self.random.randint(1, 4)
        return [self.layer("dddfffflllhp" + "wwo" * (n > 0)) for n in range(count)]

    def layer(self, kinds):
        return " ".join(self.entry(self.random.choice(kinds)) for _ in range(self.random.randint(1, 6)))

    def entry(self, kind):
        name = self.random.choice(self.NAMES)
        name = self.random.choice(["", "", "", "./", "/", "x/../", "../"]) + name
        folder, _, last = name.rpartition("/")
        below = f"{folder}/" if folder or name.startswith("/") else ""
        return {
            "l": f"l:{name}={self.random.choice(self.TARGETS)}",
            "h": f"h:{name}={self.random.choice(self.NAMES)}",
            "w": f"f:{below}.wh.{last}",
            "o": f"f:{self.random.choice('abc')}/.wh..wh..opq",
            "d": f"d:{name}" + self.random.choice(["", "/", "=700", "=1777"]),
        }.get(kind, f"{kind}:{name}")


@unittest.skipUnless(os.geteuid() == 0, "only root unpacks owners and devices")
class Trees(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        run("cargo", "build", "--quiet", "--package", "ecr-oci", "--example", "tree", cwd=ROOT)

    def compare(self, peer, unpack):
        """Holds each case against the peer: its own result where it differs, and `any` where that is of no interest."""
        for case in CASES:
            wanted = case.get(peer, case["tree"])
            if wanted == "any":
                continue
            with self.subTest(case["case"]), tempfile.TemporaryDirectory() as folder:
                work = pathlib.Path(folder)
                layout(work / "layout", case["layers"])
                try:
                    found = unpack(work / "layout", work)
                except Refused:
                    found = "refused"
                clean = without_dockers_own if peer == "docker" else str
                self.assertEqual(clean(found), clean(" ".join(sorted(wanted.split(" ")))))

    def test_containerd_has_the_trees_of_the_cases(self):
        need("containerd"), need_overlayfs()
        with tempfile.TemporaryDirectory() as folder, containerd(pathlib.Path(folder)) as env:
            self.compare("containerd", lambda layout, work: by_containerd(env, layout, work))

    def test_docker_has_the_trees_of_the_cases(self):
        need("dockerd"), need_overlayfs()
        with tempfile.TemporaryDirectory() as folder, dockerd(pathlib.Path(folder), "overlay2") as env:
            self.compare("docker", lambda layout, work: by_docker(env, layout, work))

    def test_umoci_has_the_trees_of_the_cases(self):
        need("umoci")
        self.compare("umoci", by_umoci)

    def test_containerd_has_the_trees_of_random_layers(self):
        need("containerd"), need_overlayfs()
        compared = 0
        with tempfile.TemporaryDirectory() as folder, containerd(pathlib.Path(folder)) as env:
            for seed in range(RANDOM):
                layers = Sequence(seed).layers()
                with self.subTest(seed=seed, layers=layers), tempfile.TemporaryDirectory() as folder:
                    work = pathlib.Path(folder)
                    paths = layout(work / "layout", layers)
                    with contextlib.suppress(Refused):
                        theirs = by_containerd(env, work / "layout", work)
                        # Where a link was, containerd copies the attributes of a folder from the layer below it.
                        self.assertEqual(re.sub("/=[0-7]+", "/", ours(paths)), re.sub("/=[0-7]+", "/", theirs))
                        compared += 1
        self.assertGreater(compared, RANDOM // 4)


class Files(unittest.TestCase):
    """Files on a base with links, in an image that docker builds and in one that docker loads."""

    BASE = "d:usr d:usr/bin f:usr/bin/sh l:bin=usr/bin d:tmp=1777 d:root=700"
    FILES = 'files = [{ from = "a", to = "/bin/a" }, { from = "s", to = "/bin" }, { from = "a", to = "/tmp/a" }, { from = "s", to = "/root/s" }]\n'

    WANTED = ("bin->usr/bin root/=700 root/s/ root/s/deep/ root/s/deep/b tmp/=1777 tmp/a usr/ usr/bin/ usr/bin/a "
              "usr/bin/deep/ usr/bin/deep/b usr/bin/sh usr/local/ usr/local/bin/ usr/local/bin/my-app")

    def workspace(self, base):
        """A workspace whose service copies files to that base."""
        workspace = Workspace(services=("my-app",))
        workspace.append("my-app/Cargo.toml", f'[package.metadata.ecr.image]\nbase = "{base}"\n{self.FILES}')
        workspace.write("my-app/a", "a")
        workspace.write("my-app/s/deep/b", "b")
        # Magic, 64 bits, little endian, version 1; ET_EXEC for x86-64, without segments and sections.
        header = b"\x7fELF\x02\x01\x01".ljust(16, b"\0")
        header += struct.pack("<HHIQQQIHHHHHH", 2, 62, 1, 0, 0, 0, 0, 64, 56, 0, 64, 0, 0)
        (workspace.root / "my-app/binary").write_bytes(header)
        return workspace

    # Entries of `files`, each `FROM TO`, in the notation of docker's COPY.
    COPIES = [
        ["a /x"], ["a /"], ["a /new/"], ["a /tmp"], ["a /bin/x"], ["a /bin"], ["a /l"], ["a /dangling/x"], ["a /dangling"],
        ["s /"], ["s/ /new/"], ["s /bin"], ["s /dangling"], ["s/deep /tmp"], ["linked /x"], ["linked/b /bin/x"],
        ["s /x", "a /x"], ["s /x", "a /x/deep/b"], ["s/deep /x", "s /x"], ["s /x", "a /x/up"], ["s /bin", "a /usr/bin/deep/"],
    ]

    def copied(self, url, base, copies, config):
        """The files of an image that this tool builds, without those of the binary."""
        workspace = self.workspace(base)
        for link, target in [("linked", "s/deep"), ("s/up", "../a"), ("s/none", "nowhere")]:
            (workspace.root / "my-app" / link).symlink_to(target)
        files = ", ".join('{{ from = "{}", to = "{}" }}'.format(*it.split(" ")) for it in copies)
        manifest = (workspace.root / "my-app/Cargo.toml").read_text().replace(self.FILES, f"files = [{files}]\n")
        workspace.write("my-app/Cargo.toml", manifest)
        workspace.run(url, "push", "--binary", "linux/amd64=my-app/binary", "--oci-layout", "out", **config)
        found = ours([workspace.root / "out/blobs/sha256" / it for it in layers_of(workspace.root / "out")])
        return workspace, " ".join(it for it in found.split(" ") if not it.startswith("usr/local/"))

    @unittest.skipUnless(os.geteuid() == 0, "only root runs a daemon")
    def test_files_go_where_copy_of_docker_puts_them(self):
        need("dockerd"), need("skopeo"), need_overlayfs()
        with contextlib.ExitStack() as stack:
            folder, state = (pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory())) for _ in range(2))
            docker = os.environ | stack.enter_context(dockerd(state, "overlay2")) | {"DOCKER_BUILDKIT": "0"}
            url = stack.enter_context(embedded(folder / "state"))
            layout(folder / "base", [f"{self.BASE} l:l=usr/bin/sh l:dangling=usr/lib/x"])
            run("tar", "-C", folder / "base", "-cf", folder / "base.tar", ".")
            run("docker", "load", "--input", folder / "base.tar", env=docker)
            pusher = Workspace(services=("my-app",))
            config = push_base(pusher, url, folder / "base")
            for number, copies in enumerate(self.COPIES):
                with self.subTest(copies=copies):
                    workspace, found = self.copied(url, f"{url.removeprefix('http://')}/base:1", copies, config)
                    recipe = folder / "Dockerfile"
                    recipe.write_text("\n".join(["FROM x:1", *(f"COPY {it}" for it in copies)]) + "\n")
                    run("docker", "build", "--quiet", "--tag", "built", "--file", recipe, workspace.root / "my-app", env=docker)
                    container = run("docker", "create", "built", "x", env=docker).strip()
                    run("docker", "export", "--output", folder / "export.tar", container, env=docker)
                    files = folder / str(number)
                    files.mkdir()
                    run("tar", "-xpf", folder / "export.tar", "-C", files)
                    self.assertEqual(found, without_dockers_own(walk(files)))

    def native(self, folder):
        """The layers of an image that this tool builds on a base in the embedded ECR."""
        layout(folder / "base", [self.BASE])
        with embedded(folder / "state") as url:
            workspace = self.workspace(f"{url.removeprefix('http://')}/base:1")
            config = push_base(workspace, url, folder / "base")
            workspace.run(url, "push", "--binary", "linux/amd64=my-app/binary", "--oci-layout", "out", **config)
            blobs = workspace.root / "out/blobs/sha256"
            layers = [(blobs / it).read_bytes() for it in layers_of(workspace.root / "out")]
            return [gzip.decompress(it) if it[:2] == b"\x1f\x8b" else it for it in layers]

    @unittest.skipUnless(os.geteuid() == 0, "only root mounts")
    def test_containers_of_a_native_image_keep_the_links_and_folders_of_its_base(self):
        need("containerd"), need("dockerd"), need("umoci"), need("skopeo"), need_overlayfs()
        with contextlib.ExitStack() as stack:
            folders = [pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory())) for _ in range(6)]
            layers = self.native(folders[0])
            environments = [stack.enter_context(containerd(folders[1])), stack.enter_context(dockerd(folders[2], "overlay2"))]
            peers = [lambda *it: by_containerd(environments[0], *it), lambda *it: by_docker(environments[1], *it), by_umoci]
            for peer, work in zip(peers, folders[3:]):
                layout(work / "layout", layers)
                self.assertEqual(without_dockers_own(peer(work / "layout", work)), self.WANTED)

    @unittest.skipUnless(os.geteuid() == 0, "only root runs a daemon")
    def test_docker_keeps_the_links_and_folders_of_a_base(self):
        need("dockerd"), need_overlayfs()
        with tempfile.TemporaryDirectory() as folder, dockerd(pathlib.Path(folder), "overlay2") as env:
            work = pathlib.Path(folder)
            layout(work / "base", [self.BASE])
            run("tar", "-C", work / "base", "-cf", work / "base.tar", ".")
            run("docker", "load", "--input", work / "base.tar", env=os.environ | env)
            arguments = ["push", "--load", "--binary", "linux/amd64=my-app/binary", "--builder", "docker"]
            name = self.workspace("x:1").run(NOWHERE, *arguments, **env).stdout.strip()
            container = run("docker", "create", name, "x", env=os.environ | env).strip()
            run("docker", "export", "--output", work / "export.tar", container, env=os.environ | env)
            files = work / "files"
            files.mkdir()
            run("tar", "-xpf", work / "export.tar", "-C", files)
            self.assertEqual(without_dockers_own(walk(files)), self.WANTED)

    @unittest.skipUnless(os.geteuid() == 0, "only root unpacks owners")
    def test_podman_keeps_the_links_and_folders_of_a_base(self):
        need("podman")
        with tempfile.TemporaryDirectory() as folder:
            work = pathlib.Path(folder)
            engine = work / "engine"
            storage = f"--root {folder}/root --runroot {folder}/run --storage-driver vfs"
            engine.write_text(f'#!/bin/sh\nexec podman {storage} "$@"\n')
            engine.chmod(0o755)
            layout(work / "base", [self.BASE])
            run("tar", "-C", work / "base", "-cf", work / "base.tar", ".")
            run(engine, "load", "--input", work / "base.tar")
            arguments = ["push", "--load", "--engine", str(engine), "--binary", "linux/amd64=my-app/binary", "--builder", "docker",
                         "--", "--pull=never", "--isolation=chroot"]
            name = self.workspace("docker.io/library/x:1").run(NOWHERE, *arguments).stdout.strip()
            container = run(engine, "create", name, "x").strip()
            run(engine, "export", "--output", work / "export.tar", container)
            files = work / "files"
            files.mkdir()
            run("tar", "-xpf", work / "export.tar", "-C", files)
            self.assertEqual(without_dockers_own(walk(files)), self.WANTED)


if __name__ == "__main__":
    unittest.main()
