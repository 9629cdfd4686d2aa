"""The list of released weights: ``weights_manifest.json``, read and checked.

One row per name: where the file lies (in the package, only in the repository, or on the Hugging
Face Hub at one commit), its SHA-256 and size, how the network is built, under which terms it may
be used, what it was trained on and what it reaches. Reading it needs neither torch nor the
network.
"""

from __future__ import annotations

import difflib
import json
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from types import UnionType
from typing import Any, Literal, get_args

from sanreid.config import EncoderConfig
from sanreid.errors import ConfigError, UnknownWeightsError, WeightsError
from sanreid.utils.paths import as_path
from sanreid.utils.sniffing import describe_text

__all__ = ["HubFile", "Manifest", "WeightsEntry", "list_weights", "read_manifest"]

FORMAT_VERSION = 1
PACKAGE = Path(__file__).resolve().parent.parent

Role = Literal["encoder", "texture-generator"]

_REQUIRED = ("role", "sha256", "size_bytes", "config", "license", "training_data", "metrics")
_OPTIONAL = ("file", "hub", "limits", "threshold", "trained_with")
_TRAINING_DATA = {"name": str, "terms": str, "identities": int, "crops": int}
_THRESHOLD = {
    "similarity": int | float,
    "false_match_rate": int | float,
    "false_non_match_rate": int | float,
    "crops": str,
    "command": str,
}
_MEASURED = {"dataset": str, "protocol": str, "command": str}
_METRICS: dict[str, dict[str, type | UnionType]] = {
    "encoder": {**_MEASURED, "mAP": int | float, "rank1": int | float},
    "texture-generator": {**_MEASURED},
}


@dataclass(frozen=True, slots=True)
class HubFile:
    """One file of a Hugging Face Hub repository, at one commit."""

    repo_id: str  # "owner/name"
    revision: str  # a commit of 40 hexadecimal digits, never a branch or a tag
    filename: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightsEntry:
    """One row of the manifest.

    Args:
        name: The row's name. An encoder's that begins with ``san-`` was trained with texture
            reconstruction and the TR constraint on; any other encoder is a baseline.
        role: ``"encoder"``, or ``"texture-generator"`` (used only in training).
        sha256: 64 lower-case hexadecimal digits of the safetensors file.
        size_bytes: Size of that file.
        config: How the network is built; :class:`~sanreid.config.EncoderConfig`'s keys when
            ``role`` is ``"encoder"``, else ``encoder`` and ``decoder``, each with its own.
        license: The terms of the weights, which are not those of the code.
        training_data: A mapping with ``name``, ``terms``, ``identities`` and ``crops`` each.
        metrics: A mapping with ``dataset``, ``protocol``, ``command`` and figures each; an
            encoder's are ``mAP`` and ``rank1``, fractions.
        limits: Where the weights fail, as their makers saw it, in words.
        threshold: A default for galleries that are not calibrated: ``similarity``, the
            ``false_match_rate`` and ``false_non_match_rate`` measured there, on which ``crops``,
            by which ``command``; fractions.
        trained_with: ``commit``, ``config``, ``steps`` and ``seed`` of the training run, as far as
            known.
        file: Path of a file in the repository, relative to the folder the package lies in; wheels
            have it for encoders only. None for one on the Hub.
        hub: Place of a file on the Hub; None for a bundled one.
    """

    name: str
    role: Role
    sha256: str
    size_bytes: int
    config: Mapping[str, Any]
    license: str
    training_data: tuple[Mapping[str, Any], ...]
    metrics: tuple[Mapping[str, Any], ...]
    limits: str | None = None
    threshold: Mapping[str, Any] | None = None
    trained_with: Mapping[str, Any] | None = None
    file: str | None = None
    hub: HubFile | None = None


