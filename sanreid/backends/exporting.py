"""Exports: the network as a file for ONNX Runtime or OpenVINO, checked before it is in place."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from sanreid.backends.description import EXTRA, Description, Precision
from sanreid.backends.eager import TorchBackend
from sanreid.backends.exported import MODEL_NAME, SUFFIXES, load_exported
from sanreid.backends.graphs import save_openvino, to_onnx, to_openvino
from sanreid.backends.int8 import quantised
from sanreid.backends.interface import Backend
from sanreid.errors import InputError, WeightsError
from sanreid.images import ImageSource, load_crop
from sanreid.utils.extras import require_extra
from sanreid.utils.files import scratch_directory
from sanreid.weights.storage import expanded

if TYPE_CHECKING:
    from sanreid.encoder import SANEncoder

__all__ = ["ExportReport", "export"]

_LEAST_COSINE = 0.9999  # of the float32 export to the encoder
_PROBES = 6
_COMPARED = 64  # crops, at most


@dataclass(frozen=True, slots=True)
class ExportReport:
    """What :func:`export` wrote.

    Args:
        path: The file that loads again.
        precision: ``"float32"`` or ``"int8"``.
        size_bytes: Of the file, or of both of an OpenVINO export.
        lowest_cosine: The lowest cosine between an embedding of the file and the encoder's own
            in float32, over the crops it was checked with.
    """

    path: Path
    precision: Precision
    size_bytes: int
    lowest_cosine: float


def export(
    encoder: SANEncoder,
    path: str | os.PathLike[str],
    *,
    backend: Literal["onnx", "openvino"] = "onnx",
    calibration: Sequence[ImageSource] | None = None,
    accept: Callable[[Path], None] | None = None,
) -> ExportReport:
    """Write the encoder as a file that ``SANEncoder.from_pretrained(path, backend=...)`` runs.

    The file takes ``uint8`` crops in batches of any size; normalisation is inside. Its metadata
    say how crops are prepared, and carry the configuration and the fingerprint.

    Args:
        encoder: One with a module, on any device.
        path: ``NAME.onnx``, or ``NAME.xml`` for OpenVINO (``NAME.bin`` is put beside it); a path
            without a suffix is a directory, made if missing, for ``model.onnx`` or ``model.xml``.
        backend: What the file is for.
        calibration: Images to quantise to int8 by, some hundred real crops; None for float32.
        accept: Called with the written file before it takes its place; what it raises passes
            through, and nothing is left then.

    Raises:
        MissingExtraError: The packages for it are not installed.
        InputError: The path or the backend is wrong, or ``calibration`` is empty.
        WeightsError: The encoder has no module, the file cannot be written, or it gives other
            embeddings than the encoder (a cosine below 0.9999 in float32).
    """
    target = _target(path, backend)
    config = encoder.config
    size = config.input_size
    crops = _probes(size)
    if calibration is not None:
        if not len(calibration):
            raise InputError("calibration is empty; some hundred real crops are wanted.")
        crops = np.stack([load_crop(image, size) for image in calibration])
    require_extra(
        "openvino" if backend == "openvino" else "onnxruntime", purpose="The export", install=EXTRA
    )
    module = encoder.module
    description = Description(
        encoder.fingerprint, config, "float32" if calibration is None else "int8"
    )
    reference = TorchBackend(module, config, device=torch.device("cpu"), dtype=torch.float32)
    try:
        with _room_for(target) as folder:  # before the long work, which a bad place would waste
            file = folder / target.name
            model = to_onnx(module, description)
            if calibration is not None:
                model = quantised(model, crops)
            if backend == "onnx":
                file.write_bytes(model)
            else:
                save_openvino(to_openvino(model, description), file)
            lowest = _lowest_cosine(file, reference, crops[:_COMPARED])
            if calibration is None and not lowest >= _LEAST_COSINE:
                raise WeightsError(
                    f"The export to {target} gives other embeddings than the encoder (lowest "
                    f"cosine {lowest:.6f}, {_LEAST_COSINE} was wanted); nothing was written."
                )
            if accept is not None:
                accept(file)
            # OpenVINO's .xml reads its .bin, so that comes first.
            parts = [part.replace(target.parent / part.name) for part in sorted(folder.iterdir())]
            size_bytes = sum(part.stat().st_size for part in parts)
    except OSError as error:
        raise WeightsError(f"The export cannot be written to {target}: {error}.") from error
    return ExportReport(target, description.precision, size_bytes, lowest)


@contextmanager
def _room_for(target: Path) -> Iterator[Path]:
    """Give a temporary folder beside ``target``; a folder made for it goes if nothing came."""
    existed = target.parent.exists()
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        with scratch_directory(target.parent, "exporting") as folder:
            yield folder
    finally:
        if not existed and not any(target.parent.iterdir()):
            target.parent.rmdir()


def _target(path: str | os.PathLike[str], backend: str) -> Path:
    """Give the file to write."""
    if backend not in SUFFIXES:
        known = " or ".join(repr(name) for name in SUFFIXES)
        raise InputError(f"An export is for {known}; got {backend!r}.")
    target, suffix = expanded(path), SUFFIXES[backend]
    if target.suffix == suffix:
        if target.is_dir():
            raise InputError(f"{target} is a directory; a file, or a path without {suffix}.")
        return target
    if target.suffix in SUFFIXES.values() or target.is_file():
        raise InputError(
            f"An export for {backend!r} is a file {suffix} or a directory; got {target}."
        )
    return target / f"{MODEL_NAME}{suffix}"


def _probes(size: tuple[int, int]) -> NDArray[np.uint8]:
    """Pictures to compare with: coarse patches of colour under fine noise, as people's are."""
    rng = np.random.default_rng(0)
    height, width = size
    coarse = rng.integers(0, 256, (_PROBES, 8, 4, 3))
    rows, columns = np.arange(height) * 8 // height, np.arange(width) * 4 // width
    patches = coarse[:, rows][:, :, columns]
    noise = rng.integers(-20, 21, patches.shape)
    pictures: NDArray[np.uint8] = np.clip(patches + noise, 0, 255).astype(np.uint8)
    return pictures


def _lowest_cosine(file: Path, reference: Backend, crops: NDArray[np.uint8]) -> float:
    """Compare the file with the network, one crop alone and the rest together."""
    exported = load_exported(file, dtype=torch.float32)
    pairs = [(exported(part), reference(part)) for part in (crops[:1], crops[1:]) if len(part)]
    cosines = [
        (a * b).sum(axis=1) / (np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1))
        for a, b in pairs
    ]
    return float(np.concatenate(cosines).min())
