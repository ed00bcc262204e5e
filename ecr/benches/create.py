"""`ecr create` of six repositories, beside a bash script over the AWS CLI and a boto3 script with eight threads, all against one
moto server. Prints seconds (minimum, median, maximum) and ratios; needs moto, boto3, awscli and jq.

Run it as: python ecr/benches/create.py [RUNS]
"""

import os
import pathlib
import statistics
import subprocess
import sys
import time
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests/peers"))
from peers import BIN, POLICY, XTASK, Workspace, environment, moto  # noqa: E402

NAMES = [f"service-{n}" for n in range(6)]


def reset(url):
    urllib.request.urlopen(urllib.request.Request(f"{url}/moto-api/reset", method="POST")).read()


def measure(name, runs, command, before, **options):
    seconds = []
    for _ in range(runs):
        before()
        began = time.monotonic()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **options)
        seconds.append(time.monotonic() - began)
    median = statistics.median(seconds)
    print(f"  {name:24} {min(seconds):8.3f} {median:8.3f} {max(seconds):8.3f}", flush=True)
    return median


def main(runs):
    workspace = Workspace(services=(), repositories=NAMES)
    # The script reads both files from its own folder.
    folder = workspace.root / "ecr"
    text = (folder / "repositories.json").read_text().replace('{"repositories"', '{"project": "bench", "repositories"')
    workspace.write("script/repositories.json", text)
    workspace.write("script/lifecycle-policy.json", POLICY)
    script = workspace.root / "script"
    with moto() as url:
        env = environment(url)
        env["PATH"] = f"{BIN}{os.pathsep}{env['PATH']}"
        ways = [
            ("bash, AWS CLI", max(1, runs // 5), ["bash", HERE / "script/create-ecr.sh"], script),
            ("boto3, eight threads", runs, [sys.executable, HERE / "boto3_create.py", script], script),
            ("cargo xtask ecr create", runs, [XTASK, "ecr", "create"], workspace.root),
        ]
        medians = {}
        for title, before in [("six absent repositories", lambda: reset(url)), ("nothing to do", lambda: None)]:
            print(f"{title}{'':<{32 - len(title)}} min   median      max  (seconds)")
            for name, n, command, cwd in ways:
                medians[name] = measure(name, n, command, before, env=env, cwd=cwd)
            ours = medians["cargo xtask ecr create"]
            for name in ("bash, AWS CLI", "boto3, eight threads"):
                print(f"  {medians[name] / ours:8.1f} times as fast as the {name}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10)
