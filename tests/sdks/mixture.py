"""Some workflows in the middle of what they do."""

from __future__ import annotations

from tests.sdks.app import App


class Mixture:
    """Instances that are about different things when something happens.

    Args:
        app: Starts them and sees them end.
    """

    def __init__(self, app: App) -> None:
        self._listener = app.start("listener", 1)
        self._results = {
            app.start("timer", 2): "fired",
            app.start("slow", 2): "done",
            app.start("fan_out", 40): sum(range(2, 42)),
            app.start("parent", 1): [4, 7, 7],
            app.start("generations", 1): 5,
        }

    def check(self, app: App) -> None:
        """See all of them end as they should."""
        app.tell(self._listener, "after")
        assert app.wait(self._listener).result == ["after"]
        for instance_id, result in self._results.items():
            assert app.wait(instance_id).result == result
