"""What an installed plugin's files are, and that they are looked at before they run."""

from __future__ import annotations

import json
import py_compile
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from py_compile import PycInvalidationMode
from typing import TYPE_CHECKING

import pytest
from durahub.edition import (
    Allowed,
    BackendLock,
    Candidate,
    Edition,
    LockedBackend,
    Reason,
    admit,
    examine,
    find_lock,
    load,
    make_lock,
    read_lock,
    scan,
    take_fingerprint,
)
from durahub.errors import BackendNotAdmittedError, ConfigError

if TYPE_CHECKING:
    from core.tests.edition.conftest import Site

ACME = Edition(
    name="acme",
    allowlist=(
        Allowed(backend_type="acme", distribution="acme-durahub", module="acme_durahub.plugin"),
    ),
)
CLAIM = "acme = acme_durahub.plugin"
FILES = {"acme_durahub/__init__.py": "", "acme_durahub/plugin.py": "x = 1\n"}


@pytest.fixture
def package(site: Site) -> Path:
    """Install Acme's plugin and return its package."""
    site.install("acme-durahub", entry_points=CLAIM, files=FILES)
    return site.root / "acme_durahub"


def candidate() -> Candidate:
    (found,) = [one for one in scan() if one.backend_type == "acme"]
    return found


def refusal(lock: BackendLock | None = None) -> tuple[Reason, str] | None:
    """Return what stands against loading Acme; assert that trying does not import it."""
    (verdict,) = admit(ACME, [candidate()])
    assert verdict.refusal is None
    found = examine(verdict, lock=lock).refusal
    if found is None:
        return None
    with pytest.raises(BackendNotAdmittedError) as caught:
        load(verdict, lock=lock)
    assert caught.value.reason is found.reason
    assert "acme_durahub" not in sys.modules
    return found.reason, found.why


@pytest.mark.usefixtures("package")
def test_files_as_installed_have_no_faults() -> None:
    found = take_fingerprint(candidate())
    assert found.faults == ()
    assert found.files == 2
    assert found.digest.startswith("sha256:")
    assert refusal() is None


def test_bytecode_changes_nothing(package: Path) -> None:
    before = take_fingerprint(candidate())
    (package / "__pycache__").mkdir()
    (package / "__pycache__" / "plugin.cpython-311.pyc").write_bytes(b"x")
    assert take_fingerprint(candidate()) == before


@pytest.mark.parametrize(
    "mode", [PycInvalidationMode.CHECKED_HASH, PycInvalidationMode.UNCHECKED_HASH]
)
def test_bytecode_that_was_made_of_something_else_is_refused(
    package: Path, mode: PycInvalidationMode
) -> None:
    source = package / "plugin.py"
    cached = Path(py_compile.compile(str(source), invalidation_mode=mode, doraise=True) or "")
    assert refusal() is None
    (evil := package.parent / "evil.py").write_text("raise SystemExit")
    body = Path(py_compile.compile(str(evil), cfile=str(evil) + "c", doraise=True) or "")
    # Names the hash of the genuine source, so that Python would run it.
    cached.write_bytes(cached.read_bytes()[:16] + body.read_bytes()[16:])
    made_of_else = "the bytecode of acme_durahub/plugin.py was made of something else"
    assert refusal() == (Reason.FILES_ALTERED, made_of_else)
    cached.write_bytes(cached.read_bytes()[:20])
    assert refusal() == (Reason.FILES_ALTERED, made_of_else)


def test_directory_that_leads_elsewhere_is_refused(package: Path, tmp_path: Path) -> None:
    (tmp_path / "evil").mkdir()
    (tmp_path / "evil" / "__init__.py").write_text("")
    (package / "backend").symlink_to(tmp_path / "evil")
    assert refusal() == (Reason.FILES_ALTERED, "acme_durahub/backend leads elsewhere")


