"""What `storeConfiguration` may hold for the actors backend."""

from __future__ import annotations

from pathlib import Path

from durahub.backend import BackendSettings
from pydantic import AliasGenerator, ConfigDict, Field
from pydantic.alias_generators import to_camel

_CAMEL = ConfigDict(alias_generator=AliasGenerator(validation_alias=to_camel))


class InternalTls(BackendSettings):
    """Files in PEM format with which hosts prove to each other who they are.

    Attributes:
        certificate: Of this host, for the address that others use.
        key: Its private key.
        authority: Who signed the certificates of all hosts.
    """

    model_config = _CAMEL

    certificate: Path
    key: Path
    authority: Path


class ActorsSettings(BackendSettings):
    """Settings of the actors backend.

    Attributes:
        session_time_to_live: How many seconds a sidecar may be silent before others take over what it owns.
        internal_address: Where this host listens for other hosts of the task hub.
        internal_port: The port for that; `--dapr-internal-grpc-port` comes first; 0: any that is free.
        advertised_address: The address under which other hosts reach this one, if it is another.
        internal_tls: Encrypts calls between hosts, and has each prove who it is.
    """

    model_config = _CAMEL

    session_time_to_live: float = Field(default=30, gt=0)
    internal_address: str = "127.0.0.1"
    internal_port: int = Field(default=0, ge=0, le=65535)
    advertised_address: str = ""
    internal_tls: InternalTls | None = None
