"""A gallery as a map: each entry a point, alike ones close together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from sanreid.errors import InputError
from sanreid.utils.arguments import as_count, as_seed, check_choice
from sanreid.utils.extras import require_extra
from sanreid.viz.drawing import GREY, SERIES, Axes, Figure, axes_for, fitting, label_axes, readable

if TYPE_CHECKING:
    from sanreid.viz.protocols import Entry, Gallery

__all__ = ["gallery_map"]

Method = Literal["auto", "pca", "tsne", "umap"]

_MARKERS = ("o", "^", "s", "D", "v", "P", "X", "*")
_EDGES = ("-", "--", ":", "-.")  # of crops: with the colors, one for each group in the legend
_MOST_NAMED = 24  # more groups than this have no legend
_MOST_PICTURES = 60
_FEW = 30  # entries that have no neighbourhoods worth keeping


def gallery_map(
    gallery: Gallery,
    *,
    method: Method = "auto",
    color: Literal["pid", "camid"] = "pid",
    ids: Iterable[int] | None = None,
    max_entries: int = 5000,
    pictures: bool | None = None,
    seed: int = 0,
    ax: Axes | None = None,
    title: str | None = None,
) -> Figure:
    """Draw a gallery in two dimensions.

    Args:
        gallery: The entries.
        method: "pca": the two directions of largest spread, exact. "umap" and "tsne":
            neighbourhoods are kept rather than distances; they need the package umap-learn, or
            scikit-learn of the extra ``cluster``. "auto": the first of "umap", "tsne" and "pca"
            that is installed, and "pca" for fewer than 30 entries; the axes say which.
        color: What the color of a point, or of a crop's frame, says; with it its sign, or the
            frame's dashes.
        ids: Only these entries.
        max_entries: Of more entries as many are drawn at random.
        pictures: Draw the crops instead of points; None: up to 60 entries with readable paths.
        seed: Of the draw, of UMAP and of t-SNE.
        ax: Draw here; a new figure when None.
        title: A line above.

    Raises:
        InputError: Fewer than 2 entries, or an argument is out of range.
        MissingExtraError: What the method needs is not installed.
    """
    check_choice(method, "method", get_args(Method))
    check_choice(color, "color", ("pid", "camid"))
    max_entries = as_count(max_entries, "max_entries", least=2)
    seed = as_seed(seed)
    chosen = gallery.ids if ids is None else np.asarray(list(ids))
    if len(chosen) > max_entries:
        rng = np.random.default_rng(seed)
        chosen = np.sort(rng.choice(chosen, max_entries, replace=False))
    if len(chosen) < 2:
        raise InputError(f"A map needs at least 2 entries; got {len(chosen)}.")
    entries = gallery.get(chosen)
    rows = np.stack([entry.embedding for entry in entries])
    method = _installed(len(rows)) if method == "auto" else method
    if method == "pca":
        points, shares = principal_components(rows)
        names = [
            f"component {i + 1} ({share:.0%} of the spread)" for i, share in enumerate(shares)
        ]
    elif method == "tsne":
        points, names = _tsne(rows, seed), ["t-SNE 1", "t-SNE 2"]
    else:
        points, names = _umap(rows, seed), ["UMAP 1", "UMAP 2"]
    figure, ax = axes_for(ax, (7.2, 5.4))
    labels = [getattr(entry, color) for entry in entries]
    crops = _crops(entries, pictures)
    _draw(ax, points, labels, crops, "person" if color == "pid" else "camera")
    label_axes(ax, x=names[0], y=names[1], title=title)
    ax.set_aspect("equal", adjustable="datalim")
    return figure


def principal_components(
    rows: NDArray[np.float32],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Project (N, D) rows on their two directions of largest spread.

    Returns:
        (N, 2) points, each column's sign such that its largest value by size is positive, and
        the share of the spread in each.
    """
    centred = rows - rows.mean(axis=0, dtype=np.float64)
    scatter = centred.T @ centred
    values, vectors = np.linalg.eigh(scatter)
    if rows.shape[1] == 1:
        values, vectors = np.append(0.0, values), np.array([[0.0, 1.0]])
    points = centred @ vectors[:, :-3:-1]
    signs = np.sign(points[np.abs(points).argmax(axis=0), [0, 1]])
    total = max(float(np.trace(scatter)), 1e-300)
    return points * np.where(signs == 0, 1, signs), np.maximum(values[:-3:-1], 0) / total


