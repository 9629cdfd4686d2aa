"""Counters of a service in the text format that Prometheus reads.

Source: "Exposition formats", text-based format 0.0.4, prometheus.io/docs.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Mapping

__all__ = ["CONTENT_TYPE", "Metrics"]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
BOUNDS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Metrics:
    """Requests by route and status, their times, and what they did; safe among threads.

    >>> metrics = Metrics()
    >>> metrics.observe("/search", 200, 0.02)
    >>> [line for line in metrics.text({}).splitlines() if "requests_total" in line][-1]
    'sanreid_requests_total{route="/search",status="200"} 1'
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests: Counter[tuple[str, int]] = Counter()
        self._times: defaultdict[str, list[int]] = defaultdict(lambda: [0] * (len(BOUNDS_S) + 1))
        self._seconds: defaultdict[str, float] = defaultdict(float)
        self._counts: Counter[str] = Counter()

    def observe(self, route: str, status: int, seconds: float) -> None:
        """Count a request that was answered."""
        with self._lock:
            self._requests[route, status] += 1
            self._times[route][bisect_left(BOUNDS_S, seconds)] += 1
            self._seconds[route] += seconds

    def count(self, name: str, number: int) -> None:
        """Add to one of the other counters: ``"crops_embedded"``."""
        with self._lock:
            self._counts[name] += number

    def text(self, gauges: Mapping[str, int]) -> str:
        """Return everything as text; ``gauges`` are values of this moment."""
        with self._lock:
            requests = sorted(self._requests.items())
            times = {route: list(counts) for route, counts in sorted(self._times.items())}
            seconds, counts = dict(self._seconds), sorted(self._counts.items())
        lines = ["# TYPE sanreid_requests_total counter"]
        lines += [
            f'sanreid_requests_total{{route="{route}",status="{status}"}} {number}'
            for (route, status), number in requests
        ]
        lines.append("# TYPE sanreid_request_seconds histogram")
        for route, buckets in times.items():
            total = 0
            for bound, number in zip((*map(str, BOUNDS_S), "+Inf"), buckets, strict=True):
                total += number
                lines.append(
                    f'sanreid_request_seconds_bucket{{route="{route}",le="{bound}"}} {total}'
                )
            lines += [
                f'sanreid_request_seconds_sum{{route="{route}"}} {seconds[route]:.6f}',
                f'sanreid_request_seconds_count{{route="{route}"}} {total}',
            ]
        for name, number in counts:
            lines += [f"# TYPE sanreid_{name}_total counter", f"sanreid_{name}_total {number}"]
        for name, value in gauges.items():
            lines += [f"# TYPE sanreid_{name} gauge", f"sanreid_{name} {value}"]
        return "\n".join(lines) + "\n"
