from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from durahub.edition import Candidate, Ownership, scan

if TYPE_CHECKING:
    from core.tests.edition.conftest import Site, Sites

PLUGIN = {"acme_durahub/__init__.py": "", "acme_durahub/plugin.py": ""}
CLAIM = "acme = acme_durahub.plugin"


def claims(backend_type: str = "acme") -> list[Candidate]:
    return [c for c in scan() if c.backend_type == backend_type]


def test_scan_installed_plugin_finds_all_facts(site: Site) -> None:
    info = site.install("Acme_Durahub", version="1.2", entry_points=CLAIM, files=PLUGIN)
    assert claims() == [
        Candidate(
            backend_type="acme",
            distribution="Acme_Durahub",
            version="1.2",
            target="acme_durahub.plugin",
            origin=str(info),
            ownership=Ownership.RECORDED,
            imported_from=str(site.root / "acme_durahub/plugin.py"),
        )
    ]


def test_scan_two_distributions_of_one_name_finds_both(sites: Sites) -> None:
    real, impostor = sites.add(), sites.add()
    real.install("acme-durahub", entry_points=CLAIM, files=PLUGIN)
    impostor.install("acme-durahub", entry_points="acme = acme_rogue", files={"acme_rogue.py": ""})
    assert [c.target for c in claims()] == ["acme_rogue", "acme_durahub.plugin"]


