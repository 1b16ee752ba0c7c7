"""Broken variants of the reference backend, by which the kit is tested.

Each mutant breaks one law and names requirements that have to notice.
"""

from . import (
    activities,
    batches,
    claims,
    creations,
    deliveries,
    ended,
    fields,
    forwarding,
    lifecycle,
    limits,
    owners,
    reading,
    refusals,
    sessions,
    turns,
    vacancies,
)
from .registry import MUTANTS, Mutant

__all__ = [
    "MUTANTS",
    "Mutant",
    "activities",
    "batches",
    "claims",
    "creations",
    "deliveries",
    "ended",
    "fields",
    "forwarding",
    "lifecycle",
    "limits",
    "owners",
    "reading",
    "refusals",
    "sessions",
    "turns",
    "vacancies",
]