def _installed(entries: int) -> Method:
    """Return the method of "auto"; what is installed is found without loading it."""
    if entries < _FEW:
        return "pca"
    if find_spec("umap") is not None:
        return "umap"
    return "pca" if find_spec("sklearn") is None else "tsne"


def _tsne(rows: NDArray[np.float32], seed: int) -> NDArray[np.float64]:
    manifold = require_extra(
        "sklearn.manifold", purpose='method="tsne" (not method="pca")', install="sanreid[cluster]"
    )
    model = manifold.TSNE(
        metric="cosine",
        init="pca",
        perplexity=min(30.0, (len(rows) - 1) / 3),
        random_state=seed,
    )
    return np.asarray(model.fit_transform(rows), dtype=np.float64)


def _umap(rows: NDArray[np.float32], seed: int) -> NDArray[np.float64]:
    umap = require_extra("umap", purpose='method="umap" (not method="pca")', install="umap-learn")
    neighbours = max(2, min(15, len(rows) - 1))
    model = umap.UMAP(metric="cosine", n_neighbors=neighbours, random_state=seed, n_jobs=1)
    return np.asarray(model.fit_transform(rows), dtype=np.float64)


def _crops(entries: Sequence[Entry], pictures: bool | None) -> list[NDArray[np.uint8]] | None:
    if pictures is False or (pictures is None and len(entries) > _MOST_PICTURES):
        return None
    crops = [readable(entry.metadata.get("path"), (96, 48)) for entry in entries]
    if pictures is None and not all(found for _, found in crops):
        return None
    return [pixels for pixels, _ in crops]


def _draw(
    ax: Axes,
    points: NDArray[np.float64],
    labels: list[Any],
    crops: list[NDArray[np.uint8]] | None,
    what: str,
) -> None:
    from matplotlib.offsetbox import AnnotationBbox, OffsetImage  # noqa: PLC0415 - as in drawing
    from matplotlib.patches import Patch  # noqa: PLC0415 - as in drawing

    groups = sorted(set(labels), key=lambda label: (label is None, isinstance(label, str), label))
    size = 36 if len(points) <= 500 else 12
    handles: list[Any] = []
    for number, group in enumerate(groups):
        here = np.array([label == group and type(label) is type(group) for label in labels])
        color = GREY if group is None else SERIES[number % len(SERIES)]
        name = "nobody" if group is None else fitting(f"{what} {group}", 24)
        if group is None and what == "camera":
            name = "no camera"
        drawn = ax.scatter(
            points[here, 0],
            points[here, 1],
            s=size,
            color=color,
            marker=_MARKERS[number // len(SERIES) % len(_MARKERS)],
            alpha=0.8,
            linewidths=0,
            label=name,
        )
        edge: dict[str, Any] = {
            "edgecolor": color,
            "linestyle": _EDGES[number // len(SERIES) % len(_EDGES)],
            "linewidth": 2,
        }
        for point, crop in zip(points[here], _of(crops, here), strict=False):
            image = OffsetImage(crop, zoom=0.42, dpi_cor=True)
            ax.add_artist(AnnotationBbox(image, tuple(point), pad=0.12, bboxprops=edge))
        handles.append(drawn if crops is None else Patch(facecolor="none", label=name, **edge))
    ax.margins(0.1 if crops is not None else 0.05)
    if 1 < len(groups) <= _MOST_NAMED:
        ax.legend(handles=handles, loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False,
                  fontsize=8, markerscale=1.0 if size == 36 else 1.8,
                  ncols=1 + len(groups) // 16)  # fmt: skip


def _of(crops: list[NDArray[np.uint8]] | None, here: NDArray[np.bool_]) -> list[Any]:
    return [] if crops is None else [crops[i] for i in np.flatnonzero(here)]
