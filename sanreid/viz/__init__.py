"""Pictures of results, loaded when first named.

Contact sheets, ranked lists and the browsable page need only Pillow; figures, which are
``matplotlib.figure.Figure``, need the extra ``viz``.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sanreid.viz.browse import GalleryPage, write_gallery_page
    from sanreid.viz.figures.curves import (
        cmc_figure,
        precision_recall_figure,
        similarity_histogram,
    )
    from sanreid.viz.figures.maps import activation_map, similarity_map, stage_maps
    from sanreid.viz.figures.rankings import ranked_list_figure
    from sanreid.viz.figures.scatter import gallery_map
    from sanreid.viz.figures.textures import texture_sheet
    from sanreid.viz.sheets import cluster_sheet, contact_sheet, ranked_list
    from sanreid.viz.storage import check_suffix, save_picture

__all__ = [
    "GalleryPage",
    "activation_map",
    "check_suffix",
    "cluster_sheet",
    "cmc_figure",
    "contact_sheet",
    "gallery_map",
    "precision_recall_figure",
    "ranked_list",
    "ranked_list_figure",
    "save_picture",
    "similarity_histogram",
    "similarity_map",
    "stage_maps",
    "texture_sheet",
    "write_gallery_page",
]

_HOME = {
    "GalleryPage": "browse",
    "activation_map": "figures.maps",
    "check_suffix": "storage",
    "cluster_sheet": "sheets",
    "cmc_figure": "figures.curves",
    "contact_sheet": "sheets",
    "gallery_map": "figures.scatter",
    "precision_recall_figure": "figures.curves",
    "ranked_list": "sheets",
    "ranked_list_figure": "figures.rankings",
    "save_picture": "storage",
    "similarity_histogram": "figures.curves",
    "similarity_map": "figures.maps",
    "stage_maps": "figures.maps",
    "texture_sheet": "figures.textures",
    "write_gallery_page": "browse",
}


def __getattr__(name: str) -> Any:  # noqa: ANN401 - any public object
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
