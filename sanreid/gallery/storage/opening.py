"""From a path to a store: opening, creating and loading."""

from __future__ import annotations

import os
import time
from dataclasses import replace

from sanreid.errors import GalleryError, GalleryLockedError
from sanreid.gallery.index.kinds import as_index_kind
from sanreid.gallery.storage.directory_store import DirectoryStore
from sanreid.gallery.storage.files.disk import Disk
from sanreid.gallery.storage.files.filenames import is_gallery
from sanreid.gallery.storage.files.folder import resolved
from sanreid.gallery.storage.files.rewriting import create_directory
from sanreid.gallery.storage.memory_store import MemoryStore
from sanreid.gallery.store import Settings, Store
from sanreid.gallery.validation import check_choice, check_encoder

__all__ = ["load_store", "open_store"]

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
    """Open the store kept in a directory; with ``dim``, create it if it is not there.

    Args:
        path: The gallery's directory.
        dim: Needed to create a gallery; compared with that of an existing one.
        mode: "rw" or "r".
        index: The kind of index to search with.
        fingerprint: The encoder's; kept if the gallery knows none yet.
        wait_s: Seconds to wait for another writer to close it.
        disk: How files are touched; tests record and interrupt it.

    Raises:
        InputError: Another mode or kind of index, or not a path.
        GalleryLockedError: Another writer has it open, and still had after ``wait_s``.
        GalleryError: Not there, damaged, foreign, or of another dim or encoder.
    """
    check_choice(mode, "mode", ("rw", "r"))
    folder, index, disk = resolved(path), as_index_kind(index), disk or Disk()
    if not is_gallery(folder):
        if dim is None or mode == "r":
            raise GalleryError(
                f"There is no gallery at {folder}."
                + ("" if mode == "r" else " To create one, pass its dim.")
            )
        create_directory(folder, dim, Settings(fingerprint), disk)
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
    try:
        _check_dim(store, dim)
        _check_encoder(store, fingerprint, keep=mode == "rw")
    except BaseException:
        store.close()
        raise
    return store


def load_store(
    path: str | os.PathLike[str], *, index: str, fingerprint: str | None
) -> MemoryStore:
    """Read a stored gallery into memory; all that is read is checked.

    Raises:
        GalleryError: As in :func:`open_store`.
    """
    index, folder = as_index_kind(index), resolved(path)
    if not is_gallery(folder):
        raise GalleryError(f"There is no gallery at {folder}.")
    stored = DirectoryStore(folder, write=False)
    try:
        _check_encoder(stored, fingerprint, keep=False)
        store = MemoryStore.of(stored.snapshot(), index=index)
    finally:
        stored.close()
    _check_encoder(store, fingerprint, keep=True)
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
        store.set_settings(replace(store.settings, encoder_fingerprint=fingerprint))
