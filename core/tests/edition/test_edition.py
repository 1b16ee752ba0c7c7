from __future__ import annotations

from dataclasses import FrozenInstanceError

import pytest
from durahub.edition import OSS, Allowed, Edition


def allowed(backend_type: str, *, default: bool = False) -> Allowed:
    return Allowed(
        backend_type=backend_type,
        distribution=f"{backend_type}-durahub",
        module="acme.plugin",
        default=default,
    )


def test_oss_allows_the_three_bundled_backends_with_actors_as_default() -> None:
    assert OSS.backend_types == ("actors", "sqlite", "postgres")
    assert OSS.default is not None
    assert OSS.default.backend_type == "actors"
    for entry in OSS.allowlist:
        assert entry.distribution == f"durahub-{entry.backend_type}"
        assert entry.module == f"durahub_{entry.backend_type}.plugin"


def test_change_edition_raises() -> None:
    with pytest.raises(FrozenInstanceError):
        OSS.allowlist = ()  # type: ignore[misc]
    with pytest.raises(FrozenInstanceError):
        OSS.allowlist[0].default = False  # type: ignore[misc]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"backend_type": ""}, "not a backend type"),
        ({"backend_type": "SQLite"}, "not a backend type"),
        ({"backend_type": "a--b"}, "not a backend type"),
        ({"backend_type": "a\n"}, "not a backend type"),
        ({"distribution": ""}, "not the name of a distribution"),
        ({"distribution": "-x"}, "not the name of a distribution"),
        ({"module": ""}, "not the name of a module"),
        ({"module": "a..b"}, "not the name of a module"),
        ({"module": "a:b"}, "not the name of a module"),
        ({"versions": "one"}, "not a set of version specifiers"),
    ],
)
def test_allow_impossible_name_raises(changes: dict[str, str], message: str) -> None:
    good = {"backend_type": "acme", "distribution": "acme-durahub", "module": "acme.plugin"}
    with pytest.raises(ValueError, match=message):
        Allowed(**(good | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize("twin", ["acme", "ac-me"])
def test_allow_type_twice_or_in_two_spellings_raises(twin: str) -> None:
    with pytest.raises(ValueError, match=f"allows a type twice: acme, {twin}"):
        Edition(name="x", allowlist=(allowed("acme"), allowed(twin)))


def test_allow_two_defaults_raises() -> None:
    entries = (allowed("one", default=True), allowed("two", default=True))
    with pytest.raises(ValueError, match="has several defaults: one, two"):
        Edition(name="x", allowlist=entries)


def test_have_no_default_is_possible() -> None:
    assert Edition(name="x", allowlist=(allowed("one"),)).default is None


def test_derive_vendor_edition_returns_new_one_and_leaves_the_old() -> None:
    acme = OSS.renamed("acme").add(allowed("acme")).remove("actors").with_default("acme")
    assert acme.name == "acme"
    assert acme.backend_types == ("sqlite", "postgres", "acme")
    assert acme.default == allowed("acme", default=True)
    assert acme.allow_editable == OSS.allow_editable
    assert OSS.backend_types == ("actors", "sqlite", "postgres")


def test_move_default_leaves_exactly_one() -> None:
    moved = OSS.with_default("sqlite")
    assert [e.backend_type for e in moved.allowlist if e.default] == ["sqlite"]


def test_remove_default_leaves_none() -> None:
    assert OSS.remove("actors").default is None


def test_add_allowed_type_again_raises() -> None:
    with pytest.raises(ValueError, match="allows a type twice"):
        OSS.add(allowed("sqlite"))


@pytest.mark.parametrize("change", [OSS.remove, OSS.with_default])
def test_change_type_that_is_not_allowed_raises(change: object) -> None:
    assert callable(change)
    with pytest.raises(ValueError, match="does not allow 'acme'"):
        change("acme")
