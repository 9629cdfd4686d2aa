"""``--min-quality``: crops that are too small, blurred or misshapen stay out of a gallery."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sanreid.cli.options import fraction
from sanreid.cli.output import say
from sanreid.errors import ImageError

if TYPE_CHECKING:
    from sanreid.quality import CropQuality

__all__ = ["QUALITY", "add_min_quality", "gated", "noted", "renoted"]

QUALITY = "quality"  # the metadata key of a crop's score


def add_min_quality(parser: argparse.ArgumentParser) -> None:
    """Add the option."""
    parser.add_argument(
        "--min-quality",
        type=fraction,
        metavar="S",
        help="leave out new crops whose size, sharpness and shape score less, from 0 to 1; the "
        "score of the others is kept under 'quality' in their metadata",
    )


def gated(paths: Sequence[Path], args: argparse.Namespace) -> tuple[list[Path], dict[Path, float]]:
    """Return the files that pass ``--min-quality``, and the score of each.

    A file that cannot be read passes without a score: embedding it will say why.
    """
    if args.min_quality is None:
        return list(paths), {}
    passed: list[Path] = []
    scores: dict[Path, float] = {}
    reasons: Counter[str] = Counter()
    for path in paths:
        quality = _quality(path)
        score = 1.0 if quality is None else float(quality.score[0])
        if quality is not None and score < args.min_quality:
            reasons[quality.weakest[0]] += 1
            continue
        passed.append(path)
        if quality is not None:
            scores[path] = round(score, 3)
    if reasons:
        words = ", ".join(f"{count} for {name}" for name, count in reasons.most_common())
        say(
            f"{reasons.total()} of {len(paths)} crops are left out, of a quality below "
            f"{args.min_quality:g}: {words}"
        )
    return passed, scores


def noted(path: Path, scores: dict[Path, float]) -> dict[str, float]:
    """Return the metadata that keep a file's score; none without one."""
    return {QUALITY: scores[path]} if path in scores else {}


def renoted(path: Path, metadata: Mapping[str, Any]) -> dict[str, float]:
    """Return the metadata that replace the score of a picture that has changed."""
    if QUALITY not in metadata or (quality := _quality(path)) is None:
        return {}
    return {QUALITY: round(float(quality.score[0]), 3)}


def _quality(path: Path) -> CropQuality | None:
    from sanreid.quality import crop_quality

    try:
        return crop_quality(path, progress=False)
    except ImageError:
        return None