@dataclass(frozen=True, slots=True)
class Manifest:
    """The manifest as a whole."""

    default: str
    weights: Mapping[str, WeightsEntry]

    def entry(self, name: str) -> WeightsEntry:
        """Return the row ``name``.

        Raises:
            UnknownWeightsError: There is none; the message lists those there are.
        """
        if name not in self.weights:
            raise UnknownWeightsError(f"No weights are named {name!r}. {self.known(name)}")
        return self.weights[name]

    def known(self, near: str = "") -> str:
        """List the names there are, and those that ``near`` may have meant, for a message."""
        close = difflib.get_close_matches(near, self.weights, n=1)
        hint = f"Did you mean {close[0]!r}? " if close else ""
        return f"{hint}Known: {', '.join(sorted(self.weights))}."


def list_weights() -> dict[str, WeightsEntry]:
    """Return the released weights by name, their terms and training data among the fields.

    Raises:
        WeightsError: The installation's manifest is missing or damaged.

    >>> list_weights()["san-r50"].config["head"]
    'bnneck'
    """
    return dict(read_manifest().weights)


def read_manifest(path: str | Path | None = None) -> Manifest:
    """Read and check a manifest; the installed package's own when ``path`` is None.

    Raises:
        WeightsError: The file is missing, not JSON, of a newer format, or a row is not in order.
    """
    path = _manifest_path() if path is None else as_path(path, "the path of a manifest")
    content = read_json(path, "list of weights")
    if not isinstance(content, dict) or content.get("format_version") != FORMAT_VERSION:
        version = content.get("format_version") if isinstance(content, dict) else None
        raise WeightsError(
            f"{path} has format version {version!r}; this release of sanreid reads version "
            f"{FORMAT_VERSION}. Install the package again, or a newer one."
        )
    rows = content.get("weights")
    if not isinstance(rows, dict):
        raise WeightsError(f"{path}: 'weights' must be an object of rows by name.")
    weights = {name: parse_entry(name, row, path) for name, row in rows.items()}
    default = str(content.get("default"))
    if default not in weights or weights[default].role != "encoder":
        raise WeightsError(f"{path}: the default {default!r} is not the name of an encoder in it.")
    return Manifest(default=default, weights=weights)


