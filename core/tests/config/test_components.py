from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from durahub.config import Component, load_components, load_secret_stores
from durahub.errors import ConfigError
from pydantic import SecretStr

HERE = Path()
STORE = """\
apiVersion: dapr.io/v1alpha1
kind: Component
metadata: {name: statestore}
spec:
  type: state.redis
  version: v1
  metadata:
  - name: redisHost
    value: localhost:6379
"""
SECRETS = """\
---
apiVersion: dapr.io/v1alpha1
kind: Component
metadata: {name: vault}
spec:
  type: secretstores.local.file
  version: v1
  metadata:
  - {name: secretsFile, value: secrets.json}
"""
ENVIRONMENT = SECRETS.replace("vault", "env").replace("local.file", "local.env")


def _load(**files: str) -> tuple[Component, ...]:
    for name, text in files.items():
        Path(f"{name}.yaml").write_text(text)
    return load_components([HERE], environ={"HOST": "h1", "DAPR_API_TOKEN": "x"}, app_id="shop")


def _values(component: Component) -> dict[str, str]:
    return {name: value.get_secret_value() for name, value in component.metadata.items()}


def _with(line: str, store: str = "") -> str:
    return f"{STORE}  - {{name: it, {line}}}\n{store}"


def test_a_component_is_what_its_file_says() -> None:
    text = f"# first\n{STORE}  - {{name: actorStateStore, value: true}}\nscopes: [shop, other]\n"
    (component,) = _load(a=text)
    assert (component.name, component.type, component.version) == (
        "statestore",
        "state.redis",
        "v1",
    )
    assert _values(component) == {"redisHost": "localhost:6379", "actorStateStore": "true"}
    assert component.scopes == ("shop", "other")
    assert str(component.at) == "a.yaml:2"
    assert "localhost" not in repr(component)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("'5'", "5"),
        ("5", "5"),
        ("false", "false"),
        ("[1, a]", '[1, "a"]'),
        ("{a: 1.5}", '{"a": 1.5}'),
        ("2026-01-01", "2026-01-01"),
        ("''", ""),
        ("null", ""),
        ("'a${B}c'", "a${B}c"),
    ],
)
def test_a_value_is_passed_on_as_dapr_does(value: str, text: str) -> None:
    (component,) = _load(a=_with(f"value: {value}"))
    assert _values(component)["it"] == text


def test_all_documents_of_all_files_count_in_the_order_of_their_names() -> None:
    second = STORE.replace("statestore", "second")
    Path("ignored.txt").write_text("no: [yaml")
    Path("below.yaml").mkdir()
    found = _load(b=STORE, a=f"---\n{second}---\n---\n{STORE.replace('statestore', 'third')}")
    assert [component.name for component in found] == ["second", "third", "statestore"]
    assert [component.at.line for component in found] == [2, 13, 1]


def test_a_file_may_be_named_itself() -> None:
    Path("a.yaml").write_text(STORE)
    Path("b.yaml").write_text("broken: [")
    assert len(load_components([Path("a.yaml")], environ={})) == 1


def test_what_is_of_no_use_here_is_left_alone() -> None:
    pubsub = STORE.replace("state.redis", "pubsub.kafka").replace("statestore", "events")
    reference = "  - name: password\n    secretKeyRef: {name: gone, key: gone}\n"
    other = "kind: Resiliency\nspec: {<<: {a: 1}}\n---\njust text\n---\nno: kind\n"
    assert _load(a=pubsub + reference, b=other) == ()


def test_a_component_for_others_is_as_good_as_not_there() -> None:
    for_others = _with("envRef: NOT_SET") + "scopes: [billing]\n"
    assert _load(a=for_others) == ()
    with pytest.raises(ConfigError, match="NOT_SET is not set"):
        load_components([HERE], environ={}, app_id="billing")


def test_secrets_come_from_where_they_are_said_to_be() -> None:
    Path("secrets.json").write_text(json.dumps({"dsn": "s1", "redis": {"password": "s2", "n": 3}}))
    refs = (
        "  - {name: a, secretKeyRef: {name: dsn}}\n"
        "  - {name: b, secretKeyRef: {name: 'redis:password', key: 'redis:password'}}\n"
        "  - {name: c, secretKeyRef: {name: 'redis:n'}}\n"
        "  - {name: d, envRef: HOST}\n"
    )
    (component,) = _load(a=f"{STORE}{refs}auth: {{secretStore: vault}}\n{SECRETS}")
    values = _values(component)
    assert [values[name] for name in "abcd"] == ["s1", "s2", "3", "h1"]
    assert "s2" not in repr(component)
    assert "s2" not in str(component.metadata)


def test_secrets_may_have_several_values() -> None:
    content = {"redis": {"password": "p", "tls": {"key": "k"}}, "dsn": "d", "hosts": ["h0", "h1"]}
    Path("secrets.json").write_text(json.dumps(content))
    more = "  - {name: multiValued, value: true}\n  - {name: nestedSeparator, value: '.'}\n"
    Path("a.yaml").write_text(SECRETS + more)
    stores = load_secret_stores([HERE], environ={})
    found = [
        stores.find("vault", name, key).get_secret_value()
        for name, key in (
            ("redis", "password"),
            ("redis", "tls.key"),
            ("dsn", None),
            ("hosts", "1"),
        )
    ]
    assert found == ["p", "k", "d", "h1"]


