"""A process that uses the store of a test, to be killed by it.

The test starts it with `running_child`, reads what it says, and ends it with SIGKILL at any moment.
"""

from __future__ import annotations

import asyncio
import json
import pickle
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

from durahub.backend import Room, Session

from durahub_conformance import values
from durahub_conformance.harness import Harness

Script = Callable[[Harness, Session], Coroutine[Any, Any, None]]


class Child:
    """A running child process.

    Attributes:
        said: The lines that it has written so far, each after what it tells of was acknowledged.
    """

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.said: list[str] = []

    async def next_line(self) -> str:
        """Return the next line that it writes; empty at its end."""
        assert self._process.stdout is not None
        line = (await self._process.stdout.readline()).decode().strip()
        if line:
            self.said.append(line)
        return line

    async def go(self) -> None:
        """Let it do what it has waited for, if its script does wait."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        await self._process.stdin.wait_closed()

    async def kill(self) -> None:
        """Kill it while it runs, and take in what it had written by then."""
        assert self._process.returncode is None, "the child ended by itself"
        self._process.kill()
        await self.until_end()

    async def until_end(self) -> None:
        """Take in everything that it writes, and wait for its end."""
        rest, _ = await self._process.communicate()
        self.said += rest.decode().splitlines()


@asynccontextmanager
async def running_child(script: str, harness: Harness, session: Session) -> AsyncIterator[Child]:
    """Run one of the scripts below on a harness' store, in a process of its own; it never outlives this.

    Args:
        script: Its name.
        harness: Goes to the process.
        session: Not registered; for the process to use.
    """
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", f"from {__name__} import main; main()", script),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdin is not None
        # The harness' class is found where this process has found it.
        process.stdin.write(json.dumps(sys.path).encode() + b"\n")
        process.stdin.write(pickle.dumps((harness, session)))
        await process.stdin.drain()
        yield Child(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


def say(what: object) -> None:
    """Tell the test."""
    sys.stdout.write(f"{what}\n")
    sys.stdout.flush()


async def commit_turns(harness: Harness, session: Session) -> None:
    """Create instances and commit a turn of each, for ever; says the number of each when it is durable."""
    backend = harness.backend()
    await backend.open(harness.services())
    await backend.register(session)
    number = 0
    while True:
        name = f"one {number}"
        await backend.apply(session.session_id, [values.creation(name)])
        applied = await backend.apply(
            session.session_id, [values.delivery(name, "go")], Room(instances=1)
        )
        (claimed,) = applied.instances
        commit = values.turn(
            claimed,
            history=(b"1", b"2"),
            activities=(values.task(claimed, 1),),
            children=(values.creation(f"child {number}"),),
            outgoing=(values.delivery("receiver", str(number)),),
        )
        await backend.apply(session.session_id, [commit])
        say(number)
        number += 1


async def own_everything(harness: Harness, session: Session) -> None:
    """Claim whatever there is, say how much, and do nothing more."""
    backend = harness.backend()
    await backend.open(harness.services())
    await backend.register(session)
    claims = await backend.claim_instances(session.session_id, 100)
    tasks = await backend.claim_activities(session.session_id, 100)
    say(f"{len(claims.instances)} {len(tasks)}")
    await asyncio.Event().wait()


async def create_and_delete(harness: Harness, _: Session) -> None:
    """Delete and create the task hub, for ever; says it each time."""
    backend = harness.backend()
    await backend.open(harness.services())
    while True:
        await backend.delete_hub()
        await backend.create_hub()
        say("created")


async def finish_all(harness: Harness, session: Session) -> None:
    """When told to go, claim instances one by one and complete them until none is left; says the id of each."""
    backend = harness.backend()
    await backend.open(harness.services())
    await backend.register(session)
    say("ready")
    await asyncio.to_thread(sys.stdin.buffer.read)
    while claimed := (await backend.claim_instances(session.session_id, 1)).instances:
        say(claimed[0].record.key.instance_id)
        await backend.apply(session.session_id, [values.last_turn(claimed[0])])
    await backend.close()


async def run_orders(harness: Harness, _: Session) -> None:
    """Run an engine and start some workflows on it; says when all are started."""
    # The topic starts this script, and is where its workflows are.
    from durahub_conformance import scripted  # noqa: PLC0415
    from durahub_conformance.topics import engines  # noqa: PLC0415

    async with scripted.engine_on(harness, engines.WORKFLOWS) as engine:
        for number in range(engines.FLOWS):
            await engines.start(engine, "order", f"order {number}")
        say("started")
        await asyncio.Event().wait()


SCRIPTS: dict[str, Script] = {
    script.__name__: script
    for script in (commit_turns, own_everything, create_and_delete, finish_all, run_orders)
}


def main() -> None:
    """Run the script that the command line names on the harness that standard input holds."""
    sys.path[:] = json.loads(sys.stdin.buffer.readline())
    told: Any = pickle.load(sys.stdin.buffer)
    asyncio.run(SCRIPTS[sys.argv[1]](*told))
