"""What is said about methods of gRPC services that are not served."""

from __future__ import annotations

from durahub.server.operations import DAPR_SERVICE

_ABSENT = (
    ("Actor", "actors that applications can call"),
    ("Job", "scheduled jobs"),
    ("State", "state stores that applications can use"),
    ("Publish", "publish and subscribe"),
    ("Bulk", "publish and subscribe"),
    ("Subscribe", "subscriptions"),
    ("InvokeService", "service invocation"),
    ("InvokeBinding", "bindings"),
    ("Secret", "secret stores that applications can read"),
    ("Configuration", "configuration stores"),
    ("Lock", "locks"),
    ("Unlock", "locks"),
    ("crypt", "cryptography"),
    ("Subtle", "cryptography"),
    ("Converse", "conversations with language models"),
    ("Index", "search"),
    ("Document", "search"),
    ("Search", "search"),
    ("Collection", "vector stores"),
    ("Vector", "vector stores"),
    ("BinaryFile", "binary stores"),
)
"""What is not there, by a part of the method's name; the first that fits counts."""


def unserved_text(path: str) -> str:
    """Return what to say about a method that is not served, as `/Service/Method`."""
    service, _, method = path.removeprefix("/").rpartition("/")
    text = f"unknown method {method} for service {service}"
    if service != DAPR_SERVICE:
        return text
    absent = next((what for part, what in _ABSENT if part in method), None)
    lacking = f" and has no {absent}" if absent else ""
    return f"{text}: Durahub is a sidecar for workflows{lacking}"
