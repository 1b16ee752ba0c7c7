"""Distributions with all the right names, whose files or lists of files are not right."""

from __future__ import annotations

import json
import py_compile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.packaging.conftest import build_wheel, run

if TYPE_CHECKING:
    from tests.packaging.conftest import Environment

CLAIM = "sqlite = durahub_sqlite.plugin"
CLI = "from durahub.cli.main import main; main()"

# Tries to load the plugin once with each list of files; None: with no list at all.
TRY_RECORDS = """
import json, sys
from pathlib import Path
from durahub.edition import OSS, load_backend
from durahub.errors import DurahubError

record, answers = Path(sys.argv[1]), []
for text in json.load(sys.stdin):
    record.unlink(missing_ok=True) if text is None else record.write_text(text)
    try:
        load_backend(OSS, "sqlite")
    except DurahubError as error:
        answers.append(f"{error.reason}: {error}")
    else:
        answers.append("loaded")
print(json.dumps(answers))
"""


@pytest.fixture
def marker(tmp_path: Path) -> Path:
    """Return the file that rogue code writes when it runs."""
    return tmp_path / "ran"


@pytest.fixture
def evil(marker: Path) -> str:
    """Return a module that writes the marker."""
    return f"open({str(marker)!r}, 'w').close()\n"


@pytest.fixture
def impostor(tmp_path: Path, evil: str) -> Path:
    """Return a wheel with every name of the genuine backend, and a RECORD that is in order."""
    files = {"durahub_sqlite/__init__.py": evil, "durahub_sqlite/plugin.py": evil}
    return build_wheel(tmp_path, "durahub-sqlite", version="0.1.0", claims=CLAIM, files=files)


def assert_would_run(environment: Environment, marker: Path) -> None:
    """Assert that nothing rogue ran so far, and that an import would run it."""
    assert not marker.exists()
    environment.run_python("import durahub_sqlite.plugin")
    assert marker.exists()


def test_record_that_proves_nothing_is_refused(
    environment: Environment, impostor: Path, marker: Path
) -> None:
    environment.install(impostor)
    (info,) = environment.site_packages.glob("durahub_sqlite-*.dist-info")
    names = ("durahub_sqlite/__init__.py", "durahub_sqlite/plugin.py")
    outside = ["../site-packages/{}", f"{environment.site_packages}/{{}}", "durahub_sqlite/../{}"]
    records = ["", "\0", '"', *("".join(f"{way.format(n)},,\n" for n in names) for way in outside)]
    hashes = ("sha256=AAAA", "md5=AAAA", "sha256=", "")
    unproven = ["".join(f"{name},{value},\n" for name in names) for value in hashes]
    tried = run(
        [environment.python, "-c", TRY_RECORDS, info / "RECORD"],
        given=json.dumps([None, *records, *unproven]),
    )
    answers = json.loads(tried)
    owned = len(answers) - len(unproven)
    assert owned == 7
    for answer in answers[:owned]:
        assert answer.startswith("module-outside-distribution: backend 'sqlite' is refused:")
    for answer in answers[owned:]:
        assert answer.startswith("files-altered: backend 'sqlite' is refused:")
    assert all("; reinstall durahub-sqlite" in answer for answer in answers)
    assert_would_run(environment, marker)


def test_files_of_a_stranger_in_a_genuine_distribution_are_refused(
    environment: Environment, wheels: dict[str, Path], evil: str, marker: Path, tmp_path: Path
) -> None:
    environment.install(wheels["sqlite"])
    namespace = tmp_path / "path" / "durahub_sqlite"
    namespace.mkdir(parents=True)
    (namespace / "plugin.py").write_text(evil)
    # A namespace package shadows nothing, even if it comes first.
    assert environment.probe("sqlite", PYTHONPATH=str(namespace.parent))["error"] is None
    package = environment.site_packages / "durahub_sqlite"
    _compile(evil, environment, package / "plugin.py", tmp_path)
    name, message = environment.probe("sqlite")["error"]
    assert name == "BackendNotAdmittedError"
    assert "the bytecode of durahub_sqlite/plugin.py was made of something else" in message
    (package / "plugin.py").unlink()
    stranger = {"durahub_sqlite/plugin.py": evil}
    environment.install(build_wheel(tmp_path, "stranger", version="1", claims="", files=stranger))
    message = environment.probe("sqlite")["error"][1]
    assert "durahub_sqlite/plugin.py is not what was installed" in message
    assert_would_run(environment, marker)


def _compile(code: str, environment: Environment, source: Path, directory: Path) -> None:
    """Put bytecode of some code beside a source file, as a wheel would carry it."""
    (directory / "evil.py").write_text(code)
    where = "import importlib.util as u, sys; print(u.cache_from_source(sys.argv[1]))"
    py_compile.compile(
        str(directory / "evil.py"),
        run([environment.python, "-c", where, source]).strip(),
        doraise=True,
        # Then Python compares it with no source.
        invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
    )


def test_lock_holds_off_an_impostor_whose_record_is_in_order(
    environment: Environment, wheels: dict[str, Path], impostor: Path, marker: Path, tmp_path: Path
) -> None:
    environment.install(wheels["sqlite"])
    lock = tmp_path / "lock"
    run([environment.python, "-c", CLI, "backends", "lock", "--file", lock])
    environment.install(impostor)
    with pytest.raises(AssertionError, match="and the lock has sha256:") as caught:
        run([environment.python, "-c", CLI, "backends", "verify", "--file", lock])
    assert "write the lock anew with: durahub backends lock" in str(caught.value)
    assert_would_run(environment, marker)


def test_code_that_runs_when_python_starts_is_not_prevented_and_admits_nothing(
    environment: Environment, evil: str, marker: Path, tmp_path: Path
) -> None:
    # The limit of the policy, as docs/explanation/builds-and-trust.md states it.
    files = {"rogue.pth": f"import sys; exec({evil!r})\n", "rogue/plugin.py": ""}
    environment.install(
        build_wheel(tmp_path, "acme", version="1", claims="acme = rogue.plugin", files=files)
    )
    report = environment.probe("acme")
    assert marker.exists()
    assert report["verdicts"] == [["acme", "acme", "type-not-allowed"]]
    assert report["error"][0] == "BackendNotAdmittedError"
