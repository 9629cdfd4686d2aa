"""How much a crop is worth before it is compared: size, sharpness, shape, border, and evidence.

Every score lies in [0, 1] and is a property of one crop, whatever other crops come with it. Those
of the picture need no network; an encoder passed as an argument adds its own evidence. No torch
is imported here.

Sources: Crete, Dolmiere, Ladret and Nicolas, "The Blur Effect: Perception and Estimation with a
New No-Reference Perceptual Blur Metric", SPIE 2007 (sharpness); Meng, Zhao, Huang and Zhou,
"MagFace: A Universal Representation for Face Recognition and Quality Assessment", CVPR 2021 (the
norm of an embedding as a measure of quality).

Shapes: N crops, D embedding.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sanreid.errors import InputError
from sanreid.images import Color, ImageSource, is_one_image, iterate_images, load_crop, load_image
from sanreid.integrations.boxes import read_boxes
from sanreid.utils.arguments import as_count
from sanreid.utils.arrays import shown
from sanreid.utils.extras import require_extra
from sanreid.utils.progress import progress_bar

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["CropQuality", "QualityEncoder", "crop_quality"]

# A score is 0 at the first value and below, 1 at the second and beyond.
_SIDES_PX = (128, 64)  # height and width of a crop that is large enough
_SHARPNESS = (0.2, 0.65)  # share of the differences that one more blur takes away
_AGREEMENT = (0.8, 0.96)  # cosine between a crop and its mirror image
_STRENGTH = (0.6, 1.0)  # what an embedding holds beside a blank crop's, of what people's hold
_STANDING = (2.0, 4.0)  # height over width of people who stand or walk; a score of 1
_FACTOR_OFF = 3.0  # this factor beyond it, the score is 0
_TOUCHES_PX = 1.0  # a box this near to the border of its frame is cut off there
_BLUR_WINDOW = 11
_BLANK = (124, 116, 104)  # the mean colour: nothing is left of it after preprocessing
_PEOPLE = Path(__file__).parent / "demo"  # packaged crops of eight rendered people
_HELD = 0.05  # an encoder whose embeddings of people hold less beside a blank crop's tells nothing


class QualityEncoder(Protocol):
    """What evidence asks of an encoder; ``SANEncoder`` is one.

    With a ``fingerprint`` (str) of its weights the packaged crops are embedded once per encoder,
    and again if its ``fingerprint``, ``dtype`` or ``device`` changes; without one, at every call.
    """

    @property
    def input_size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        ...

    def encode(self, images: Any, **options: Any) -> NDArray[np.float32]:  # noqa: ANN401 - any image
        """Return (N, D) embeddings; with ``normalize=False`` as the network computes them."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class CropQuality:
    """Scores of N crops, each (N,) in [0, 1], higher is better.

    Attributes:
        size: 1 from 128 x 64 pixels on, in proportion to the side of a square of equal area.
        sharpness: How much a crop loses by being blurred once more: a blurred one loses little.
        shape: 1 where height is 2 to 4 times the width, 0 at a factor of 3 beyond.
        inside: The share of the box inside its frame, halved for every border of the frame
            that it touches; None without boxes.
        agreement: Whether the crop and its mirror image have the same embedding; None without
            an encoder.
        strength: How far the norm of the embedding exceeds that of a blank crop, compared with
            how far those of packaged rendered people do by the same encoder; None without an
            encoder.
        embeddings: (N, D) float32, rows of norm 1, as ``encoder.encode(images)`` returns them;
            None without an encoder.
    """

    size: NDArray[np.float64]
    sharpness: NDArray[np.float64]
    shape: NDArray[np.float64]
    inside: NDArray[np.float64] | None = None
    agreement: NDArray[np.float64] | None = None
    strength: NDArray[np.float64] | None = None
    embeddings: NDArray[np.float32] | None = None

    @property
    def scores(self) -> dict[str, NDArray[np.float64]]:
        """The scores that are known, by name."""
        names = ("size", "sharpness", "shape", "inside", "agreement", "strength")
        return {name: value for name in names if (value := getattr(self, name)) is not None}

    @property
    def score(self) -> NDArray[np.float64]:
        """(N,) the product of the scores: one bad property is enough."""
        return np.asarray(np.prod(list(self.scores.values()), axis=0), dtype=np.float64)

    @property
    def weakest(self) -> list[str]:
        """(N,) the name of each crop's lowest score."""
        names, table = list(self.scores), np.array(list(self.scores.values()))
        return [names[row] for row in table.argmin(axis=0)]

    def __len__(self) -> int:
        return len(self.size)

    def __repr__(self) -> str:
        middle = f"median score {np.median(self.score):.2f}, " if len(self) else ""
        return f"CropQuality({len(self):,} crops, {middle}{', '.join(self.scores)})"

    def to_pandas(self) -> pd.DataFrame:
        """Return a table with one row per crop: "score", and a column per named score.

        Raises:
            MissingExtraError: pandas is not installed.
        """
        pandas: Any = require_extra("pandas", purpose="to_pandas()", install="sanreid[viz]")
        frame: pd.DataFrame = pandas.DataFrame({"score": self.score, **self.scores})
        return frame


