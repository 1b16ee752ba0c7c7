"""What configuration files take from elsewhere: none of it may be shown, whatever it is used for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from durahub.config.envelope import read_envelope
from durahub.config.references import Sources, expand, is_reference
from durahub.config.secret_stores import NO_SECRET_STORES, SecretStores
from durahub.config.tree import Items, Node, Scalar, Table, leaves


def referenced_values(
    paths: Sequence[Path],
    *,
    environ: Mapping[str, str],
    secret_stores: SecretStores = NO_SECRET_STORES,
) -> frozenset[str]:
    """Return the values of all references in files: of variables, files and secrets.

    Args:
        paths: The files; `load_configuration` has accepted them.
        environ: As there.
        secret_stores: As there.

    Raises:
        ConfigError: A file can't be read, or a reference can't be followed.
    """
    asked = _Asked(environ)
    sources = Sources(environ=asked, secret_stores=secret_stores)
    values: set[str] = set()
    for path in paths:
        envelope = read_envelope(path)
        nodes = (envelope.workflow, *(entry.value for entry in envelope.sections.values()))
        for node in (part for whole in nodes for part in _scalars_and_references(whole)):
            values.update(str(leaf) for leaf in leaves(expand(node, sources)) if is_reference(node))
    return frozenset(values | asked.given) - {""}


class _Asked(dict[str, str]):
    """Environment variables that remember which values they were asked for."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        super().__init__(environ)
        self.given: set[str] = set()

    def get(self, name: str, default: str | None = None, /) -> str | None:  # type: ignore[override]  # of str only
        value = super().get(name, default)
        if value is not None:
            self.given.add(value)
        return value


def _scalars_and_references(node: Node) -> Iterator[Node]:
    if isinstance(node, Scalar) or is_reference(node):
        yield node
    elif isinstance(node, Items):
        for item in node.items:
            yield from _scalars_and_references(item)
    elif isinstance(node, Table):
        for entry in node.entries.values():
            yield from _scalars_and_references(entry.value)
