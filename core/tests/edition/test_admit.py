from __future__ import annotations

from dataclasses import replace

import pytest
from durahub.edition import OSS, Allowed, Candidate, Edition, Ownership, Reason, Status, admit

SQLITE = Candidate(
    backend_type="sqlite",
    distribution="durahub-sqlite",
    version="0.1.0",
    target="durahub_sqlite.plugin",
    origin="/site/durahub_sqlite-0.1.0.dist-info",
    ownership=Ownership.RECORDED,
    imported_from="/site/durahub_sqlite/plugin.py",
)
BOUNDED = OSS.remove("sqlite").add(
    replace(next(e for e in OSS.allowlist if e.backend_type == "sqlite"), versions=">=0.1,<0.3")
)
NO_EDITABLE = replace(OSS, allow_editable=False)


def refuse(candidate: Candidate, edition: Edition = OSS) -> tuple[Reason, str]:
    (verdict,) = admit(edition, [candidate])
    assert verdict.status is Status.REFUSED
    assert verdict.refusal is not None
    return verdict.refusal.reason, verdict.explanation


def test_admit_genuine_distribution_admits() -> None:
    (verdict,) = admit(OSS, [SQLITE])
    assert verdict.status is Status.ADMITTED
    assert verdict.explanation == "durahub-sqlite 0.1.0 provides 'sqlite'"


@pytest.mark.parametrize("name", ["Durahub-SQLite", "durahub_sqlite", "durahub.sqlite"])
def test_admit_other_spelling_of_the_distribution_admits(name: str) -> None:
    (verdict,) = admit(OSS, [replace(SQLITE, distribution=name)])
    assert verdict.status is Status.ADMITTED


def test_admit_letters_that_only_lower_case_makes_equal_refuses() -> None:
    kobalt = Allowed(backend_type="kobalt", distribution="kobalt", module="kobalt.plugin")
    fake = replace(
        SQLITE, backend_type="kobalt", distribution="\u212aobalt", target="kobalt.plugin"
    )
    assert refuse(fake, OSS.add(kobalt))[0] is Reason.WRONG_DISTRIBUTION


@pytest.mark.parametrize("version", ["0.1.0", "0.2.9", "0.2.0rc1"])
def test_admit_version_in_range_admits(version: str) -> None:
    (verdict,) = admit(BOUNDED, [replace(SQLITE, version=version)])
    assert verdict.status is Status.ADMITTED


def test_admit_unknown_type_explains_what_the_build_allows() -> None:
    reason, explanation = refuse(
        replace(SQLITE, backend_type="acme", distribution="acme-durahub", target="acme.plugin")
    )
    assert reason is Reason.TYPE_NOT_ALLOWED
    assert explanation == (
        "acme-durahub 0.1.0 (/site/durahub_sqlite-0.1.0.dist-info) claims backend type 'acme'"
        " with 'acme.plugin'; the build 'oss' allows only actors, sqlite, postgres; use a build"
        " whose allowlist names this backend; no setting widens this one"
    )


@pytest.mark.parametrize("name", ["SQLite", "sql-ite", "sqlite_", "s.q.l.i.t.e", " sqlite"])
def test_admit_other_spelling_of_a_type_refuses(name: str) -> None:
    reason, explanation = refuse(replace(SQLITE, backend_type=name))
    assert reason is Reason.TYPE_LOOKS_LIKE_ALLOWED
    assert "differs from 'sqlite', which this build reserves, only in its spelling" in explanation


@pytest.mark.parametrize("name", ["acmelite", "Acme-Lite", "acme_lite"])
def test_admit_other_spelling_of_a_type_with_a_dash_refuses(name: str) -> None:
    edition = OSS.add(Allowed(backend_type="acme-lite", distribution="acme", module="acme"))
    reason, _ = refuse(replace(SQLITE, backend_type=name), edition)
    assert reason is Reason.TYPE_LOOKS_LIKE_ALLOWED


@pytest.mark.parametrize("name", ["acme-sqlite", "durahubsqlite", "durahub-sqlite2", ""])
def test_admit_another_distribution_refuses(name: str) -> None:
    reason, explanation = refuse(replace(SQLITE, distribution=name))
    assert reason is Reason.WRONG_DISTRIBUTION
    assert "takes 'sqlite' only from durahub-sqlite" in explanation


@pytest.mark.parametrize(
    "target", ["durahub_sqlite.plugin:make", "durahub_sqlite.plugin[x]", "os:system"]
)
def test_admit_target_with_attribute_or_extras_refuses(target: str) -> None:
    reason, explanation = refuse(replace(SQLITE, target=target))
    assert reason is Reason.TARGET_NOT_A_MODULE
    assert "exactly 'durahub_sqlite.plugin' for it, without attribute or extras" in explanation


@pytest.mark.parametrize("target", ["os", "durahub_sqlite", "durahub_sqlite.plugin2", ""])
def test_admit_another_module_refuses(target: str) -> None:
    reason, _ = refuse(replace(SQLITE, target=target))
    assert reason is Reason.WRONG_MODULE


def test_admit_module_of_something_else_refuses_and_names_the_file() -> None:
    reason, explanation = refuse(
        replace(SQLITE, ownership=Ownership.FOREIGN, imported_from="/cwd/durahub_sqlite.py")
    )
    assert reason is Reason.MODULE_OUTSIDE_DISTRIBUTION
    assert "would run /cwd/durahub_sqlite.py, which is no file of that" in explanation


def test_admit_missing_module_refuses() -> None:
    reason, _ = refuse(replace(SQLITE, ownership=Ownership.MISSING))
    assert reason is Reason.MODULE_OUTSIDE_DISTRIBUTION


def test_admit_editable_install_is_up_to_the_edition() -> None:
    editable = replace(SQLITE, ownership=Ownership.EDITABLE)
    (verdict,) = admit(OSS, [editable])
    assert verdict.status is Status.ADMITTED
    reason, _ = refuse(editable, NO_EDITABLE)
    assert reason is Reason.EDITABLE_NOT_ALLOWED


@pytest.mark.parametrize("version", ["0.0.9", "0.3", "", "latest"])
def test_admit_version_outside_the_range_refuses(version: str) -> None:
    reason, explanation = refuse(replace(SQLITE, version=version), BOUNDED)
    assert reason is Reason.VERSION_OUT_OF_RANGE
    assert explanation.endswith("install 'durahub-sqlite>=0.1,<0.3'")


def test_admit_two_claimants_refuses_both_and_names_both() -> None:
    rival = replace(SQLITE, distribution="acme", origin="/site/acme.dist-info")
    verdicts = admit(OSS, [SQLITE, rival])
    assert [v.refusal and v.refusal.reason for v in verdicts] == [Reason.CONFLICT] * 2
    for verdict in verdicts:
        assert "acme 0.1.0 (/site/acme.dist-info) and durahub-sqlite 0.1.0" in verdict.explanation


def test_admit_two_copies_of_one_distribution_refuses_both() -> None:
    copy = replace(SQLITE, origin="/elsewhere/durahub_sqlite-0.1.0.dist-info")
    verdicts = admit(OSS, [SQLITE, copy])
    assert [v.refusal and v.refusal.reason for v in verdicts] == [Reason.CONFLICT] * 2


def test_admit_look_alike_beside_the_genuine_one_leaves_the_genuine_one() -> None:
    verdicts = admit(OSS, [SQLITE, replace(SQLITE, backend_type="SQLite")])
    assert [v.candidate for v in verdicts if v.status is Status.ADMITTED] == [SQLITE]
