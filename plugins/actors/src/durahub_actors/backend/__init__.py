"""The backend contract on actors."""

from durahub_actors.backend.backend import ActorsBackend

__all__ = ["ActorsBackend"]
