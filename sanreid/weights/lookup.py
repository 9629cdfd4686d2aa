"""From a name to a checked file: the manifest, a local directory, or the Hub."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from sanreid.config import EncoderConfig
from sanreid.errors import ChecksumError, InputError, UnknownWeightsError, WeightsError
from sanreid.utils.arguments import check_kind
from sanreid.utils.arrays import shown
from sanreid.weights.hub import check_cached, hub_file
from sanreid.weights.manifest import WeightsEntry, bundled_path, is_left_out, read_manifest
from sanreid.weights.record import find_entry
from sanreid.weights.storage import CONFIG_NAME, WEIGHTS_NAME, check_file, read_config

__all__ = ["LocatedWeights", "download", "fetch", "locate", "verify"]

_REPO_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", re.ASCII)


@dataclass(frozen=True, slots=True)
class LocatedWeights:
    """Weights of an encoder on this machine; the checksum of a manifest's name was compared."""

    name: str  # the manifest's name, the directory or the repository, as asked for
    path: Path  # the safetensors file
    config: EncoderConfig
    entry: WeightsEntry | None  # the manifest's row, or what the file says of itself, if anything


def locate(
    name_or_path: str | os.PathLike[str] | None = None,
    *,
    revision: str | None = None,
    cache_dir: str | Path | None = None,
    token: str | None = None,
    local_files_only: bool = False,
) -> LocatedWeights:
    """Find the weights of an encoder; fetch them if they are on the Hub and not yet cached.

    A string is taken as, in this order: a name in the manifest, an existing directory, a Hub
    repository ``owner/name``. ``./san-r50`` or a ``Path`` is always a directory.

    Args:
        name_or_path: The manifest's default when None.
        revision: Branch, tag or commit of a Hub repository; its main branch when None. The
            manifest's own rows are pinned.
        cache_dir: The Hub client's cache; its default when None.
        token: Access token for the Hub; the one the client knows when None.
        local_files_only: Never reach the network.

    Raises:
        InputError: ``revision`` is given for weights that are not a Hub repository.
        UnknownWeightsError: None of the three has it; the message lists the known names.
        ChecksumError: The file's SHA-256 is not the one known; nothing of it was parsed.
        WeightsError: The weights cannot be had or are not those of an encoder.
    """
    manifest = read_manifest()
    given = manifest.default if name_or_path is None else name_or_path
    if not isinstance(given, str | os.PathLike):
        raise InputError(f"The weights must be a name or a path; got {shown(given)}.")
    is_path = not isinstance(given, str)
    name = str(given)

    if not is_path and name in manifest.weights:
        _refuse_revision(revision, f"{name!r} is a name of the manifest, already pinned")
        entry = manifest.entry(name)
        if entry.role != "encoder":
            encoders = sorted(n for n, e in manifest.weights.items() if e.role == "encoder")
            raise WeightsError(
                f"{name!r} is a {entry.role}, not an encoder; it is used in training. "
                f"Encoders: {', '.join(encoders)}."
            )
        path = fetch(entry, cache_dir=cache_dir, token=token, local_files_only=local_files_only)
        return LocatedWeights(name, path, EncoderConfig.from_dict(entry.config), entry)

    local = _existing(name)
    if local and local.is_dir():
        _refuse_revision(revision, f"{name!r} is a local directory")
        return _in_directory(name, local)
    if local:
        raise WeightsError(
            f"{name!r} is a file; give the directory that holds {CONFIG_NAME} and {WEIGHTS_NAME}. "
            "A checkpoint of other code is converted first: sanreid weights convert IN OUT_DIR."
        )
    if is_path or not _REPO_ID.fullmatch(name):
        raise UnknownWeightsError(
            f"No weights {shown(name)}: not a name of the manifest, not an existing directory, "
            f"not a Hub repository 'owner/name'. {manifest.known(name)}"
        )

    # The configuration first: its commit pins the weights, should the branch move in between.
    config_path = hub_file(
        name,
        CONFIG_NAME,
        revision=revision,
        cache_dir=cache_dir,
        token=token,
        local_files_only=local_files_only,
    )
    path = hub_file(
        name,
        WEIGHTS_NAME,
        revision=config_path.parent.name,
        cache_dir=cache_dir,
        token=token,
        local_files_only=local_files_only,
    )
    check_cached(path)
    config = read_config(config_path)
    return LocatedWeights(name, path, config, find_entry(path, config))


