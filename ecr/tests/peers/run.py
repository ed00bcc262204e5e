"""Runs the modules of this folder, several side by side, as most of them wait more than they compute.

    run.py [--jobs N] [MODULE ..]

Each module has a process of its own, whose output is printed as a whole when it ends. Those that take longest begin first. The
exit code is 1 if a module has failed, and at the end stands which."""

import argparse
import concurrent.futures
import os
import pathlib
import subprocess
import sys
import time

FOLDER = pathlib.Path(__file__).parent
# What keeps a processor busy for minutes, from the longest down. The order of the others does not matter.
LONG = ["test_adopt", "test_docs", "test_clients", "test_ci_kit", "test_context"]
# No module takes a quarter of this.
LIMIT = 3600


def run(module):
    """The output of a module, whether it has passed, and its time in seconds."""
    began = time.monotonic()
    command = [sys.executable, "-W", "ignore", "-m", "unittest", "--verbose", module]
    try:
        done = subprocess.run(command, cwd=FOLDER, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True, errors="replace", timeout=LIMIT)
        output, passed = done.stdout, done.returncode == 0
    except subprocess.TimeoutExpired as error:
        output, passed = f"{(error.stdout or b'').decode(errors='replace')}\nstopped after {LIMIT} s", False
    return output, passed, time.monotonic() - began


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("modules", nargs="*")
    flags = parser.parse_args()
    modules = flags.modules or sorted(it.stem for it in FOLDER.glob("test_*.py"))
    modules.sort(key=lambda it: LONG.index(it) if it in LONG else len(LONG))
    failed = []
    with concurrent.futures.ThreadPoolExecutor(flags.jobs) as pool:
        running = {pool.submit(run, it): it for it in modules}
        for ended in concurrent.futures.as_completed(running):
            output, passed, seconds = ended.result()
            print(f"-- {running[ended]} ({seconds:.0f} s)\n{output}", flush=True)
            if not passed:
                failed.append(running[ended])
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