def read_json(path: Path, what: str) -> Any:  # noqa: ANN401 - any JSON value
    """Read a JSON file; WeightsError, with ``what`` it should have been, when that fails."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        described = describe_text(path)
        if described and "text file" not in described:
            raise WeightsError(f"The {what} {path} {described}.") from error
        raise WeightsError(f"The {what} {path} cannot be read: {error}.") from error


def bundled_path(entry: WeightsEntry) -> Path | None:
    """Return the path of the bundled file of ``entry``; None for one on the Hub."""
    return None if entry.file is None else PACKAGE.parent / entry.file


def is_left_out(entry: WeightsEntry) -> bool:
    """Return whether this installation lacks the file of ``entry``, as one from a wheel may.

    Wheels contain encoders only; texture generators, used only in training, are in the repository.
    """
    path = bundled_path(entry)
    if path is None or entry.role == "encoder":
        return False
    return not os.path.isfile(path)  # noqa: PTH113 - no error where the folder cannot be read


def _manifest_path() -> Path:
    installed = PACKAGE / "weights_manifest.json"  # where the wheel puts it
    return installed if installed.exists() else PACKAGE.parent / "weights_manifest.json"


def parse_entry(name: str, row: object, path: Path) -> WeightsEntry:
    """Return a checked row as an entry.

    Raises:
        WeightsError: The row is not in order; the message names ``path``.
    """

    def wrong(reason: str) -> WeightsError:
        return WeightsError(f"{path}: the row {name!r} {reason}.")

    if not isinstance(row, dict):
        raise wrong("is not an object")
    if missing := [key for key in _REQUIRED if key not in row]:
        raise wrong(f"lacks {_joined(missing)}")
    if unknown := [key for key in row if key not in _REQUIRED + _OPTIONAL]:
        raise wrong(f"has the unknown key {_joined(unknown)}")
    if ("file" in row) == ("hub" in row):
        raise wrong("must have either 'file' or 'hub'")
    role = row["role"]
    for good, reason in (
        (role in get_args(Role), f"has the role {role!r}; known: {', '.join(get_args(Role))}"),
        (_is_hex(row["sha256"], 64), "needs a 'sha256' of 64 lower-case hexadecimal digits"),
        (_is_count(row["size_bytes"]), "needs 'size_bytes', a whole number above 0"),
        (isinstance(row["config"], dict), "needs a 'config', an object"),
        (_is_text(row["license"]), "needs a 'license', the terms of the weights in words"),
        (
            _are_records(row["training_data"], _TRAINING_DATA),
            f"needs 'training_data', a list of objects with {_joined(_TRAINING_DATA)}",
        ),
        (
            _are_records(row["metrics"], _METRICS.get(str(role), {})),
            f"needs 'metrics', a list of objects with {_joined(_METRICS.get(str(role), {}))}",
        ),
        ("limits" not in row or _is_text(row["limits"]), "needs words as 'limits'"),
        (
            "threshold" not in row or _is_threshold(row["threshold"]),
            f"needs 'threshold', an object with {_joined(_THRESHOLD)}",
        ),
        (isinstance(row.get("trained_with"), dict | None), "needs an object as 'trained_with'"),
        (
            "hub" in row or _is_inside(row["file"]),
            f"has the 'file' {row.get('file')!r}, not a relative .safetensors path",
        ),
    ):
        if not good:
            raise wrong(reason)
    if role == "encoder":
        try:
            EncoderConfig.from_dict(row["config"])
        except ConfigError as error:
            raise wrong(f"has a wrong 'config': {str(error).rstrip('.')}") from error

    return WeightsEntry(
        name=name,
        role=role,
        sha256=row["sha256"],
        size_bytes=row["size_bytes"],
        config=row["config"],
        license=row["license"],
        training_data=tuple(row["training_data"]),
        metrics=tuple(row["metrics"]),
        limits=row.get("limits"),
        threshold=row.get("threshold"),
        trained_with=row.get("trained_with"),
        file=row.get("file"),
        hub=None if "file" in row else _hub_file(row["hub"], wrong("has a 'hub' out of order")),
    )


def _hub_file(hub: object, error: WeightsError) -> HubFile:
    if not isinstance(hub, dict) or set(hub) != {"repo_id", "revision", "filename"}:
        raise WeightsError(f"{error} It wants repo_id, revision and filename.")
    if not isinstance(hub["repo_id"], str) or hub["repo_id"].count("/") != 1:
        raise WeightsError(f"{error} Its repo_id must be 'owner/name'.")
    if not _is_hex(hub["revision"], 40):
        raise WeightsError(f"{error} Its revision must be a commit of 40 hexadecimal digits.")
    if not _is_inside(hub["filename"]):
        raise WeightsError(f"{error} Its filename must be a relative .safetensors path.")
    return HubFile(**hub)


def _is_hex(value: object, digits: int) -> bool:
    return isinstance(value, str) and bool(re.fullmatch(f"[0-9a-f]{{{digits}}}", value))


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _are_records(rows: object, wanted: Mapping[str, type | UnionType]) -> bool:
    """Return whether ``rows`` is a list of objects that have at least the wanted fields."""
    return isinstance(rows, list) and all(
        isinstance(row, dict)
        and all(isinstance(row.get(key), kind) for key, kind in wanted.items())
        for row in rows
    )


def _is_threshold(value: object) -> bool:
    """Return whether a value is a threshold with rates, each within its range."""
    if not isinstance(value, dict) or not _are_records([value], _THRESHOLD):
        return False
    rates = (value["false_match_rate"], value["false_non_match_rate"])
    return -1 <= value["similarity"] <= 1 and all(0 <= rate <= 1 for rate in rates)


def _is_inside(file: object) -> bool:
    if not isinstance(file, str) or "\\" in file:
        return False
    path = PurePosixPath(file)
    return path.suffix == ".safetensors" and not path.is_absolute() and ".." not in path.parts


def _joined(keys: Iterable[str]) -> str:
    return ", ".join(repr(key) for key in keys)
