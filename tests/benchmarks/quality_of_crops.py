"""Does the quality of a query predict whether it finds its person? On real crops.

    SANREID_DATA=/data python -m tests.benchmarks.quality_of_crops --folder kept

Each crop of a set is a query among the crops of the other cameras. Queries are sorted by a score
of ``sanreid.crop_quality`` and cut into fifths; each line gives the rank-1 and the mAP of the
fifths, the lowest scores first. Then some queries are damaged in several ways, and their scores
and rank-1 are compared with those of the same queries whole. Scores and embeddings are kept in
``--folder``.
"""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageFilter

import sanreid
from tests.benchmarks.embedded_sets import crop_paths, kept_arrays, load_sets, sets_parser
from tests.benchmarks.report import write_report

SETS = ("cuhk03val", "pku")
FIFTHS = 5
DAMAGED = 120  # queries of the first set
PICTURE = ("size", "sharpness", "shape")


def per_query(embeddings, pids, camids):
    """Rank-1 (N,) and average precision (N,), NaN for a crop without a match elsewhere."""
    similarities = embeddings @ embeddings.T
    first, precision = np.full((2, len(pids)), np.nan)
    for query in range(len(pids)):
        others = np.flatnonzero(camids != camids[query])
        order = others[np.argsort(-similarities[query, others], kind="stable")]
        relevant = pids[order] == pids[query]
        if relevant.any():
            places = np.flatnonzero(relevant) + 1
            first[query] = relevant[0]
            precision[query] = np.mean(np.arange(1, len(places) + 1) / places)
    return first, precision


def scores_of(name, encoder, args):
    """The scores of a set by name."""

    def make():
        quality = sanreid.crop_quality(crop_paths(name, args.data), encoder=encoder, progress=True)
        return {"all": quality.score, **quality.scores}

    return kept_arrays(f"quality-{name}", encoder, args.folder, make)


def fifths(scores, outcome):
    """The mean outcome by fifth of the scores, ties at random."""
    known = np.flatnonzero(~np.isnan(outcome))
    ties = np.random.default_rng(0).random(len(known))
    order = known[np.lexsort((ties, scores[known]))]
    return [float(outcome[part].mean()) for part in np.array_split(order, FIFTHS)]


def damages(crop):
    """The crop in several states, by what was done to it."""
    width, height = crop.size
    return {
        "whole": crop,
        "blurred, sigma 2 % of the height": crop.filter(ImageFilter.GaussianBlur(height / 50)),
        "shrunk to 24 pixels": crop.resize((12, 24), Image.Resampling.BOX),
        "upper half": crop.crop((0, 0, width, height // 2)),
        "left half": crop.crop((0, 0, width // 2, height)),
        "lying": crop.transpose(Image.Transpose.ROTATE_90),
    }


def damaged(name, embeddings, pids, camids, encoder, args):
    """A row per state: the median of each score, and the rank-1 of the damaged queries."""
    paths = crop_paths(name, args.data)
    chosen = np.random.default_rng(0).choice(len(paths), DAMAGED, replace=False)
    states = {}
    for query in chosen:
        with Image.open(paths[query]) as opened:
            for state, crop in damages(opened.convert("RGB")).items():
                states.setdefault(state, []).append(crop)
    for state, crops in states.items():
        quality = sanreid.crop_quality(crops, encoder=encoder, progress=False)
        found = []
        for query, row in zip(chosen, quality.embeddings, strict=True):
            others = np.flatnonzero(camids != camids[query])
            found.append(pids[others[np.argmax(embeddings[others] @ row)]] == pids[query])
        medians = {key: float(np.median(value)) for key, value in quality.scores.items()}
        score = float(np.median(quality.score))
        yield {
            "set": name,
            "state": state,
            "rank1": float(np.mean(found)),
            "all": score,
            **medians,
        }


def main() -> None:
    args = sets_parser(__doc__).parse_args()
    fingerprint, sets = load_sets(args)
    encoder = sanreid.SANEncoder.from_pretrained(args.weights)
    rows = []
    for name in SETS:
        first, precision = per_query(*sets[name])
        scores = scores_of(name, encoder, args)
        scores["picture alone"] = np.prod([scores[key] for key in PICTURE], axis=0)
        for key, values in scores.items():
            if np.ptp(values) < 1e-9:
                continue  # all crops of one size
            row = {"set": name, "score": key, "rank1": fifths(values, first)}
            rows.append(row | {"mAP": fifths(values, precision)})
            figures = (
                " ".join(f"{one:.3f}" for one in rows[-1][kind]) for kind in ("rank1", "mAP")
            )
            print(f"{name:<10} {key:<13} rank-1 {next(figures)}   mAP {next(figures)}")
    for row in damaged(SETS[0], *sets[SETS[0]], encoder, args):
        rows.append(row)
        medians = "  ".join(f"{key} {row[key]:.2f}" for key in list(row)[3:])
        print(f"{row['state']:<33} rank-1 {row['rank1']:.3f}  {medians}", flush=True)
    write_report(args.json, "quality_of_crops", rows, encoder=fingerprint)


if __name__ == "__main__":
    main()