def crop_quality(
    images: ImageSource | Iterable[ImageSource],
    *,
    encoder: QualityEncoder | None = None,
    boxes: object | None = None,
    frame_size: tuple[int, int] | None = None,
    color: Color = "rgb",
    batch_size: int = 64,
    progress: bool | None = None,
) -> CropQuality:
    """Judge crops: are they large, sharp, whole, and shaped like a person?

    Args:
        images: One image or several, of the kinds that :meth:`sanreid.SANEncoder.encode` takes.
        encoder: A ``SANEncoder``. With it ``agreement`` and ``strength`` are known too, for
            twice the time of ``encode``; the first call with an encoder embeds nine crops more.
            The embeddings are returned along.
        boxes: (N, 4) x1, y1, x2, y2 of the crops in their frames, in pixels and as the detector
            returned them; see :mod:`sanreid.integrations.boxes`. With it ``inside`` is known.
        frame_size: (height, width) of the frames in pixels; given exactly when ``boxes`` are.
        color: ``"bgr"`` for OpenCV arrays.
        batch_size: As in :meth:`sanreid.SANEncoder.encode`.
        progress: As in :meth:`sanreid.SANEncoder.encode`.

    Returns:
        The scores, one per crop.

    Raises:
        ImageError: An image cannot be read; names its path or its position.
        InputError: ``boxes`` without ``frame_size`` or the reverse, another number of boxes than
            images, a box without area; or ``encoder`` is none.
    """
    if encoder is not None and not (hasattr(encoder, "encode") and hasattr(encoder, "input_size")):
        raise InputError(f"encoder must be a SANEncoder; got {shown(encoder)}.")
    batch_size = as_count(batch_size, "batch_size")
    inside = _inside(boxes, frame_size)
    several = not is_one_image(images)
    total = len(images) if several and isinstance(images, Sequence) else None
    judge = _Judge(encoder, batch_size)
    sources = iter(enumerate(iterate_images(images)))
    with progress_bar(progress, total=total, doing="Quality") as bar:
        while batch := list(islice(sources, batch_size)):
            pictures = [
                load_image(
                    source, color=color, position=f"image {row} of the input" if several else None
                )
                for row, source in batch
            ]
            judge.add(pictures)
            bar.update(len(pictures))
    quality = judge.quality(inside)
    if inside is not None and len(inside) != len(quality):
        raise InputError(
            f"boxes must be one per image: {len(quality)} images, {len(inside)} boxes."
        )
    return quality


