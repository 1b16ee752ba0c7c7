"""The house rules that a linter does not know."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = (
    "core/src",
    "plugins/actors/src",
    "plugins/postgres/src",
    "plugins/sqlite/src",
    "tests/conformance/src",
)
MAX_FILE_LINES = 500
MAX_FUNCTION_LINES = 50
PINS = (ROOT / "constraints.txt", *sorted((ROOT / "tests/sdks/python").glob("*.txt")))


def _tracked(pattern: str) -> list[Path]:
    names = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", pattern],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split()
    return [ROOT / name for name in names if "/generated/" not in name and (ROOT / name).exists()]


def _product_files() -> list[Path]:
    return [file for source in SOURCES for file in _tracked(f"{source}/*.py")]


def _public_definitions(
    tree: ast.Module,
) -> Iterator[ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef]:
    """Yield public classes and functions, and the public methods of public classes."""
    for node in tree.body:
        if not isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if node.name.startswith("_"):
            continue
        yield node
        if isinstance(node, ast.ClassDef):
            yield from (
                child
                for child in node.body
                if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef)
                and not child.name.startswith("_")
                and not _is_inherited_promise(node, child)
            )


def _is_inherited_promise(
    owner: ast.ClassDef, method: ast.FunctionDef | ast.AsyncFunctionDef
) -> bool:
    """Whether the promise stands where the method is declared: in the contract, or its property."""
    decorators = {ast.unparse(decorator) for decorator in method.decorator_list}
    setter = any(name.endswith(".setter") for name in decorators)
    return setter or (bool(owner.bases) and "override" in decorators)


def test_finds_the_product() -> None:
    """The checks below look at something."""
    assert len(_product_files()) > 50


def test_keeps_every_file_short() -> None:
    sizes = {
        str(file.relative_to(ROOT)): len(file.read_text().splitlines()) for file in _tracked("*.py")
    }
    assert {name: size for name, size in sizes.items() if size > MAX_FILE_LINES} == {}


def test_keeps_every_function_short() -> None:
    long = {
        f"{file.relative_to(ROOT)}:{node.name}": node.end_lineno - node.lineno + 1
        for file in _product_files()
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.end_lineno is not None
        and node.end_lineno - node.lineno >= MAX_FUNCTION_LINES + _docstring_lines(node)
    }
    assert long == {}


def _docstring_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    docstring = ast.get_docstring(node)
    return len(docstring.splitlines()) if docstring else 0


def test_documents_every_public_name() -> None:
    silent = [
        f"{file.relative_to(ROOT)}:{node.name}"
        for file in _product_files()
        for node in _public_definitions(ast.parse(file.read_text()))
        if not file.name.startswith("_") and ast.get_docstring(node) is None
    ]
    assert silent == []


@pytest.mark.parametrize("pins", PINS, ids=lambda pins: pins.stem)
def test_pins_every_dependency_with_hashes_and_without_addresses(pins: Path) -> None:
    text = pins.read_text()
    requirements = re.split(r"\n(?=\S)", text.strip())
    unpinned = [
        entry
        for entry in requirements
        if not re.match(r"[\w.-]+==[\w.]+.*--hash=", entry, re.DOTALL)
    ]
    assert unpinned == []
    assert "://" not in text
    assert "--index" not in text


def test_commits_no_lock_file_with_addresses() -> None:
    assert _tracked("*uv.lock") == []
    locks = _tracked("*package-lock.json")
    assert len(locks) == 2
    for lock in locks:
        entries = json.loads(lock.read_text())["packages"]
        for name, entry in entries.items():
            assert "resolved" not in entry, f"{lock}: {name}"
            assert "integrity" in entry or name == "", f"{lock}: {name}"


def test_explains_every_dependency() -> None:
    explained = (ROOT / "docs/reference/dependencies.md").read_text()
    missing = [name for name in sorted(_direct_dependencies()) if f"`{name}`" not in explained]
    assert missing == []


def _direct_dependencies() -> set[str]:
    names: set[str] = set()
    for file in _tracked("*pyproject.toml"):
        table = tomllib.loads(file.read_text())
        wanted = [*table["project"].get("dependencies", ()), *table["build-system"]["requires"]]
        for group in table.get("dependency-groups", {}).values():
            wanted.extend(group)
        names.update(match.group() for text in wanted if (match := re.match(r"[\w.-]+", text)))
    return {name for name in names if not name.startswith("durahub")}
