"""Whose code would run, decided without running any of it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import NamedTuple

from durahub.edition.candidate import Ownership


class Owner(NamedTuple):
    """The answer to whose code an import would run.

    Attributes:
        ownership: The answer.
        file: Path of the file that decided it, or what stands for it; empty if there is none.
    """

    ownership: Ownership
    file: str = ""


def find_owner(module: str, *, files: frozenset[str], project: str | None) -> Owner:
    """Decide whose code `import module` would run, for the distribution that claims the module.

    Asks the finders of the running interpreter, as an import would, so a module of the same name
    earlier on `sys.path` is seen. Nothing is imported. Below the top level, namespace packages can't
    be looked into without an import, and a module in one counts as missing.

    Args:
        module: Dotted name; anything else is a module that does not exist.
        files: Real paths of the files of the distribution.
        project: Real path of the source directory, if the distribution is an editable install.
    """
    if not all(map(str.isidentifier, module.split("."))):
        return Owner(Ownership.MISSING)
    specs = tuple(_specs_on_the_way(module))
    if not specs or specs[-1].name != module or _is_namespace(specs[-1]):
        return Owner(Ownership.MISSING)
    # A namespace package has no code that could run.
    sources = [_source(spec) for spec in specs if not _is_namespace(spec)]
    outside = [source for source in sources if source not in files]
    foreign = [source for source in outside if not _is_below(source, project)]
    if foreign:
        return Owner(Ownership.FOREIGN, foreign[0])
    return Owner(Ownership.EDITABLE if outside else Ownership.RECORDED, sources[-1])


def _specs_on_the_way(module: str) -> Iterator[ModuleSpec]:
    """Yield the specs of the parent packages and of the module, as far as they are found."""
    path: list[str] | None = None
    name = ""
    for part in module.split("."):
        name = f"{name}.{part}".lstrip(".")
        spec = _find_spec(name, path)
        if spec is None:
            return
        yield spec
        if spec.submodule_search_locations is None:
            return
        path = list(spec.submodule_search_locations)


def _find_spec(name: str, path: list[str] | None) -> ModuleSpec | None:
    # importlib.util.find_spec would import the parent packages.
    try:
        found = (finder.find_spec(name, path) for finder in tuple(sys.meta_path))
        return next((spec for spec in found if spec is not None), None)
    except KeyError:
        # A namespace package below another package asks sys.modules for its parent.
        return None


def _is_namespace(spec: ModuleSpec) -> bool:
    return spec.origin is None and spec.submodule_search_locations is not None


def _source(spec: ModuleSpec) -> str:
    if spec.origin is None or not spec.has_location:
        return f"<{spec.origin or spec.name}>"
    return os.path.realpath(spec.origin)


def _is_below(source: str, directory: str | None) -> bool:
    return directory is not None and Path(source).is_relative_to(directory)
