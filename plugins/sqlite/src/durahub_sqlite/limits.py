"""Limits over all sessions of an application: counting what is owned, and finding what is admitted.

One process has the file, so the session that claims owns whatever is owned.

What a claim costs a session with limits, besides what it costs without: a total counts what is owned in an
index. A limit by name counts what is owned of its name, which is hardly more than it allows; and then all
is read name by name, each in its order, so that a hundred thousand that wait for a place are passed in one
step. What grows is the number of different names that wait. The indexes for that exist only as long as
there are limits by name (`schema.index_names`), so that nobody else keeps them up to date.
"""

from __future__ import annotations

import heapq
import sqlite3
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing
from itertools import islice
from operator import attrgetter, itemgetter
from typing import Any, NamedTuple

from durahub.backend import ClaimLimit, ClaimLimits, Places

from durahub_sqlite.bulk import run_rows
from durahub_sqlite.rows import COLUMNS, SELECTED
from durahub_sqlite.sessions import LiveSession

_NOTHING: Mapping[str, int] = Counter()

_NAMES = """
WITH RECURSIVE found (name) AS (
  SELECT min(t.name) FROM {table} AS t INDEXED BY {index} WHERE t.app_id = ?1 AND {claimable}
  UNION ALL
  SELECT (
    SELECT min(t.name) FROM {table} AS t INDEXED BY {index}
    WHERE t.app_id = ?1 AND t.name > found.name AND {claimable})
  FROM found WHERE found.name IS NOT NULL)
SELECT name FROM found WHERE name IS NOT NULL
"""

_OWNED_OF = """
SELECT t.name, count(*)
FROM (VALUES {{rows}}) AS v CROSS JOIN {table} AS t INDEXED BY {index}
WHERE t.owner = v.column1 AND t.name = v.column2 GROUP BY t.name
"""

_DUE_INSTANCES = f"""
SELECT {SELECTED} FROM instances AS i {{index}}
WHERE i.app_id = ? {{name}} AND i.owner IS NULL AND i.wake_at <= ?
ORDER BY i.wake_at, i.instance LIMIT ?
"""  # noqa: S608 - made of constants

_FREE_ACTIVITIES = """
SELECT a.activity, i.app_id, i.instance_id, a.execution_id, a.task_id, a.app_id, a.name, a.payload
FROM activities AS a {index} CROSS JOIN instances AS i ON i.instance = a.instance
WHERE a.app_id = ? {name} AND a.owner IS NULL
ORDER BY a.activity LIMIT ?
"""


class Kind(NamedTuple):
    """What can be claimed: the statements that find and count it.

    Attributes:
        claimable: What can be claimed, in its order; takes the application, for instances the time, and
            how many at most.
        claimable_of: The same for one name, which comes after the application.
        order: Returns what the rows of these statements are ordered by.
        names: The names of what nobody owns.
        owned: Counts what a session owns.
        owned_of: Counts it by name, for rows of session and name.
        limit: Returns which of a session's limits holds.
    """

    claimable: str
    claimable_of: str
    order: Callable[[tuple[Any, ...]], Any]
    names: str
    owned: str
    owned_of: str
    limit: Callable[[ClaimLimits], ClaimLimit]


INSTANCES = Kind(
    claimable=_DUE_INSTANCES.format(index="", name=""),
    claimable_of=_DUE_INSTANCES.format(
        index="INDEXED BY instances_due_by_name", name="AND i.name = ?"
    ),
    order=itemgetter(COLUMNS.index("wake_at"), COLUMNS.index("instance")),
    names=_NAMES.format(
        table="instances",
        index="instances_due_by_name",
        claimable="t.owner IS NULL AND t.wake_at IS NOT NULL",
    ),
    owned="SELECT count(*) FROM instances WHERE owner = ?",
    owned_of=_OWNED_OF.format(table="instances", index="instances_owned_by_name"),
    limit=attrgetter("instances"),
)

ACTIVITIES = Kind(
    claimable=_FREE_ACTIVITIES.format(index="", name=""),
    claimable_of=_FREE_ACTIVITIES.format(
        index="INDEXED BY activities_free_by_name", name="AND a.name = ?"
    ),
    order=itemgetter(0),
    names=_NAMES.format(
        table="activities", index="activities_free_by_name", claimable="t.owner IS NULL"
    ),
    owned="SELECT count(*) FROM activities WHERE owner = ?",
    owned_of=_OWNED_OF.format(table="activities", index="activities_owned_by_name"),
    limit=attrgetter("activities"),
)


def count_places(
    connection: sqlite3.Connection,
    session: LiveSession,
    kind: Kind,
    given_back: Mapping[str, int] = _NOTHING,
) -> Places:
    """Return the places that a session's limit leaves.

    Args:
        connection: Where.
        session: Whose limit, and who owns all that is owned.
        kind: What is limited.
        given_back: By name, what the table still shows as owned and is not any more.
    """
    limit = kind.limit(session.limits)
    owned = 0
    if limit.total is not None:
        (counted,) = connection.execute(kind.owned, (session.number,)).fetchone()
        owned = counted - sum(given_back.values())
    named = run_rows(connection, kind.owned_of, [(session.number, name) for name in limit.by_name])
    by_name = {name: count - given_back.get(name, 0) for name, count in named}
    return Places(limit, owned=owned, by_name=by_name)


def find_admitted(
    connection: sqlite3.Connection, session: LiveSession, kind: Kind, most: int, *moment: int
) -> list[Any]:
    """Return at most so many rows that the session may claim, in their order.

    Args:
        connection: Where.
        session: Who claims.
        kind: What.
        most: How many rows at most, besides what the limit allows.
        moment: For instances, when they have to be due.
    """
    places = count_places(connection, session, kind)
    most = min(most, places.left)
    if not kind.limit(session.limits).by_name:
        parameters = (session.app_id, *moment, most)
        return connection.execute(kind.claimable, parameters).fetchall()
    names = connection.execute(kind.names, (session.app_id,)).fetchall()
    with ExitStack() as stack:
        found = [
            stack.enter_context(
                closing(
                    connection.execute(kind.claimable_of, (session.app_id, name, *moment, room))
                )
            )
            for (name,) in names
            if (room := min(most, places.left_of(name)))
        ]
        return list(islice(heapq.merge(*found, key=kind.order), most))
