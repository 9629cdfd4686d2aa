"""The Gallery beside bare FAISS on the same vectors: search, filters, disk, approximate indexes.

    python -m tests.benchmarks.bench_gallery --size 100000 --json gallery.json
    python -m tests.benchmarks.bench_gallery --size 1000000 --parts disk approximate
    python -m tests.benchmarks.bench_gallery --parts scale --json scale.json --plot scale.png

Vectors are drawn around identities, twenty crops each (50,000 identities at a million), spread
within and between people as real crops were measured to be. Searches of the two contestants take
turns in one process; what concerns memory and opening runs in processes of its own. The parts:

search       64 queries, k=10: no filter, a filter that admits 10 %, the Market-1501 rule
scale        the plain search against size, from 1,000 up to ``--size``
disk         bulk add, opening, first search (checksums are read), next search, resident memory
approximate  building, recall@10 and speed of ``--kinds`` against exact search
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np

from sanreid.gallery import Gallery
from tests.benchmarks.report import in_fresh_process, spread, write_report

QUERIES, K, PER_PERSON, CAMERAS = 64, 10, 20, 10
ROWS_AT_A_TIME = 8192
# (sum of variances, axes for a fall by e), measured on CUHK03 crops with the baseline weights:
# deviations from a person's mean, and of people's means from their common mean.
WITHIN, BETWEEN = (0.45, 40), (0.49, 13)


def spectrum(dim, total, decay):
    """Standard deviations along axes whose variances fall by e every ``decay`` axes."""
    variances = np.exp(-np.arange(dim) / decay)
    return np.sqrt(total * variances / variances.sum()).astype(np.float32)


def draw(count, dim, *, seed=0):
    """Unit rows around ``count / 20`` people, spread as crops of real people are."""
    fixed = np.random.default_rng(99)
    turn, _ = np.linalg.qr(fixed.standard_normal((dim, dim)))
    people = fixed.standard_normal((max(2, count // PER_PERSON), dim), dtype=np.float32)
    people *= spectrum(dim, *BETWEEN)
    within = turn.astype(np.float32) * spectrum(dim, *WITHIN)[:, None]
    rng = np.random.default_rng(seed)
    pids = rng.integers(0, len(people), count)
    rows = np.empty((count, dim), dtype=np.float32)
    for start in range(0, count, ROWS_AT_A_TIME):
        part = rows[start : start + ROWS_AT_A_TIME]
        np.matmul(rng.standard_normal(part.shape, dtype=np.float32), within, out=part)
        part += people[pids[start : start + len(part)]]
        part /= np.linalg.norm(part, axis=1, keepdims=True)
    return rows, pids


def draw_queries(size, args):
    """New crops of people who are in the gallery."""
    rows, pids = draw(size, args["dim"], seed=1)
    return rows[:QUERIES].copy(), pids[:QUERIES]


def take_turns(contestants, repeats):
    """Time each in turn, so that the machine's moods meet all of them."""
    seconds = {name: [] for name in contestants}
    for work in contestants.values():
        work()
    for _ in range(repeats):
        for name, work in contestants.items():
            start = time.perf_counter()
            work()
            seconds[name].append(time.perf_counter() - start)
    return seconds


def compared(part, size, contestants, repeats):
    """A row a contestant, with its ratio to bare FAISS, by medians."""
    seconds = take_turns(contestants, repeats)
    faiss_s = statistics.median(seconds["FAISS"])
    return [
        {
            "part": part,
            "size": size,
            "contestant": name,
            **spread(times),
            "ratio_to_faiss": round(statistics.median(times) / faiss_s, 3),
        }
        for name, times in seconds.items()
    ]


def measure_search(size, args, *, rules=True):
    """Plain, filtered and Market-1501 search against the bare calls."""
    import faiss

    rows, pids = draw(size, args["dim"])
    queries, query_pids = draw_queries(size, args)
    camids = np.arange(size) % CAMERAS
    gallery = Gallery(args["dim"])
    gallery.add(rows, pids=pids, camids=camids)
    bare = faiss.IndexFlatIP(args["dim"])
    bare.add(rows)
    admitted = np.flatnonzero(camids == 3)
    selector = faiss.IDSelectorBatch(admitted)
    chosen = faiss.SearchParameters(sel=selector)
    _, found = bare.search(queries, K)
    assert (gallery.search(queries, K).ids == found).mean() > 0.99
    _, found = bare.search(queries, K, params=chosen)
    filtered = gallery.search(queries, K, where={"camid": 3})
    assert (filtered.ids == found).mean() > 0.99
    contestants = {
        "FAISS": lambda: bare.search(queries, K),
        "Gallery": lambda: gallery.search(queries, K),
    }
    if rules:
        contestants |= {
            "Gallery, 10 % admitted": lambda: gallery.search(queries, K, where={"camid": 3}),
            "FAISS, 10 % admitted": lambda: bare.search(queries, K, params=chosen),
            "Gallery, Market-1501 rule": lambda: gallery.search(
                queries, K, query_pids=query_pids, query_camids=np.zeros(QUERIES, int)
            ),
            "FAISS, one query": lambda: bare.search(queries[:1], K),
            "Gallery, one query": lambda: gallery.search(queries[:1], K),
        }
    return {"rows": compared("search" if rules else "scale", size, contestants, args["repeats"])}


