"""Exports: the network as a file for another program, checked before it is in place."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from sanreid.backends.exported import MODEL_NAME
from sanreid.backends.exports.description import EXTRA, Description, Precision
from sanreid.backends.exports.formats import FORMATS, FormatName
from sanreid.backends.exports.inputs import INPUT_FORMS, InputForm
from sanreid.backends.interface import Backend
from sanreid.backends.network import TorchBackend
from sanreid.config import EncoderConfig
from sanreid.errors import InputError, WeightsError
from sanreid.images import ImageSource, load_crop
from sanreid.utils.ambient import plain_torch
from sanreid.utils.arguments import check_choice, check_kind
from sanreid.utils.arrays import shown
from sanreid.utils.extras import require_extra
from sanreid.utils.files import make_folder, scratch_directory
from sanreid.utils.paths import is_file, is_folder
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
        input_form: How the file takes crops.
    """

    path: Path
    precision: Precision
    size_bytes: int
    lowest_cosine: float
    input_form: InputForm = "uint8-nhwc"


def export(
    encoder: SANEncoder,
    path: str | os.PathLike[str],
    *,
    backend: FormatName = "onnx",
    input_form: InputForm = "uint8-nhwc",
    calibration: Sequence[ImageSource] | None = None,
    accept: Callable[[Path], None] | None = None,
) -> ExportReport:
    """Write the encoder as a file for another program, compared with the encoder first.

    Files for ONNX Runtime and OpenVINO load again by
    ``SANEncoder.from_pretrained(path, backend=...)``. The file takes batches of any size. Its
    metadata say how crops are prepared, and carry the configuration and the fingerprint.

    Args:
        encoder: One with a module, on any device.
        path: ``NAME.onnx``; ``NAME.xml`` for OpenVINO (``NAME.bin`` is put beside it);
            ``NAME.torchscript`` or ``NAME.pt``; ``NAME.pt2`` for torch.export. A path without a
            suffix is a directory, made if missing, for ``model.onnx`` and so on.
        backend: What the file is for: ``"onnx"``, ``"openvino"``, ``"torchscript"`` or
            ``"torch-export"``.
        input_form: ``"uint8-nhwc"``: (N, H, W, 3) ``uint8``, normalisation inside.
            ``"normalized"``: (N, 3, H, W) float after mean and std, as in boxmot.
            ``"unit"``: (N, 3, H, W) float in [0, 1], mean and std inside, as in ultralytics.
        calibration: Images to quantise to int8 by, some hundred real crops; None for float32.
        accept: Called with the written file before it gets its name; what it raises passes
            through, and nothing is left then.

    Raises:
        MissingExtraError: The packages for it are not installed.
        InputError: The path, the backend or the input form is wrong, or ``calibration`` is empty
            or given for a format without int8.
        WeightsError: The encoder has no module, the file cannot be written, or it gives other
            embeddings than the encoder (a cosine below 0.9999 in float32).
    """
    target = _target(path, backend)
    check_choice(input_form, "input_form", INPUT_FORMS)
    check_kind(getattr(encoder, "config", encoder), "The encoder", EncoderConfig, "a SANEncoder")
    row = FORMATS[backend]
    config = encoder.config
    size = config.input_size
    crops = _probes(size)
    if calibration is not None:
        if not row.has_int8:
            raise InputError(f"An export for {backend!r} is float32; calibration is for int8.")
        if (
            not isinstance(calibration, Sequence | np.ndarray)
            or getattr(calibration, "ndim", 1) == 0
        ):
            raise InputError(f"calibration must be a list of images; got {shown(calibration)}.")
        if not len(calibration):
            raise InputError("calibration is empty; some hundred real crops are wanted.")
        crops = np.stack([load_crop(image, size) for image in calibration])
    for package in row.packages:
        require_extra(package, purpose="The export", install=EXTRA)
    module = encoder.module
    description = Description(
        encoder.fingerprint,
        config,
        precision="float32" if calibration is None else "int8",
        input=input_form,
    )
    try:
        # The room first: the long work would be wasted on a path that cannot be written.
        with _room_for(target) as folder, plain_torch():
            reference = TorchBackend(
                module, config, device=torch.device("cpu"), dtype=torch.float32
            )
            file = folder / target.name
            row.write(module, description, file, None if calibration is None else crops)
            compared = crops[:_COMPARED]
            lowest = _lowest_cosine(row.run(file, description), reference, compared)
            if calibration is None and not lowest >= _LEAST_COSINE:
                raise WeightsError(
                    f"The export to {target} computes other embeddings than the encoder (lowest "
                    f"cosine {lowest:.6f}, {_LEAST_COSINE} was wanted); nothing was written."
                )
            if accept is not None:
                accept(file)
            # OpenVINO's .xml reads its .bin, so that comes first.
            parts = [part.replace(target.parent / part.name) for part in sorted(folder.iterdir())]
            size_bytes = sum(part.stat().st_size for part in parts)
    except OSError as error:
        raise WeightsError(f"The export cannot be written to {target}: {error}.") from error
    return ExportReport(target, description.precision, size_bytes, lowest, input_form)


@contextmanager
def _room_for(target: Path) -> Iterator[Path]:
    """Make a temporary folder beside ``target``; a folder made for it goes if nothing came."""
    existed = target.parent.exists()
    make_folder(target.parent)
    with suppress(FileNotFoundError):
        target.lstat()  # raises if the name is too long
    try:
        with scratch_directory(target.parent, "exporting") as folder:
            yield folder
    finally:
        if not existed and not any(target.parent.iterdir()):
            target.parent.rmdir()


def _target(path: str | os.PathLike[str], backend: str) -> Path:
    """Return the file to write."""
    if not isinstance(backend, str) or backend not in FORMATS:
        known = ", ".join(repr(name) for name in FORMATS)
        raise InputError(f"An export is for one of {known}; got {shown(backend)}.")
    if isinstance(path, str) and not path:
        raise InputError("The path of the export is empty.")
    if isinstance(path, str) and "\0" in path:
        raise InputError(f"The path of the export has a null character: {shown(path)}.")
    target, suffixes = expanded(path), FORMATS[backend].suffixes
    if target.suffix in suffixes:
        if is_folder(target):
            raise InputError(
                f"{target} is a directory; a file, or a path without {target.suffix}."
            )
        return target
    of_others = {suffix for row in FORMATS.values() for suffix in row.suffixes}
    if target.suffix in of_others or is_file(target):
        raise InputError(
            f"An export for {backend!r} is a file {suffixes[0]} or a directory; got {target}."
        )
    return target / f"{MODEL_NAME}{suffixes[0]}"


def _probes(size: tuple[int, int]) -> NDArray[np.uint8]:
    """Pictures to compare with: coarse patches of color under fine noise, like those of people."""
    rng = np.random.default_rng(0)
    height, width = size
    coarse = rng.integers(0, 256, (_PROBES, 8, 4, 3))
    rows, columns = np.arange(height) * 8 // height, np.arange(width) * 4 // width
    patches = coarse[:, rows][:, :, columns]
    noise = rng.integers(-20, 21, patches.shape)
    pictures: NDArray[np.uint8] = np.clip(patches + noise, 0, 255).astype(np.uint8)
    return pictures


def _lowest_cosine(exported: Backend, reference: Backend, crops: NDArray[np.uint8]) -> float:
    """Compare an export with the network, for one crop and for the rest together."""
    pairs = [(exported(part), reference(part)) for part in (crops[:1], crops[1:]) if len(part)]
    cosines = [
        (a * b).sum(axis=1) / (np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1))
        for a, b in pairs
    ]
    return float(np.concatenate(cosines).min())
