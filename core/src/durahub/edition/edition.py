"""A build's allowlist."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, replace

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import InvalidName, canonicalize_name

_BACKEND_TYPE = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowed:
    """One backend that a build may load.

    Attributes:
        backend_type: What users write as `backendType`: lower-case letters, digits and single dashes.
        distribution: Name of the distribution that has to provide it. Spellings that packaging tools
            hold to be one name (upper case, dashes, dots, underscores) are one name here.
        module: The module that its entry point has to name.
        default: Whether it is used where the configuration names no backend.
        versions: Versions of the distribution that are accepted, such as `>=1.2,<2`; empty for all.
    """

    backend_type: str
    distribution: str
    module: str
    default: bool = False
    versions: str = ""

    def __post_init__(self) -> None:
        """Refuse names that no entry point or distribution can have.

        Raises:
            ValueError: With the attribute that is wrong.
        """
        if not _BACKEND_TYPE.fullmatch(self.backend_type):
            raise ValueError(f"not a backend type: {self.backend_type!r}")
        try:
            canonicalize_name(self.distribution, validate=True)
        except InvalidName as error:
            raise ValueError(f"not the name of a distribution: {self.distribution!r}") from error
        if not all(map(_IDENTIFIER.fullmatch, self.module.split("."))):
            raise ValueError(f"not the name of a module: {self.module!r}")
        try:
            SpecifierSet(self.versions)
        except InvalidSpecifier as error:
            raise ValueError(f"not a set of version specifiers: {self.versions!r}") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Edition:
    """What one build of Durahub may load.

    Attributes:
        name: Name of the build, for messages.
        allowlist: The backends that it may load; types are unique, and at most one is the default.
        allow_editable: Whether a plugin may come from an editable install (`pip install -e`). Such an
            installation has no list of files, so instead of "the module is one of the distribution's
            files" the rule is "the module lies in the source directory that was installed".
    """

    name: str
    allowlist: tuple[Allowed, ...]
    allow_editable: bool = False

    def __post_init__(self) -> None:
        """Refuse a list that does not say for every type what to do.

        Raises:
            ValueError: Two entries have one type or types that differ only in spelling, or two are
                the default.
        """
        spellings = Counter(fold_name(entry.backend_type) for entry in self.allowlist)
        doubles = [
            e.backend_type for e in self.allowlist if spellings[fold_name(e.backend_type)] > 1
        ]
        if doubles:
            raise ValueError(f"edition {self.name!r} allows a type twice: {', '.join(doubles)}")
        defaults = [entry.backend_type for entry in self.allowlist if entry.default]
        if len(defaults) > 1:
            raise ValueError(f"edition {self.name!r} has several defaults: {', '.join(defaults)}")

    @property
    def default(self) -> Allowed | None:
        """The backend that is used where the configuration names none, if the build has one."""
        return next((entry for entry in self.allowlist if entry.default), None)

    @property
    def backend_types(self) -> tuple[str, ...]:
        """The types that may be selected, in the order of the allowlist."""
        return tuple(entry.backend_type for entry in self.allowlist)

    def find(self, backend_type: str) -> Allowed | None:
        """Return the entry of exactly this type, if there is one."""
        return next((e for e in self.allowlist if e.backend_type == backend_type), None)

    def renamed(self, name: str) -> Edition:
        """Return the same edition with another name."""
        return replace(self, name=name)

    def add(self, *entries: Allowed) -> Edition:
        """Return an edition that also allows `entries`.

        Raises:
            ValueError: A type is allowed already, or there would be two defaults.
        """
        return replace(self, allowlist=(*self.allowlist, *entries))

    def remove(self, backend_type: str) -> Edition:
        """Return an edition without this type; without a default if it was that.

        Raises:
            ValueError: The type is not in the allowlist.
        """
        entry = self._require(backend_type)
        return replace(self, allowlist=tuple(e for e in self.allowlist if e is not entry))

    def with_default(self, backend_type: str) -> Edition:
        """Return an edition with this type as its only default.

        Raises:
            ValueError: The type is not in the allowlist.
        """
        entry = self._require(backend_type)
        return replace(
            self, allowlist=tuple(replace(e, default=e is entry) for e in self.allowlist)
        )

    def _require(self, backend_type: str) -> Allowed:
        entry = self.find(backend_type)
        if entry is None:
            raise ValueError(f"edition {self.name!r} does not allow {backend_type!r}")
        return entry


def fold_name(backend_type: str) -> str:
    """Return what is left of a type when case and punctuation are ignored; equal for look-alikes."""
    return "".join(filter(str.isalnum, backend_type.casefold()))
