"""`spec.api`, `spec.logging`, `spec.metrics` and `spec.tracing`."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from textwrap import dedent, indent
from typing import get_args

import pytest
from durahub.config import Configuration, load_configuration
from durahub.config.sections import LevelName, RoleName
from durahub.errors import ConfigError
from durahub.server.logs import LEVELS
from durahub.server.operations import Role

HEAD = "apiVersion: dapr.io/v1alpha1\nkind: Configuration\nspec:\n"


def _load(*specs: str, **environ: str) -> Configuration:
    """Load the texts under `spec`, from line 4 on, of a.yaml, b.yaml, ..."""
    paths = []
    for letter, spec in zip("abc", specs, strict=False):
        paths.append(Path(f"{letter}.yaml"))
        paths[-1].write_text(HEAD + indent(dedent(spec).strip("\n"), "  ") + "\n")
    return load_configuration(paths, environ=environ)


def test_nothing_is_the_defaults() -> None:
    configuration = _load("api:\nlogging:\nmetrics: {workflow: }\ntracing: {otel: }\nworkflow: {}")
    assert configuration == Configuration(sources=("a.yaml",))
    assert configuration.api.tokens == ()
    assert configuration.logging.level is None
    assert configuration.metrics.enabled is None
    assert configuration.tracing.sampling_rate == 0


def test_tokens_come_from_elsewhere() -> None:
    Path("mounted").write_text("from-file\n")
    configuration = _load(
        """
        api:
          tokens:
          - name: dashboards
            roles: [read]
            workflows: ["Order*"]
            token: {fileRef: mounted}
          - name: app
            roles: [worker, operate]
            token: ${APP}
          - {name: ops, roles: [admin], token: {envRef: OPS}}
        """,
        APP="from-env",
        OPS="from-ops",
    )
    first, second, third = configuration.api.tokens
    assert (first.name, first.roles, first.workflows) == ("dashboards", ("read",), ("Order*",))
    assert (second.roles, second.workflows) == (("worker", "operate"), ("*",))
    secrets = [token.token.get_secret_value() for token in (first, second, third)]
    assert secrets == ["from-file", "from-env", "from-ops"]
    assert "from-" not in repr(configuration)
    assert "from-" not in str(configuration.model_dump())


@pytest.mark.parametrize("token", ["canary", "'canary-${A}'", "5", "[canary]", "{envRef: A, b: 1}"])
def test_a_token_that_is_written_down_is_refused(token: str) -> None:
    with pytest.raises(ConfigError) as caught:
        _load(f"api: {{tokens: [{{name: a, roles: [read], token: {token}}}]}}", A="x")
    assert str(caught.value) == (
        "a.yaml:4: spec.api.tokens[0].token: a token is not written into a configuration file:"
        " refer to it with envRef, fileRef or secretKeyRef"
    )


def test_parts_of_the_api_are_allowed_and_denied() -> None:
    configuration = _load(
        """
        api:
          allowed:
          - {name: workflows, version: v1.0-beta1, protocol: HTTP}
          - name: metadata
          denied: [{name: shutdown, version: v1, protocol: grpc}]
        """
    )
    first, second = configuration.api.allowed
    assert (first.name, first.version, first.protocol) == ("workflows", "v1.0-beta1", "http")
    assert (second.name, second.version, second.protocol) == ("metadata", None, None)
    assert configuration.api.denied[0].protocol == "grpc"


def test_what_is_logged_measured_and_traced() -> None:
    configuration = _load(
        """
        logging:
          level: debug
          asJson: true
          apiLogging: {enabled: true, obfuscateURLs: true, omitHealthChecks: true}
        metrics:
          enabled: false
          recordErrorCodes: true
          latencyDistributionBuckets: [1, 2.5]
          workflow: {latencyDistributionBuckets: [5, 10]}
          http: {increasedCardinality: true}
        tracing:
          samplingRate: "0.5"
          stdout: true
          zipkin: {endpointAddress: "http://z"}
          otel: {protocol: HTTP, endpointAddress: "h:4318", isSecure: false, timeout: 5s}
        """
    )
    assert (configuration.logging.level, configuration.logging.as_json) == ("debug", True)
    calls = configuration.logging.api_logging
    assert (calls.enabled, calls.obfuscate_urls, calls.omit_health_checks) == (True, True, True)
    metrics = configuration.metrics
    assert (metrics.enabled, metrics.record_error_codes) == (False, True)
    assert metrics.latency_distribution_buckets == (1, 2.5)
    assert metrics.workflow.latency_distribution_buckets == (5, 10)
    tracing = configuration.tracing
    assert (tracing.sampling_rate, tracing.stdout) == (0.5, True)
    assert tracing.zipkin.endpoint_address == "http://z"
    assert (tracing.otel.protocol, tracing.otel.is_secure) == ("http", False)
    assert tracing.otel.timeout == timedelta(seconds=5)
    assert configuration.unknown_keys == ("spec.metrics.http",)
    assert configuration.ignored_sections == ()


@pytest.mark.parametrize(
    "headers",
    [
        "'a=canary, b=2=3'",
        "{a: canary, b: 2=3}",
        "[{name: a, value: canary}, {name: b, value: 2=3}]",
    ],
)
def test_headers_may_be_written_in_each_way(headers: str) -> None:
    configuration = _load(f"tracing: {{otel: {{headers: {headers}}}}}")
    shown = [(name, value.get_secret_value()) for name, value in configuration.tracing.otel.headers]
    assert shown == [("a", "canary"), ("b", "2=3")]
    assert "canary" not in repr(configuration)


def test_both_names_of_metrics_mean_the_same_and_the_newer_one_wins() -> None:
    configuration = _load(
        "metric: {enabled: false, recordErrorCodes: true}\nmetrics: {enabled: true}"
    )
    assert configuration.metrics.enabled is True
    assert configuration.metrics.record_error_codes is True
    assert _load("metric: {enabled: false}").metrics.enabled is False


def test_several_files_merge_key_by_key() -> None:
    configuration = _load(
        "logging: {level: debug, asJson: true}\nmetric: {enabled: true, recordErrorCodes: true}",
        "logging: {level: error}\nmetrics: {enabled: false}\nworkflow: {}",
    )
    assert (configuration.logging.level, configuration.logging.as_json) == ("error", True)
    assert configuration.metrics.enabled is False
    assert configuration.metrics.record_error_codes is True


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("api: {tokens: [{roles: [read], token: '${A}'}]}", "api.tokens[0].name: required key is"),
        ("api: {tokens: [{name: a b, roles: [read], token: '${A}'}]}", "api.tokens[0].name: "),
        ("api: {tokens: [{name: a, roles: [], token: '${A}'}]}", "api.tokens[0].roles: "),
        ("api: {tokens: [{name: a, roles: [reed], token: '${A}'}]}", "api.tokens[0].roles[0]: "),
        (
            "api: {tokens: [{name: a, roles: [read]}]}",
            "api.tokens[0].token: required key is missing",
        ),
        (
            "api: {tokens: [{name: a, rolls: [read]}]}",
            "api.tokens[0].rolls: unknown key; did you mean",
        ),
        ("api: {tokens: [{name: a, roles: [read], token: '${E}'}]}", "api.tokens[0].token: "),
        ("api: {tokens: {}}", "api.tokens: expected a list, found a mapping"),
        ("api: {allowed: [{version: v1}]}", "api.allowed[0].name: required key is missing"),
        ("api: {allowed: [{name: a, protocol: udp}]}", "api.allowed[0].protocol: "),
        ("logging: {level: loud}", "logging.level: "),
        ("logging: []", "logging: expected a mapping, found a list"),
        ("metrics: {enabled: perhaps}", "metrics.enabled: expected true or false"),
        (
            "metrics: {latencyDistributionBuckets: [2, 1]}",
            "metrics.latencyDistributionBuckets: expected asc",
        ),
        ("tracing: {samplingRate: '2'}", "tracing.samplingRate: expected a number from '0' to '1'"),
        (
            "tracing: {samplingRate: canary}",
            "tracing.samplingRate: expected a number from '0' to '1'",
        ),
        ("tracing: {otel: {protocol: udp}}", "tracing.otel.protocol: "),
        ("tracing: {otel: {timeout: canary}}", "tracing.otel.timeout: expected a duration"),
        ("tracing: {otel: {headers: canary}}", "tracing.otel.headers: expected headers such as"),
        ("tracing: {stdout: '${GONE}'}", "tracing.stdout: environment variable GONE is not set"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(spec: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        _load(spec, A="canary", E="")
    text = str(caught.value)
    assert f"a.yaml:4: spec.{message}" in text, text
    assert "canary" not in text


def test_names_are_those_that_the_server_knows() -> None:
    assert set(get_args(RoleName)) == {role.value for role in Role}
    assert set(get_args(LevelName)) == set(LEVELS)
