"""What the command `acme-durahub` may load."""

from __future__ import annotations

from acme_durahub.build import ACME
from durahub.edition import OSS, load_backend


def test_build_loads_its_own_backend_by_default() -> None:
    assert load_backend(ACME, None).name == "acme"


def test_build_keeps_what_it_took_from_the_open_source_build() -> None:
    assert ACME.backend_types == ("sqlite", "postgres", "acme")
    assert ACME.find("postgres") == OSS.find("postgres")
