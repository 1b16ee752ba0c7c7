"""Makes a project of your own from this template, under your backend's name.

    python vendor_template/rename.py cobalt ../cobalt-durahub

creates `../cobalt-durahub`: the distribution `cobalt-durahub`, the package `cobalt_durahub`, the classes
`CobaltBackend` and so on, the build `COBALT` with the command `cobalt-durahub`, and `backendType: cobalt`.
It needs nothing but Python.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

TEMPLATE = Path(__file__).parent
BACKEND_TYPE = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
RESERVED = {"actors", "memory", "postgres", "sqlite"}
"""What Durahub itself provides."""
LEFT_OUT = {Path(__file__).name, "__pycache__", "dist", ".venv", ".pytest_cache", ".hypothesis"}
LEFT_OUT |= {".mypy_cache", ".ruff_cache", "build", "venv"}


def spellings(backend_type: str) -> dict[str, str]:
    """Return what stands in the template, and what takes its place, the longer first."""
    identifier = backend_type.replace("-", "_")
    return {
        "acme_durahub": f"{identifier}_durahub",
        "Acme": "".join(part.capitalize() for part in backend_type.split("-")),
        "ACME": identifier.upper(),
        "acme": backend_type,
    }


def render(backend_type: str, target: Path) -> None:
    """Write the template under another name into a directory that is empty or does not exist."""
    names = spellings(backend_type)
    pattern = re.compile("|".join(names))

    def renamed(text: str) -> str:
        return pattern.sub(lambda found: names[found.group()], text)

    for source in sorted(TEMPLATE.rglob("*")):
        place = source.relative_to(TEMPLATE)
        if source.is_file() and not LEFT_OUT.intersection(place.parts):
            written = target / renamed(str(place))
            written.parent.mkdir(parents=True, exist_ok=True)
            written.write_text(renamed(source.read_text("utf-8")), "utf-8")


def main() -> None:
    """Check the arguments and render the template."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("backend_type", help="what users will write as backendType, such as cobalt")
    parser.add_argument("directory", type=Path, help="where to; empty, or not there yet")
    arguments = parser.parse_args()
    if not BACKEND_TYPE.fullmatch(arguments.backend_type):
        parser.error("a backend type has lower-case letters, digits and single dashes")
    if arguments.backend_type in RESERVED:
        parser.error(f"{arguments.backend_type} is a backend of Durahub's own")
    if arguments.directory.exists() and any(arguments.directory.iterdir()):
        parser.error(f"{arguments.directory} is not empty")
    render(arguments.backend_type, arguments.directory)
    sys.stdout.write(f"{arguments.directory}: now follow its README.md\n")


if __name__ == "__main__":
    main()