def test_the_environment_is_a_secret_store() -> None:
    text = ENVIRONMENT.replace("secretsFile", "prefix").replace("secrets.json", "HO")
    Path("a.yaml").write_text(text)
    stores = load_secret_stores([HERE], environ={"HOST": "h1"})
    assert stores.find(None, "ST", None) == SecretStr("h1")
    assert "h1" not in repr(stores)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            _with("envRef: GONE"),
            "a.yaml:10: .*metadata[1].envRef: environment variable GONE is not",
        ),
        (
            _with("envRef: DAPR_API_TOKEN"),
            "a.yaml:10: .*envRef: components may not have .*DAPR_API",
        ),
        (_with("envRef: HOST, value: a"), "a.yaml:10: .*[1]: give one of value and envRef"),
        (_with("secretKeyRef: {name: a}"), "a.yaml:10: .*name the secret store .*auth.secretStore"),
        (_with("secretKeyRef: a"), "a.yaml:10: .*secretKeyRef: expected a mapping, found a string"),
        (
            _with("secretKeyRef: {key: a}", "auth: {secretStore: v}"),
            ".*secretKeyRef.name: required",
        ),
        (
            _with("secretKeyRef: {name: a}", "auth: {secretStore: v}"),
            ".*no secret store 'v'.*: none",
        ),
        (f"{STORE}  - {{value: 5}}", "a.yaml:10: spec.metadata[1].name: required key is missing"),
        (f"{STORE}  - {{name: REDISHOST}}", "a.yaml:10: .*'REDISHOST' is there twice"),
        (f"{STORE}  - 5", "a.yaml:10: spec.metadata[1]: expected a mapping, found a number"),
        (f"{STORE}scopes: shop", "a.yaml:10: scopes: expected a list, found a string"),
        (f"{STORE}---\n{STORE}", "a.yaml:11: .*already, at a.yaml:1"),
        ("kind: Component\nspec: {type: state.x}", "a.yaml:1: metadata.name: required key"),
        ("kind: Component\nmetadata: {name: x}", "a.yaml:1: spec.type: required key"),
        ("kind: Component\nspec: []", "a.yaml:2: spec: expected a mapping"),
        ("kind: Component\nkind: Component", "a.yaml:2:1: duplicate key 'kind'"),
        ("a: [", "a.yaml:1:5: malformed YAML"),
        (SECRETS, "secrets.json: cannot read the file: No such file"),
        (
            SECRETS.replace("secretsFile", "else"),
            "a.yaml:2: spec.metadata: 'secretsFile' is missing",
        ),
        (SECRETS.replace("value: secrets.json", "secretKeyRef: {name: a}"), "a.yaml:9: .*another"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        _load(a=text)
    pattern = re.escape(message).replace(r"\.\*", ".*")
    assert re.match(pattern, str(caught.value)), str(caught.value)


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("{name: gone}", "'vault' has no secret 'gone'"),
        ("{name: dsn, key: gone}", "'dsn' of the secret store 'vault' has no key 'gone'"),
    ],
)
def test_a_secret_that_is_not_there_is_named(reference: str, message: str) -> None:
    Path("secrets.json").write_text('{"dsn": "canary"}')
    with pytest.raises(ConfigError, match=message) as caught:
        _load(a=_with(f"secretKeyRef: {reference}", "auth: {secretStore: vault}\n" + SECRETS))
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"a": "canary"', "secrets.json:1:15: not JSON"),
        ('["canary"]', "secrets.json: expected a JSON object"),
        ("\udcff".encode(errors="surrogateescape"), "secrets.json: not JSON"),
        ("[" * 100_000, "secrets.json: not JSON"),
    ],
)
def test_a_bad_secrets_file_is_not_quoted(content: str | bytes, message: str) -> None:
    Path("secrets.json").write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ConfigError) as caught:
        _load(a=SECRETS)
    assert str(caught.value) == message


def test_a_store_elsewhere_is_refused_when_something_is_asked_of_it() -> None:
    elsewhere = SECRETS.replace("local.file", "azure.keyvault")
    (component,) = _load(a=STORE + elsewhere)
    assert component.name == "statestore"
    reference = _with("secretKeyRef: {name: a}", "auth: {secretStore: vault}\n")
    with pytest.raises(ConfigError, match=r"'secretstores.azure.keyvault' are not supported"):
        _load(a=reference + elsewhere)


def test_which_store_is_meant_has_to_be_clear() -> None:
    Path("a.yaml").write_text(ENVIRONMENT.replace("secretsFile", "x"))
    stores = load_secret_stores([HERE], environ={"A": "1"})
    assert stores.find(None, "A", None).get_secret_value() == "1"
    with pytest.raises(ConfigError, match="there are 0"):
        load_secret_stores([], environ={}).find(None, "A", None)


def test_a_directory_that_is_not_there_is_named() -> None:
    with pytest.raises(ConfigError, match=r"^gone: cannot read the file: No such file"):
        load_components([Path("gone")], environ={})
