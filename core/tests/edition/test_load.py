from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from durahub.backend import CONTRACT_VERSION
from durahub.edition import (
    Allowed,
    Edition,
    Verdict,
    admit,
    load,
    load_backend,
    scan,
)
from durahub.errors import BackendNotAdmittedError, PluginContractError, PluginImportError

if TYPE_CHECKING:
    from core.tests.edition.conftest import Site, Sites

ACME = Edition(
    name="acme",
    allowlist=(
        Allowed(backend_type="acme", distribution="acme-durahub", module="acme_durahub.plugin"),
    ),
)
CLAIM = "acme = acme_durahub.plugin"
GOOD = """
from durahub.backend import NATIVE, Backend, BackendSettings, Capabilities, ContractVersion
from durahub.plugin import BackendPlugin, hookimpl

def make(settings):
    raise AssertionError("loading makes no backend")

@hookimpl
def durahub_backend():
    return BackendPlugin(
        name="acme", contract=ContractVersion(1, 0), settings=BackendSettings, factory=make,
        capabilities=Capabilities(
            durable=NATIVE, multi_process=NATIVE, hints=NATIVE, limits=NATIVE
        ),
        summary="Acme",
    )
"""


def install(site: Site, source: str, name: str = "acme-durahub") -> None:
    files = {"acme_durahub/__init__.py": "", "acme_durahub/plugin.py": source}
    site.install(name, entry_points=CLAIM, files=files)


def verdict_of_acme() -> Verdict:
    (verdict,) = [v for v in admit(ACME, scan()) if v.candidate.backend_type == "acme"]
    return verdict


def test_load_admitted_plugin_returns_its_description(site: Site) -> None:
    install(site, GOOD)
    plugin = load_backend(ACME, "acme")
    assert (plugin.name, plugin.summary) == ("acme", "Acme")


def test_load_imports_only_the_selected_plugin(sites: Sites, tmp_path: Path) -> None:
    install(sites.add(), GOOD)
    marker = tmp_path / "imported"
    files = {"acme_other.py": f"open({str(marker)!r}, 'w').close()"}
    sites.add().install("other", entry_points="other = acme_other", files=files)
    load_backend(ACME, "acme")
    assert "acme_other" not in sys.modules
    assert not marker.exists()


def test_load_refused_verdict_raises_before_any_import(site: Site) -> None:
    install(site, GOOD, name="impostor")
    verdict = verdict_of_acme()
    with pytest.raises(BackendNotAdmittedError, match="only from acme-durahub"):
        load(verdict)
    assert "acme_durahub" not in sys.modules


@pytest.mark.parametrize(
    ("source", "cause"),
    [
        ("import acme_driver_that_is_not_installed", "ModuleNotFoundError: No module named"),
        ("raise RuntimeError('no licence')", "RuntimeError: no licence"),
        ("def", "SyntaxError: invalid syntax"),
    ],
)
def test_load_plugin_whose_import_fails_raises_with_the_cause(
    site: Site, source: str, cause: str
) -> None:
    install(site, source)
    with pytest.raises(PluginImportError) as caught:
        load(verdict_of_acme())
    assert str(caught.value).startswith(
        f"importing acme_durahub.plugin of acme-durahub 1.0 for backend 'acme' failed: {cause}"
    )
    assert caught.value.__cause__ is not None


def test_load_plugin_without_hook_raises(site: Site) -> None:
    install(site, "")
    with pytest.raises(PluginContractError, match=r"plugin of acme-durahub 1\.0 has no hook"):
        load(verdict_of_acme())


def test_load_twice_returns_equal_descriptions(site: Site) -> None:
    install(site, GOOD)
    assert load_backend(ACME, "acme") == load_backend(ACME, "acme")


@pytest.mark.parametrize(
    "source",
    ["from durahub.backend import NoSuchThing", "import durahub.backend_of_another_contract"],
)
def test_load_plugin_that_misses_something_of_the_core_hints_at_the_contract(
    site: Site, source: str
) -> None:
    install(site, source)
    with pytest.raises(PluginImportError) as caught:
        load(verdict_of_acme())
    assert f"this core has backend contract {CONTRACT_VERSION}" in str(caught.value)
    assert "install a version of it for this core" in str(caught.value)
