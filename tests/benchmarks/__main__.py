"""`python -m tests.benchmarks`: measures, and says where and with what."""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from tests.benchmarks import idle, machine, pickup, report, seq3
from tests.benchmarks.benchmark import Benchmark, Outcome, Settings

BENCHMARKS: Mapping[str, Benchmark] = {
    module.BENCHMARK.name: module.BENCHMARK for module in (pickup, idle, seq3)
}

LONGEST_S, LONGEST_FULL_S = 290, 3600
_SEEDS = 2**31


def main(arguments: Sequence[str] | None = None) -> int:
    """Return the exit code: 0 if all was measured, and 1 if also something is not as promised."""
    asked = _parser().parse_args(arguments)
    chosen = [BENCHMARKS[name] for name in asked.names or BENCHMARKS]
    with tempfile.TemporaryDirectory(prefix="durahub-bench-") as directory:
        settings = Settings(seed=asked.seed, full=asked.full, directory=Path(directory))
        facts = {
            **machine.describe(settings.directory),
            "settings": f"seed {settings.seed}{', full' if settings.full else ''}",
        }
        report.show_facts(facts)
        outcomes = asyncio.run(_measure(chosen, settings))
    report.show_outcomes(outcomes)
    if asked.json is not None:
        report.write_json(asked.json, facts, outcomes)
    return int(not all(figure.is_kept for outcome in outcomes for figure in outcome.figures))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks",
        description="Measures sidecars, real processes on real stores. Takes less than five minutes.",
        epilog="\n".join(f"{one.name:10}{one.question}" for one in BENCHMARKS.values()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "names", nargs="*", type=_name, metavar="NAME", help="what to measure, in this order (all)"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write everything there")
    parser.add_argument(
        "--seed",
        type=_seed,
        default=random.randrange(_SEEDS),
        metavar="N",
        help="decides about everything that is random (a random one)",
    )
    parser.add_argument(
        "--full", action="store_true", help="with sizes that take longer than five minutes"
    )
    return parser


def _seed(given: str) -> int:
    if not (given.isdecimal() and int(given) < _SEEDS):
        raise argparse.ArgumentTypeError(f"{given!r} is no number from 0 to {_SEEDS - 1}")
    return int(given)


def _name(given: str) -> str:
    if given not in BENCHMARKS:
        raise argparse.ArgumentTypeError(f"no {given!r}; there are {', '.join(BENCHMARKS)}")
    return given


async def _measure(chosen: Sequence[Benchmark], settings: Settings) -> list[Outcome]:
    outcomes = []
    async with asyncio.timeout(LONGEST_FULL_S if settings.full else LONGEST_S):
        for benchmark in chosen:
            report.show_progress(f"{benchmark.name}: {benchmark.question}")
            directory = settings.directory / benchmark.name
            directory.mkdir()
            outcomes.append(await _outcome(benchmark, replace(settings, directory=directory)))
    return outcomes


async def _outcome(benchmark: Benchmark, settings: Settings) -> Outcome:
    load, began_s = os.getloadavg()[0], time.monotonic()
    figures = await benchmark.run(settings)
    return Outcome(
        name=benchmark.name,
        question=benchmark.question,
        sizes=benchmark.sizes(settings),
        figures=tuple(figures),
        load=(load, os.getloadavg()[0]),
        took_s=time.monotonic() - began_s,
    )


if __name__ == "__main__":
    sys.exit(main())
