"""``sanreid evaluate``: CMC, mAP and mINP of an encoder on folders of named crops."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from sanreid.cli.options import (
    add_encoder_options,
    add_format_options,
    add_names_option,
    add_on_error_option,
    encode_files,
    file_path,
    load_encoder,
)
from sanreid.cli.output import print_json, print_rows, say
from sanreid.errors import DatasetError, InputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from sanreid.datasets import CropSet
    from sanreid.encoder import SANEncoder

__all__ = ["add_to"]

_DESCRIPTION = """\
Measure how well an encoder finds people again: the share of queries whose first hit is right
(rank-1), mean average precision (mAP) and mean inverse negative penalty (mINP).

Either a query folder against a gallery folder, under the Market-1501 rule, or --folder, where one
folder is both. --split says how:
  cross-camera      every crop is a query; its gallery is all crops of the other cameras
  market1501        every crop is a query against all crops; those of its person under its
                    camera are left out, other people under its camera stay in
  first-per-camera  the first crop of each person under each camera is a query, the rest is
                    the gallery, with the same rule
  both              cross-camera and market1501
"""
_THUMBNAIL = (16, 8)  # (height, width) by which near duplicates are found
_FILTERS = "numbers or names of people, one per line"


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "evaluate",
        help="measure rank-1, mAP and mINP on folders of named crops",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    data = parser.add_argument_group("data")
    data.add_argument("--query", type=file_path, metavar="DIR", help="folder of query crops")
    data.add_argument("--gallery", type=file_path, metavar="DIR", help="folder of gallery crops")
    data.add_argument(
        "--folder",
        type=file_path,
        action="append",
        metavar="DIR",
        help="may be given several times",
    )
    add_names_option(data)
    data.add_argument(
        "--shared-pids",
        choices=("same", "different"),
        help="whether a number in two folders is one person or two; needed where that happens",
    )
    data.add_argument(
        "--pids", type=file_path, metavar="FILE", help=f"keep these people: {_FILTERS}"
    )
    data.add_argument(
        "--pids-exclude", type=file_path, metavar="FILE", help=f"leave these out: {_FILTERS}"
    )
    add_on_error_option(data)  # type: ignore[arg-type] # a group takes arguments like a parser
    parser.add_argument(
        "--split",
        type=_split,
        metavar="SPLIT",
        help="queries and gallery of --folder: cross-camera, market1501, first-per-camera or "
        "both (default: both; with --without-cameras market1501)",
    )
    parser.add_argument(
        "--without-cameras",
        action="store_true",
        help="the crops tell no cameras: of each query's person, leave out the frames that are "
        "nearly the same picture instead of those of its camera",
    )
    parser.add_argument(
        "--protocol",
        choices=("market1501", "cuhk03"),
        default="market1501",
        help="scoring; cuhk03 is single-gallery-shot (default: market1501)",
    )
    parser.add_argument("--rerank", action="store_true", help="also after k-reciprocal re-ranking")
    parser.add_argument(
        "--camera-norm",
        action="store_true",
        help="also with each camera's mean taken out, fitted without labels on its queries and "
        "gallery crops together",
    )
    add_format_options(parser)
    add_encoder_options(parser)
    parser.set_defaults(run=_run, usage_error=parser.error)


def _split(text: str) -> str:
    """Read the name of a split, in any of its spellings."""
    from sanreid.metrics.splits import find_split

    try:
        return text if text == "both" else find_split(text)
    except InputError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


class _Embedded(NamedTuple):
    """Crops with their embeddings; people are numbered from 1, 0 is a distractor, -1 junk."""

    embeddings: NDArray[np.float32]
    pids: NDArray[np.int64]
    camids: NDArray[np.int64]
    paths: NDArray[np.object_]


def _run(args: argparse.Namespace) -> int:
    pair = (args.query is not None, args.gallery is not None)
    if bool(args.folder) == any(pair) or any(pair) != all(pair):
        args.usage_error("give --query DIR with --gallery DIR, or --folder DIR")
    if any(pair) and (args.split or args.shared_pids):
        args.usage_error("--split and --shared-pids go with --folder")
    if args.without_cameras and args.camera_norm:
        args.usage_error("--camera-norm needs the cameras that --without-cameras does without")
    folders = args.folder or [args.query, args.gallery]
    sets = _kept(_read_all(folders, args), args)
    pids = _comparable(sets, args.shared_pids if args.folder else "same")
    encoder = load_encoder(args)
    parts = [_embed(encoder, *part, args) for part in zip(sets, pids, strict=True)]
    if args.without_cameras:
        parts = _with_groups(parts)
    versions = [parts, _normalized(parts)] if args.camera_norm else [parts]
    results = [
        {**result, "camera_norm": is_normalized}
        for is_normalized, version in zip((False, True), versions, strict=False)
        for result in (
            _within(_joined(version), args)
            if args.folder
            else _across(version[0], version[1], args)
        )
    ]
    _print(results, encoder, args)
    return 0


def _read_all(folders: list[Path], args: argparse.Namespace) -> list[CropSet]:
    from sanreid.datasets import read_crops

    return [read_crops(folder, names=args.names) for folder in folders]


def _kept(sets: list[CropSet], args: argparse.Namespace) -> list[CropSet]:
    """Apply ``--pids`` and ``--pids-exclude``."""
    import numpy as np

    from sanreid.datasets.listed import listed_in

    masks = [np.ones(len(crops), dtype=np.bool_) for crops in sets]
    for file, keep in ((args.pids, True), (args.pids_exclude, False)):
        if file is not None:
            listed = listed_in(file, sets)
            masks = [mask & (one == keep) for mask, one in zip(masks, listed, strict=True)]
    for crops, mask in zip(sets, masks, strict=True):
        if not mask.any():
            raise DatasetError(f"--pids and --pids-exclude leave no crop of {crops.name}.")
    return [crops.select(mask) for crops, mask in zip(sets, masks, strict=True)]


def _comparable(sets: list[CropSet], shared: str | None) -> list[NDArray[np.int64]]:
    """Number the people of all sets together, from 1; 0 stands for a distractor, -1 for junk.

    Each folder numbers people with names for itself, one number may be two people in two
    folders, and only a folder's naming scheme knows whether 0 is a person.

    Raises:
        InputError: A person's number or name is in two sets and nobody said what that means.
    """
    import numpy as np

    numbers: dict[tuple[int, int | str], int] = {}
    taken: set[int | str] = set()
    result = []
    for index, crops in enumerate(sets):
        who = crops.people
        people = {person for person in who if person is not None}
        if shared is None and taken & people:
            raise InputError(
                f"{len(taken & people)} numbers of people are used in more than one --folder. "
                "Say --shared-pids same (they are the same people) or different."
            )
        taken |= people
        world = index if shared == "different" else 0
        pids = np.where(crops.pids == -1, -1, 0)
        for i, person in enumerate(who):
            if person is not None:
                pids[i] = numbers.setdefault((world, person), len(numbers) + 1)
        result.append(pids)
    return result


def _embed(
    encoder: SANEncoder, crops: CropSet, pids: NDArray[np.int64], args: argparse.Namespace
) -> _Embedded:
    """Embed a set of crops; ``--on-error collect`` leaves out those that cannot be read."""
    import numpy as np

    encoded = encode_files(encoder, crops.paths, args)
    read = {str(path) for path in encoded.paths}
    kept = np.array([str(path) in read for path in crops.paths], dtype=np.bool_)
    paths = np.array([str(path) for path in encoded.paths], dtype=object)
    return _Embedded(encoded.embeddings, pids[kept], crops.camids[kept], paths)


def _normalized(parts: list[_Embedded]) -> list[_Embedded]:
    """Take each camera's mean out, fitted on all crops together."""
    import sanreid

    together = _joined(parts)
    normalizer = sanreid.CameraNormalizer.fit(together.embeddings, together.camids)
    say(
        f"camera normalisation is fitted, without labels, on all {len(together.camids)} crops "
        f"(queries and gallery) of {len(normalizer.counts)} cameras"
    )
    return [part._replace(embeddings=normalizer(part.embeddings, part.camids)) for part in parts]


