"""From a path to a store: opening, creating and loading."""

from __future__ import annotations

import os
import time
from dataclasses import replace

from sanreid.errors import GalleryError, GalleryLockedError, InputError, NoGalleryError
from sanreid.gallery.index.kinds import as_index_kind
from sanreid.gallery.milvus.address import is_address
from sanreid.gallery.storage.directory_store import DirectoryStore
from sanreid.gallery.storage.files.disk import Disk
from sanreid.gallery.storage.files.filenames import is_gallery
from sanreid.gallery.storage.files.folder import resolved
from sanreid.gallery.storage.files.rewriting import TakenError, create_directory
from sanreid.gallery.storage.memory_store import MemoryStore
from sanreid.gallery.store import Settings, Store
from sanreid.gallery.validation import check_choice, check_encoder

__all__ = ["load_store", "open_store"]

_BATCH = 4096
_PAUSE_S = 0.05  # between two tries to get a lock


def open_store(
    path: str | os.PathLike[str],
    *,
    dim: int | None,
    mode: str,
    index: str,
    fingerprint: str | None,
    wait_s: float = 0.0,
    disk: Disk | None = None,
) -> Store:
    """Open the store in a directory or on Milvus; with ``dim``, create it if it is not there.

    Args:
        path: The gallery's directory, or its address (see :mod:`sanreid.gallery.milvus.address`).
        dim: Needed to create a gallery; compared with that of an existing one.
        mode: "rw" or "r".
        index: The kind of index to search with.
        fingerprint: The encoder's; kept if the gallery knows none yet.
        wait_s: Seconds to wait for another writer to close it.
        disk: How files are touched; tests record and interrupt it.

    Raises:
        InputError: Another mode or kind of index, not a path, or a wait on Milvus.
        GalleryLockedError: Another writer has it open, and still had after ``wait_s``.
        GalleryError: Not there, damaged, foreign, or of another dim or encoder.
    """
    check_choice(mode, "mode", ("rw", "r"))
    if is_address(path):
        if wait_s and mode == "rw":
            raise InputError(
                "wait is for a gallery in a directory, which one process writes at a time. On "
                "Milvus a new writer takes over from the earlier one: leave wait out, and open "
                "the gallery once nobody else writes."
            )
        return _opened_on_milvus(
            path, dim=dim, write=mode == "rw", index=index, fingerprint=fingerprint
        )
    folder, index, disk = resolved(path), as_index_kind(index), disk or Disk()
    if not is_gallery(folder):
        if dim is None or mode == "r":
            raise NoGalleryError(
                str(folder), "" if mode == "r" else "To create one, pass its dim."
            )
        try:
            create_directory(folder, dim, Settings(fingerprint), disk)
        except TakenError:
            if not is_gallery(folder):  # one that another process has created meanwhile will do
                raise
    deadline = time.monotonic() + wait_s
    while True:
        try:
            store = DirectoryStore(folder, write=mode == "rw", index=index, disk=disk)
            break
        except GalleryLockedError:
            left = deadline - time.monotonic()
            if left <= 0:
                raise
            time.sleep(min(_PAUSE_S, left))
    return _checked(store, dim, fingerprint, keep=mode == "rw")


def load_store(
    path: str | os.PathLike[str], *, index: str, fingerprint: str | None
) -> MemoryStore:
    """Read a stored gallery into memory; all that is read is checked.

    Raises:
        GalleryError: As in :func:`open_store`.
    """
    if is_address(path):
        return _loaded_from_milvus(path, index=index, fingerprint=fingerprint)
    index, folder = as_index_kind(index), resolved(path)
    if not is_gallery(folder):
        raise NoGalleryError(str(folder))
    stored = DirectoryStore(folder, write=False)
    try:
        _check_encoder(stored, fingerprint, keep=False)
        store = MemoryStore.of(stored.snapshot(), index=index)
    finally:
        stored.close()
    _check_encoder(store, fingerprint, keep=True)
    return store


def _opened_on_milvus(
    path: str | os.PathLike[str],
    *,
    dim: int | None,
    write: bool,
    index: str,
    fingerprint: str | None,
) -> Store:
    from sanreid.gallery.milvus.opening import open_milvus  # noqa: PLC0415 - with its extra only

    store = open_milvus(path, dim=dim, write=write, index=index, fingerprint=fingerprint)
    return _checked(store, dim, fingerprint, keep=write)


def _loaded_from_milvus(
    path: str | os.PathLike[str], *, index: str, fingerprint: str | None
) -> MemoryStore:
    stored = _opened_on_milvus(path, dim=None, write=False, index="auto", fingerprint=fingerprint)
    try:
        store = MemoryStore(stored.dim, settings=stored.settings, index=index)
        for batch in stored.scan(_BATCH):
            store.add(batch)
    finally:
        stored.close()
    _check_encoder(store, fingerprint, keep=True)
    return store


def _checked(store: Store, dim: int | None, fingerprint: str | None, *, keep: bool) -> Store:
    """Return a store that has this dim and encoder; close any other."""
    try:
        _check_dim(store, dim)
        _check_encoder(store, fingerprint, keep=keep)
    except BaseException:
        store.close()
        raise
    return store


def _check_dim(store: Store, dim: int | None) -> None:
    if dim is not None and store.dim != dim:
        raise GalleryError(
            f"The gallery {store.location} has dim {store.dim}; dim={dim} was asked for."
        )


def _check_encoder(store: Store, fingerprint: str | None, *, keep: bool) -> None:
    """Compare the encoder that was named with the stored one; keep it if there is none yet."""
    known = store.settings.encoder_fingerprint
    check_encoder(known, fingerprint)
    if keep and fingerprint is not None and known is None:
        store.change_settings(lambda one: replace(one, encoder_fingerprint=fingerprint))
