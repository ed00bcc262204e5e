"""One blob of 200 MB into the embedded ECR and into Debian's docker-registry, in turn, with the same client.

Run it as: python ecr/benches/upload.py [ROUNDS]
"""

import os
import pathlib
import statistics
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "tests/peers"))
from peers import client, embedded, free_port, process, wait_for  # noqa: E402
from test_durability import upload  # noqa: E402

SIZE = 200 * 1024 * 1024


def main(rounds):
    with tempfile.TemporaryDirectory() as folder:
        port = free_port()
        config = pathlib.Path(folder) / "config.yml"
        config.write_text(f"version: 0.1\nlog: {{level: error}}\nhttp: {{addr: '127.0.0.1:{port}'}}\n"
                          f"storage: {{filesystem: {{rootdirectory: '{folder}/registry'}}}}\n")
        peer = f"http://127.0.0.1:{port}"
        with embedded(pathlib.Path(folder) / "state") as url, process(["docker-registry", "serve", str(config)]):
            wait_for(f"{peer}/v2/")
            ecr = client("ecr", url)
            ecr.create_repository(repositoryName="large")
            token = ecr.get_authorization_token()["authorizationData"][0]["authorizationToken"]
            times = {"embedded ECR": [], "docker-registry": []}
            for _ in range(rounds):
                # Another blob each time: neither may skip what it has.
                chunk = os.urandom(1 << 20)
                times["embedded ECR"].append(upload(url, "large", {"authorization": f"Basic {token}"}, SIZE, chunk)[1])
                times["docker-registry"].append(upload(peer, "large", {}, SIZE, chunk)[1])
    for name, measured in times.items():
        median = statistics.median(measured)
        print(f"{name:<16} {median:6.2f} s  {SIZE / 1e6 / median:7.0f} MB/s  (best {min(measured):.2f} s)")
    ratio = statistics.median(times["docker-registry"]) / statistics.median(times["embedded ECR"])
    print(f"the embedded ECR is {ratio:.2f} times as fast")
    return 0 if ratio >= 1 else 1


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 5))
