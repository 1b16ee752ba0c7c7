from __future__ import annotations

from dataclasses import replace

from durahub.edition import OSS, Availability, Candidate, Ownership, admit, take_inventory

SQLITE = Candidate(
    backend_type="sqlite",
    distribution="durahub-sqlite",
    version="0.1.0",
    target="durahub_sqlite.plugin",
    origin="/site/a",
    ownership=Ownership.RECORDED,
)


def test_take_inventory_tells_installed_refused_and_missing_apart() -> None:
    impostor = replace(SQLITE, backend_type="postgres")
    entries = take_inventory(OSS, admit(OSS, [SQLITE, impostor]))
    assert [(e.allowed.backend_type, e.availability, e.version) for e in entries] == [
        ("actors", Availability.NOT_INSTALLED, ""),
        ("sqlite", Availability.INSTALLED, "0.1.0"),
        ("postgres", Availability.REFUSED, ""),
    ]
