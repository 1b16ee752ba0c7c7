from __future__ import annotations

from collections.abc import Sequence

from durahub.edition import Allowed, Candidate, Edition, Ownership, Status, admit
from hypothesis import assume, given
from hypothesis import strategies as st
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

TYPES = ("actors", "sqlite", "postgres")

# Names near the allowed ones, so that the rules meet often; and arbitrary text.
types = st.sampled_from([*TYPES, "SQLite", "sql-ite", "acme"]) | st.text(max_size=8)
distributions = st.sampled_from(
    ["durahub-actors", "durahub-sqlite", "Durahub_SQLite", "durahubsqlite", "acme", ""]
)
targets = st.sampled_from(
    ["durahub_actors.plugin", "durahub_sqlite.plugin", "durahub_sqlite.plugin:x", "os", ""]
)
candidates = st.builds(
    Candidate,
    backend_type=types,
    distribution=distributions,
    version=st.sampled_from(["0.1", "1.0", "2.0rc1", "no version", ""]),
    target=targets,
    origin=st.sampled_from(["/site/a", "/site/b"]),
    ownership=st.sampled_from(Ownership),
)


@st.composite
def editions(draw: st.DrawFn) -> Edition:
    names = draw(st.lists(st.sampled_from(TYPES), unique=True))
    entries = (
        Allowed(
            backend_type=name,
            distribution=f"durahub-{name}",
            module=f"durahub_{name}.plugin",
            versions=draw(st.sampled_from(["", ">=1", "<2"])),
        )
        for name in names
    )
    return Edition(name="drawn", allowlist=tuple(entries), allow_editable=draw(st.booleans()))


def genuine(allowed: Allowed) -> Candidate:
    return Candidate(
        backend_type=allowed.backend_type,
        distribution=allowed.distribution,
        version="1.5",
        target=allowed.module,
        origin="/site/genuine",
        ownership=Ownership.RECORDED,
    )


def admitted(edition: Edition, found: Sequence[Candidate]) -> set[Candidate]:
    return {v.candidate for v in admit(edition, found) if v.status is Status.ADMITTED}


@given(editions(), st.lists(candidates, max_size=6))
def test_admit_anything_admits_nothing_outside_the_allowlist(
    edition: Edition, found: list[Candidate]
) -> None:
    for candidate in admitted(edition, found):
        (entry,) = (e for e in edition.allowlist if e.backend_type == candidate.backend_type)
        assert canonicalize_name(candidate.distribution) == entry.distribution
        assert candidate.target == entry.module
        assert candidate.ownership is Ownership.RECORDED or (
            edition.allow_editable and candidate.ownership is Ownership.EDITABLE
        )
        assert not entry.versions or SpecifierSet(entry.versions, prereleases=True).contains(
            candidate.version
        )
        assert {c for c in found if c.backend_type == candidate.backend_type} == {candidate}


@given(editions(), st.lists(candidates, max_size=6), st.data())
def test_admit_genuine_one_without_rivals_always_admits_it(
    edition: Edition, found: list[Candidate], data: st.DataObject
) -> None:
    assume(edition.allowlist)
    wanted = genuine(data.draw(st.sampled_from(edition.allowlist)))
    others = [c for c in found if c.backend_type != wanted.backend_type]
    assert wanted in admitted(edition, [*others, wanted])


@given(editions(), st.lists(candidates, max_size=6), candidates)
def test_admit_with_one_candidate_more_admits_no_other_one_more(
    edition: Edition, found: list[Candidate], added: Candidate
) -> None:
    assert admitted(edition, [*found, added]) - {added} <= admitted(edition, found)


@given(editions(), st.lists(candidates, max_size=6), candidates)
def test_admit_with_one_candidate_more_changes_nothing_about_other_types(
    edition: Edition, found: list[Candidate], added: Candidate
) -> None:
    before = [v for v in admit(edition, found) if v.candidate.backend_type != added.backend_type]
    after = admit(edition, [*found, added])
    assert [v for v in after if v.candidate.backend_type != added.backend_type] == before


@given(
    editions(),
    st.lists(candidates, max_size=6).flatmap(lambda c: st.tuples(st.just(c), st.permutations(c))),
)
def test_admit_in_any_order_says_the_same(
    edition: Edition, orders: tuple[list[Candidate], list[Candidate]]
) -> None:
    one, other = orders
    assert admit(edition, one) == admit(edition, other)


@given(editions(), st.lists(candidates, max_size=6))
def test_admit_says_one_thing_of_each_and_explains_every_refusal(
    edition: Edition, found: list[Candidate]
) -> None:
    verdicts = admit(edition, found)
    assert [v.candidate for v in verdicts] == sorted(set(found))
    for verdict in verdicts:
        if verdict.refusal is not None:
            assert verdict.refusal.found
            assert verdict.refusal.why
            assert verdict.refusal.remedy
