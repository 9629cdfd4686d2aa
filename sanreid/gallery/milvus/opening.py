"""From an address to a store."""

from __future__ import annotations

import os
from pathlib import Path

from sanreid.errors import NoGalleryError
from sanreid.gallery.milvus.address import parse_address
from sanreid.gallery.milvus.collections import (
    as_kind,
    check_entries,
    create_entries,
    create_texts,
)
from sanreid.gallery.milvus.connection import Connection
from sanreid.gallery.milvus.settings import SettingsTable
from sanreid.gallery.milvus.store import MilvusStore, settings_name
from sanreid.gallery.store import Settings

__all__ = ["open_milvus"]


def open_milvus(
    address: str | os.PathLike[str],
    *,
    dim: int | None,
    write: bool,
    index: str,
    fingerprint: str | None,
) -> MilvusStore:
    """Open the store at an address; with ``dim``, create it if it is not there.

    Raises:
        InputError: It is not an address, or Milvus has no such index.
        MissingExtraError: The client is not installed.
        GalleryError: Nobody answers, nothing or something else is there.
    """
    place, index = parse_address(address), as_kind(index)
    if place.is_lite and dim is None and not Path(place.uri).exists():
        raise _absent(place.shown, write=write)
    connection = Connection(place)
    try:
        if not connection.call("has_collection", place.name):
            if dim is None or not write:
                raise _absent(place.shown, write=write)  # noqa: TRY301 - to close
            _create(connection, place.name, dim, index, fingerprint)
        found = check_entries(connection, place.name)
        for name in (place.name, settings_name(place.name)):
            connection.call("load_collection", name)
        return MilvusStore(connection, place.name, found, write=write, index=index)
    except BaseException:
        connection.close()
        raise


def _create(
    connection: Connection, name: str, dim: int, index: str, fingerprint: str | None
) -> None:
    """Create the settings, then the entries: where there are entries, all is there."""
    texts = settings_name(name)
    if not connection.call("has_collection", texts):
        create_texts(connection, texts)
    SettingsTable(connection, texts).create(dim, Settings(fingerprint))
    create_entries(connection, name, dim, index)


def _absent(shown: str, *, write: bool) -> NoGalleryError:
    return NoGalleryError(shown, "To create one, pass its dim." if write else "")
