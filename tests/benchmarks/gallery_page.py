"""The gallery section of the benchmarks page, and its plot of cost against size."""

from __future__ import annotations

from tests.benchmarks.tables import floor_text, memory_text, table, time_text

PICTURE = "bench-gallery.png"
NAMES = {"FAISS": "FAISS, flat", "Gallery": "Gallery, exact"}


def section(reports):
    """Return the section: search, cost against size, approximate indexes, disk."""
    rows = [row for report in reports for row in report["rows"]]
    parts = {name: [row for row in rows if row["part"] == name] for name in _PARTS}
    drawn = reports[0]
    text = [
        "## Searching a gallery",
        (
            f"Random vectors with {drawn['dim']} dimensions, twenty per person, with the spread "
            f"measured on real crops; k = {drawn['k']}. The peer is a direct call of a FAISS flat "
            "index on the same vectors. The floor of exact search reads every row once from "
            "memory and multiplies it with every query; the smallest galleries fit in the "
            "processor's cache and may be faster than that."
        ),
    ]
    text += [_PARTS[name](found) for name, found in parts.items() if found]
    return "\n\n".join(text)


def _search(rows):
    lines = [
        [
            row["work"],
            NAMES[row["contestant"]],
            time_text(row["median_s"]),
            f"{row['ratio_to_faiss']:.2f}" if "ratio_to_faiss" in row else "",
            floor_text(row),
        ]
        for row in rows
    ]
    headings = ["work", "contestant", "time", "fraction of FAISS's time", "floor"]
    return "\n\n".join(
        [
            f"### Exact search, filters and rules, {rows[0]['size']:,} entries",
            "The contestants take turns in one process; 64 queries unless noted otherwise.",
            table(headings, lines),
        ]
    )


def _scale(rows):
    lines = []
    for row in rows:
        if row["queries"] == 1:
            continue
        (one,) = (
            other
            for other in rows
            if other["queries"] == 1
            and (other["size"], other["contestant"]) == (row["size"], row["contestant"])
        )
        cells = [f"{row['size']:,}", NAMES[row["contestant"]]]
        for each in (row, one):
            cells += [time_text(each["median_s"]), floor_text(each)]
        lines.append([*cells, memory_text(row)])
    headings = [
        "entries", "contestant", "64 queries", "floor", "one query", "floor", "peak memory",
    ]  # fmt: skip
    return "\n\n".join(
        [
            "### Cost against size",
            f"![Time of a search against the number of entries](images/{PICTURE})",
            (
                "Peak memory includes the file of random vectors, which is memory-mapped while "
                "they are added; for a gallery on disk see below."
            ),
            table(headings, lines),
        ]
    )


def _approximate(rows):
    lines = [
        [
            f"{row['size']:,}",
            f"`{row['contestant']}`",
            str(row["queries"]),
            time_text(row["median_s"]),
            f"{row['times_faster']:.0f}",
            f"{row['recall_at_10']:.3f}",
            floor_text(row),
            f"{row['build_s']:.0f} s",
            memory_text(row),
        ]
        for row in rows
    ]
    headings = [
        "entries", "index", "queries", "time", "times faster than exact", "recall@10", "floor",
        "build", "peak memory",
    ]  # fmt: skip
    tuned = "; ".join(
        f"`{row['contestant']}` with {row['size']:,} entries: {row['index_axes']}, "
        f"{row['index_width']}, {row['candidates_per_entry']}"
        for row in rows
        if row["queries"] == 1
    )
    return "\n\n".join(
        [
            "### Approximate indexes",
            (
                "Compared with the Gallery's own exact search of the same gallery on disk, the "
                "two taking turns; recall@10 is measured on 512 new crops of the same people. The "
                "floor reads the list centroids, the codes in the probed lists and the "
                "candidates' vectors. Peak memory is that of the whole process, including mapped "
                "vectors, exact search and index training."
            ),
            table(headings, lines),
            (
                "Parameters chosen by each index (axes, width, candidates per requested entry): "
                f"{tuned}."
            ),
        ]
    )


def _disk(rows):
    found = {row["contestant"]: row for row in rows}
    plain, gallery, opened = (found[name] for name in ("plain file", "Gallery", "Gallery, opened"))
    size = gallery["size"]
    lines = [
        [name, time_text(row["add_s"]), f"{size / row['add_s']:,.0f}", memory_text(row)]
        for name, row in (("a plain file of the vectors", plain), ("Gallery", gallery))
    ]
    return "\n\n".join(
        [
            f"### On disk, {size:,} entries",
            (
                f"{opened['vectors_mib']:,.0f} MiB of vectors, with pids, cameras and metadata, "
                "added in batches of 100,000 and flushed to disk; the plain file shows what the "
                "disk allows."
            ),
            table(["work", "time", "rows/s", "peak memory"], lines),
            (
                f"Opened in {time_text(opened['open_s'])}. 64 queries take "
                f"{time_text(opened['first_search_s'])} the first time, when every block's "
                f"checksum is verified, {time_text(opened['next_search_s'])} after that, "
                f"{time_text(opened['filtered_search_s'])} with a filter that admits 10 %; peak "
                f"memory {memory_text(opened)}."
            ),
        ]
    )


_PARTS = {"search": _search, "scale": _scale, "approximate": _approximate, "disk": _disk}


def draw(reports, folder):
    """Draw cost against size: exact search, and the approximate indexes."""
    from matplotlib.figure import Figure

    rows = [row for report in reports for row in report["rows"]]
    figure = Figure(figsize=(9, 4), layout="constrained")
    for axes, queries in zip(figure.subplots(1, 2), (64, 1), strict=True):
        lines = {}
        for row in rows:
            if row["part"] in ("scale", "approximate") and row["queries"] == queries:
                lines.setdefault(row["contestant"], {})[row["size"]] = row["median_s"] * 1e3
        for name, line in lines.items():
            sizes = sorted(line)
            axes.loglog(
                sizes, [line[size] for size in sizes], marker="o", label=NAMES.get(name, name)
            )
        title = f"{queries} queries" if queries > 1 else "one query"
        axes.set(xlabel="entries", ylabel="ms", title=title)
        axes.grid(alpha=0.3)
        axes.legend()
    folder.mkdir(parents=True, exist_ok=True)
    figure.savefig(folder / PICTURE, dpi=100)
