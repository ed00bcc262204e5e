"""A push of 1, 10 and 50 services beside one `cargo build` of the same packages, and beside docker and buildah.

    services.py [ROUNDS]

Each round, in turn: all is fresh, nothing has changed, one service has changed. cargo has a target folder of its own, with the
flags that `push` gives it. docker and buildah do the whole with a `Dockerfile` for each binary, after that cargo build; they are
measured once, when all is fresh. Medians; differences and quotients are taken round by round. The goals: nothing changed at most
0.15 s above cargo at 50 services, fresh at most 1.2 times cargo, one changed at most 0.3 s above cargo. A median beyond
the limits of STATES fails."""

import contextlib
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "tests/peers"))

from peers import XTASK, Workspace, client, dockerd, embedded, environment
from push import as_under_cargo, timed

ROUNDS = int(sys.argv[1]) if len(sys.argv) > 1 else 3
SIZES = (1, 10, 50)
TARGET = "x86_64-unknown-linux-gnu"
# For each state: the goal and the limit, as seconds above cargo or as a multiple of it. The limit of what takes tenths of a
# second leaves room for slower machines; what is measured stands beside it.
STATES = {"fresh": ("times", 1.2, 1.5), "nothing changed": ("above", 0.15, 0.4), "one changed": ("above", 0.3, 0.6)}


def generate(count):
    """Services with a library that all of them share."""
    names = [f"service-{n:02}" for n in range(count)]
    workspace = Workspace(services=names)
    workspace.write("shared/Cargo.toml", '[package]\nname = "shared"\nversion = "1.0.0"\nedition = "2024"\n')
    workspace.write("shared/src/lib.rs", "pub fn text(n: usize) -> String { vec![\"hello\"; n].join(\", \") }\n")
    root = (workspace.root / "Cargo.toml").read_text()
    workspace.write("Cargo.toml", root.replace("members = [", 'members = ["shared", '))
    for name in names:
        # The tag of the version moves, so that a changed image needs no other one.
        workspace.append(f"{name}/Cargo.toml", 'image-tag-mutability = "MUTABLE"\n[dependencies]\nshared = { path = "../shared" }\n')
        change(workspace, name, 0)
    return workspace, names


def change(workspace, name, number):
    workspace.write(f"{name}/src/main.rs", f"""use std::collections::BTreeMap;

fn main() {{
    let mut lengths = BTreeMap::new();
    for word in std::env::args() {{
        lengths.entry(word.len()).or_insert_with(Vec::new).push(word);
    }}
    println!("{name} {number} {{}} {{lengths:?}}", shared::text({number}));
}}
""")


def main():
    failures = []
    with contextlib.ExitStack() as stack:
        folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
        url = stack.enter_context(embedded(folder / "state"))
        host = url.removeprefix("http://")
        env = environment(url) | as_under_cargo() | stack.enter_context(dockerd(folder, driver=None))
        env["DOCKER_CONFIG"] = str(folder / "config")
        run = lambda *args, **more: subprocess.run(list(map(str, args)), env=env | more.pop("env", {}), check=True,
                                                   capture_output=True, **more)
        token = client("ecr", url).get_authorization_token()["authorizationData"][0]["authorizationToken"]
        count = iter(range(1, 100_000))
        for size in SIZES:
            workspace, names = generate(size)
            workspace.run(url, "ecr", "create")
            password = workspace.run(url, "ecr", "login", "--print-token").stdout.strip()
            run("docker", "login", "--username", "AWS", "--password-stdin", host, input=password.encode())
            own, theirs = workspace.root / "target", folder / f"cargo-{size}"
            flags = {"RUSTFLAGS": "-Ctarget-feature=+crt-static", "CARGO_TARGET_DIR": str(theirs)}
            packages = [word for name in names for word in ("--package", name, "--bin", name)]

            def push():
                run(XTASK, "push", "-q", cwd=workspace.root)

            def cargo():
                run(env.get("CARGO", "cargo"), "build", "--release", "--target", TARGET, "--message-format", "json", *packages,
                    cwd=workspace.root, env=flags)

            def engine(build, send):
                cargo()
                for name in names:
                    context = folder / "context"
                    shutil.rmtree(context, ignore_errors=True)
                    context.mkdir()
                    shutil.copy(theirs / TARGET / "release" / name, context / "service")
                    (context / "Dockerfile").write_text('FROM scratch\nCOPY service /\nENTRYPOINT ["/service"]\n')
                    tag = f"{host}/{name}:{next(count)}"
                    build(tag, context)
                    send(tag)

            storage = ["--root", folder / "root", "--runroot", folder / "run", "--storage-driver", "vfs"]
            docker = lambda: engine(lambda tag, it: run("docker", "build", "--no-cache", "--tag", tag, it),
                                    lambda tag: run("docker", "push", tag))
            buildah = lambda: engine(
                lambda tag, it: run("buildah", *storage, "bud", "--no-cache", "--tag", tag, it),
                lambda tag: run("buildah", *storage, "push", "--tls-verify=false", "--creds", f"AWS:{password}", tag))
            times = {state: {"push": [], "cargo": []} for state in STATES}
            for _ in range(ROUNDS):
                for state in STATES:
                    if state == "fresh":
                        shutil.rmtree(own, ignore_errors=True), shutil.rmtree(theirs, ignore_errors=True)
                    if state == "one changed":
                        change(workspace, names[0], next(count))
                    # The order alternates, so that neither always comes after the other.
                    ways = [("push", push), ("cargo", cargo)]
                    for name, way in ways if len(times[state]["push"]) % 2 else reversed(ways):
                        times[state][name].append(timed(way))
            print(f"{size} services")
            for state, (kind, goal, limit) in STATES.items():
                pairs = list(zip(times[state]["push"], times[state]["cargo"]))
                ours, others = (statistics.median(it) for it in zip(*pairs))
                above = statistics.median(a - b for a, b in pairs)
                ratio = statistics.median(a / b for a, b in pairs)
                figure = above if kind == "above" else ratio
                print(f"  {state:<18} push {ours:7.3f} s   cargo {others:7.3f} s   {above:+.3f} s   {ratio:5.2f} x", flush=True)
                if size == max(SIZES) and figure > limit:
                    failures.append(f"{state}: {figure:.2f}, the goal is {goal} {kind} cargo")
            for name, way in {"docker": docker, "buildah": buildah}.items():
                shutil.rmtree(theirs, ignore_errors=True)
                print(f"  cargo and {name:<8} {timed(way):7.3f} s, fresh", flush=True)
    sys.exit("\n".join(failures) or 0)


if __name__ == "__main__":
    os.umask(0o022)
    main()
