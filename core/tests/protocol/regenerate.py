"""Generate the protocol's Python code and type stubs from the .proto files.

`make proto` runs it and changes the working tree; with a folder as its argument it leaves the tree
alone and writes there, which is how a test finds out that the committed code is the generated one.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from importlib.resources import files
from pathlib import Path

from grpc_tools import protoc

PROTOCOL = Path(__file__).resolve().parents[2] / "src" / "durahub" / "protocol"
SOURCES = PROTOCOL / "proto"
GENERATED = PROTOCOL / "generated"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target", nargs="?", type=Path, default=GENERATED)
    target = parser.parse_args().target
    for stale in target.glob("*_pb2.py*"):
        stale.unlink()
    with tempfile.TemporaryDirectory() as scratch:
        compile_sources(Path(scratch))
        for path in Path(scratch).rglob("*_pb2.py*"):
            (target / path.name).write_text(relocated(path.read_text("utf-8")), "utf-8")


def compile_sources(folder: Path) -> None:
    arguments = [
        "protoc",
        f"--plugin=protoc-gen-mypy={Path(sys.executable).with_name('protoc-gen-mypy')}",
        f"--proto_path={SOURCES}",
        f"--proto_path={files('grpc_tools') / '_proto'}",
        f"--python_out={folder}",
        f"--mypy_out=quiet:{folder}",
        *sorted(str(path.relative_to(SOURCES)) for path in SOURCES.rglob("*.proto")),
    ]
    if protoc.main(arguments) != 0:
        raise SystemExit("protoc failed; its messages are above")


def relocated(code: str) -> str:
    # protoc takes a module's package from the folder of the .proto file, and has no option for it.
    return code.replace("from durahub.protocol.v1 import", "from durahub.protocol.generated import")


if __name__ == "__main__":
    main()