def write_disk(folder, size, args):
    """Bulk add with the vectors in memory, in batches of 100,000."""
    rows, pids = draw(size, args["dim"])
    camids = np.arange(size) % CAMERAS
    metadata = [{"path": f"crops/{row:08d}.jpg"} for row in range(size)]
    start = time.perf_counter()
    with Gallery.open(folder, dim=args["dim"]) as gallery:
        for first in range(0, size, 100_000):
            part = slice(first, first + 100_000)
            gallery.add(rows[part], pids=pids[part], camids=camids[part], metadata=metadata[part])
    seconds = time.perf_counter() - start
    return {"part": "disk", "size": size, "add_s": seconds, "rows_per_s": round(size / seconds)}


def read_disk(folder, size, args):
    """Open, search twice, and see how much memory is resident."""
    queries, _ = np.load(Path(folder) / "queries.npy"), None
    start = time.perf_counter()
    gallery = Gallery.open(Path(folder) / "g", mode="r")
    opened = time.perf_counter()
    gallery.search(queries, K)
    first = time.perf_counter()
    gallery.search(queries, K)
    second = time.perf_counter()
    gallery.search(queries, K, where={"camid": 3})
    return {
        "part": "disk",
        "size": size,
        "dim": args["dim"],
        "open_s": opened - start,
        "first_search_s": first - opened,
        "next_search_s": second - first,
        "filtered_search_s": time.perf_counter() - second,
        "vectors_mib": size * args["dim"] * 4 / 2**20,
    }


def measure_approximate(kind, size, args):
    """One kind of index against exact search."""
    rows, pids = draw(size, args["dim"])
    queries, _ = draw_queries(size, args)
    gallery, exact = Gallery(args["dim"], index=kind), Gallery(args["dim"])
    for one in (gallery, exact):
        one.add(rows, pids=pids)
    del rows
    start = time.perf_counter()
    gallery.build_index(progress=False)
    built = time.perf_counter() - start
    seconds = take_turns(
        {"exact": lambda: exact.search(queries, K), kind: lambda: gallery.search(queries, K)},
        args["repeats"],
    )
    true, found = exact.search(queries, K), gallery.search(queries, K)
    agree = [len(set(a) & set(b)) for a, b in zip(true.ids, found.ids, strict=True)]
    return {
        "part": "approximate",
        "size": size,
        "kind": kind,
        "build_s": built,
        **spread(seconds[kind]),
        "exact_median_s": statistics.median(seconds["exact"]),
        "times_faster": statistics.median(seconds["exact"]) / statistics.median(seconds[kind]),
        "recall_at_10": sum(agree) / (K * QUERIES),
        "recall_of_entries": gallery.recall(K),
    }


def run_disk(size, args):
    """Write in one process, read in another."""
    with tempfile.TemporaryDirectory(dir=args["folder"]) as folder:
        np.save(Path(folder) / "queries.npy", draw_queries(size, args)[0])
        yield in_fresh_process(write_disk, Path(folder) / "g", size, args)
        yield in_fresh_process(read_disk, folder, size, args)


def run(parts, args):
    """Give the rows of all parts, one process after the other."""
    size = args["size"]
    if "search" in parts:
        yield from in_fresh_process(measure_search, size, args)["rows"]
    if "scale" in parts:
        steps = [step for step in (1_000, 10_000, 100_000, 1_000_000) if step <= size]
        for step in steps:
            yield from in_fresh_process(measure_search, step, args, rules=False)["rows"]
    if "disk" in parts:
        yield from run_disk(size, args)
    if "approximate" in parts:
        for kind in args["kinds"]:
            yield in_fresh_process(measure_approximate, kind, size, args)


def plot(rows, path):
    """Cost against size, both contestants."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.add_subplot()
    for name in ("FAISS", "Gallery"):
        line = [row for row in rows if row["part"] == "scale" and row["contestant"] == name]
        sizes = [row["size"] for row in line]
        axes.loglog(sizes, [row["median_s"] * 1e3 for row in line], marker="o", label=name)
    axes.set(xlabel="entries", ylabel=f"ms for {QUERIES} queries, k={K}", title="Exact search")
    axes.legend()
    figure.savefig(path)


def shown(row):
    """One line for people."""
    facts = [
        f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in row.items()
        if name not in ("part", "repeats", "best_s")
    ]
    return f"{row['part']:<12}" + "  ".join(facts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--size", type=int, default=100_000)
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--repeats", type=int, default=15)
    parts = ["search", "scale", "disk", "approximate"]
    parser.add_argument("--parts", nargs="+", choices=parts, default=parts)
    parser.add_argument("--kinds", nargs="+", default=["ivf", "ivf-sq8"])
    parser.add_argument("--folder", help="where the disk part writes; default: the system's")
    parser.add_argument("--json", type=Path, help="write the results here")
    parser.add_argument("--plot", type=Path, help="draw the scale part here (needs matplotlib)")
    args = vars(parser.parse_args())
    rows = []
    for row in run(args["parts"], args):
        rows.append(row)
        print(shown(row), flush=True)
    facts = {"dim": args["dim"], "queries": QUERIES, "k": K, "within": WITHIN, "between": BETWEEN}
    write_report(args["json"], "gallery", rows, **facts)
    if args["plot"]:
        plot(rows, args["plot"])


if __name__ == "__main__":
    main()
