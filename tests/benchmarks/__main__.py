"""How fast the command is, measured on this machine, beside what it should be.

    python -m tests.benchmarks                      # from a checkout; some minutes
    python -m tests.benchmarks --only job --only latency --runs 9
    python -m tests.benchmarks --peers              # beside other tools, installed from PyPI

Nothing is faked but the models: each figure is of the command as a process of its own, against
`server.py` on loopback. Values are medians. Ratios to an ideal or to another program hold anywhere;
seconds and megabytes are this machine's.
"""

from __future__ import annotations

import argparse
import compileall
import os
import platform
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from rich.console import Console
from rich.table import Table

import refinecli
from tests.benchmarks import jobs
from tests.benchmarks.jobs import Lab
from tests.benchmarks.measure import Figure, NotMeasuredError
from tests.benchmarks.peers import peers
from tests.benchmarks.prefix import prefix

Benchmark = Callable[[Lab], Iterable[Figure | NotMeasuredError]]
BENCHMARKS: dict[str, Benchmark] = {
    "job": jobs.job,
    "latency": jobs.latency,
    "saturated": jobs.saturated,
    "memory": jobs.memory,
    "startup": jobs.startup,
    "jsonl": jobs.jsonl,
    "limited": jobs.limited,
    "replay": jobs.replay,
    "prefix": prefix,
}


def main() -> None:
    parser = argparse.ArgumentParser("python -m tests.benchmarks", description=_about())
    parser.add_argument("--only", action="append", choices=[*BENCHMARKS, "peers"])
    parser.add_argument("--runs", type=int, metavar="N", help="measure each of them N times")
    parser.add_argument("--peers", action="store_true", help="install and measure other tools too")
    options = parser.parse_args()
    chosen = dict(BENCHMARKS)
    if options.peers or "peers" in (options.only or []):
        chosen["peers"] = peers
    table = new_table()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    compileall.compile_dir(Path(refinecli.__file__).parent, quiet=1)  # as pip does
    try:
        with tempfile.TemporaryDirectory(prefix="refinecli-benchmarks-") as folder:
            lab = Lab(Path(folder), options.runs)
            for name in options.only or chosen:
                started = time.monotonic()
                add(table, name, chosen[name], lab)
                print(f"{name}: measured in {time.monotonic() - started:.0f} s", file=sys.stderr)
    except KeyboardInterrupt:
        print("interrupted: this is what was measured", file=sys.stderr)
    Console(width=None if sys.stdout.isatty() else 110).print(table)


def _about() -> str:
    return (__doc__ or "").partition("\n")[0]


def new_table() -> Table:
    cores, load = os.cpu_count(), os.getloadavg()[0]
    here = f"Python {platform.python_version()}, {cores} cores, load {load:.1f} before"
    table = Table("benchmark", "measured", caption=f"{here}; medians; ✗ misses its target")
    for column in ("value", "range", "target"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("")
    return table


def add(table: Table, name: str, benchmark: Benchmark, lab: Lab) -> None:
    """Run a benchmark; what it could not measure is a line of the table too."""
    try:
        for figure in benchmark(lab):
            if isinstance(figure, NotMeasuredError):
                table.add_row(name, f"not measured: {figure}")
            else:
                table.add_row(name, *cells(figure))
            name = ""
    except NotMeasuredError as reason:
        table.add_row(name, f"not measured: {reason}")
    table.add_section()


def cells(figure: Figure) -> tuple[str, ...]:
    low, high = min(figure.samples), max(figure.samples)
    spread = f"{number(low)} to {number(high)}" if len(figure.samples) > 1 else ""
    target = ""
    if figure.at_most is not None:
        target = f"≤ {number(figure.at_most)}"
    elif figure.at_least is not None:
        target = f"≥ {number(figure.at_least)}"
    value = f"{number(figure.value)} {figure.unit}".rstrip()
    return figure.what, value, spread, target, {True: "✓", False: "✗", None: ""}[figure.met]


def number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


if __name__ == "__main__":
    main()
