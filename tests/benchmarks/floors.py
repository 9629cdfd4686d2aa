"""The best that the machine could do, measured, and how far a figure is from it.

The floor of a piece of work is its operations over the rate of a large matrix product, or its
bytes over the rate at which memory is read, whichever takes longer. Nothing can be faster than its
floor.

    rates = measure_rates()                                # some seconds, both kinds of rate
    row |= above_floor(row["median_s"], rates, gflop=26.4)  # floor_s, bound_by, times_floor
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from tests.benchmarks.report import in_fresh_process

_SIDES = (384, 768, 1536, 3072)  # of the square matrices multiplied
_MOST_S = 1.0  # a product that would take longer is measured on smaller matrices
_BYTES = 512 << 20  # read once, far more than any cache holds
_REPEATS = 5


def measure_rates(*precisions: str) -> dict[str, float]:
    """Measure the machine's rates in a fresh process, with as many threads as the work uses.

    Args:
        precisions: PyTorch matrix products to measure besides NumPy's float32: "bfloat16",
            "float16", "torch_float32" or "int8".

    Returns:
        ``<precision>_gflops`` (1e9 operations per second, a multiply-add counts as two) and
        ``read_gb_per_s`` (1e9 bytes per second).
    """
    found = in_fresh_process(_measure, precisions)
    found.pop("peak_mib")
    return found


def above_floor(
    seconds: float,
    rates: dict[str, float],
    *,
    gflop: float = 0.0,
    gigabytes: float = 0.0,
    precision: str = "float32",
) -> dict[str, Any]:
    """Return the floor of a piece of work and how many times longer it took.

    Args:
        seconds: Time it took.
        rates: As returned by :func:`measure_rates`.
        gflop: Unavoidable operations, in 1e9.
        gigabytes: Bytes that must be read from or written to memory, in 1e9.
        precision: Of the operations.
    """
    arithmetic = gflop / rates[f"{precision}_gflops"]
    memory = gigabytes / rates["read_gb_per_s"]
    floor = max(arithmetic, memory)
    return {
        "floor_s": round(floor, 6),
        "bound_by": "arithmetic" if arithmetic >= memory else "memory",
        "times_floor": round(seconds / floor, 2),
    }


def _measure(precisions: tuple[str, ...]) -> dict[str, Any]:
    rng = np.random.default_rng(0)

    def numpy_product(side: int) -> Callable[[], object]:
        square = rng.standard_normal((side, side), dtype=np.float32)
        out = np.empty_like(square)
        return lambda: np.matmul(square, square, out=out)

    rates = {"float32_gflops": _rate(numpy_product)}
    if precisions:
        import torch  # benchmarks of NumPy code do not need it

        def torch_product(name: str, side: int) -> Callable[[], object]:
            if name == "int8":
                whole = torch.ones(side, side, dtype=torch.int8)
                return lambda: torch._int_mm(whole, whole)
            one = torch.randn(side, side).to(getattr(torch, name.removeprefix("torch_")))
            return lambda: torch.mm(one, one)

        with torch.inference_mode():
            for name in precisions:
                rates[f"{name}_gflops"] = _rate(partial(torch_product, name))
    rows = np.ones((_BYTES // 4096, 1024), dtype=np.float32)
    vector = np.ones(1024, dtype=np.float32)
    rates["read_gb_per_s"] = rows.nbytes / 1e9 / _best(lambda: rows @ vector)
    return {name: float(f"{rate:.4g}") for name, rate in rates.items()}


def _rate(product: Callable[[int], Callable[[], object]]) -> float:
    """Return the rate of a matrix product in 1e9 operations per second.

    The matrices are as large as time allows: a processor without instructions for a precision
    takes minutes for what another does in a second.
    """
    rate = 0.0
    for side in _SIDES:
        work = 2 * side**3 / 1e9
        if rate and work / rate > _MOST_S:
            break
        rate = work / _best(product(side))
    return rate


def _best(work: Callable[[], object]) -> float:
    """Return the shortest of several times: disturbances only lengthen them."""
    work()
    seconds = []
    for _ in range(_REPEATS):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return min(seconds)