def test_plugin_in_a_zip_file_is_refused(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = shutil.make_archive(str(package.parent.parent / "site"), "zip", package.parent)
    monkeypatch.setattr(sys, "path", [archive, *sys.path])
    monkeypatch.delitem(sys.path_importer_cache, str(package.parent), raising=False)
    shutil.rmtree(package.parent)
    assert refusal() == (
        Reason.FILES_ALTERED,
        "nothing of acme_durahub can be compared with a RECORD",
    )


@pytest.mark.usefixtures("package")
def test_lock_without_a_digest_admits_nothing() -> None:
    found = replace(take_fingerprint(candidate()), digest="")
    empty = LockedBackend(distribution="acme-durahub", version="1.0", digest="")
    lock = BackendLock(edition="acme", backends={"acme": empty})
    assert (
        lock.fault_of(candidate(), found)
        == "its files are not recorded, and the lock has no digest"
    )


def test_one_changed_byte_is_refused(package: Path) -> None:
    before = take_fingerprint(candidate()).digest
    (package / "plugin.py").write_text("x = 2\n")
    assert take_fingerprint(candidate()).digest != before
    assert refusal() == (Reason.FILES_ALTERED, "acme_durahub/plugin.py is not what was installed")


def test_missing_file_is_refused(site: Site) -> None:
    site.install("acme-durahub", entry_points=CLAIM, files={**FILES, "acme_durahub/more.py": ""})
    (site.root / "acme_durahub" / "more.py").unlink()
    assert refusal() == (Reason.FILES_ALTERED, "acme_durahub/more.py is missing")


def test_code_that_does_not_belong_to_the_distribution_is_refused(package: Path) -> None:
    (package / "backend.abi3.so").write_bytes(b"")
    why = "acme_durahub/backend.abi3.so does not belong to the distribution"
    assert refusal() == (Reason.FILES_ALTERED, why)


def test_code_without_a_recorded_hash_is_refused(site: Site) -> None:
    record = "".join(f"{path},,\n" for path in FILES)
    site.install("acme-durahub", entry_points=CLAIM, files=FILES, record=record)
    assert refusal() == (
        Reason.FILES_ALTERED,
        "acme_durahub/__init__.py has no SHA-256 in RECORD and 1 more",
    )


@pytest.mark.usefixtures("package")
def test_lock_admits_what_it_was_made_of() -> None:
    lock = make_lock("acme", admit(ACME, scan()))
    assert set(lock.backends) == {"acme"}
    assert refusal(lock) is None


@pytest.mark.usefixtures("package")
def test_lock_refuses_another_version_other_files_and_what_it_does_not_name() -> None:
    here = make_lock("acme", admit(ACME, scan())).backends["acme"]
    older = LockedBackend(distribution="acme-durahub", version="0.9", digest=here.digest)
    other = LockedBackend(distribution="acme-durahub", version="1.0", digest="sha256:0")
    for locked, why in (
        ({"acme": older}, "the lock names acme-durahub 0.9"),
        ({"acme": other}, f"its files are {here.digest}, and the lock has sha256:0"),
        ({}, "the lock does not name 'acme'"),
    ):
        lock = BackendLock(edition="acme", backends=locked)
        assert refusal(lock) == (Reason.NOT_AS_LOCKED, why)


@pytest.mark.usefixtures("package")
def test_lock_comes_back_as_it_was_written(tmp_path: Path) -> None:
    lock = make_lock("acme", admit(ACME, scan()))
    (tmp_path / "lock").write_text(lock.to_json())
    assert read_lock(tmp_path / "lock") == lock


@pytest.mark.usefixtures("package")
def test_process_is_held_to_the_lock_that_the_environment_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert find_lock() is None
    lock = BackendLock(edition="acme", backends={})
    (tmp_path / "lock").write_text(lock.to_json())
    monkeypatch.setenv("DURAHUB_BACKENDS_LOCK", str(tmp_path / "lock"))
    assert find_lock() == lock


@pytest.mark.parametrize("text", ["", "[]", "{}", json.dumps({"format": 2}), '{"format": 1}'])
def test_unusable_lock_is_an_error_and_not_no_lock(text: str, tmp_path: Path) -> None:
    (tmp_path / "lock").write_text(text)
    with pytest.raises(ConfigError, match="durahub backends lock"):
        read_lock(tmp_path / "lock")
    with pytest.raises(ConfigError, match="can't be read"):
        read_lock(tmp_path / "absent")