def fetch(
    entry: WeightsEntry,
    *,
    cache_dir: str | Path | None = None,
    token: str | None = None,
    local_files_only: bool = False,
    force: bool = False,
) -> Path:
    """Return the checked file of a manifest's row, whatever its role.

    Args:
        entry: The row.
        cache_dir: The Hub client's cache; its default when None.
        token: Access token for the Hub; the one the client knows when None.
        local_files_only: Never reach the network.
        force: Fetch it again even if the cache has it; a bundled file is only checked.

    Raises:
        ChecksumError: The file is not the released one. It stays in place for inspection.
        WeightsError: The file cannot be had.
    """
    check_kind(entry, "entry", WeightsEntry, "a row of the manifest")
    path = bundled_path(entry)
    hub = entry.hub
    if hub is not None:
        path = hub_file(
            hub.repo_id,
            hub.filename,
            revision=hub.revision,
            cache_dir=cache_dir,
            token=token,
            local_files_only=local_files_only,
            force=force,
        )
    if path is None:
        raise WeightsError(f"The manifest's row {entry.name!r} says nowhere where its file is.")
    if is_left_out(entry):
        raise WeightsError(
            f"{entry.name!r} is not in this installation: there is no {path}. Wheels come without "
            "it, to stay small. Copy the file there from sanreid/pretrained in the repository, or "
            "install a clone with pip install -e ."
        )
    try:
        check_file(path, sha256=entry.sha256, size_bytes=entry.size_bytes, name=entry.name)
    except ChecksumError as error:
        cure = (
            f"Fetch it again (sanreid weights download --force {entry.name}, or "
            f"sanreid.weights.download({entry.name!r}, force=True))"
            if hub
            else "Install the package again"
        )
        raise ChecksumError(f"{error} {cure}; if the sum is still wrong, report it.") from None
    return path


def verify(name: str, *, cache_dir: str | Path | None = None) -> Path:
    """Compare the local copy of released weights with the manifest; never reach the network.

    Args:
        name: A name of the manifest.
        cache_dir: The Hub client's cache; its default when None.

    Returns:
        The file.

    Raises:
        UnknownWeightsError: The manifest has no such name.
        ChecksumError: The file is not the released one.
        WeightsError: There is no local copy.
    """
    check_kind(name, "name", str, "a name of the manifest")
    return fetch(read_manifest().entry(name), cache_dir=cache_dir, local_files_only=True)


def download(
    name: str,
    *,
    revision: str | None = None,
    cache_dir: str | Path | None = None,
    token: str | None = None,
    force: bool = False,
) -> Path:
    """Have weights on this machine, for work without the network later.

    Args:
        name: A name of the manifest, of any role, or a Hub repository ``owner/name``.
        revision: Branch, tag or commit of a Hub repository.
        cache_dir: The Hub client's cache; its default when None.
        token: Access token for the Hub; the one the client knows when None.
        force: Fetch them again even if they are there: the cure for a damaged cache.

    Returns:
        The checked safetensors file.

    Raises:
        UnknownWeightsError: There are no such weights.
        ChecksumError: What came is not what was released.
        WeightsError: They cannot be had.
    """
    check_kind(name, "name", str, "a name of the manifest or a Hub repository")
    weights = read_manifest().weights
    if name in weights:
        _refuse_revision(revision, f"{name!r} is a name of the manifest, already pinned")
        return fetch(weights[name], cache_dir=cache_dir, token=token, force=force)
    if force and _REPO_ID.fullmatch(name) and not _existing(name):
        for filename in (CONFIG_NAME, WEIGHTS_NAME):
            hub_file(
                name, filename, revision=revision, cache_dir=cache_dir, token=token, force=True
            )
    return locate(name, revision=revision, cache_dir=cache_dir, token=token).path


def _existing(name: str) -> Path | None:
    """Return the path ``name`` if something is there; None for what cannot be a path, too."""
    try:
        path = Path(name).expanduser()
        return path if name and path.exists() else None
    except (OSError, RuntimeError, ValueError):  # too long; nobody's home; with "\0"
        return None


def _in_directory(name: str, directory: Path) -> LocatedWeights:
    if not os.access(directory, os.R_OK | os.X_OK):
        raise WeightsError(f"The directory {name!r} cannot be read: permission denied.")
    if missing := [n for n in (CONFIG_NAME, WEIGHTS_NAME) if not (directory / n).is_file()]:
        raise WeightsError(
            f"{name!r} is not a weights directory: it has no {' and no '.join(missing)}. "
            "SANEncoder.save_pretrained and sanreid weights convert write one."
        )
    path, config = directory / WEIGHTS_NAME, read_config(directory / CONFIG_NAME)
    return LocatedWeights(name, path, config, find_entry(path, config))


def _refuse_revision(revision: str | None, reason: str) -> None:
    if revision is not None:
        raise InputError(f"revision={revision!r} is for a Hub repository; {reason}.")
