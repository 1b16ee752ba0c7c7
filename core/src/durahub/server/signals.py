"""Signals of the process: those that stop it, and the one that makes it read its files again."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def stop_on_signals(request_stop: Callable[[str], None]) -> Iterator[None]:
    """Call `request_stop` with a reason on the first SIGINT or SIGTERM; the second one ends the process.

    Needs the main thread and a running loop.
    """
    loop = asyncio.get_running_loop()

    def stop(received: signal.Signals) -> None:
        for number in STOP_SIGNALS:
            loop.remove_signal_handler(number)
            # Not Python's handler for SIGINT: that would need the loop to be responsive.
            signal.signal(number, signal.SIG_DFL)
        request_stop(f"received {received.name}")

    for number in STOP_SIGNALS:
        loop.add_signal_handler(number, stop, number)
    try:
        yield
    finally:
        for number in STOP_SIGNALS:
            loop.remove_signal_handler(number)


@contextmanager
def reload_on_signal(reload: Callable[[], None]) -> Iterator[None]:
    """Call `reload` on every SIGHUP.

    Needs the main thread and a running loop.
    """
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGHUP, reload)
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGHUP)
