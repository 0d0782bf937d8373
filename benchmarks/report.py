"""benchmarks/RESULTS.md and its plots, from the figures of a run: ratios first, medians over the rounds."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import psutil

from benchmarks.peers import CACHE
from benchmarks.systems import ROOT

KEPT = CACHE / "results.json"
RESULTS = ROOT / "benchmarks" / "RESULTS.md"
BUSY_LOAD = 0.5  # for each core, before a run begins: above it the figures are of a machine that did other work, too
Json = dict[str, Any]


def begin(given: argparse.Namespace) -> None:
    """Forgets the run before, and notes the machine and what is measured."""
    options = dict(vars(given))
    machine = {
        "cores": os.cpu_count(),
        "memory": psutil.virtual_memory().total,
        "system": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        "load": os.getloadavg()[0],
        "day": time.strftime("%Y-%m-%d", time.gmtime()),
    }
    _store({"options": options, "machine": machine})


def keep(part: str, results: Any) -> None:
    """Keeps the figures of a part, and writes the report of all parts so far."""
    _store(_stored() | {part: _plain(results)})
    write()


def _plain(found: Any) -> Any:
    if dataclasses.is_dataclass(found) and not isinstance(found, type):
        return dataclasses.asdict(found)
    if isinstance(found, dict):
        return {str(name): _plain(each) for name, each in found.items()}
    return [_plain(each) for each in found] if isinstance(found, list) else found


def _stored() -> Json:
    return dict(json.loads(KEPT.read_text()))


def _store(found: Json) -> None:
    KEPT.parent.mkdir(parents=True, exist_ok=True)
    KEPT.write_text(json.dumps(found, indent=1))


def write() -> None:
    """Writes RESULTS.md and the plots from what is kept."""
    found = _stored()
    parts = ["# Results\n", _head(found)]
    if "door" in found:
        parts.append(_door(found["door"]))
    if "imports" in found:
        parts.append(_imports(found["imports"]))
    if "door growth" in found and "import growth" in found:
        parts.append(_growth(found))
    if "smaller" in found:
        parts += ["## Smaller ones\n\nWhat each prints; its own text says what it measures.\n"]
        parts += [f"`benchmarks/{name}.py`\n\n```\n{text}```\n" for name, text in found["smaller"].items()]
    RESULTS.write_text("\n".join(parts))


def _head(found: Json) -> str:
    options, machine = found["options"], found["machine"]
    said = [
        "Written by `make bench`; [README.md](README.md) says what each figure means and what was learnt.\n",
        f"- {machine['day']}, {machine['cores']} cores, {machine['memory'] / 2**30:.0f} GiB of memory, "
        f"{machine['system']}; databases, servers, workers, the stand-in for Stripe and the load, all on this machine",
        f"- the door: {options['events']:,} events on {options['invoices']:,} invoices; the import: "
        f"{options['imported']:,} invoices; medians of {options['rounds']} "
        f"{'round' if options['rounds'] == 1 else 'rounds'}; a ratio is the median of the rounds' ratios",
    ]
    if machine["load"] > BUSY_LOAD * machine["cores"]:
        said.append(
            f"- **the machine was busy with other work** (load {machine['load']:.1f} at the beginning): the ratios "
            "tell more than the rates, and neither is the last word"
        )
    return "\n".join(said) + "\n"


def _table(heads: list[str], rows: Iterable[list[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def _median(results: list[Json], of: Callable[[Json], float]) -> float:
    return statistics.median(of(result) for result in results)


def _ratio(results: list[Json], floor: list[Json], of: str) -> str:
    if not floor or len(floor) != len(results):
        return "–"
    return f"**{statistics.median(ours[of] / base[of] for ours, base in zip(results, floor, strict=True)):.2f}**"


def _wait(results: list[Json], of: str) -> str:
    """p50 and p99, in milliseconds, over the rounds' medians."""
    if not all(result[of] for result in results):
        return "–"
    p50 = _median(results, lambda result: statistics.median(result[of]))
    p99 = _median(results, lambda result: sorted(result[of])[int(len(result[of]) * 0.99)])
    return f"{1000 * p50:,.0f} · {1000 * p99:,.0f}"


def _cpu(results: list[Json]) -> str:
    """Seconds for each 1,000 events, by role; without what used none."""
    medians = {role: statistics.median(result["cpu"][role] for result in results) for role in results[0]["cpu"]}
    return ", ".join(f"{role} {seconds:.2f}" for role, seconds in medians.items() if seconds)


