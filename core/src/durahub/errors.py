"""Every error that Durahub raises on purpose.

::

    DurahubError
      ConfigError                    bad file, key or value
        UnknownBackendError          a backend type that this build does not know
      StartupError                   the process cannot start: a port in use, a bind refused
      PluginError                    a plugin that cannot be used
        BackendNotInstalledError     allowed by this build, and its distribution is not installed
        BackendNotAdmittedError      found, and refused by this build's allowlist
        PluginImportError            admitted, and its import failed
        PluginContractError          imported, and it does not keep the plugin contract
        PluginConflictError          two distributions claim one backend type
      BackendError                   a backend could not do what it was asked
        BackendUnavailableError      connection lost, fail-over, busy; retryable
        BackendLockedError           the store is in exclusive use by another process
        BackendCorruptionError       stored bytes do not decode, or a sequence has a gap
        SchemaVersionError           the store's schema is not the one of this program
        TaskHubNotFoundError         the task hub has not been created
        SessionFencedError           this session was declared dead; it cannot write any more
        CapabilityNotSupportedError  asked for something that the backend declares as not supported
      RequestError                   a client's request that can't be carried out
        InvalidRequestError          it makes no sense
        InstanceNotFoundError        no such instance
        InstanceExistsError          the id is taken
        InstanceNotCompletedError    it has to end first
        InstanceStalledError         it is parked
        RerunTargetError             no event to rerun from
        StreamEndedError             a worker is to connect again
        ShuttingDownError            the sidecar is going away

Refusals that belong to one operation of a batch (an id that exists, an owner that changed) are
results, not errors: see `durahub.backend.results`.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any, ClassVar


class DurahubError(Exception):
    """The root of all errors of Durahub.

    The message says what is wrong, where, and what to do, and never holds a secret. `slug` names the
    kind of error for documentation and machines and does not change between releases.

    Attributes:
        slug: Stable name of the kind of error.
        retryable: Whether the same call may succeed later without anyone changing anything.
    """

    slug: ClassVar[str] = "durahub"
    retryable: ClassVar[bool] = False

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle by class, arguments and attributes, so that errors cross process borders."""
        return (_rebuild, (type(self), self.args, self.__dict__.copy()))


def _rebuild(
    cls: type[DurahubError], args: tuple[Any, ...], attributes: dict[str, Any]
) -> DurahubError:
    error = cls.__new__(cls)
    error.args = args
    error.__dict__.update(attributes)
    return error


class ConfigError(DurahubError):
    """A configuration file, key or value is wrong; the process ends with exit code 2.

    Attributes:
        location: Where, as `file:line: key.path`, as far as it is known.
    """

    slug = "config"

    def __init__(self, message: str, *, location: str = "") -> None:
        super().__init__(f"{location}: {message}" if location else message)
        self.location = location


class UnknownBackendError(ConfigError):
    """`backendType` names a backend that nothing installed provides and the build does not know.

    Attributes:
        name: The backend type asked for.
        suggestion: The nearest backend type that the build knows, if one is near.
    """

    slug = "unknown-backend"

    def __init__(
        self, message: str, *, name: str, suggestion: str | None, location: str = ""
    ) -> None:
        super().__init__(message, location=location)
        self.name = name
        self.suggestion = suggestion


class StartupError(DurahubError):
    """The process cannot start for a reason outside the configuration file; exit code 2."""

    slug = "startup"


class PluginError(DurahubError):
    """A backend plugin cannot be used."""

    slug = "plugin"


class BackendNotInstalledError(PluginError):
    """The build allows the selected backend type, and its distribution is not installed.

    Attributes:
        distribution: What to install.
    """

    slug = "backend-not-installed"

    def __init__(self, message: str, *, distribution: str) -> None:
        super().__init__(message)
        self.distribution = distribution


