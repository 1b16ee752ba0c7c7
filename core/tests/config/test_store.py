from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import Annotated, Literal

import pytest
from durahub.backend import BackendSettings
from durahub.config import Configuration, validate_store_configuration
from durahub.errors import ConfigError, DurahubError, PluginContractError
from pydantic import (
    AliasChoices,
    AliasPath,
    BaseModel,
    Field,
    SecretStr,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

Load = Callable[..., Configuration]
CANARY = "hunter2-xyzzyq"


class Pool(BackendSettings):
    size: int = Field(default=5, ge=1, le=100)
    mode: Literal["session", "transaction"] = "session"


class File(BackendSettings):
    path: str


class Settings(BackendSettings):
    dsn: SecretStr = Field(validation_alias="connectionString")
    pool: Pool = Pool()
    hosts: tuple[str, ...] = ()
    pools: dict[str, Pool] = Field(default={})
    place: Pool | File | None = None
    old: str = Field(
        default="", validation_alias=AliasChoices("newName", "oldName", AliasPath("a", 0))
    )
    deep: str = Field(default="", validation_alias=AliasPath("deeper", "still"))

    @field_validator("dsn")
    @classmethod
    def _has_scheme(cls, value: SecretStr) -> SecretStr:
        text = value.get_secret_value()
        if text.startswith("echo:"):
            raise ValueError(f"cannot connect to {text}")
        if text.startswith("part:"):
            raise ValueError(f"no host called {text.removeprefix('part:').upper()}")
        if not text.startswith("pg:"):
            raise ValueError("should start with pg:")
        return value

    @model_validator(mode="after")
    def _fits(self) -> Settings:
        if self.hosts == ("crash",):
            raise KeyError(self.dsn.get_secret_value())
        if len(self.hosts) > self.pool.size:
            raise ValueError("more hosts than connections")
        return self


def refuse(load: Load, workflow: str, model: type[BackendSettings] = Settings) -> str:
    configuration = load(workflow)
    with pytest.raises(ConfigError) as caught:
        validate_store_configuration(model, configuration)
    return str(caught.value)


def test_validate_good_store_configuration_returns_settings(load_workflow: Load) -> None:
    configuration = load_workflow(
        "storeConfiguration: {connectionString: '${DSN}', pool: {size: '${SIZE}'}}",
        environ={"DSN": f"pg:{CANARY}", "SIZE": "9"},
    )
    validated = validate_store_configuration(Settings, configuration)
    assert validated.dsn.get_secret_value() == f"pg:{CANARY}"
    assert validated.pool.size == 9


def test_validate_without_store_configuration_returns_the_defaults_of_the_backend() -> None:
    assert validate_store_configuration(Pool, Configuration()) == Pool()


@pytest.mark.parametrize(
    ("workflow", "message"),
    [
        (
            "storeConfiguration:\n  poool: {}\n  connectionString: pg:x",
            "a.yaml:8: spec.workflow.storeConfiguration.poool: unknown key; did you mean 'pool'?",
        ),
        (
            "storeConfiguration:\n  pool: {}\n",
            "a.yaml:7: spec.workflow.storeConfiguration.connectionString: required key is missing",
        ),
        (
            "storeConfiguration:\n  connectionString: pg:x\n  pool:\n    siz: 1\n    size: 0",
            (
                "a.yaml:10: spec.workflow.storeConfiguration.pool.siz: unknown key;"
                " did you mean 'size'?\n"
                "a.yaml:11: spec.workflow.storeConfiguration.pool.size:"
                " should be greater than or equal to 1"
            ),
        ),
        (
            "storeConfiguration:\n  connectionString: pg:x\n  pools: {a: {siz: 1}}",
            "a.yaml:9: spec.workflow.storeConfiguration.pools.a.siz: unknown key",
        ),
        (
            f"storeConfiguration:\n  connectionString: pg:x\n  pool: {{size: {CANARY}}}",
            (
                "a.yaml:9: spec.workflow.storeConfiguration.pool.size:"
                " expected a whole number, found a string"
            ),
        ),
        (
            f"storeConfiguration:\n  connectionString: pg:x\n  pool: {{mode: {CANARY}}}",
            (
                "a.yaml:9: spec.workflow.storeConfiguration.pool.mode:"
                " should be 'session' or 'transaction'"
            ),
        ),
        (
            f"storeConfiguration:\n  connectionString: pg:x\n  hosts: [a, [{CANARY}]]",
            "a.yaml:9: spec.workflow.storeConfiguration.hosts[1]: expected a string, found a list",
        ),
        (
            f"storeConfiguration:\n  connectionString: {CANARY}",
            "a.yaml:8: spec.workflow.storeConfiguration.connectionString: should start with pg:",
        ),
        (
            "storeConfiguration:\n  connectionString: pg:x\n  hosts: [a, b]\n  pool: {size: 1}",
            "a.yaml:7: spec.workflow.storeConfiguration: more hosts than connections",
        ),
        (
            "storeConfiguration:\n  connectionString: pg:x\n  oldNam: x",
            (
                "a.yaml:9: spec.workflow.storeConfiguration.oldNam: unknown key;"
                " did you mean 'oldName'?"
            ),
        ),
        (
            "storeConfiguration:\n  connectionString: pg:x\n  place: {other: 1}",
            (
                "a.yaml:9: spec.workflow.storeConfiguration.place.other: unknown key\n"
                "a.yaml:9: spec.workflow.storeConfiguration.place.path: required key is missing"
            ),
        ),
    ],
)
def test_validate_wrong_store_configuration_raises_with_the_message(
    load_workflow: Load, workflow: str, message: str
) -> None:
    assert refuse(load_workflow, workflow) == message


@pytest.mark.parametrize(
    ("dsn", "message"),
    [
        (f"echo:{CANARY}", "cannot connect to ***"),
        (f"part:{CANARY}", "no host called ***"),
        ("connects:x", "should start with pg:"),
    ],
)
def test_validate_masks_what_a_validator_repeats(
    load_workflow: Load, dsn: str, message: str
) -> None:
    assert refuse(load_workflow, f"storeConfiguration:\n  connectionString: {dsn}") == (
        f"a.yaml:8: spec.workflow.storeConfiguration.connectionString: {message}"
    )


def test_validate_shows_constant_text_whole_and_masks_its_context(load_workflow: Load) -> None:
    class Strict(BackendSettings):
        path: str
        scheme: str

        @field_validator("path")
        @classmethod
        def _is_plain(cls, _value: str) -> str:
            raise PydanticCustomError("acme_path", "write sqlite:///x instead")

        @field_validator("scheme")
        @classmethod
        def _is_known(cls, value: str) -> str:
            raise PydanticCustomError("acme_scheme", "no scheme {found}", {"found": value})

    store = f"storeConfiguration:\n  path: sqlite:x{CANARY}\n  scheme: {CANARY}"
    assert refuse(load_workflow, store, Strict) == (
        "a.yaml:8: spec.workflow.storeConfiguration.path: write sqlite:///x instead\n"
        "a.yaml:9: spec.workflow.storeConfiguration.scheme: no scheme ***"
    )


def test_validate_missing_key_without_section_names_the_key() -> None:
    with pytest.raises(ConfigError) as caught:
        validate_store_configuration(File, Configuration())
    assert str(caught.value) == "spec.workflow.storeConfiguration.path: required key is missing"


def test_validate_model_that_crashes_raises_without_its_message(load_workflow: Load) -> None:
    configuration = load_workflow(
        f"storeConfiguration: {{connectionString: pg:{CANARY}, hosts: [crash]}}"
    )
    with pytest.raises(PluginContractError, match="raised KeyError instead of a") as caught:
        validate_store_configuration(Settings, configuration)
    assert CANARY not in shown(caught.value)


def shown(error: DurahubError) -> str:
    """Return all that a program would print or log of an error."""
    return "".join(traceback.format_exception(error)) + repr(error) + str(vars(error))


def test_show_configuration_hides_what_is_in_the_store_configuration(load_workflow: Load) -> None:
    configuration = load_workflow(
        f"storeConfiguration: {{a: {CANARY}, b: ['{CANARY}'], c: {{d: '${{X}}'}}}}",
        environ={"X": CANARY},
    )
    assert CANARY not in repr(configuration) + repr(configuration.store)
    assert CANARY not in repr(configuration.store.table.entries)
    assert CANARY not in configuration.model_dump_json() + str(configuration.model_dump())


PLACES = (
    "backendType: {}",
    "maxConcurrentWorkflows: {}",
    "maxConcurrentWorkflows: 1\nmaxConcurrentWorkflowInvocations: {}",
    "workflowConcurrencyLimits: {}",
    "workflowConcurrencyLimits: [{}]",
    "workflowConcurrencyLimits: [{{name: [{}], maxConcurrent: {}}}]",
    "stateRetentionPolicy: {}",
    "stateRetentionPolicy: {{failed: {}}}",
    "storeConfiguration: {}",
    "storeConfiguration: {{connectionString: {}}}",
    "storeConfiguration: {{connectionString: [{}]}}",
    "storeConfiguration: {{connectionString: 'echo:x', hosts: [{}]}}",
    "storeConfiguration: {{connectionString: 'pg:x', hosts: {}}}",
    "storeConfiguration: {{connectionString: 'pg:x', pool: {}}}",
    "storeConfiguration: {{connectionString: 'pg:x', pool: {{mode: {}}}}}",
    "storeConfiguration: {{connectionString: 'pg:x', place: {{path: [{}]}}}}",
    "storeConfiguration: {{connectionString: 'pg:x', unknown: {}}}",
    "storeConfiguration: {{connectionString: 'pg:x'\nunclosed: {}",
    "unknown: {}",
    "storeConfiguration: {{a: {}, a: {}}}",
)
FORMS = (
    CANARY,
    f"'{CANARY}'",
    f"*{CANARY}",
    f"&{CANARY} x",
    f"!{CANARY} x",
    f"!{CANARY}!y x",
    f"!!int {CANARY}",
    f"echo:{CANARY}",
    f"'part:{CANARY}'",
    f"'{CANARY}",
    f'"\\{CANARY}"',
    f"|{CANARY}",
    f"%{CANARY}",
    f"@{CANARY}",
    f"{CANARY}: {CANARY}: x",
    f"[{CANARY}",
    "${SECRET}",
    "x${SECRET}${UNSET}",
    "${SECRET",
    "{envRef: SECRET}",
)


def load_with(load: Load, place: str, form: str) -> DurahubError | None:
    """Return the error with which a configuration is refused that has a form of the secret somewhere."""
    workflow = place.replace("{}", form).replace("{{", "{").replace("}}", "}")
    try:
        configuration = load(workflow, environ={"SECRET": CANARY})
        assert CANARY not in repr(configuration.store)
        validate_store_configuration(Settings, configuration)
    except DurahubError as error:
        return error
    return None


@pytest.mark.parametrize("place", PLACES)
def test_load_with_a_secret_anywhere_never_shows_it(load_workflow: Load, place: str) -> None:
    errors = [load_with(load_workflow, place, form) for form in FORMS]
    refused = [error for error in errors if error is not None]
    for error in refused:
        assert "xyzzyq" not in shown(error).casefold()
    # What nothing refuses would prove nothing.
    assert len(refused) > len(FORMS) / 2


class Discriminated(BaseModel):
    kind: Literal["a"]


class Tagged(BackendSettings):
    store: Annotated[Discriminated | Pool, Field(union_mode="left_to_right")] | None = None


def test_validate_union_reports_without_values(load_workflow: Load) -> None:
    message = refuse(load_workflow, f"storeConfiguration: {{store: {{kind: {CANARY}}}}}", Tagged)
    assert "spec.workflow.storeConfiguration.store" in message
    assert CANARY not in message
