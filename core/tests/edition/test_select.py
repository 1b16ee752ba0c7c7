from __future__ import annotations

from dataclasses import replace

import pytest
from durahub.edition import OSS, Candidate, Edition, Ownership, Reason, select
from durahub.errors import (
    BackendNotAdmittedError,
    BackendNotInstalledError,
    PluginConflictError,
    UnknownBackendError,
)

SQLITE = Candidate(
    backend_type="sqlite",
    distribution="durahub-sqlite",
    version="0.1.0",
    target="durahub_sqlite.plugin",
    origin="/site/a",
    ownership=Ownership.RECORDED,
)
ACTORS = replace(
    SQLITE,
    backend_type="actors",
    distribution="durahub-actors",
    target="durahub_actors.plugin",
)
ACME = replace(
    SQLITE, backend_type="acme", distribution="acme-durahub", target="acme.plugin", version="1"
)


def test_select_installed_type_returns_its_verdict() -> None:
    assert select(OSS, "sqlite", [ACTORS, SQLITE]).candidate == SQLITE


def test_select_nothing_returns_the_default_of_the_build() -> None:
    assert select(OSS, None, [ACTORS, SQLITE]).candidate == ACTORS


def test_select_nothing_in_a_build_without_default_raises() -> None:
    with pytest.raises(
        UnknownBackendError, match=r"set spec\.workflow\.backendType to one of: sqlite"
    ):
        select(OSS.remove("actors"), None, [SQLITE])


def test_select_allowed_type_that_is_not_installed_says_what_to_install() -> None:
    with pytest.raises(BackendNotInstalledError) as caught:
        select(OSS, "postgres", [SQLITE], location="a.yaml:7: spec.workflow.backendType")
    assert str(caught.value) == (
        "a.yaml:7: spec.workflow.backendType: backend 'postgres' is allowed by the build 'oss' and"
        " not installed; install it with: pip install 'durahub-postgres';"
        " or set spec.workflow.backendType to what is: sqlite"
    )
    assert caught.value.distribution == "durahub-postgres"


def test_select_misspelt_type_suggests_the_nearest() -> None:
    with pytest.raises(UnknownBackendError) as caught:
        select(OSS, "Postgresql", [], location="a.yaml:7: spec.workflow.backendType")
    assert str(caught.value) == (
        "a.yaml:7: spec.workflow.backendType: unknown backend 'Postgresql'; did you mean"
        " 'postgres'? The build 'oss' allows: actors, sqlite, postgres"
    )
    assert (caught.value.name, caught.value.suggestion) == ("Postgresql", "postgres")


@pytest.mark.parametrize("name", ["", "zzz"])
def test_select_type_near_nothing_lists_what_is_allowed(name: str) -> None:
    with pytest.raises(UnknownBackendError) as caught:
        select(OSS, name, [])
    assert str(caught.value) == (
        f"unknown backend {name!r}; the build 'oss' allows: actors, sqlite, postgres"
    )
    assert caught.value.suggestion is None


def test_select_in_an_empty_build_raises() -> None:
    with pytest.raises(UnknownBackendError, match="the build 'none' allows: none"):
        select(Edition(name="none", allowlist=()), "sqlite", [])


def test_select_refused_type_raises_with_the_explanation() -> None:
    with pytest.raises(
        BackendNotAdmittedError, match="the build 'oss' allows only actors"
    ) as caught:
        select(OSS, "acme", [ACME, SQLITE], location="a.yaml:7")
    assert caught.value.reason == Reason.TYPE_NOT_ALLOWED
    assert str(caught.value).startswith("a.yaml:7: backend 'acme' is refused: acme-durahub 1 (")


def test_select_type_with_two_claimants_raises_conflict() -> None:
    rival = replace(SQLITE, distribution="acme", origin="/site/b")
    with pytest.raises(PluginConflictError, match="all claim backend type 'sqlite'"):
        select(OSS, "sqlite", [SQLITE, rival, ACTORS])


def test_select_another_type_is_not_hurt_by_a_conflict() -> None:
    rival = replace(SQLITE, distribution="acme", origin="/site/b")
    assert select(OSS, "actors", [SQLITE, rival, ACTORS]).candidate == ACTORS
