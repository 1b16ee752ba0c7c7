"""What `storeConfiguration` may hold for `backendType: acme`."""

from __future__ import annotations

from pathlib import Path

from durahub.backend import BackendSettings
from pydantic import AliasGenerator, ConfigDict, Field
from pydantic.alias_generators import to_camel

MIB = 1024 * 1024


class AcmeSettings(BackendSettings):
    """Settings of the backend; users write the names in camelCase.

    Attributes:
        path: The file, on a local disk. A missing parent directory is created.
        map_size_mib: Most that the file may grow to, in MiB. It reserves addresses, not memory or disk;
            all processes that share a file need the same value.
        busy_timeout_s: How long a call waits for other processes before it fails, in seconds.
    """

    model_config = ConfigDict(
        alias_generator=AliasGenerator(validation_alias=to_camel), populate_by_name=True
    )

    path: Path
    map_size_mib: int = Field(default=16 * 1024, ge=1)
    busy_timeout_s: float = Field(default=10.0, gt=0)
