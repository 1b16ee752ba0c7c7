"""The HTTP API of a sidecar, as curl and anybody else would call it."""

from __future__ import annotations

from typing import Any

import httpx2

from tests.e2e.processes import wait_until
from tests.e2e.sidecar import Sidecar


class HttpApi(httpx2.Client):
    """Calls one sidecar.

    Args:
        sidecar: Which one.
    """

    def __init__(self, sidecar: Sidecar) -> None:
        super().__init__(base_url=f"http://127.0.0.1:{sidecar.http_port}", timeout=60)

    def start(self, workflow: str, data: str = "", **query: str) -> str:
        """Start a workflow with Dapr's route and return its id."""
        path = f"/v1.0/workflows/dapr/{workflow}/start"
        response = self.post(path, params=query, content=data.encode())
        assert response.status_code == 202, response.text
        instance_id: str = response.json()["instanceID"]
        return instance_id

    def look(self, instance_id: str) -> dict[str, Any]:
        """Return an instance with Dapr's route."""
        response = self.get(f"/v1.0/workflows/dapr/{instance_id}")
        assert response.status_code == 200, response.text
        found: dict[str, Any] = response.json()
        return found

    def status(self, instance_id: str) -> str:
        """Return its status."""
        return str(self.look(instance_id)["runtimeStatus"])

    def await_status(self, instance_id: str, status: str) -> dict[str, Any]:
        """Return an instance as soon as it has a status."""
        wait_until(lambda: self.status(instance_id) == status, f"{instance_id} {status}")
        return self.look(instance_id)

    def ours(self, method: str, path: str, **more: Any) -> dict[str, Any]:
        """Call a route of our own that succeeds, and return the document."""
        response = self.request(method, f"/durahub/v1/{path}", **more)
        assert response.is_success, response.text
        found: dict[str, Any] = response.json()
        return found

    def every(self, path: str, **query: Any) -> list[dict[str, Any]]:
        """Return the instances on all pages of a listing."""
        found: list[dict[str, Any]] = []
        while True:
            page = self.ours("GET", path, params=query)
            found += page["instances"]
            if page["nextPageToken"] is None:
                return found
            query["pageToken"] = page["nextPageToken"]
