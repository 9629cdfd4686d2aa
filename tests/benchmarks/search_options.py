"""What re-ranking, expansion and travel times give a search of a gallery, on real crops.

    SANREID_DATA=/data python -m tests.benchmarks.search_options --folder kept

Each crop is a query for ``Gallery.search`` among all crops of the other cameras. A crop of the
person that is not returned counts as never found. For travel times the names of Market-1501 hold
frame numbers: the sequences of a camera are laid end to end, at 25 frames a second, and the most
that a way between two cameras may take is a quantile of the gaps of other people.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

import sanreid
from tests.benchmarks.embedded_sets import crop_paths, load_sets, sets_parser
from tests.benchmarks.report import write_report

OPTIONS = (
    {}, {"rerank": True}, {"expand": 1}, {"expand": 3}, {"expand": 5},
    {"expand": 3, "rerank": True},
)  # fmt: skip
QUANTILES = (0.99, 0.95, 0.9)
FRAMES_PER_S = 25
NAME = re.compile(r"(-?\d+)_c(\d)s(\d)_(\d+)_")


def accuracy(embeddings, pids, camids, *, timestamps=None, **options):
    """(mAP, rank-1) of searches among the other cameras."""
    gallery = sanreid.Gallery(embeddings.shape[1])
    gallery.add(embeddings, camids=camids, timestamps=timestamps)
    rule = {} if timestamps is None else {"query_timestamps": timestamps}
    found = gallery.search(
        embeddings, len(pids), query_camids=camids,
        **(rule if "max_gap_s" in options else {}), **options,
    )  # fmt: skip
    precisions, first = [], []
    for query, count in enumerate(found.counts):
        relevant = pids[found.ids[query, :count]] == pids[query]
        wanted = np.count_nonzero((pids == pids[query]) & (camids != camids[query]))
        if wanted:
            places = np.flatnonzero(relevant) + 1
            precisions.append((np.arange(1, len(places) + 1) / places).sum() / wanted)
            first.append(bool(count and relevant[0]))
    return float(np.mean(precisions)), float(np.mean(first))


def sightings(names):
    """Person (N,), camera (N,), sequence (N,) and frame (N,) of Market-1501 file names."""
    return np.array([[int(part) for part in NAME.match(name).groups()] for name in names]).T


def timelines(cameras, sequences, frames):
    """The first second of each (camera, sequence), all sequences of a camera end to end."""
    starts = {}
    for camera in np.unique(cameras):
        start = 0
        for sequence in np.unique(sequences[cameras == camera]):
            starts[camera, sequence] = start
            start += frames[(cameras == camera) & (sequences == sequence)].max() / FRAMES_PER_S
    return starts


def gaps_of(people, cameras, seconds):
    """All gaps of one person between two cameras, by pair of cameras."""
    gaps = {}
    for person in np.unique(people):
        own = np.flatnonzero(people == person)
        for a in np.unique(cameras[own]):
            for b in np.unique(cameras[own]):
                if a < b:
                    one, other = own[cameras[own] == a], own[cameras[own] == b]
                    between = np.abs(seconds[one][:, None] - seconds[other]).ravel()
                    gaps.setdefault((int(a), int(b)), []).append(between)
    return {pair: np.concatenate(parts) for pair, parts in gaps.items()}


def travel(crops, data):
    """A row per quantile: what is left of others and of the person, mAP and rank-1."""
    _, pids, camids = crops
    everybody = sorted((Path(data) / "market1501" / "bounding_box_train").glob("*.jpg"))
    people, cameras, sequences, frames = sightings([path.name for path in everybody])
    starts = timelines(cameras, sequences, frames)

    def seconds_of(cameras, sequences, frames):
        first = [starts[pair] for pair in zip(cameras, sequences, strict=True)]
        return np.array(first) + frames / FRAMES_PER_S

    asked, *when = sightings([path.name for path in crop_paths("marketdev", data)])
    times, others = seconds_of(*when), ~np.isin(people, asked)
    gaps = gaps_of(people[others], cameras[others],
                   seconds_of(cameras, sequences, frames)[others])  # fmt: skip
    apart = camids[:, None] != camids
    same = pids[:, None] == pids
    for quantile in (None, *QUANTILES):
        most = {} if quantile is None else {
            pair: float(np.quantile(between, quantile)) for pair, between in gaps.items()
        }  # fmt: skip
        table = np.full((7, 7), np.inf)
        for (a, b), value in most.items():
            table[a, b] = table[b, a] = value
        left = (np.abs(times[:, None] - times) <= table[camids[:, None], camids]) & apart
        options = {"max_gap_s": most} if most else {}
        mean, first = accuracy(*crops, timestamps=times, **options)
        yield {
            "set": "marketdev", "quantile": quantile,
            "others_left": float(left[~same].sum() / (apart & ~same).sum()),
            "person_left": float(left[same].sum() / (apart & same).sum()),
            "mAP": mean, "rank1": first,
        }  # fmt: skip


def main() -> None:
    args = sets_parser(__doc__).parse_args()
    fingerprint, sets = load_sets(args)
    rows = []
    for row in travel(sets["marketdev"], args.data):
        rows.append(row)
        print(
            f"max_gap_s {row['quantile'] or 'none':<5} others {row['others_left']:.3f} person "
            f"{row['person_left']:.3f}  mAP {row['mAP']:.3f} rank-1 {row['rank1']:.3f}", flush=True
        )  # fmt: skip
    for name, crops in sets.items():
        if name == "marketdev":  # people that the released weights were trained on
            continue
        for options in OPTIONS:
            mean, first = accuracy(*crops, **options)
            rows.append({"set": name, **options, "mAP": mean, "rank1": first})
            words = ", ".join(f"{key}={value}" for key, value in options.items()) or "plain"
            print(f"{name:<10} {words:<24} mAP {mean:.3f} rank-1 {first:.3f}", flush=True)
    write_report(args.json, "search_options", rows, encoder=fingerprint)


if __name__ == "__main__":
    main()
