"""Finding instances by what their records say, with a bounded amount of work per call.

What a store can select by itself (statuses, time of creation) is left to it; names, parents and tags are
looked at here, page by page. So every backend can be searched, and no search is a scan without an end.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from fnmatch import translate
from functools import lru_cache
from re import Pattern
from re import compile as compile_pattern

from durahub.backend import InstancePage, InstanceQuery, InstanceRecord
from durahub.engine.client.part import ClientPart, any_name
from durahub.errors import BackendError, InvalidRequestError
from durahub.types import RuntimeStatus

MAX_FOUND = 1000
"""Most instances that one call finds."""
READS_PER_CALL = 20
"""Most pages of the store that one call reads."""
COUNTED_AT_ONCE = 1000
"""Records that are counted with one reading of the store."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Selects instances of the application; all conditions must hold.

    Attributes:
        statuses: Only these; empty: all.
        name: Name of the workflow, in which `*` stands for any text and `?` for one character.
        created_from: Created at or after.
        created_to: Created before.
        parent_id: Instance id of the parent: its direct children.
        tags: Tags that are there with this value, or None for any value.
        may_see: Says of a workflow's name whether its instances count at all.
    """

    statuses: tuple[RuntimeStatus, ...] = ()
    name: str | None = None
    created_from: datetime | None = None
    created_to: datetime | None = None
    parent_id: str | None = None
    tags: Mapping[str, str | None] = field(default_factory=dict)
    may_see: Callable[[str], bool] = any_name

    @property
    def is_everything(self) -> bool:
        """Whether it states no condition; what may be seen is none."""
        return not (
            self.statuses
            or self.name is not None
            or self.created_from is not None
            or self.created_to is not None
            or self.parent_id is not None
            or self.tags
        )

    def matches(self, record: InstanceRecord) -> bool:
        """Whether a record fulfils the conditions that stores do not look at."""
        return (
            self._has_name(record.name)
            and self._has_parent(record)
            and all(_has_tag(record, key, value) for key, value in self.tags.items())
        )

    def _has_name(self, name: str) -> bool:
        fits = self.name is None or _glob(self.name).match(name) is not None
        return fits and self.may_see(name)

    def _has_parent(self, record: InstanceRecord) -> bool:
        if self.parent_id is None:
            return True
        return record.parent is not None and record.parent.key.instance_id == self.parent_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """Part of a count.

    Attributes:
        by_status: How many were found; statuses that nothing has are left out.
        next_token: Count on with it; None if that was all.
    """

    by_status: Mapping[RuntimeStatus, int]
    next_token: str | None


class Selections(ClientPart):
    """Finds and counts."""

    async def find(
        self, selection: Selection, *, limit: int, page_token: str | None = None
    ) -> InstancePage:
        """Return instances that a selection selects, in order of creation.

        A page may have fewer than `limit` instances, even none, although more follow: the work of one call
        is bounded. There is an end where `next_token` is None. Instances that are created or purged between
        two pages never make the others appear twice or not at all.

        Args:
            selection: Which ones.
            limit: At most so many, 1 to `MAX_FOUND`; of the store, about twenty times as many are looked at.
            page_token: `next_token` of the page before; None for the first page.

        Raises:
            InvalidRequestError: The page token is none that this store gave out.
        """
        found: list[InstanceRecord] = []
        for _ in range(READS_PER_CALL):
            page = await self._page(selection, limit - len(found), page_token)
            found += filter(selection.matches, page.instances)
            page_token = page.next_token
            # A store is never asked for more than can be returned: its tokens are for ends of pages only.
            if page_token is None or len(found) * 2 >= limit:
                break
        return InstancePage(instances=tuple(found), next_token=page_token)

    async def count(self, selection: Selection, *, page_token: str | None = None) -> Counted:
        """Return how many instances a selection selects, or of the next part of a store that is too large.

        Args:
            selection: Which ones.
            page_token: `next_token` of the part before; None for the first one.

        Raises:
            InvalidRequestError: The page token is none that this store gave out.
        """
        counter: Counter[RuntimeStatus] = Counter()
        for _ in range(READS_PER_CALL):
            page = await self._page(selection, COUNTED_AT_ONCE, page_token)
            counter.update(record.status for record in filter(selection.matches, page.instances))
            page_token = page.next_token
            if page_token is None:
                break
        return Counted(by_status=dict(sorted(counter.items())), next_token=page_token)

    async def _page(
        self, selection: Selection, page_size: int, page_token: str | None
    ) -> InstancePage:
        query = InstanceQuery(
            app_id=self._app_id,
            statuses=selection.statuses,
            created_from=selection.created_from,
            created_to=selection.created_to,
            page_size=page_size,
            page_token=page_token,
        )
        try:
            return await self._backend.list_instances(query)
        except BackendError as error:
            if error.retryable or page_token is None:
                raise
            raise InvalidRequestError(f"the page token is not valid: {error}") from error


def _has_tag(record: InstanceRecord, key: str, value: str | None) -> bool:
    return key in record.tags and value in (None, record.tags[key])


@lru_cache(maxsize=64)
def _glob(text: str) -> Pattern[str]:
    # A name may have brackets in it; they mean themselves. The pattern backtracks for no more than one star.
    return compile_pattern(translate(text.replace("[", "[[]")))
