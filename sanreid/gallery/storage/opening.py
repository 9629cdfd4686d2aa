"""Opening, loading and saving: from a path to a store, and from a snapshot to a path."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from sanreid.errors import GalleryError, InputError
from sanreid.gallery.storage.disk import Disk
from sanreid.gallery.storage.filenames import LOCK, is_gallery
from sanreid.gallery.storage.local import LocalStore, in_memory
from sanreid.gallery.storage.locks import WriterLock
from sanreid.gallery.storage.rewriting import create_directory, write_snapshot
from sanreid.gallery.storage.table import Settings
from sanreid.gallery.validation import check_encoder

__all__ = ["load_store", "open_store", "save_store"]


def open_store(
    folder: Path,
    *,
    dim: int | None,
    mode: str,
    index: str,
    fingerprint: str | None,
    disk: Disk | None = None,
) -> LocalStore:
    """Open the store kept in a directory; with ``dim``, create it if it is not there.

    Args:
        folder: The gallery's directory.
        dim: Needed to create a gallery; compared with that of an existing one.
        mode: "rw" or "r".
        index: One of :data:`~sanreid.gallery.index.manager.INDEX_KINDS`.
        fingerprint: The encoder's; kept if the gallery knows none yet.
        disk: How files are written; tests record and interrupt it.

    Raises:
        InputError: Another mode.
        GalleryError: Not there, damaged, foreign, locked, or of another dim or encoder.
    """
    if mode not in ("rw", "r"):
        raise InputError(f'mode must be "rw" or "r"; got {mode!r}.')
    disk = disk or Disk()
    if not is_gallery(folder):
        if dim is None or mode == "r":
            raise GalleryError(
                f"There is no gallery at {folder}."
                + ("" if mode == "r" else " To create one, pass its dim.")
            )
        create_directory(folder, dim, Settings(fingerprint), disk)
    store = LocalStore(dim or 0, folder=folder, write=mode == "rw", disk=disk, index=index)
    try:
        _check_stored(store, dim, fingerprint)
    except BaseException:
        store.close()
        raise
    return store


def load_store(folder: Path, *, index: str, fingerprint: str | None) -> LocalStore:
    """Read a stored gallery into memory; all that is read is checked.

    Raises:
        GalleryError: As in :func:`open_store`.
    """
    stored = open_store(folder, dim=None, mode="r", index="auto", fingerprint=fingerprint)
    try:
        store = in_memory(stored.snapshot(), index=index)
    finally:
        stored.close()
    _check_stored(store, None, fingerprint)
    return store


def save_store(store: LocalStore, folder: Path) -> None:
    """Write a snapshot of a store to a directory; a gallery there is replaced in one step.

    Raises:
        GalleryError: Something else is there, or the disk refuses; what was there stays.
    """
    snapshot, disk = store.snapshot(), Disk()
    if not is_gallery(folder):
        create_directory(folder, store.dim, snapshot, disk)
        return
    if store.folder is not None and store.folder.samefile(folder):
        raise GalleryError(f"The gallery is kept at {folder} itself: nothing to save.")
    writer = WriterLock(folder / LOCK)
    try:
        write_snapshot(folder, snapshot, store.dim, disk)
    finally:
        writer.release()


def _check_stored(store: LocalStore, dim: int | None, fingerprint: str | None) -> None:
    """Compare what was asked for with what is there; a fingerprint not yet known is kept."""
    if dim is not None and store.dim != dim:
        raise GalleryError(
            f"The gallery {store.folder} has dim {store.dim}; dim={dim} was asked for."
        )
    check_encoder(store.settings.encoder_fingerprint, fingerprint)
    if fingerprint is not None and store.settings.encoder_fingerprint is None and store.write:
        store.set_settings(replace(store.settings, encoder_fingerprint=fingerprint))
