"""A gallery as one HTML file: search by example, filters, no server and no network.

The file holds its script, its style and all data; a content security policy by digest lets
nothing else run or load, whatever stands in names and metadata.
"""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from sanreid import __version__
from sanreid.errors import InputError
from sanreid.utils.arguments import as_count, check_choice
from sanreid.utils.files import atomic_write, errors_of_writing
from sanreid.utils.paths import as_path
from sanreid.utils.words import counted
from sanreid.viz.browse import content
from sanreid.viz.markup import text

if TYPE_CHECKING:
    from sanreid.viz.protocols import Clustering, Gallery

__all__ = ["GalleryPage", "write_gallery_page"]

Pictures = Literal["embed", "link", "none"]

_MOST_ENTRIES = 200_000
_MOST_VECTOR_BYTES = 16_000_000  # 8 bits a number; larger galleries bring neighbours instead
_SLOT = re.compile(r"@@(\w+)@@")


@dataclass(frozen=True, slots=True)
class GalleryPage:
    """What :func:`write_gallery_page` wrote.

    Attributes:
        path: The file.
        entries: In it.
        pictures: How many of them have a picture there.
        size_bytes: Of the file.
        exact: Whether any two entries can be compared; else the nearest of each are listed.
    """

    path: Path
    entries: int
    pictures: int
    size_bytes: int
    exact: bool


def write_gallery_page(
    gallery: Gallery,
    path: str | Path,
    *,
    title: str | None = None,
    where: dict[str, Any] | None = None,
    clustering: Clustering | None = None,
    pictures: Pictures = "embed",
    picture_bytes: int = 40_000_000,
    progress: bool | None = None,
) -> GalleryPage:
    """Write one HTML file in which a gallery is looked at and searched, in any browser.

    A click on a crop lists the crops most like it; cameras and people can be filtered. The file
    needs no server, no network and no other file (unless ``pictures`` are linked). It holds
    crops, names and embeddings: keep it as carefully as the gallery.

    Similarities are computed in the browser from embeddings of 8 bits a number, right to about
    0.005. Above 16 million numbers (31,250 entries of 512) the page brings the 32 nearest of
    each entry in their place.

    Args:
        gallery: The entries; their crops are the files under "path" in their metadata.
        path: The file to write, ``.html``.
        title: Of the page; the gallery's name when None.
        where: Only entries that match, as in :meth:`sanreid.Gallery.search`.
        clustering: Of :meth:`sanreid.Gallery.cluster`: the page shows a row of crops per cluster,
            where a person says who is who, and saves these decisions as a file for
            :meth:`sanreid.Gallery.decide`.
        pictures: "embed": small copies inside the file. "link": the files where they are, by
            paths relative to the page. "none": grey fields.
        picture_bytes: At most this much for embedded pictures; they are made smaller before
            some are left out.
        progress: Show a bar: True always, False never, None where a person watches long work.

    Returns:
        What was written.

    Raises:
        InputError: An option is wrong, there are more than 200,000 entries, the clustering is
            not that of a gallery, or the system does not allow it; what was there before stays.
    """
    path = as_path(path, "the path of a page")
    if path.suffix.lower() not in (".html", ".htm"):
        raise InputError(f"A page is written as .html; got the file name {str(path)!r}.")
    check_choice(pictures, "pictures", get_args(Pictures))
    picture_bytes = as_count(picture_bytes, "picture_bytes", least=0)
    if clustering is not None and not hasattr(clustering, "ids"):
        raise InputError(
            "clustering must be what gallery.cluster() returned, which knows its entries; got "
            f"{type(clustering).__name__}."
        )
    ids = gallery.ids if where is None else gallery.find(where)
    if len(ids) > _MOST_ENTRIES:
        raise InputError(
            f"{len(ids):,} entries are more than a page can hold ({_MOST_ENTRIES:,}); choose "
            "some with where."
        )
    entries = gallery.get(ids)
    match pictures:
        case "embed":
            shown = content.embedded(entries, picture_bytes, progress=progress)
        case "link":
            shown = content.linked(entries, path)
        case _:
            shown = [""] * len(entries)
    exact = len(entries) * gallery.dim <= _MOST_VECTOR_BYTES
    if exact:
        rows = content.compared(entries, gallery)
        vectors, factors = (content.base64_of(array) for array in content.quantised(rows))
    else:
        vectors, factors = (
            content.base64_of(array) for array in content.neighbours(gallery, entries, where)
        )
    calibration = gallery.calibration
    known = content.facts(entries) | {
        "dim": gallery.dim,
        "linked": pictures == "link",
        "neighbours": 0 if exact else content.NEIGHBOURS,
        "threshold": None if calibration is None else calibration.threshold,
    }
    if clustering is not None:
        known |= content.clusters(clustering, entries)
    slots = {
        "data": content.json_block(known),
        "factors": factors,
        "note": _note(len(entries), sum(map(bool, shown)), exact=exact),
        "pictures": content.json_block(shown),
        "summary": _summary(known),
        "title": text(title or _name(gallery), 200),
        "vectors": vectors,
    }
    data = _filled(slots, linked=pictures == "link").encode()
    with errors_of_writing(path), atomic_write(path) as file:
        file.write(data)
    return GalleryPage(path, len(entries), sum(map(bool, shown)), len(data), exact)


def _name(gallery: Gallery) -> str:
    folder = gallery.stats()["path"]
    return "Gallery" if folder is None else Path(folder).absolute().name


def _summary(known: dict[str, Any]) -> str:
    cameras = {camid for camid in known["camids"] if camid is not None}
    numbers = (
        counted(len(known["ids"]), "entry", "entries"),
        counted(len(known["people"]), "person", "people"),
        counted(len(cameras), "camera", "cameras"),
    )
    return ", ".join(numbers)


def _note(entries: int, pictures: int, *, exact: bool) -> str:
    how = (
        "Similarities are cosines of embeddings kept in 8 bits a number."
        if exact
        else f"The {content.NEIGHBOURS} nearest of each entry were found when this page was made."
    )
    gone = "" if pictures == entries else f" {pictures:,} of {entries:,} entries have a picture."
    return f"{how}{gone} Made with sanreid {__version__}."


def _filled(slots: dict[str, str], *, linked: bool) -> str:
    """Fill the template, each slot once, with nothing read twice."""
    files = resources.files("sanreid.viz.browse")
    parts = {
        slot: "".join((files / name).read_text(encoding="utf-8") for name in names)
        for slot, names in (("style", ["page.css"]), ("script", ["clusters.js", "page.js"]))
    }
    sources = "data: 'self' file:" if linked else "data:"
    policy = (
        f"default-src 'none'; img-src {sources}; style-src '{_digest(parts['style'])}'; "
        f"script-src '{_digest(parts['script'])}'; base-uri 'none'; form-action 'none'"
    )
    slots = slots | parts | {"policy": policy, "version": __version__}
    template = (files / "page.html").read_text(encoding="utf-8")
    return _SLOT.sub(lambda slot: slots[slot[1]], template)


def _digest(text: str) -> str:
    raw = hashlib.sha256(text.encode()).digest()
    return "sha256-" + base64.b64encode(raw).decode("ascii")
