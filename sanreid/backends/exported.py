"""Exported files on disk: which path is one, and the backend that runs it.

An ONNX export is one file, ``NAME.onnx``; an OpenVINO export is ``NAME.xml`` with ``NAME.bin``
beside it. A directory stands for ``model.onnx`` or ``model.xml`` in it.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TypeAlias

import torch

from sanreid.backends.onnx_runtime import OnnxBackend
from sanreid.backends.open_vino import OpenVinoBackend
from sanreid.backends.runtimes import RUNTIMES
from sanreid.errors import InputError, WeightsError
from sanreid.weights import read_manifest

__all__ = ["MODEL_NAME", "ExportedBackend", "exported_path", "load_exported"]

MODEL_NAME = "model"

ExportedBackend: TypeAlias = OnnxBackend | OpenVinoBackend


def exported_path(given: object, backend: str) -> Path | None:
    """Return the exported file that ``given`` means; None where it means weights.

    A string that the manifest names means those weights, whatever lies beside: a folder of that
    name is ``./NAME`` or a ``Path``, as for weights.

    Raises:
        InputError: It is an exported file of another backend.
        WeightsError: It is named like an exported file, and there is none.
    """
    if not isinstance(given, str | os.PathLike) or not os.fspath(given):
        return None
    if given in read_manifest().weights:
        return None
    try:
        path = Path(given).expanduser()
        found = {
            kind: file
            for kind, suffix in _suffixes().items()
            for file in (path, path / f"{MODEL_NAME}{suffix}")
            if file.suffix == suffix and file.is_file()
        }
    except (OSError, RuntimeError, ValueError):  # no path: said by the search for weights
        return None
    if backend in found:
        return found[backend]
    if not found:
        if path.suffix == _suffixes().get(backend) and not path.is_dir():
            raise WeightsError(f"There is no file {path}.")
        return None
    if (path / "config.json").is_file():  # a weights directory that holds an export as well
        return None
    other, file = next(iter(found.items()))
    raise InputError(f"{file} is for backend={other!r}; got backend={backend!r}.")


def load_exported(path: Path, *, dtype: torch.dtype) -> ExportedBackend:
    """Return the backend that runs an exported file.

    Raises:
        MissingExtraError: Its runtime is not installed.
        WeightsError: The file is damaged, or was not written by sanreid.
    """
    load = next(row.load for row in RUNTIMES.values() if row.suffix == path.suffix)
    assert load is not None  # noqa: S101 - a row with a suffix has it
    loaded: ExportedBackend = load(path, dtype)
    return loaded


def _suffixes() -> dict[str, str]:
    return {name: row.suffix for name, row in RUNTIMES.items() if row.suffix is not None}
