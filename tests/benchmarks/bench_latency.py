"""What one caller waits for: a search of a small gallery, and a crop from array to named answer.

    python -m tests.benchmarks.bench_latency

The parts, in each of which the contestants take turns in one process:

search  one query and 64 in ``--small`` entries, k=10, beside the same call of a flat FAISS index
crop    one crop: the network alone, ``encode``, and ``encode`` with ``identify`` among ``--large``
        entries, beside the network with the same search in FAISS
"""

from __future__ import annotations

import argparse
import statistics
from pathlib import Path

import numpy as np

from sanreid import Gallery, SANEncoder
from sanreid.utils.words import counted
from tests.benchmarks.bench_gallery import QUERIES, K, draw_rows, take_turns
from tests.benchmarks.report import in_fresh_process, spread, write_report
from tests.benchmarks.tables import table, time_text

__all__ = ["section"]

DIM = 512
NAMES = {1: "one query", QUERIES: f"{QUERIES} queries"}


def timed(part, works, peer_of, repeats):
    """Return a row for each (work, contestant), with its ratio to the peer's time."""
    seconds = take_turns(works, repeats)
    rows = []
    for (work, contestant), times in seconds.items():
        row = {"part": part, "work": work, "contestant": contestant, **spread(times)}
        peer = peer_of(work)
        row["ratio"] = round(statistics.median(times) / statistics.median(seconds[peer]), 3)
        row["ratio_of_best"] = round(min(times) / min(seconds[peer]), 3)
        rows.append(row)
    return rows


def measure_search(size, repeats):
    """Measure searches of a small gallery beside a flat FAISS index."""
    import faiss

    rows, pids = draw_rows(size, DIM)
    queries, _ = draw_rows(QUERIES, DIM, seed=1, people=max(2, size // 20))
    gallery, bare = Gallery(DIM), faiss.IndexFlatIP(DIM)
    gallery.add(rows, pids=pids, camids=pids % 10)
    bare.add(rows)
    _, found = bare.search(queries, K)
    assert (gallery.search(queries, K).ids == found).mean() > 0.99
    works = {}
    for count, name in NAMES.items():
        asked = queries[:count]
        works[name, "FAISS"] = lambda asked=asked: bare.search(asked, K)
        works[name, "Gallery"] = lambda asked=asked: gallery.search(asked, K)
    return {"rows": timed("search", works, lambda work: (work, "FAISS"), repeats)}


def measure_crop(size, weights, repeats):
    """Measure one crop from array to named answer beside the network alone."""
    import faiss
    import torch

    encoder = SANEncoder.from_pretrained(weights)
    height, width = encoder.input_size
    crop = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    encoder.encode(crop)
    network, batch = encoder._engine.backend(), crop[None]
    normalized = torch.zeros(1, 3, height, width, device=encoder.device)
    rows, pids = draw_rows(size, encoder.embedding_dim)
    gallery = Gallery(encoder.embedding_dim, encoder_fingerprint=encoder.fingerprint)
    gallery.add(rows, pids=pids, camids=pids % 10)
    bare = faiss.IndexFlatIP(encoder.embedding_dim)
    bare.add(rows)

    @torch.inference_mode()
    def module():
        return encoder.module(normalized)

    works = {
        ("the network, as torch runs the module", "torch"): module,
        ("the network, as the encoder runs it", "network"): lambda: network(batch),
        ("`encode`", "sanreid"): lambda: encoder.encode(crop),
        ("the network, then FAISS", "FAISS"): lambda: bare.search(network(batch), K),
        ("`encode`, then `identify`", "sanreid"): lambda: gallery.identify(
            encoder.encode(crop), threshold=0.5
        ),
    }
    peer = "the network, as the encoder runs it", "network"
    return {
        "rows": timed("crop", works, lambda _: peer, repeats),
        "encoder": encoder.name,
        "dtype": str(encoder.dtype).removeprefix("torch."),
        "threads": torch.get_num_threads(),
    }


def section(reports):
    """Return the section: two tables."""
    rows = [row for report in reports for row in report["rows"]]
    facts = reports[0]
    searches = [
        [
            row["work"],
            row["contestant"],
            time_text(row["median_s"]),
            time_text(row["best_s"]),
            f"{row['ratio']:.2f}",
            f"{row['ratio_of_best']:.2f}",
        ]
        for row in rows
        if row["part"] == "search"
    ]
    crops = [
        [
            row["work"],
            time_text(row["median_s"]),
            time_text(row["best_s"]),
            f"{row['ratio']:.2f}",
            f"{row['ratio_of_best']:.2f}",
        ]
        for row in rows
        if row["part"] == "crop"
    ]
    times = ["time", "shortest", "ratio", "ratio of shortest"]
    return "\n\n".join(
        [
            "## Latency",
            (
                "What one caller waits for. The contestants take turns in one process. The ratio "
                "of the shortest times is what is left when other programs disturb neither."
            ),
            f"### A small gallery: {facts['small']:,} entries, {DIM} dimensions, k = {K}",
            table(["work", "contestant", *times], searches),
            "### One crop, from array to named answer",
            (
                f"`{facts['encoder']}` in {facts['dtype']} with "
                f"{counted(facts['threads'], 'thread', 'threads')}, and "
                f"a gallery of {facts['large']:,} entries. Ratios are to the network as the "
                "encoder runs it. A search for one crop reads all embeddings from memory once, "
                "which bounds it whoever searches."
            ),
            table(["work", *times], crops),
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--small", type=int, default=1_000, help="entries of the small gallery")
    parser.add_argument(
        "--large", type=int, default=100_000, help="entries that a crop is named by"
    )
    parser.add_argument("--weights", help="of the encoder; default: the bundled ones")
    parser.add_argument("--repeats", type=int, default=200, help="upper limit; never below three")
    parser.add_argument("--json", type=Path, help="write the results here")
    args = parser.parse_args()
    found = in_fresh_process(measure_search, args.small, args.repeats)
    crop = in_fresh_process(measure_crop, args.large, args.weights, args.repeats)
    rows = found["rows"] + crop["rows"]
    for row in rows:
        print(
            f"{row['work']:<40} {row['contestant']:<8} {time_text(row['median_s']):>10}", end="  "
        )
        print(f"ratio {row['ratio']:.2f} (shortest {row['ratio_of_best']:.2f})")
    facts = {name: crop[name] for name in ("encoder", "dtype", "threads")}
    write_report(args.json, "latency", rows, small=args.small, large=args.large, **facts)


if __name__ == "__main__":
    main()
