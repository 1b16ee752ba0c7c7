"""The documentation shows what exists, and what it shows runs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import durahub.backend
import pytest
from durahub import errors
from durahub.plugin import hookspec

from tests.e2e.sidecar import next_port
from tests.layout.documented_settings import settings
from tests.layout.reference_pages import pages

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


def _blocks(page: str, language: str) -> list[str]:
    text = (DOCS / page).read_text()
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def test_every_page_is_in_the_table_of_contents() -> None:
    pages = {path.relative_to(DOCS).with_suffix("").as_posix() for path in DOCS.rglob("*.md")}
    listed = set(re.findall(r"^[a-z-]+/[a-z0-9-]+$", (DOCS / "index.md").read_text(), re.MULTILINE))
    pages -= {page for page in pages if page.startswith(("decisions/", "_build/"))}
    assert pages - {"index"} == listed - {"decisions/index"}


def test_every_error_is_in_the_overview() -> None:
    assert errors.__doc__ is not None
    named = set(re.findall(r"^ +(\w+Error)\b", errors.__doc__, re.MULTILINE))
    public = {
        name
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, errors.DurahubError)
    }
    assert named == public


def test_every_name_of_the_contract_is_in_its_reference() -> None:
    text = (DOCS / "reference/contract.md").read_text()
    documented = set(re.findall(r"automodule:: ([\w.]+)", text))
    classes = set(re.findall(r"autoclass:: [\w.]+\.(\w+)", text))
    for name in durahub.backend.__all__:
        value = getattr(durahub.backend, name)
        module = getattr(value, "__module__", None)
        if isinstance(value, type) and name != "BackendSettings":
            assert module in documented - {"durahub.backend.contract"} or name in classes, name


@pytest.mark.parametrize(("name", "text"), sorted(pages().items()))
def test_generated_pages_say_what_the_code_says(name: str, text: str) -> None:
    written = (DOCS / "reference" / name).read_text()
    assert written == text, "run: python -m tests.layout.reference_pages"


def test_every_hook_is_documented() -> None:
    page = (DOCS / "reference/plugin-hook.md").read_text()
    assert "automodule:: durahub.plugin.hookspec" in page
    hooks = [
        name for name, value in vars(hookspec).items() if hasattr(value, f"{hookspec.PROJECT}_spec")
    ]
    assert hooks
    assert [name for name in hooks if f"`{name}`" not in page] == []


@pytest.mark.parametrize(
    ("where", "keys"), [pytest.param(*rest, id=name) for name, *rest in settings()]
)
def test_every_setting_is_documented(where: tuple[str, ...], keys: frozenset[str]) -> None:
    text = "\n".join((ROOT / page).read_text() for page in where)
    assert keys
    assert sorted(key for key in keys if not re.search(rf"\b{key}\b", text)) == []


@pytest.mark.timeout(90)
def test_first_workflow_runs_as_the_tutorial_says(tmp_path: Path) -> None:
    page = "tutorial/first-workflow.md"
    (app,) = _blocks(page, "python")
    (tmp_path / "app.py").write_text(app.replace("time.sleep(2)", "time.sleep(0.1)"))
    run = (
        *(str(Path(sys.executable).with_name("durahub")), "run", "--app-id", "first"),
        *("--dapr-http-port", str(next_port())),
        *("--dapr-grpc-port", str(next_port()), "--", sys.executable, "app.py"),
    )
    done = subprocess.run(
        run,
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"]},
        stdout=subprocess.PIPE,
        text=True,
        timeout=80,
        check=True,
    )
    assert done.stdout.startswith("started first\nCOMPLETED ")
    assert '["reserve a book: done", "pay a book: done", "ship a book: done"]' in done.stdout
    assert (tmp_path / ".durahub" / "state.db").is_file()
