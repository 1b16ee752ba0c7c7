"""What a batch is about to write, table by table, and the statements that write it."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass, field

from durahub_sqlite.bulk import id_list, run_rows
from durahub_sqlite.rows import COLUMNS, InstanceRow, values_of

_KEY = ("instance", "app_id", "instance_id")

PUT_INSTANCES = f"""
INSERT INTO instances ({", ".join(COLUMNS)}) VALUES {{rows}}
ON CONFLICT (instance) DO UPDATE SET
  {", ".join(f"{name} = excluded.{name}" for name in COLUMNS if name not in _KEY)}
"""  # noqa: S608 - made of constants

PUT_INPUTS = """
INSERT INTO payloads (instance, input) VALUES {rows}
ON CONFLICT (instance) DO UPDATE SET
  input = excluded.input, output = NULL, custom_status = NULL, failure = NULL
"""

SET_INPUTS = """
UPDATE payloads SET input = v.column2
FROM (VALUES {rows}) AS v WHERE payloads.instance = v.column1
"""

# Most turns change none of these, and then the page stays clean.
SET_OUTPUTS = """
UPDATE payloads SET output = v.column2, custom_status = v.column3, failure = v.column4
FROM (VALUES {rows}) AS v WHERE payloads.instance = v.column1
  AND (payloads.output IS NOT v.column2 OR payloads.custom_status IS NOT v.column3
    OR payloads.failure IS NOT v.column4)
"""

ADD_HISTORY = "INSERT INTO history (instance, seq, event) VALUES {rows}"

ADD_MESSAGES = """
INSERT INTO messages (instance, message_id, payload, execution_id, accepted_at) VALUES {rows}
"""

PUT_TIMERS = """
INSERT INTO timers (instance, timer_id, due_at, payload) VALUES {rows}
ON CONFLICT (instance, timer_id) DO UPDATE SET due_at = excluded.due_at, payload = excluded.payload
"""

ADD_ACTIVITIES = """
INSERT INTO activities (instance, execution_id, task_id, app_id, name, payload) VALUES {rows}
ON CONFLICT (instance, execution_id, task_id) DO NOTHING
RETURNING activity, instance, execution_id, task_id
"""

# With a bare VALUES inside IN, SQLite would read the whole table.
REMOVE_MESSAGES = """
DELETE FROM messages WHERE (instance, message_id) IN (SELECT * FROM (VALUES {rows}))
"""

REMOVE_TIMERS = """
DELETE FROM timers WHERE (instance, timer_id) IN (SELECT * FROM (VALUES {rows}))
"""

REMOVE_ACTIVITIES = "DELETE FROM activities WHERE activity IN (SELECT value FROM json_each(?))"

FREE_ACTIVITIES = """
UPDATE activities SET owner = NULL WHERE activity IN (SELECT value FROM json_each(?))
"""

CLEAR = "DELETE FROM {table} WHERE instance IN (SELECT value FROM json_each(?))"


@dataclass(slots=True)
class Changes:
    """Rows to write and rows to remove; each instance is named by its number.

    What is removed was there before the batch, so it is removed first; except for activity tasks: a turn
    leaves one that exists as it is, even if its result comes later in the same batch.
    """

    purged: list[int] = field(default_factory=list)
    inbox_cleared: list[int] = field(default_factory=list)
    timers_cleared: list[int] = field(default_factory=list)
    history_cleared: list[int] = field(default_factory=list)
    messages_removed: list[tuple[int, int]] = field(default_factory=list)
    timers_removed: list[tuple[int, int]] = field(default_factory=list)
    activities_removed: list[int] = field(default_factory=list)
    activities_freed: list[int] = field(default_factory=list)
    instances: dict[int, InstanceRow] = field(default_factory=dict)
    inputs_put: list[tuple[int, str | None]] = field(default_factory=list)
    inputs_set: list[tuple[int, str | None]] = field(default_factory=list)
    outputs: list[tuple[int, str | None, str | None, bytes | None]] = field(default_factory=list)
    history: list[tuple[int, int, bytes]] = field(default_factory=list)
    messages: list[tuple[int, int, bytes, str | None, int]] = field(default_factory=list)
    timers: list[tuple[int, int, int, bytes]] = field(default_factory=list)
    activities: list[tuple[int, str, int, str, str, bytes]] = field(default_factory=list)

    def clear_run(self, instance: int) -> None:
        """Remove history, inbox and timers of an instance; activity tasks stay."""
        self.history_cleared.append(instance)
        self.inbox_cleared.append(instance)
        self.timers_cleared.append(instance)

    def write_contents(self, connection: sqlite3.Connection) -> list[tuple[int, int, str, int]]:
        """Write everything except the rows of instances.

        Returns:
            Number and key of each activity task that was inserted.
        """
        self._remove(connection)
        run_rows(connection, PUT_INPUTS, self.inputs_put)
        run_rows(connection, SET_INPUTS, self.inputs_set)
        run_rows(connection, SET_OUTPUTS, self.outputs)
        run_rows(connection, ADD_HISTORY, self.history)
        run_rows(connection, ADD_MESSAGES, self.messages)
        run_rows(connection, PUT_TIMERS, self.timers)
        inserted = run_rows(connection, ADD_ACTIVITIES, self.activities)
        if self.activities_removed:
            connection.execute(REMOVE_ACTIVITIES, (id_list(self.activities_removed),))
        return inserted

    def write_instances(self, connection: sqlite3.Connection) -> None:
        """Write the rows of instances, when all their columns are known."""
        run_rows(connection, PUT_INSTANCES, [values_of(row) for row in self.instances.values()])

    def _remove(self, connection: sqlite3.Connection) -> None:
        for table, instances in (
            ("instances", self.purged),
            ("payloads", self.purged),
            ("activities", self.purged),
            ("history", self.purged + self.history_cleared),
            ("messages", self.purged + self.inbox_cleared),
            ("timers", self.purged + self.timers_cleared),
        ):
            if instances:
                connection.execute(CLEAR.format(table=table), (id_list(instances),))
        if self.activities_freed:
            connection.execute(FREE_ACTIVITIES, (id_list(self.activities_freed),))
        run_rows(connection, REMOVE_MESSAGES, self.messages_removed)
        run_rows(connection, REMOVE_TIMERS, self.timers_removed)
