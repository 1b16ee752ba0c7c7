"""What the documentation shows: configurations load, Python compiles, command lines exist."""

from __future__ import annotations

import ast
import re
import shlex
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click
import pytest
import yaml
from durahub.cli.main import build_command
from durahub.config import load_configuration
from durahub.config.components import load_components
from durahub.config.secret_stores import FileSecrets, SecretStores
from durahub.config.store import validate_store_configuration
from durahub.edition import OSS, load_backend
from durahub_conformance.commands import main as kit
from pydantic import SecretStr

DOCS = Path(__file__).parents[2] / "docs"
PAGES = [page for page in sorted(DOCS.rglob("*.md")) if "_build" not in page.parts]

PROGRAMS: dict[str, click.Command] = {
    "durahub": build_command(OSS),
    "cobalt-durahub": build_command(OSS),
    "durahub-conformance": kit,
}
_FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^ *```$", re.DOTALL | re.MULTILINE)
_INLINE = re.compile(r"`((?:cobalt-)?durahub(?:-conformance)? [^`]+)`")
_HEAD = {"apiVersion": "dapr.io/v1alpha1", "kind": "Configuration", "metadata": {"name": "shown"}}
_URL = "postgresql://orders@db.example/orders"
"""What every reference leads to."""


@dataclass(frozen=True)
class Snippet:
    """A block of a page."""

    page: Path
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(DOCS)}:{self.line}"


def snippets(*languages: str) -> list[Snippet]:
    found = []
    for page in PAGES:
        text = page.read_text()
        for match in _FENCE.finditer(text):
            line = text.count("\n", 0, match.start()) + 1
            block = textwrap.dedent(match[3])
            if match[2] in languages:
                found.append(Snippet(page, line, match[2], block))
    return found


def command_lines() -> list[Snippet]:
    """Every command of ours that stands in a block, in an indented line, or in a sentence."""
    lines = []
    for page in PAGES:
        whole = re.sub(r"\\\n *", " ", page.read_text())
        for number, line in enumerate(whole.splitlines(), 1):
            lines += [Snippet(page, number, "", text) for text in _commands_of(line)]
    return lines


def _commands_of(line: str) -> Iterator[str]:
    text = line.strip().removeprefix("$ ")
    names = "|".join(sorted(PROGRAMS, key=len, reverse=True))
    if re.match(rf"(?:[A-Z_]+=\S+ )*(?:\.venv/bin/)?(?:{names}) [a-z-]", text):
        yield re.sub(r"^(?:[A-Z_]+=\S+ )*(?:\.venv/bin/)?", "", text)
    yield from _INLINE.findall(line)


def documents(snippet: Snippet) -> list[object]:
    """Return the documents of a block; a part of a configuration is put where it belongs."""
    loaded = [document for document in yaml.safe_load_all(snippet.text) if document is not None]
    return [_whole(document) for document in loaded]


def _whole(document: object) -> object:
    if not isinstance(document, dict) or "kind" in document:
        return document
    if "spec" in document:
        return _HEAD | document
    # An indented part of what stands under spec.workflow.
    return _HEAD | {"spec": {"workflow": document}}


@pytest.mark.parametrize("snippet", snippets("yaml"), ids=str)
def test_yaml_is_what_the_loaders_take(snippet: Snippet, tmp_path: Path) -> None:
    for document in documents(snippet):
        assert isinstance(document, dict)
        if not document["apiVersion"].startswith("dapr.io/"):
            continue  # Kubernetes' own
        (tmp_path / "secret").write_text(_URL)
        text = re.sub(r"fileRef: \S+", f"fileRef: {tmp_path / 'secret'}", yaml.safe_dump(document))
        (file := tmp_path / "shown.yaml").write_text(text)
        if document["kind"] == "Configuration":
            _load_configuration(file)
        else:
            _load_component(document["spec"], file)


def _load_configuration(file: Path) -> None:
    loaded = load_configuration([file], environ=_environ(file), secret_stores=_secrets(file))
    assert not loaded.unknown_keys
    if loaded.backend_type in OSS.backend_types:
        plugin = load_backend(OSS, loaded.backend_type)
        validate_store_configuration(plugin.settings, loaded)


def _load_component(spec: dict[str, list[dict[str, object]]], file: Path) -> None:
    for item in spec["metadata"]:
        if item.pop("secretKeyRef", None) is not None:
            item["value"] = _URL
    document = _HEAD | {"kind": "Component", "spec": spec}
    file.write_text(yaml.safe_dump(document))
    components = load_components([file], environ=_environ(file))
    assert len(components) == str(spec["type"]).startswith("state.")


def _environ(file: Path) -> dict[str, str]:
    """Return every variable that a file refers to."""
    names = re.findall(r"envRef: (\w+)|\$\{(\w+)\}", file.read_text())
    return {one or other: _URL for one, other in names}


def _secrets(file: Path) -> SecretStores:
    """Return every secret that a file refers to."""
    stores: dict[str, dict[str, dict[str, SecretStr]]] = {}
    for reference in _references(yaml.safe_load(file.read_text())):
        secrets = stores.setdefault(reference.get("secretStore", "only"), {})
        name = reference["name"]
        secrets.setdefault(name, {})[reference.get("key", name)] = SecretStr(_URL)
    return SecretStores({name: FileSecrets(secrets) for name, secrets in stores.items()})


def _references(node: object) -> Iterator[dict[str, str]]:
    children = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    for child in children:
        yield from _references(child)
    if isinstance(node, dict) and isinstance(reference := node.get("secretKeyRef"), dict):
        yield reference


@pytest.mark.parametrize("snippet", snippets("python"), ids=str)
def test_python_compiles(snippet: Snippet) -> None:
    tree = ast.parse(snippet.text, filename=str(snippet))
    assert tree.body


def test_command_lines_name_what_exists() -> None:
    assert [fault for snippet in command_lines() if (fault := _fault_of(snippet))] == []


def _fault_of(snippet: Snippet) -> str | None:
    words = shlex.split(snippet.text, comments=True)
    words = words[: words.index("--")] if "--" in words else words
    command, rest = _resolve(words)
    if isinstance(command, click.Group) and rest and not rest[0].startswith(("-", "COMMAND")):
        return f"{snippet}: there is no command {rest[0]!r} in {snippet.text!r}"
    own = {name for parameter in command.params for name in parameter.opts}
    used = {word.partition("=")[0] for word in rest if re.match(r"--?[a-z]", word)}
    unknown = used - own - {"--help", "-h", "--version"}
    return f"{snippet}: there is no {', '.join(unknown)} in {snippet.text!r}" if unknown else None


def _resolve(words: list[str]) -> tuple[click.Command, list[str]]:
    """Return the command that is meant, and what follows its name."""
    command, rest = PROGRAMS[words[0]], words[1:]
    while isinstance(command, click.Group) and rest:
        inner = command.get_command(click.Context(command), rest[0])
        if inner is None:
            break
        command, rest = inner, rest[1:]
    return command, rest


@pytest.mark.parametrize(
    "text", ["durahub frob", "durahub wf frob", "durahub serve --frob", "cobalt-durahub db plan -x"]
)
def test_a_command_that_is_not_there_is_found(text: str) -> None:
    assert _fault_of(Snippet(DOCS / "page.md", 1, "", text)) is not None


def test_there_is_something_to_look_at() -> None:
    assert len(snippets("yaml")) > 10
    assert len(snippets("python")) > 4
    assert len(command_lines()) > 60
