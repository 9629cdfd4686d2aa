"""Shared by all benchmarks: the machine, spread, peak memory of a fresh process, JSON.

A benchmark measures each contestant in its own process, so that the memory of one is not
attributed to another::

    row = in_fresh_process(measure, "ours", sizes)   # measure is a top-level function
    write_report(args.json, "evaluate", [row], rates=measure_rates())

The report becomes a section of the benchmarks page, see :mod:`tests.benchmarks.page`.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

LOCAL_OPTIONS = ("--json", "--plot", "--folder")  # paths on this machine, not reported
PACKAGES = (
    "sanreid",
    "numpy",
    "torch",
    "torchvision",
    "faiss-cpu",
    "onnxruntime",
    "openvino",
    "ray",
    "pymilvus",
    "milvus-lite",
)


def machine() -> dict[str, Any]:
    """Return when, where and with which versions the numbers were measured."""
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return {
        "when_utc": datetime.now(UTC).isoformat(timespec="seconds"),
        "cpu": _cpu_name(),
        "cores": os.cpu_count(),
        "memory_gib": _memory_gib(),
        "cores_used_by_others": _cores_used_by_others(),
        "load_average": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": versions,
    }


def spread(seconds: list[float]) -> dict[str, float]:
    """Return the median and interquartile range of repeated timings, in seconds."""
    quarters = statistics.quantiles(seconds, n=4) if len(seconds) > 1 else [seconds[0]] * 3
    return {
        "median_s": round(statistics.median(seconds), 6),
        "iqr_s": round(quarters[2] - quarters[0], 6),
        "best_s": round(min(seconds), 6),
        "repeats": len(seconds),
    }


def repeat(work: Callable[[], Any], *, repeats: int, warmup: int = 1) -> dict[str, float]:
    """Run ``work`` ``warmup`` times, then time it ``repeats`` times."""
    for _ in range(warmup):
        work()
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return spread(seconds)


def peak_memory_mib() -> float:
    """Return the largest resident memory of this process so far, in MiB; NaN on Windows."""
    if sys.platform == "win32":
        return float("nan")
    import resource  # does not exist on Windows

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (
        1024 * 1024 if sys.platform == "darwin" else 1024
    )  # bytes on macOS, KiB on Linux


def in_fresh_process(
    measure: Callable[..., dict[str, Any]], *args: object, **kwargs: object
) -> dict[str, Any]:
    """Call a top-level function in a new interpreter; add ``peak_mib`` to its result."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_with_peak, (measure, args, kwargs))


def write_report(
    path: Path | None, name: str, rows: list[dict[str, Any]], **facts: object
) -> None:
    """Write the results of a benchmark as JSON; do nothing if ``path`` is None.

    Args:
        path: ``docs/benchmarks/NAME.json`` for results shown in the documentation. A benchmark
            may have several such files, for different sizes or parts.
        name: Name of the benchmark: ``bench_<name>`` writes its section of the page.
        rows: One per contestant or size, with ``contestant``, ``median_s`` and ``peak_mib``.
        facts: Anything else the section needs, such as the machine's ``rates``.
    """
    if path is None:
        return
    report = {
        "benchmark": name,
        "command": _command(),
        "machine": machine(),
        **facts,
        "rows": rows,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


def _command() -> str:
    """Return the running command line, without paths on this machine."""
    module = getattr(sys.modules["__main__"], "__spec__", None)
    words = iter(sys.argv[1:])
    reported = []
    for word in words:
        if word in LOCAL_OPTIONS:
            next(words, None)
        elif word.partition("=")[0] not in LOCAL_OPTIONS:
            reported.append(word)
    return " ".join(["python -m", module.name if module else Path(sys.argv[0]).stem, *reported])


def _with_peak(
    measure: Callable[..., dict[str, Any]], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> dict[str, Any]:
    row = measure(*args, **kwargs)
    return {**row, "peak_mib": round(peak_memory_mib(), 1)}


def _cores_used_by_others() -> float | None:
    """Return how many cores other programs have used since this module was imported; Linux."""
    if _BEGAN is None:
        return None
    seconds, busy, own = (now - then for now, then in zip(_clocks(), _BEGAN, strict=True))
    return round(max(0.0, busy - own) / seconds, 2)


def _clocks() -> tuple[float, float, float]:
    """Return seconds: wall clock, busy over all cores, this process and its finished children."""
    fields = Path("/proc/stat").read_text(encoding="utf-8").split(maxsplit=9)[1:9]
    user, nice, system, _, _, irq, soft, steal = (int(field) for field in fields)
    busy = (user + nice + system + irq + soft + steal) / os.sysconf("SC_CLK_TCK")
    return time.perf_counter(), busy, sum(os.times()[:4])


_BEGAN = _clocks() if Path("/proc/stat").exists() else None


def _memory_gib() -> int | None:
    if not hasattr(os, "sysconf") or "SC_PHYS_PAGES" not in os.sysconf_names:
        return None
    return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30)


def _cpu_name() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