def _door(found: Json) -> str:
    said = [
        "## The door\n",
        "Rate : floor counts events that are accepted and applied. CPU: seconds for each 1,000 events.\n",
    ]
    for database, all_systems in found.items():
        systems = {name: results for name, results in all_systems.items() if results}
        rows = [
            [
                name,
                _ratio(results, systems.get("floor", []), "applied"),
                f"{_median(results, lambda result: result['applied']):,.0f}",
                f"{_median(results, lambda result: result['accepted']):,.0f}",
                _wait(results, "latencies"),
                _wait(results, "idle"),
                _cpu(results),
                f"{sum(result['refused'] for result in results):,}",
                f"{_median(results, lambda result: result['generator']):.0%}",
            ]
            for name, results in systems.items()
        ]
        heads = ["", "rate : floor", "applied/s", "accepted/s", "to the mirror at full rate, p50 · p99 ms"]
        heads += ["idle, p50 · p99 ms", "CPU", "refused", "load's share of a core"]
        said += [f"### {database}\n", _table(heads, rows), _versions(systems)]
    return "\n".join(said)


def _imports(found: Json) -> str:
    said = ["## The import\n", "Seconds of the whole command, and how many times the floor's they are.\n"]
    for database, measured in found.items():
        systems = {name: results for name, results in measured["results"].items() if results}
        rows = [
            [
                name,
                _ratio(results, systems.get("floor", []), "seconds"),
                f"{_median(results, lambda result: result['seconds']):,.1f}",
                f"{_median(results, lambda result: result['until_invoices']):,.1f}",
                f"{_median(results, lambda result: result['cpu']):,.1f}",
                f"{_median(results, lambda result: sum(result['calls'].values())):,.0f}",
                f"{_median(results, lambda result: result['peak']) / 2**20:,.0f}",
            ]
            for name, results in systems.items()
        ]
        heads = ["", "time : floor", "seconds", "until all invoices are here, s", "CPU s", "calls", "peak MiB"]
        said += [f"### {database}\n", _table(heads, rows)]
        if "ours" in systems:
            peak, shell = _median(systems["ours"], lambda result: result["peak"]), measured["shell"]
            calls = systems["ours"][-1]["calls"]
            said += [
                f"An idle `manage.py shell` of ours has {shell / 2**20:,.0f} MiB: the import needs "
                f"{(peak - shell) / 2**20:+,.0f} MiB. Our calls: "
                + ", ".join(f"{path} {number:,}" for path, number in sorted(calls.items()))
                + ".\n"
            ]
        said.append(_versions(systems))
    return "\n".join(said)


def _versions(systems: Json) -> str:
    return "\n".join(f"- {name}: {results[-1]['versions']}" for name, results in systems.items()) + "\n"


def _growth(found: Json) -> str:
    door = {float(times): next(iter(each.values())) for times, each in found["door growth"].items()}
    imports = {float(times): next(iter(each.values()))["results"] for times, each in found["import growth"].items()}
    options = found["options"]
    _plot(
        "door-growth.png",
        {times * options["invoices"]: systems for times, systems in door.items()},
        "applied",
        "invoices that the events are of",
        "events accepted and applied in a second",
    )
    _plot(
        "import-growth.png",
        {times * options["imported"]: systems for times, systems in imports.items()},
        "seconds",
        "invoices",
        "seconds of the whole import",
    )
    rows = [
        [f"{times:g} ×", _growth_ratio(door[times], "applied"), _growth_ratio(imports[times], "seconds")]
        for times in door
    ]
    heads = ["size", "the door: rate : floor", "the import: time : floor"]
    plots = "![The door](door-growth.png)\n\n![The import](import-growth.png)\n"
    return f"## Growth\n\n{_table(heads, rows)}\n{plots}"


def _growth_ratio(systems: Json, of: str) -> str:
    return _ratio(systems["ours"], systems.get("floor", []), of) if systems.get("ours") else "–"


def _plot(file: str, sizes: dict[float, Json], of: str, x: str, y: str) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4.2))
    for name in dict.fromkeys(name for systems in sizes.values() for name in systems):
        points = [(size, [each[of] for each in systems[name]]) for size, systems in sizes.items() if systems.get(name)]
        axes.plot([size for size, _ in points], [statistics.median(each) for _, each in points], "o-", label=name)
    axes.set(xlabel=x, ylabel=y, xlim=(0, None), ylim=(0, None))
    axes.grid(alpha=0.3)
    axes.legend()
    figure.tight_layout()
    figure.savefig(Path(RESULTS.parent) / file, dpi=110)
    pyplot.close(figure)
