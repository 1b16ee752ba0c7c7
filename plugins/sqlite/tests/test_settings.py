from __future__ import annotations

from pathlib import Path

import pytest
from durahub_sqlite import SqliteBackend, SqliteSettings
from pydantic import ValidationError


@pytest.mark.parametrize(
    ("connection_string", "path"),
    [
        ("sqlite:///hub.db", Path("hub.db")),
        ("sqlite:///state/hub.db", Path("state/hub.db")),
        ("sqlite:////var/lib/hub.db", Path("/var/lib/hub.db")),
        ("hub.db", Path("hub.db")),
        ("./a b/%20?#.db", Path("a b/%20?#.db")),
        ("/var/lib/hub.db", Path("/var/lib/hub.db")),
        ("sqlite://", None),
        (":memory:", None),
        ("sqlite:///:memory:", None),
    ],
)
def test_connection_string_names_a_file_or_memory(
    connection_string: str, path: Path | None
) -> None:
    settings = SqliteSettings.model_validate({"connectionString": connection_string})
    assert settings.path == path


@pytest.mark.parametrize(
    ("connection_string", "hint"),
    [
        ("postgresql://user:secret@host/db", "write sqlite:///relative.db"),
        ("file:hub.db?mode=memory", "write sqlite:///relative.db"),
        ("sqlite:hub.db", "write sqlite:///relative.db"),
        ("sqlite://hub.db", "write sqlite:///relative.db"),
        ("sqlite:///hub.db?mode=ro", "options"),
        ("sqlite:///", "path is empty"),
        ("", "path is empty"),
        ("a\0b", "NUL"),
    ],
)
def test_connection_string_of_another_form_is_refused(connection_string: str, hint: str) -> None:
    with pytest.raises(ValidationError, match=hint) as caught:
        SqliteSettings.model_validate({"connectionString": connection_string})
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "wrong", [{"synchronous": "off"}, {"conectionString": "hub.db"}, {"connectionString": 7}]
)
def test_wrong_keys_and_values_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        SqliteSettings.model_validate(wrong)


def test_defaults_are_a_durable_file() -> None:
    settings = SqliteSettings()
    assert settings.path == Path("durahub.db")
    assert settings.synchronous == "full"


def test_settings_are_populated_by_name_too() -> None:
    assert SqliteSettings(connection_string="hub.db").path == Path("hub.db")


def test_capabilities_differ_between_file_and_memory() -> None:
    assert SqliteBackend(SqliteSettings()).capabilities.durable
    memory = SqliteBackend(SqliteSettings(connection_string="sqlite://"))
    assert not memory.capabilities.durable
    assert memory.describe() == "sqlite::memory:"
