"""Installing an SDK."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.sdks.families import FAMILIES
from tests.sdks.installation import FOLDER, InstallationError, install

SMALL = next(family for family in FAMILIES if family.name == "python-1.19")
NEEDS_NODE = next(family for family in FAMILIES if family.language == "javascript")


def test_several_at_once_install_it_once() -> None:
    with ThreadPoolExecutor() as pool:
        commands = list(pool.map(install, [SMALL] * 4))
    assert len(set(commands)) == 1
    stamp = FOLDER / SMALL.name / "installed"
    installed_at = stamp.stat().st_mtime_ns
    assert install(SMALL) == commands[0]
    assert stamp.stat().st_mtime_ns == installed_at


def test_a_missing_tool_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(InstallationError, match=r"needs `node` on the PATH: install Node\.js 18"):
        install(NEEDS_NODE)
