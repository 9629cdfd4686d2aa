"""What a weights file says of itself: the row of the weights it holds, in its header.

A row kept beside a file is lost when the file is copied; its terms must not be. So the row,
without checksum and location, is written into the metadata of the safetensors file, and read back
wherever the file goes: a directory, the Hub, the start of a training.
"""

from __future__ import annotations

import json
import logging
from dataclasses import asdict, fields, replace
from pathlib import Path

from sanreid.config import EncoderConfig
from sanreid.errors import SanreidError, WeightsError
from sanreid.utils.files import sha256_of
from sanreid.weights.card import model_card
from sanreid.weights.manifest import WeightsEntry, parse_entry, read_manifest

__all__ = ["find_entry", "find_released", "read_record", "to_metadata"]

logger = logging.getLogger(__name__)

KEY = "sanreid"  # in the file's metadata
_OF_ONE_FILE = ("sha256", "size_bytes", "file", "hub")  # a file cannot say its own sum
_KNOWN = [one.name for one in fields(WeightsEntry) if one.name not in ("name", *_OF_ONE_FILE)]


def to_metadata(entry: WeightsEntry) -> dict[str, str]:
    """Return the metadata that holds ``entry``, for a safetensors file.

    It is one key: safetensors writes several in no order, and the same weights would then have
    more than one sum.
    """
    row = asdict(entry)
    return {KEY: json.dumps({key: row[key] for key in ("name", *_KNOWN)})}


def find_entry(path: Path, config: EncoderConfig | None = None) -> WeightsEntry | None:
    """Return what is known of a weights file: the manifest's row, or what it says of itself.

    Args:
        path: A safetensors file.
        config: How the encoder is built that reads it. Where the file was trained for another,
            the figures are not this one's and are left out.
    """
    entry = find_released(path) or read_record(path)
    if entry is None or config is None or entry.config == config.to_dict():
        return entry
    return replace(entry, config=config.to_dict(), metrics=(), threshold=None)


def find_released(path: Path) -> WeightsEntry | None:
    """Return the manifest's row of a file that is, to the byte, one that was released."""
    size = path.stat().st_size
    rows = [row for row in read_manifest().weights.values() if row.size_bytes == size]
    digest = sha256_of(path) if rows else ""
    return next((row for row in rows if row.sha256 == digest), None)


def read_record(path: Path) -> WeightsEntry | None:
    """Return what an encoder's weights file says of itself.

    Returns:
        The row, ``sha256`` and ``size_bytes`` those of the file; None where the file says
        nothing, or nothing that this release understands.
    """
    from safetensors import SafetensorError, safe_open  # noqa: PLC0415 - listing needs it not

    try:
        with safe_open(path, framework="np") as file:
            text = (file.metadata() or {}).get(KEY)
    except (OSError, SafetensorError):  # whoever reads the tensors says what is wrong
        return None
    if text is None:
        return None
    try:
        return _entry(text, path)
    except (
        ValueError,
        KeyError,
        AttributeError,
        TypeError,
        RecursionError,
        SanreidError,
    ) as error:
        logger.warning("%s: what it says of its training cannot be read: %s", path, error)
        return None


def _entry(text: str, path: Path) -> WeightsEntry:
    said = json.loads(text)
    name = said["name"]
    if not isinstance(name, str) or not name.isprintable():
        raise WeightsError(f"its name is {name!r}")
    if said["role"] != "encoder":
        raise WeightsError(f"it is of a {said['role']}")
    # Keys of a newer release are left aside: the terms count.
    row = {key: said[key] for key in _KNOWN if said.get(key) is not None}
    row |= {"sha256": sha256_of(path), "size_bytes": path.stat().st_size}
    entry = replace(parse_entry(name, row | {"file": "model.safetensors"}, path), file=None)
    model_card(EncoderConfig.from_dict(entry.config), entry=entry)  # it can be described
    return entry
