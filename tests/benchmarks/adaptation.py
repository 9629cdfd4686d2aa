"""Adapting to cameras without labels on real crops: what a map on the embeddings gives.

    SANREID_DATA=/data python -m tests.benchmarks.adaptation --folder kept --json adaptation.json

``python -m sanreid.train adapt`` as it is packaged, with all people of a set, and with half of
them: mAP under the Market rule, each crop a query, epoch by epoch, of the crops that it learned
from, and of the other half of the people under the same cameras. Raw, and with camera
normalisation fitted to the crops that are measured.
"""

from __future__ import annotations

import csv
import json
import tempfile
import time
from pathlib import Path

import numpy as np

import sanreid
from sanreid.train.checkpoint import load_checkpoint
from sanreid.train.config.loader import load_config, override
from sanreid.train.loop.engine import Engine
from sanreid.weights import locate
from tests.benchmarks.embedded_sets import crop_paths, load_sets, sets_parser
from tests.benchmarks.report import write_report

SETS = ("pku", "cuhk03val")


def figures(embeddings, pids, camids, which):
    """Return mAP raw and camera-normalised of some of the crops."""
    rows, pids, camids = embeddings[which], pids[which], camids[which]
    both = rows, sanreid.CameraNormalizer.fit(rows, camids)(rows, camids)
    reports = [sanreid.evaluate(one, pids, camids, one, pids, camids) for one in both]
    return [round(report.mAP, 4) for report in reports]


def epochs_of(table, args, cache):
    """Adapt to the crops of a table; yield the state after each epoch, and the seconds so far."""
    started = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="adaptation-") as run:
        config = load_config(
            "adapt",
            [
                f"data.sources.0.folder={str(table)!r}",
                f"data.cache_dir={str(cache)!r}",
                f"run.output={run!r}",
                *(_starting_from(args.weights) if args.weights else []),
                *args.overrides,
            ],
        )
        state = None
        for epoch in range(config.run.epochs):
            steps = 0 if state is None else state["step"]
            engine = Engine(config, resume=epoch > 0)
            limit = steps + engine.steps_per_epoch
            Engine(override(config, [f"run.max_steps={limit}"]), resume=epoch > 0).run()
            state = load_checkpoint(Path(run) / "last.ckpt")
            yield state, time.perf_counter() - started
            if state["clusters"]["settled"]:
                return


def _starting_from(weights):
    """Return the settings of a run that adapts these weights."""
    encoder = locate(weights).config.to_dict()
    return [f"init.weights={weights!r}"] + [
        f"encoder.{key}={json.dumps(value)}" for key, value in encoder.items()
    ]


def measured(name, args, crops, *, half):
    """Yield one row per epoch of a set; epoch 0 is before the adaptation."""
    embeddings, pids, camids = crops
    learned = np.ones(len(pids), dtype=bool)
    if half:
        people = np.random.default_rng(0).permutation(np.unique(pids))
        learned = np.isin(pids, people[::2])
    row = {"set": name, "people": "half" if half else "all", "epoch": 0}
    yield row | _both(embeddings, pids, camids, learned)
    with tempfile.TemporaryDirectory(prefix="adaptation-") as folder:
        table = Path(folder) / f"{name}.csv"
        paths = crop_paths(name, args.data)
        with table.open("w", newline="", encoding="utf-8") as file:
            lines = csv.writer(file)
            lines.writerow(["path", "pid", "camid"])
            lines.writerows([paths[n].resolve(), n, camids[n]] for n in np.flatnonzero(learned))
        cache = args.folder or folder
        for epoch, (state, seconds) in enumerate(epochs_of(table, args, cache), start=1):
            mapped = embeddings @ state["model"]["encoder.head.weight"].numpy().T
            labels = state["clusters"]["labels"].numpy()
            found = sanreid.evaluate_clustering(labels, pids[learned])
            yield {
                **row,
                "epoch": epoch,
                **_both(mapped, pids, camids, learned),
                **state["clusters"]["history"][-1],
                "pairwise_f1": round(found.pairwise_f1, 3),
                "seconds": round(seconds),
            } | {"epoch": epoch}


def _both(embeddings, pids, camids, learned):
    found = {"learned": figures(embeddings, pids, camids, learned)}
    if not learned.all():
        found["others"] = figures(embeddings, pids, camids, ~learned)
    return found


def main() -> None:
    parser = sets_parser(__doc__)
    parser.add_argument("--set", dest="overrides", action="append", default=[], metavar="K=V")
    args = parser.parse_args()
    fingerprint, sets = load_sets(args)
    rows = []
    for name in SETS:
        for half in (False, True):
            for row in measured(name, args, sets[name], half=half):
                rows.append(row)
                print(row, flush=True)
    write_report(args.json, "adaptation", rows, encoder=fingerprint)


if __name__ == "__main__":
    main()
