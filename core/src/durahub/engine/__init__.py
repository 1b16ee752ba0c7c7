"""The engine: all workflow semantics, in one place, for every backend."""

from durahub.engine.engine import Engine
from durahub.engine.expiry import RetentionPolicy
from durahub.engine.options import EngineOptions

__all__ = ["Engine", "EngineOptions", "RetentionPolicy"]