class _Judge:
    """Scores of the pictures seen so far."""

    def __init__(self, encoder: QualityEncoder | None, batch_size: int) -> None:
        self._encoder, self._batch_size = encoder, batch_size
        self._blank, self._held = (0.0, 0.0) if encoder is None else _yardstick(encoder)
        self._picture: list[tuple[float, float, float]] = []
        self._evidence: list[tuple[NDArray[Any], ...]] = []

    def add(self, pictures: list[NDArray[np.uint8]]) -> None:
        self._picture += [
            (_size(picture), _sharpness(picture), _shape(picture)) for picture in pictures
        ]
        if self._encoder is None:
            return
        crops = [load_crop(picture, self._encoder.input_size) for picture in pictures]
        rows, mirrored = self._encode(crops), self._encode([crop[:, ::-1] for crop in crops])
        norms = np.linalg.norm(rows, axis=1)
        lengths = np.maximum(norms * np.linalg.norm(mirrored, axis=1), 1e-12)
        cosines = np.einsum("nd,nd->n", rows, mirrored) / lengths
        self._evidence.append((cosines, norms, rows))

    def quality(self, inside: NDArray[np.float64] | None) -> CropQuality:
        size, sharpness, shape = np.array(self._picture, dtype=np.float64).reshape(-1, 3).T
        if self._encoder is None:
            return CropQuality(size, sharpness, shape, inside)
        if not self._evidence:
            width = self._encode([]).shape[1]
            empty = np.empty(0), np.empty(0), np.empty((0, width), np.float32)
            self._evidence.append(empty)
        cosines, norms, rows = (
            np.concatenate(parts) for parts in zip(*self._evidence, strict=True)
        )
        unit = (rows / np.maximum(norms, 1e-12)[:, None]).astype(np.float32)
        return CropQuality(
            size, sharpness, shape, inside, _ramp(cosines, *_AGREEMENT),
            self._strength(norms), unit,
        )  # fmt: skip

    def _strength(self, norms: NDArray[np.float64]) -> NDArray[np.float64]:
        if self._held < _HELD:
            return np.ones_like(norms)
        return _ramp(_beside_blank(norms, self._blank) / self._held, *_STRENGTH)

    def _encode(self, crops: list[NDArray[np.uint8]]) -> NDArray[np.float64]:
        assert self._encoder is not None  # noqa: S101 - called with one only
        return _unscaled(self._encoder, crops, batch_size=self._batch_size)


_Yardstick = tuple[float, float]
_yardsticks: WeakKeyDictionary[QualityEncoder, tuple[tuple[str, ...], _Yardstick]]
_yardsticks = WeakKeyDictionary()


def _yardstick(encoder: QualityEncoder) -> _Yardstick:
    """Return a blank crop's norm, and how much the packaged people's embeddings hold beside it.

    Measured once per encoder rather than per fingerprint: two exports of the same weights share
    theirs, but not the norms.
    """
    if not isinstance(getattr(encoder, "fingerprint", None), str):
        return _measured_yardstick(encoder)
    state = tuple(str(getattr(encoder, name, "")) for name in ("fingerprint", "dtype", "device"))
    try:
        known = _yardsticks.get(encoder)
    except TypeError:  # neither hashable nor weakly referable, as some classes are
        return _measured_yardstick(encoder)
    if known is None or known[0] != state:
        known = _yardsticks[encoder] = (state, _measured_yardstick(encoder))
    return known[1]


def _measured_yardstick(encoder: QualityEncoder) -> tuple[float, float]:
    height, width = encoder.input_size
    blank = np.full((height, width, 3), _BLANK, dtype=np.uint8)
    people = [load_crop(path, (height, width)) for path in sorted(_PEOPLE.glob("*.jpg"))[::4]]
    norms = np.linalg.norm(_unscaled(encoder, [blank, *people], batch_size=9), axis=1)
    return float(norms[0]), float(np.median(_beside_blank(norms[1:], float(norms[0]))))


def _beside_blank(norms: NDArray[np.float64], blank: float) -> NDArray[np.float64]:
    """Return the share of each norm by which it exceeds a blank crop's, at least 0."""
    beside: NDArray[np.float64] = 1 - blank / np.maximum(norms, max(blank, 1e-12))
    return beside


def _unscaled(
    encoder: QualityEncoder, crops: list[NDArray[np.uint8]], *, batch_size: int
) -> NDArray[np.float64]:
    """Return the embeddings as the network computes them: their norms mean something."""
    rows = encoder.encode(crops, normalize=False, batch_size=batch_size, progress=False)
    return np.asarray(rows, dtype=np.float64)


