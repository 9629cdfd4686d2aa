"""The Gallery against plain FAISS on the same vectors: search, filters, disk, indexes.

    python -m tests.benchmarks.bench_gallery --size 100000 --parts search
    python -m tests.benchmarks.bench_gallery --size 1000000 --parts scale disk approximate

Vectors are drawn around identities, twenty per identity (50,000 identities at a million), with
the spread within and between people measured on real crops. They are drawn once for each size and
read from a file by every contestant, each in its own process except in ``search``, where they take
turns in one. The parts:

search       64 queries, k=10: no filter, a filter that admits 10 %, the Market-1501 rule
scale        plain exact search, 64 queries and one, from 1,000 entries up to ``--size``
disk         bulk add against a plain file, opening, first search (verifies checksums), next one
approximate  build time, recall@10 and speed of ``--kinds`` against exact search, on a gallery of
             at least 10,000 entries on disk
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np

from sanreid.gallery import Gallery
from tests.benchmarks.floors import above_floor, measure_rates
from tests.benchmarks.gallery_page import draw, section
from tests.benchmarks.report import in_fresh_process, spread, write_report

__all__ = ["draw", "draw_rows", "section"]  # the page uses the first and the last

QUERIES, K, PER_PERSON, CAMERAS = 64, 10, 20, 10
RECALL_QUERIES = 512
ROWS_AT_A_TIME = 8192
SECONDS = 20  # time budget for all repeats, but at least three repeats
SIZES = (1_000, 10_000, 100_000, 1_000_000)
# (sum of variances, number of axes over which they fall by e), measured on CUHK03 crops with a
# baseline encoder: around each person's mean, and of these means around the overall mean.
WITHIN, BETWEEN = (0.45, 40), (0.49, 13)


def spectrum(dim, total, decay):
    """Return standard deviations along axes whose variances fall by e every ``decay`` axes."""
    variances = np.exp(-np.arange(dim) / decay)
    return np.sqrt(total * variances / variances.sum()).astype(np.float32)


def draw_rows(count, dim, *, seed=0, people=None):
    """Draw unit rows around ``people`` (default: count / 20), with the spread of real crops."""
    fixed = np.random.default_rng(99)
    turn, _ = np.linalg.qr(fixed.standard_normal((dim, dim)))
    many = max(2, people or count // PER_PERSON)
    centres = fixed.standard_normal((many, dim), dtype=np.float32)
    centres *= spectrum(dim, *BETWEEN)
    within = turn.astype(np.float32) * spectrum(dim, *WITHIN)[:, None]
    rng = np.random.default_rng(seed)
    pids = rng.integers(0, len(centres), count)
    rows = np.empty((count, dim), dtype=np.float32)
    for start in range(0, count, ROWS_AT_A_TIME):
        part = rows[start : start + ROWS_AT_A_TIME]
        np.matmul(rng.standard_normal(part.shape, dtype=np.float32), within, out=part)
        part += centres[pids[start : start + len(part)]]
        part /= np.linalg.norm(part, axis=1, keepdims=True)
    return rows, pids


def prepare(folder, size, args):
    """Draw rows, and queries from the same people, once for all contestants."""
    rows, pids = draw_rows(size, args["dim"])
    np.save(folder / "rows.npy", rows)
    np.save(folder / "pids.npy", pids)
    count = max(RECALL_QUERIES, 2 * ROWS_AT_A_TIME)
    queries, query_pids = draw_rows(count, args["dim"], seed=1, people=size // PER_PERSON)
    np.save(folder / "queries.npy", queries[:RECALL_QUERIES])
    np.save(folder / "query_pids.npy", query_pids[:RECALL_QUERIES])
    return {}


def drawn(folder, name, *, mapped=False):
    """Load an array written by :func:`prepare`."""
    return np.load(folder / f"{name}.npy", mmap_mode="r" if mapped else None)


def take_turns(contestants, most):
    """Time the contestants in turn, so that disturbances affect all of them alike."""
    seconds = {name: [] for name in contestants}
    once = 0.0
    for work in contestants.values():
        start = time.perf_counter()
        work()
        once += time.perf_counter() - start
    for _ in range(max(3, min(most, int(SECONDS / once)))):
        for name, work in contestants.items():
            start = time.perf_counter()
            work()
            seconds[name].append(time.perf_counter() - start)
    return seconds


def exact_floor(seconds, rates, queries, rows, dim):
    """Return the floor: every row is read once and multiplied with every query."""
    gflop, gigabytes = 2 * queries * rows * dim / 1e9, 4 * rows * dim / 1e9
    return above_floor(seconds, rates, gflop=gflop, gigabytes=gigabytes)


def measure_search(folder, size, args, rates):
    """Measure plain, filtered and Market-1501 search against direct FAISS calls."""
    import faiss

    rows, pids = drawn(folder, "rows"), drawn(folder, "pids")
    queries, query_pids = (drawn(folder, name)[:QUERIES] for name in ("queries", "query_pids"))
    camids = np.arange(size) % CAMERAS
    gallery = Gallery(args["dim"])
    gallery.add(rows, pids=pids, camids=camids)
    bare = faiss.IndexFlatIP(args["dim"])
    bare.add(rows)
    selector = faiss.IDSelectorBatch(np.flatnonzero(camids == 3))
    chosen = faiss.SearchParameters(sel=selector)
    rules = {"query_pids": query_pids, "query_camids": np.zeros(QUERIES, int)}
    for where, params in ((None, None), ({"camid": 3}, chosen)):
        _, found = bare.search(queries, K, params=params)
        assert (gallery.search(queries, K, where=where).ids == found).mean() > 0.99
    works = {  # (what, contestant): (queries, share of the rows admitted, call)
        ("64 queries", "FAISS"): (QUERIES, 1, lambda: bare.search(queries, K)),
        ("64 queries", "Gallery"): (QUERIES, 1, lambda: gallery.search(queries, K)),
        ("10 % admitted", "FAISS"): (
            QUERIES, 0.1, lambda: bare.search(queries, K, params=chosen),
        ),
        ("10 % admitted", "Gallery"): (
            QUERIES, 0.1, lambda: gallery.search(queries, K, where={"camid": 3}),
        ),
        ("Market-1501 rule", "Gallery"): (
            QUERIES, 1, lambda: gallery.search(queries, K, **rules),
        ),
        ("one query", "FAISS"): (1, 1, lambda: bare.search(queries[:1], K)),
        ("one query", "Gallery"): (1, 1, lambda: gallery.search(queries[:1], K)),
    }  # fmt: skip
    seconds = take_turns({name: call for name, (_, _, call) in works.items()}, args["repeats"])
    found = []
    for (work, contestant), (count, share, _) in works.items():
        row = {"part": "search", "size": size, "work": work, "contestant": contestant}
        row |= spread(seconds[work, contestant])
        if (work, "FAISS") in seconds:
            peer = statistics.median(seconds[work, "FAISS"])
            row["ratio_to_faiss"] = round(row["median_s"] / peer, 3)
        floor = exact_floor(row["median_s"], rates, count, size * share, args["dim"])
        found.append(row | floor)
    return {"rows": found}


def measure_scale(folder, contestant, size, args, rates):
    """Measure exact search by one contestant, with 64 queries and with one."""
    queries = drawn(folder, "queries")[:QUERIES]
    rows = drawn(folder, "rows", mapped=True)
    if contestant == "FAISS":
        import faiss

        index = faiss.IndexFlatIP(args["dim"])
    else:
        index = Gallery(args["dim"])
    for start in range(0, size, 100_000):
        index.add(np.ascontiguousarray(rows[start : start + 100_000]))
    del rows
    seconds = take_turns(
        {QUERIES: lambda: index.search(queries, K), 1: lambda: index.search(queries[:1], K)},
        args["repeats"],
    )
    found = []
    for count, times in seconds.items():
        row = {"part": "scale", "size": size, "contestant": contestant, "queries": count}
        row |= spread(times)
        found.append(row | exact_floor(row["median_s"], rates, count, size, args["dim"]))
    return {"rows": found}


def write_plain(folder, size, args):
    """Measure writing only the vectors to a plain file, flushed: what the disk allows."""
    rows = drawn(folder, "rows")
    start = time.perf_counter()
    with (folder / "plain").open("wb") as file:
        file.write(rows.data)
        file.flush()
        os.fsync(file.fileno())
    seconds = time.perf_counter() - start
    (folder / "plain").unlink()
    return {"part": "disk", "size": size, "contestant": "plain file", "add_s": seconds}


def write_disk(folder, size, args):
    """Measure adding the vectors from memory in batches of 100,000."""
    rows, pids = drawn(folder, "rows"), drawn(folder, "pids")
    camids = np.arange(size) % CAMERAS
    metadata = [{"path": f"crops/{row:08d}.jpg"} for row in range(size)]
    start = time.perf_counter()
    with Gallery.open(folder / "g", dim=args["dim"]) as gallery:
        for first in range(0, size, 100_000):
            part = slice(first, first + 100_000)
            gallery.add(rows[part], pids=pids[part], camids=camids[part], metadata=metadata[part])
    seconds = time.perf_counter() - start
    return {"part": "disk", "size": size, "contestant": "Gallery", "add_s": seconds}


def read_disk(folder, size, args):
    """Measure opening, the first search, the next search, and a filtered one."""
    queries = drawn(folder, "queries")[:QUERIES]
    start = time.perf_counter()
    gallery = Gallery.open(folder / "g", mode="r")
    opened = time.perf_counter()
    gallery.search(queries, K)
    first = time.perf_counter()
    gallery.search(queries, K)
    second = time.perf_counter()
    gallery.search(queries, K, where={"camid": 3})
    return {
        "part": "disk",
        "size": size,
        "contestant": "Gallery, opened",
        "open_s": opened - start,
        "first_search_s": first - opened,
        "next_search_s": second - first,
        "filtered_search_s": time.perf_counter() - second,
        "vectors_mib": size * args["dim"] * 4 / 2**20,
    }


def measure_approximate(folder, kind, size, args, rates):
    """Measure one kind of index against exact search of the same gallery on disk."""
    queries = drawn(folder, "queries")
    exact = Gallery.open(folder / "g", mode="r")
    gallery = Gallery.open(folder / "g", index=kind)
    start = time.perf_counter()
    gallery.build_index(progress=False)
    built = time.perf_counter() - start
    true, found = exact.search(queries, K), gallery.search(queries, K)
    agree = [len(set(a) & set(b)) for a, b in zip(true.ids, found.ids, strict=True)]
    seconds = take_turns(
        {
            (QUERIES, "exact"): lambda: exact.search(queries[:QUERIES], K),
            (QUERIES, kind): lambda: gallery.search(queries[:QUERIES], K),
            (1, "exact"): lambda: exact.search(queries[:1], K),
            (1, kind): lambda: gallery.search(queries[:1], K),
        },
        args["repeats"],
    )
    rows = []
    for count in (QUERIES, 1):
        row = {
            "part": "approximate",
            "size": size,
            "contestant": kind,
            "queries": count,
            **spread(seconds[count, kind]),
            "exact_median_s": statistics.median(seconds[count, "exact"]),
            "build_s": built,
            "recall_at_10": sum(agree) / (K * len(queries)),
            "recall_of_entries": gallery.recall(K),
            **{name: value for name, value in gallery.stats().items() if "index_" in name},
        }
        row["candidates_per_entry"] = gallery.stats()["candidates_per_entry"]
        row["times_faster"] = row["exact_median_s"] / row["median_s"]
        index, _ = gallery._store._index._held
        if kind.startswith("ivf"):
            scanned = index.width * size / index.index.nlist * index.index.code_size
            scored = (K * index.overfetch + 8) * args["dim"] * 4
            centroids = index.index.nlist * index.index.d * 4 / count  # read once per batch
            gigabytes = count * (scanned + scored + centroids) / 1e9
            row |= above_floor(row["median_s"], rates, gigabytes=gigabytes)
        rows.append(row)
    gallery.close()
    return {"rows": rows}


def run(parts, args, rates):
    """Yield the rows of all parts, measured one process at a time."""
    size = args["size"]
    for step in [step for step in SIZES if step < size] + [size]:
        full = step == size
        if not (full or "scale" in parts):
            continue
        with tempfile.TemporaryDirectory(dir=args["folder"]) as name:
            folder = Path(name)
            in_fresh_process(prepare, folder, step, args)
            if "scale" in parts:
                for contestant in ("FAISS", "Gallery"):
                    yield from several(measure_scale, folder, contestant, step, args, rates)
            if not full:
                continue
            if "search" in parts:
                yield from in_fresh_process(measure_search, folder, size, args, rates)["rows"]
            if "disk" in parts or "approximate" in parts:
                plain = in_fresh_process(write_plain, folder, size, args)
                written = in_fresh_process(write_disk, folder, size, args)
            if "disk" in parts:
                yield from (plain, written, in_fresh_process(read_disk, folder, size, args))
            if "approximate" in parts and size >= SIZES[1]:  # below, search is exact
                for kind in args["kinds"]:
                    yield from several(measure_approximate, folder, kind, size, args, rates)


def several(measure, *arguments):
    """Return the rows measured in one process, each with its peak memory."""
    found = in_fresh_process(measure, *arguments)
    return [{**row, "peak_mib": found["peak_mib"]} for row in found["rows"]]


def shown(row):
    """Format a row as one line of text."""
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
    parser.add_argument("--repeats", type=int, default=15, help="upper limit; never below three")
    parts = ["search", "scale", "disk", "approximate"]
    parser.add_argument("--parts", nargs="+", choices=parts, default=parts)
    parser.add_argument("--kinds", nargs="+", default=["ivf-sq8", "ivf"])
    parser.add_argument("--folder", help="folder for temporary files; default: the system's")
    parser.add_argument("--json", type=Path, help="write the results here")
    args = vars(parser.parse_args())
    rates, rows = measure_rates(), []
    facts = {"dim": args["dim"], "queries": QUERIES, "k": K, "within": WITHIN, "between": BETWEEN}
    for row in run(args["parts"], args, rates):
        rows.append(row)
        print(shown(row), flush=True)
        write_report(
            args["json"], "gallery", rows, rates=rates, **facts
        )  # long run: saved after each row


if __name__ == "__main__":
    main()
