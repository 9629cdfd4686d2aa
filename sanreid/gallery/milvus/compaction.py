"""Having a server drop what was removed."""

from __future__ import annotations

import logging
import time
from contextlib import AbstractContextManager

from sanreid.errors import GalleryError, UnsupportedError
from sanreid.gallery.milvus.connection import Connection

__all__ = ["compact"]

logger = logging.getLogger(__name__)

_WAIT_S = 600.0
_STEP_S = 0.2
_LONGEST_STEP_S = 5.0


def compact(connection: Connection, name: str, no_changes: AbstractContextManager[object]) -> None:
    """Write a collection's rows out, drop the removed ones, and wait until no segment has them.

    Args:
        connection: The server.
        name: The collection.
        no_changes: While it is entered, the gallery is not changed. The server compacts outside
            of it.

    Raises:
        UnsupportedError: It is Milvus Lite.
        GalleryError: Segments still hold removed rows after a while; the message says how many.
    """
    if connection.address.is_lite:
        raise UnsupportedError(
            f"The gallery {connection.address.shown} cannot be compacted: Milvus Lite decides "
            "itself when removed rows leave its files. To be rid of them now, export() the "
            "gallery, import it into a new file, and delete this one."
        )
    connection.call("flush", name)
    until = time.monotonic() + _WAIT_S
    job = connection.call("compact", name)
    while str(connection.call("get_compaction_state", job)) != "Completed":
        _wait(until, connection, "the compaction goes on")
    pause = _STEP_S
    while held := _removed_rows(connection, name, no_changes):
        what = f"its segments hold {held:,} removed or replaced rows"
        _wait(until, connection, what, pause)
        pause = min(2 * pause, _LONGEST_STEP_S)  # each count writes a segment if entries came
    logger.info(
        "No segment of %s holds a removed row. The server keeps the files of old segments until "
        "its garbage collection (dataCoord.gc), and its log until that is cut.",
        connection.address.shown,
    )


def _removed_rows(
    connection: Connection, name: str, no_changes: AbstractContextManager[object]
) -> int:
    """Return how many rows the segments hold beyond those of the gallery.

    Rows that are not in segments yet would hide removed ones, so they are written out first.
    """
    with no_changes:
        connection.call("flush", name)
        segments = connection.call("list_persistent_segments", name)
        (row,) = connection.query(name, "", ("count(*)",), consistency="Strong")
    stored = sum(one.num_rows for one in segments if one.state not in ("Dropped", "NotExist"))
    return max(0, int(stored) - int(row["count(*)"]))


def _wait(until: float, connection: Connection, what: str, pause: float = _STEP_S) -> None:
    if time.monotonic() > until:
        raise GalleryError(
            f"The gallery {connection.address.shown} is not compact after {_WAIT_S:.0f} s: "
            f"{what}. Compact again later, or look at the server's log."
        )
    time.sleep(pause)