def _joined(parts: list[_Embedded]) -> _Embedded:
    import numpy as np

    return _Embedded(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def _across(
    query: _Embedded, gallery: _Embedded, args: argparse.Namespace
) -> list[dict[str, Any]]:
    """Score a query folder against a gallery folder."""
    import sanreid
    from sanreid.cli.protocols import combine

    labels = (query.pids, query.camids)
    reports = [sanreid.evaluate(*_flat(query), *_flat(gallery), protocol=args.protocol)]
    if args.rerank:
        distances = sanreid.k_reciprocal_rerank(query.embeddings, gallery.embeddings)
        reports.append(
            sanreid.evaluate_distances(
                distances, *labels, gallery.pids, gallery.camids, protocol=args.protocol
            )
        )
    return [
        {"split": "query-gallery", "reranked": is_reranked, **combine([report])}
        for is_reranked, report in zip((False, True), reports, strict=False)
    ]


def _within(crops: _Embedded, args: argparse.Namespace) -> list[dict[str, Any]]:
    """Score one folder against itself, by each split asked for."""
    import sanreid
    from sanreid.cli.protocols import combine
    from sanreid.metrics.splits import SPLITS

    both = args.split == "both" or (args.split is None and not args.without_cameras)
    names = ("cross-camera", "market1501") if both else (args.split or "market1501",)
    results = []
    for name in names:
        sets = SPLITS[name](crops.pids, crops.camids)
        plain, reranked = [], []
        for query, gallery in sets:
            asked, searched = _take(crops, query), _take(crops, gallery)
            plain.append(sanreid.evaluate(*_flat(asked), *_flat(searched), protocol=args.protocol))
            if args.rerank:
                distances = _reranked(crops, query, gallery, overlap=name == "market1501")
                reranked.append(
                    sanreid.evaluate_distances(
                        distances,
                        asked.pids,
                        asked.camids,
                        searched.pids,
                        searched.camids,
                        protocol=args.protocol,
                    )
                )
        if not plain:
            raise DatasetError(_no_answers(args))
        for is_reranked, reports in ((False, plain), (True, reranked))[: 1 + args.rerank]:
            results.append({"split": name, "reranked": is_reranked, **combine(reports)})
    return results


def _no_answers(args: argparse.Namespace) -> str:
    """Return why no query of a folder has an answer."""
    lacking = (
        "has two crops that are not nearly the same picture"
        if args.without_cameras
        else "was seen by two cameras"
    )
    return (
        f"No person {lacking}, so no query has an answer. Are the file names read by the right "
        "scheme (--names)?"
    )


def _reranked(
    crops: _Embedded, query: NDArray[np.int64], gallery: NDArray[np.int64], *, overlap: bool
) -> NDArray[np.float32]:
    """Re-ranked distances; where queries are in the gallery too, each crop counts once."""
    import numpy as np

    import sanreid
    from sanreid.cli.protocols import rerank_all_pairs

    if not overlap:
        return sanreid.k_reciprocal_rerank(crops.embeddings[query], crops.embeddings[gallery])
    _, groups = np.unique(
        np.stack([crops.pids, crops.camids], axis=1), axis=0, return_inverse=True
    )
    distances = rerank_all_pairs(
        crops.embeddings, groups.reshape(-1).astype(np.int64), sanreid.k_reciprocal_rerank
    )
    return distances[np.ix_(query, gallery)]


def _take(crops: _Embedded, rows: NDArray[np.int64]) -> _Embedded:
    embeddings, pids, camids, paths = crops
    return _Embedded(embeddings[rows], pids[rows], camids[rows], paths[rows])


def _flat(crops: _Embedded) -> tuple[Any, Any, Any]:
    return crops.embeddings, crops.pids, crops.camids


def _with_groups(parts: list[_Embedded]) -> list[_Embedded]:
    """Put groups of near-duplicate frames in place of the cameras."""
    import numpy as np

    from sanreid.images import load_crop
    from sanreid.metrics.near_duplicates import group_near_duplicates

    pictures = [load_crop(path, _THUMBNAIL) for part in parts for path in part.paths]
    people = np.concatenate([part.pids for part in parts])
    groups = group_near_duplicates(np.stack(pictures), people)
    say(f"{len(groups)} crops are {groups.max() + 1} groups of near-duplicate frames")
    ends = np.cumsum([len(part.pids) for part in parts])[:-1]
    split = np.split(groups, ends)
    return [part._replace(camids=own) for part, own in zip(parts, split, strict=True)]


def _print(results: list[dict[str, Any]], encoder: SANEncoder, args: argparse.Namespace) -> None:
    if args.json:
        # The first result's figures stand at the top as well: with one result they are all.
        print_json({"fingerprint": encoder.fingerprint, **results[0], "results": results})
        return
    if all(result["num_valid_queries"] < result["num_queries"] for result in results):
        say("queries without a match under another camera are not counted")
    rows = [
        {
            "split": result["split"],
            "re-ranked": "yes" if result["reranked"] else "no",
            **(
                {"camera norm": "yes" if result["camera_norm"] else "no"}
                if args.camera_norm
                else {}
            ),
            "queries": result["num_valid_queries"],
            "gallery": result["num_gallery"],
            "mAP": result["mAP"],
            "rank-1": result["rank1"],
            "rank-5": _at(result["cmc"], 5),
            "rank-10": _at(result["cmc"], 10),
            "mINP": result["mINP"],
        }
        for result in results
    ]
    print_rows(rows, list(rows[0]), args)


def _at(cmc: Any, rank: int) -> float:  # noqa: ANN401 - a list or an array
    return float(cmc[min(rank, len(cmc)) - 1])
