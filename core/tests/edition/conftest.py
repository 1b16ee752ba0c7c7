from __future__ import annotations

import base64
import hashlib
import importlib
import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest


def sha256(text: str) -> str:
    """Return the digest of a file as RECORD has it."""
    digest = hashlib.sha256(text.encode()).digest()
    return "sha256=" + base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


@dataclass(frozen=True, kw_only=True)
class Site:
    """A directory on `sys.path` into which distributions are put as an installer would."""

    root: Path

    def install(
        self,
        name: str,
        *,
        version: str = "1.0",
        entry_points: str = "",
        files: Mapping[str, str] | None = None,
        record: str | None = None,
        direct_url: object = None,
        stem: str | None = None,
    ) -> Path:
        """Install one distribution; return the path of its metadata.

        `record` replaces the list of files that `files` would give.
        """
        files = files or {}
        for path, content in files.items():
            target = self.root / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(content)
        info = self.root / f"{stem or name.replace('-', '_')}-{version}.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.4\nName: {name}\nVersion: {version}\n")
        (info / "RECORD").write_text(
            "".join(f"{path},{sha256(text)},\n" for path, text in files.items())
            if record is None
            else record
        )
        if entry_points:
            (info / "entry_points.txt").write_text(f"[durahub.backends]\n{entry_points}\n")
        if direct_url is not None:
            (info / "direct_url.json").write_text(json.dumps(direct_url))
        importlib.invalidate_caches()
        return info


@dataclass(frozen=True, kw_only=True)
class Sites:
    """Makes sites, each earlier on `sys.path` than those before it."""

    directory: Path
    patch: pytest.MonkeyPatch
    made: list[Site] = field(default_factory=list)

    def add(self) -> Site:
        site = Site(root=self.directory / f"site{len(self.made)}")
        site.root.mkdir()
        self.made.append(site)
        self.patch.syspath_prepend(site.root)
        return site


@pytest.fixture
def sites(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sites]:
    """Return a maker of sites; what was imported from them is forgotten at the end."""
    before = set(sys.modules)
    yield Sites(directory=tmp_path, patch=monkeypatch)
    for name in set(sys.modules) - before:
        if name.startswith("acme"):
            del sys.modules[name]


@pytest.fixture
def site(sites: Sites) -> Site:
    """Return one site."""
    return sites.add()