def test_scan_directory_twice_on_the_path_finds_its_plugin_once(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.install("acme-durahub", entry_points=CLAIM, files=PLUGIN)
    link = tmp_path / "link"
    link.symlink_to(site.root)
    monkeypatch.syspath_prepend(site.root)
    monkeypatch.syspath_prepend(link)
    assert len(claims()) == 1


def test_scan_several_claims_of_one_distribution_finds_each(site: Site) -> None:
    site.install("acme-durahub", entry_points=f"{CLAIM}\nacme = os\nacme-two = acme_durahub.plugin")
    assert [c.target for c in claims()] == ["acme_durahub.plugin", "os"]
    assert len(claims("acme-two")) == 1


def test_scan_other_group_finds_nothing(site: Site) -> None:
    info = site.install("acme-durahub", files=PLUGIN)
    (info / "entry_points.txt").write_text("[console_scripts]\nacme = durahub.backends:main\n")
    assert claims() == []


def test_scan_never_imports_what_it_finds(site: Site, tmp_path: Path) -> None:
    marker = tmp_path / "imported"
    evil = f"open({str(marker)!r}, 'w').close()"
    files = {"acme_durahub/__init__.py": evil, "acme_durahub/plugin.py": evil}
    site.install("acme-durahub", entry_points=CLAIM, files=files)
    assert claims()[0].ownership is Ownership.RECORDED
    assert not marker.exists()
    assert "acme_durahub" not in sys.modules
    __import__("acme_durahub.plugin")
    assert marker.exists()


def test_scan_module_missing_from_record_is_foreign(site: Site) -> None:
    site.install(
        "acme-durahub", entry_points=CLAIM, files=PLUGIN, record="acme_durahub/__init__.py,,\n"
    )
    (found,) = claims()
    assert found.ownership is Ownership.FOREIGN
    assert found.imported_from == str(site.root / "acme_durahub/plugin.py")


def test_scan_parent_package_missing_from_record_is_foreign(site: Site) -> None:
    site.install(
        "acme-durahub", entry_points=CLAIM, files=PLUGIN, record="acme_durahub/plugin.py,,\n"
    )
    (found,) = claims()
    assert found.ownership is Ownership.FOREIGN
    assert found.imported_from == str(site.root / "acme_durahub/__init__.py")


def test_scan_module_shadowed_earlier_on_the_path_is_foreign(sites: Sites) -> None:
    sites.add().install("acme-durahub", entry_points=CLAIM, files=PLUGIN)
    shadow = sites.add()
    shadow.install("other", files=PLUGIN)
    (found,) = claims()
    assert found.ownership is Ownership.FOREIGN
    assert found.imported_from.startswith(str(shadow.root))


def test_scan_record_that_leaves_its_directory_owns_nothing_there(sites: Sites) -> None:
    other, rogue = sites.add(), sites.add()
    other.install("other", files={"acme_other.py": ""})
    record = f"../{other.root.name}/acme_other.py,,\n{other.root}/acme_other.py,,\n"
    rogue.install("acme-durahub", entry_points="acme = acme_other", record=record)
    assert claims()[0].ownership is Ownership.FOREIGN


@pytest.mark.parametrize("module", ["os", "sys", "json"])
def test_scan_standard_library_module_is_foreign(site: Site, module: str) -> None:
    site.install("acme-durahub", entry_points=f"acme = {module}")
    assert claims()[0].ownership is Ownership.FOREIGN


@pytest.mark.parametrize(
    "target",
    [
        "acme_missing",
        "acme_durahub.missing",
        "acme_durahub.plugin.deeper",
        "acme_durahub..plugin",
        "acme_durahub.plugin:x",
        "acme_space",
        "acme_space.sub.plugin",
        "../acme_durahub/plugin",
    ],
)
def test_scan_target_without_a_module_is_missing(site: Site, target: str) -> None:
    files = PLUGIN | {"acme_space/sub/plugin.py": ""}
    site.install("acme-durahub", entry_points=f"acme = {target}", files=files)
    (found,) = claims()
    assert (found.target, found.ownership) == (target, Ownership.MISSING)


def test_scan_module_in_top_level_namespace_package_is_recorded(site: Site) -> None:
    files = {"acme_space/plugin.py": ""}
    site.install("acme-durahub", entry_points="acme = acme_space.plugin", files=files)
    assert claims()[0].ownership is Ownership.RECORDED


def editable(project: Path, *, flag: object = True) -> dict[str, object]:
    return {"url": project.as_uri(), "dir_info": {"editable": flag}}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a source directory whose `src` is on the path, as a `.pth` file puts it there."""
    project = tmp_path / "my project"
    for name, content in PLUGIN.items():
        path = project / "src" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    monkeypatch.syspath_prepend(project / "src")
    return project


def test_scan_editable_install_is_editable(site: Site, project: Path) -> None:
    site.install("acme-durahub", entry_points=CLAIM, direct_url=editable(project))
    (found,) = claims()
    assert found.ownership is Ownership.EDITABLE
    assert found.imported_from == str(project / "src/acme_durahub/plugin.py")


def test_scan_editable_install_of_another_directory_is_foreign(
    site: Site, project: Path, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "my"
    elsewhere.mkdir()
    site.install("acme-durahub", entry_points=CLAIM, direct_url=editable(elsewhere))
    assert project.is_dir()
    assert claims()[0].ownership is Ownership.FOREIGN


@pytest.mark.parametrize(
    "direct_url",
    [
        {"url": "PROJECT", "dir_info": {"editable": False}},
        {"url": "PROJECT", "dir_info": {"editable": "yes"}},
        {"url": "PROJECT", "dir_info": {}},
        {"url": "file:///", "dir_info": {"editable": True}},
        {"url": "file:", "dir_info": {"editable": True}},
        {"url": "file:///tmp/..", "dir_info": {"editable": True}},
        {"url": "file:///tmp/%00", "dir_info": {"editable": True}},
        {"url": "file://[", "dir_info": {"editable": True}},
        {"url": "HTTPS", "dir_info": {"editable": True}},
        {"url": "PROJECT", "archive_info": {}},
        ["PROJECT"],
        None,
    ],
)
def test_scan_install_that_is_not_editable_is_foreign(
    site: Site, project: Path, direct_url: object
) -> None:
    if isinstance(direct_url, dict):
        uri = project.as_uri()
        urls = {"PROJECT": uri, "HTTPS": uri.replace("file:///", "https://localhost/")}
        direct_url = direct_url | {"url": urls.get(direct_url["url"], direct_url["url"])}
    site.install("acme-durahub", entry_points=CLAIM, direct_url=direct_url)
    assert claims()[0].ownership is Ownership.FOREIGN


def test_scan_built_in_module_of_an_editable_install_in_the_current_directory_is_foreign(
    site: Site, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project)
    site.install("acme-durahub", entry_points="acme = sys", direct_url=editable(project))
    assert claims()[0].ownership is Ownership.FOREIGN


@pytest.mark.parametrize("broken", ["METADATA", "entry_points.txt", "RECORD", "direct_url.json"])
def test_scan_unreadable_metadata_of_one_distribution_leaves_the_others(
    sites: Sites, broken: str
) -> None:
    sites.add().install("acme-durahub", entry_points=CLAIM, files=PLUGIN)
    info = sites.add().install("broken", entry_points="acme-two = os", direct_url={})
    (info / broken).write_bytes(b"\xff\x00\xff")
    assert len(claims()) == 1
    for candidate in claims("acme-two"):
        assert candidate.ownership is Ownership.FOREIGN


@pytest.mark.parametrize(
    ("name", "text"),
    [("direct_url.json", "[" * 200_000), ("RECORD", "acme\0.py,,\n"), ("RECORD", '"')],
    ids=["deep", "nul", "quote"],
)
def test_scan_metadata_made_to_stop_it_stops_nothing(site: Site, name: str, text: str) -> None:
    info = site.install("acme-durahub", entry_points=CLAIM, files=PLUGIN, direct_url={})
    (info / name).write_text(text)
    assert len(claims()) == 1


def test_scan_record_that_is_no_csv_owns_nothing(site: Site) -> None:
    record = "acme_durahub/plugin.py,,\n" + "x" * 200_000
    site.install("acme-durahub", entry_points=CLAIM, files=PLUGIN, record=record)
    assert claims()[0].ownership is Ownership.FOREIGN


def test_scan_distribution_without_name_has_an_empty_one(site: Site) -> None:
    info = site.install("acme-durahub", entry_points=CLAIM, files=PLUGIN)
    (info / "METADATA").write_text("Metadata-Version: 2.4\n")
    (found,) = claims()
    assert (found.distribution, found.version) == ("", "")
    assert found.provider == "a distribution without a name"


def test_scan_unprintable_and_long_texts_escapes_and_cuts_them(site: Site) -> None:
    site.install("acme-durahub", entry_points=f"\x1b[31macme = {'x' * 300}")
    (found,) = claims(r"\x1b[31macme")
    assert found.target == "x" * 200 + "..."


def test_import_scan_leaves_the_finders_of_the_process_alone() -> None:
    script = """
import sys
from importlib.machinery import PathFinder
finders, find = list(sys.meta_path), PathFinder.__dict__["find_distributions"]
import durahub.edition.scan
assert "importlib_metadata" in sys.modules
assert sys.meta_path == finders, sys.meta_path
assert PathFinder.__dict__["find_distributions"] is find
import importlib.metadata, importlib_metadata
assert importlib.metadata.version("pluggy") == importlib_metadata.version("pluggy")
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=30)


def test_import_scan_after_somebody_imported_the_backport_changes_nothing() -> None:
    script = """
import sys, importlib_metadata
from importlib.machinery import PathFinder
finders = list(sys.meta_path)
import durahub.edition.scan
assert sys.meta_path == finders, sys.meta_path
assert not hasattr(PathFinder, "find_distributions")
assert "durahub-core" in {d.name for d in importlib_metadata.distributions()}
assert importlib_metadata.version("pluggy")
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=30)


@pytest.mark.parametrize(
    "broken", [b"[durahub.backends]\nnoequals\n", b"[durahub.backends]\na = \xff\n"]
)
def test_scan_passes_over_entry_points_that_cannot_be_read(site: Site, broken: bytes) -> None:
    info = site.install("evil")
    (info / "entry_points.txt").write_bytes(broken)
    site.install("acme", entry_points="acme = acme", files={"acme.py": ""})
    found = {candidate.distribution for candidate in scan()}
    assert "acme" in found
    assert "evil" not in found
