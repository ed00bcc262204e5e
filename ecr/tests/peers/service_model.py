"""Makes the embedded ECR's table of operations and input shapes from botocore's service model.

`python service_model.py` writes ecr/crates/embedded/src/service_model.json; test_model.py holds that file to the pinned botocore.
"""

import gzip
import json
import pathlib

TABLE = pathlib.Path(__file__).resolve().parents[2] / "crates/embedded/src/service_model.json"

# What the embedded ECR refuses by its name; it does every other operation of the model.
REFUSED = """
DescribeReplicationBackfillResults ListReplicationBackfills StartReplicationBackfill StopReplicationBackfill
""".split()

CONSTRAINTS = ("type", "required", "min", "max", "pattern", "enum")


def model():
    import botocore

    folder = pathlib.Path(botocore.__file__).parent / "data/ecr/2015-09-21"
    with gzip.open(folder / "service-2.json.gz") as file:
        return json.load(file)


def table():
    """Operations with their input shape, null where they are not supported, and every shape that is reached."""
    service = model()
    shapes = {}

    def reach(name):
        if name in shapes:
            return
        shape = service["shapes"][name]
        entry = {key: shape[key] for key in CONSTRAINTS if key in shape}
        members = {key: it["shape"] for key, it in shape.get("members", {}).items()}
        if shape["type"] == "structure":
            entry["members"] = members
        if "member" in shape:
            entry["member"] = shape["member"]["shape"]
        shapes[name] = entry
        for below in [*members.values(), *([entry["member"]] if "member" in entry else [])]:
            reach(below)

    operations = {}
    for name, operation in sorted(service["operations"].items()):
        operations[name] = None if name in REFUSED else operation["input"]["shape"]
        if operations[name]:
            reach(operations[name])
    return {"operations": operations, "shapes": dict(sorted(shapes.items()))}


def text():
    """One operation and one shape a line, so that a newer model shows as a difference."""
    parts = []
    for key, entries in table().items():
        lines = ",\n".join(f"    {json.dumps(name)}: {json.dumps(entry)}" for name, entry in entries.items())
        parts.append(f"  {json.dumps(key)}: {{\n{lines}\n  }}")
    return "{\n" + ",\n".join(parts) + "\n}\n"


if __name__ == "__main__":
    TABLE.write_text(text())