class BackendNotAdmittedError(PluginError):
    """The build's allowlist refuses the plugin that provides the selected backend type.

    Attributes:
        reason: Which rule refuses it; one of the values of `durahub.edition.Reason`.
    """

    slug = "backend-not-admitted"

    def __init__(self, message: str, *, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


class PluginImportError(PluginError):
    """The plugin was admitted and importing it failed."""

    slug = "plugin-import"


class PluginContractError(PluginError):
    """The plugin does not return what `durahub.plugin` asks for, or for another contract version."""

    slug = "plugin-contract"


class PluginConflictError(PluginError):
    """More than one distribution claims the same backend type."""

    slug = "plugin-conflict"


class BackendError(DurahubError):
    """A backend could not do what it was asked; nothing else may escape a backend."""

    slug = "backend"


class BackendUnavailableError(BackendError):
    """The store can't be reached or is busy. The engine retries with back-off; the backend never does.

    Whether the interrupted call took effect is unknown: every call that may raise this is either
    idempotent or refused when it is repeated after it took effect.
    """

    slug = "backend-unavailable"
    retryable = True


class BackendLockedError(BackendError):
    """The store allows one process at a time, and another one has it. The message names the holder."""

    slug = "backend-locked"


class BackendCorruptionError(BackendError):
    """What is stored does not decode, or a sequence has a gap. The message names the rows."""

    slug = "backend-corruption"


class SchemaVersionError(BackendError):
    """The store's schema is newer than the program, or unknown to it; or older, and not to be upgraded now.

    Attributes:
        found: Version of the schema in the store.
        supported: Newest version that this program can use.
    """

    slug = "schema-version"

    def __init__(self, message: str, *, found: int, supported: int) -> None:
        super().__init__(message)
        self.found = found
        self.supported = supported


class TaskHubNotFoundError(BackendError):
    """The task hub does not exist: `create_hub` has not run, or `delete_hub` has."""

    slug = "task-hub-not-found"


class SessionFencedError(BackendError):
    """The calling session is not registered, ended, or was declared dead by another one.

    Raised for a whole `apply` batch, of which nothing was written. The only way on is a new session.
    """

    slug = "session-fenced"


class CapabilityNotSupportedError(BackendError):
    """The backend declares that it does not support what was asked; see its `capabilities`."""

    slug = "capability-not-supported"


def nearest_name(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that `name` was probably meant to be, or None if none is near.

    Upper and lower case count as equal.
    """
    by_folded = {candidate.casefold(): candidate for candidate in known}
    matches = get_close_matches(name.casefold(), by_folded, n=1)
    return by_folded[matches[0]] if matches else None


class RequestError(DurahubError):
    """A client's request can't be carried out; nothing changed. SDKs match on some of the texts."""

    slug = "request"


class InvalidRequestError(RequestError):
    """The request makes no sense, whatever the state."""

    slug = "invalid-request"


class InstanceNotFoundError(RequestError):
    """There is no such instance."""

    slug = "instance-not-found"

    def __init__(self, message: str = "no such instance exists") -> None:
        super().__init__(message)


class InstanceExistsError(RequestError):
    """The instance id is taken and may not be used again now."""

    slug = "instance-exists"


class InstanceNotCompletedError(RequestError):
    """The instance, or one below it, has not ended, as the request requires."""

    slug = "instance-not-completed"

    def __init__(self, message: str = "orchestration has not yet completed") -> None:
        super().__init__(message)


class InstanceStalledError(RequestError):
    """The instance is parked and can't react until what parked it is mended."""

    slug = "instance-stalled"

    def __init__(self, message: str = "workflow is stalled") -> None:
        super().__init__(message)


class RerunTargetError(RequestError):
    """The event to rerun from does not exist or is none that can be done again."""

    slug = "rerun-target"


class StreamEndedError(RequestError):
    """A worker's stream ends for a reason of the sidecar's; the worker is to connect again."""

    slug = "stream-ended"
    retryable = True


class ShuttingDownError(RequestError):
    """The sidecar is going away; the same request to another one, or later, may succeed."""

    slug = "shutting-down"
    retryable = True

    def __init__(self, message: str = "shutting down") -> None:
        super().__init__(message)