def _ramp(values: ArrayLike, low: float, high: float) -> NDArray[np.float64]:
    return np.clip((np.asarray(values, dtype=np.float64) - low) / (high - low), 0.0, 1.0)


def _size(picture: NDArray[np.uint8]) -> float:
    wanted = float(np.prod(_SIDES_PX))
    return min(1.0, float(np.sqrt(picture.shape[0] * picture.shape[1] / wanted)))


def _shape(picture: NDArray[np.uint8]) -> float:
    height, width = picture.shape[:2]
    low, high = _STANDING
    off = max(low / (height / width), (height / width) / high, 1.0)
    return max(0.0, 1.0 - float(np.log(off) / np.log(_FACTOR_OFF)))


def _sharpness(picture: NDArray[np.uint8]) -> float:
    """Return the share of a crop's differences that one more blur takes away, as a score.

    The less of them the blur along rows or columns takes, whichever is less, the more blurred
    the crop was before.
    """
    return float(_ramp(min(_lost_to_blur(grey) for grey in _along_axes(picture)), *_SHARPNESS))


def _along_axes(picture: NDArray[np.uint8]) -> Iterator[NDArray[np.float64]]:
    """Yield the grey crop, no larger than is large enough, and its transpose."""
    shrink = max(picture.shape[0] / _SIDES_PX[0], picture.shape[1] / _SIDES_PX[1], 1.0)
    if shrink > 1:
        sides = [max(1, round(side / shrink)) for side in picture.shape[:2]]
        picture = load_crop(picture, (sides[0], sides[1]))
    grey = picture @ np.array([0.299, 0.587, 0.114])
    yield grey
    yield grey.T


def _lost_to_blur(grey: NDArray[np.float64]) -> float:
    """Blur along the first axis; return the share of the differences along it that are lost."""
    before = np.abs(np.diff(grey, axis=0))
    if before.sum() < 1e-6:
        return 0.0  # nothing to see
    half = _BLUR_WINDOW // 2
    padded = np.pad(grey, ((half + 1, half), (0, 0)), mode="edge")
    sums = np.cumsum(padded, axis=0)
    blurred = (sums[_BLUR_WINDOW:] - sums[:-_BLUR_WINDOW]) / _BLUR_WINDOW
    after = np.abs(np.diff(blurred, axis=0))
    return float(np.maximum(before - after, 0.0).sum() / before.sum())


def _inside(boxes: object | None, frame_size: Any) -> NDArray[np.float64] | None:  # noqa: ANN401 - as passed
    if (boxes is None) != (frame_size is None):
        raise InputError("Give boxes and frame_size, (height, width) in pixels, or neither.")
    if boxes is None:
        return None
    try:
        sides = np.asarray(frame_size)
    except ValueError:  # rows of different lengths
        sides = np.empty(0)
    if sides.shape != (2,) or sides.dtype.kind not in "iuf" or not (sides > 0).all():
        raise InputError(f"frame_size must be (height, width) in pixels; got {shown(frame_size)}.")
    height, width = (float(side) for side in sides)
    corners = read_boxes(boxes)
    area = np.prod(corners[:, 2:] - corners[:, :2], axis=1)
    good = np.isfinite(corners).all(axis=1) & (corners[:, 2:] > corners[:, :2]).all(axis=1)
    if not good.all():
        row = int(np.argmin(good))
        box = ", ".join(f"{value:g}" for value in corners[row])
        raise InputError(f"Box {row} ({box}) has no area; wanted x1 < x2 and y1 < y2, in pixels.")
    limit = np.array([width, height, width, height])
    clipped = np.clip(corners, 0, limit)
    visible = np.prod(clipped[:, 2:] - clipped[:, :2], axis=1) / area
    touched = (corners[:, :2] <= _TOUCHES_PX).sum(axis=1)
    touched += (corners[:, 2:] >= limit[2:] - _TOUCHES_PX).sum(axis=1)
    return np.asarray(visible * 0.5**touched, dtype=np.float64)
