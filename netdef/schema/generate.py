"""How are the generated protobuf modules made? ``python -m netdef.schema.generate`` (needs the `dev` extra).

The generated code must load under every protobuf runtime that netdef allows, and a runtime refuses code newer
than itself. So it is made with the protoc of the oldest runtime allowed (grpcio-tools 1.75, protoc 31.1).
"""

from __future__ import annotations

import hashlib
import sys
import tempfile
from importlib import import_module
from pathlib import Path
from typing import Any

SCHEMA = Path(__file__).parent
PROTOS = SCHEMA.parent.parent / "protos"
NAMES = ("netdef", "weights")


def digest(name: str) -> str:
    """SHA-256 of ``protos/<name>.proto``, as the header of its generated module records it."""
    return hashlib.sha256((PROTOS / f"{name}.proto").read_bytes()).hexdigest()


def header(name: str) -> str:
    """First line of a generated module: the text it was made from."""
    return f"# Made by netdef.schema.generate from protos/{name}.proto, sha256 {digest(name)}\n"


def generate(name: str, into: Path = SCHEMA) -> None:
    """Write ``<name>_pb2.py`` and ``.pyi`` into a folder; raises RuntimeError where protoc refuses."""
    protoc: Any = import_module("grpc_tools.protoc")

    with tempfile.TemporaryDirectory() as out:
        # The mapped name goes into the process-wide descriptor pool, where a bare "netdef.proto" could clash.
        file = f"netdef/schema/{name}.proto"
        arguments = ["protoc", f"-Inetdef/schema={PROTOS}", f"--python_out={out}", f"--pyi_out={out}", file]
        if protoc.main(arguments) != 0:
            raise RuntimeError(f"protoc refused protos/{name}.proto")
        for suffix in (".py", ".pyi"):
            # protoc leaves `Mapping` bare in stubs.
            lenient = '# mypy: disable-error-code="type-arg"\n' if suffix == ".pyi" else ""
            text = (Path(out) / f"netdef/schema/{name}_pb2{suffix}").read_text(encoding="utf-8")
            (into / f"{name}_pb2{suffix}").write_text(header(name) + lenient + text, encoding="utf-8")


if __name__ == "__main__":
    for each in sys.argv[1:] or NAMES:
        generate(each)
