"""Opening a teacher: an encoder of sanreid, or a foreign network in an ONNX or OpenVINO file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from sanreid.config import IMAGENET_MEAN, IMAGENET_STD
from sanreid.encoder import SANEncoder
from sanreid.errors import WeightsError
from sanreid.images import load_crop
from sanreid.train.config import TeacherConfig
from sanreid.utils.extras import require_extra

__all__ = ["Teacher", "open_teacher"]

_SUFFIXES = {".onnx": "onnx", ".xml": "openvino"}
_BATCH = 32  # crops at a time, if the file leaves it open


class Teacher(Protocol):
    """What computes the embeddings that a student learns.

    Attributes:
        digest: Changes with anything that changes the embeddings; 64 hexadecimal digits.
    """

    digest: str

    def embed(self, paths: Sequence[Path]) -> NDArray[np.float32]:
        """Embed image files, (N, T); the rows need not be normalized."""
        ...


def open_teacher(config: TeacherConfig) -> Teacher:
    """Open the teacher that ``config`` names.

    Raises:
        WeightsError: It is missing, damaged, or not an encoder of crops.
        MissingExtraError: Its runtime is not installed.
    """
    if config.input != "own":
        return _Foreign(config)
    return _Own(config.weights)


class _Own:
    """An encoder of sanreid: weights, or a file that ``sanreid export`` wrote."""

    def __init__(self, name: str) -> None:
        suffix = Path(name).suffix
        self._encoder = (
            SANEncoder.from_pretrained(name, device="cpu", backend=_SUFFIXES[suffix])  # type: ignore[arg-type] # one of its names
            if suffix in _SUFFIXES
            else SANEncoder.from_pretrained(name)
        )
        facts = self._encoder.fingerprint
        if suffix in _SUFFIXES:  # int8 has the fingerprint of the weights it was made from
            facts += _digest_of_files(Path(name))
        self.digest = hashlib.sha256(facts.encode()).hexdigest()

    def embed(self, paths: Sequence[Path]) -> NDArray[np.float32]:
        return self._encoder.encode(list(paths))


class _Foreign:
    """A network exported elsewhere, run by OpenVINO, which also reads ONNX files.

    Its first output must hold one row per crop.
    """

    def __init__(self, config: TeacherConfig) -> None:
        path = Path(config.weights)
        if not path.is_file() or path.suffix not in _SUFFIXES:
            raise WeightsError(
                f"loss.teacher.input is {config.input!r}, so loss.teacher.weights must be an "
                f".onnx file or an .xml of OpenVINO; got {config.weights!r}."
            )
        self._config = config
        how = json.dumps([asdict(config)[key] for key in ("input", "color")])
        self.digest = hashlib.sha256((_digest_of_files(path) + how).encode()).hexdigest()
        openvino = require_extra(
            "openvino", purpose="A teacher in an exported file", install="sanreid[export]"
        )
        core = openvino.Core()
        try:
            model = core.read_model(path)
            self._shape = _shape_of(model, path)
            settings = {
                "INFERENCE_NUM_THREADS": torch.get_num_threads(),
                "PERFORMANCE_HINT": "LATENCY",
                "INFERENCE_PRECISION_HINT": "f32",
            }
            self._request = core.compile_model(model, "CPU", settings).create_infer_request()
        except RuntimeError as error:
            reason = str(error).strip().rpartition("\n")[2]
            raise WeightsError(f"{path} cannot be run as a teacher ({reason}).") from error

    def embed(self, paths: Sequence[Path]) -> NDArray[np.float32]:
        count, size, channels_first = self._shape
        rows = []
        for begin in range(0, len(paths), count):
            some = paths[begin : begin + count]
            crops = np.stack([load_crop(path, size) for path in some])
            given = self._prepared(np.resize(crops, (count, *crops.shape[1:])), channels_first)
            output: NDArray[np.float32] = self._request.infer([given])[0]
            rows.append(output.reshape(count, -1)[: len(some)].astype(np.float32))
        return np.concatenate(rows)

    def _prepared(self, crops: NDArray[np.uint8], channels_first: bool) -> NDArray[np.float32]:
        pixels = crops.astype(np.float32)
        if self._config.input != "uint8-range":
            pixels /= 255
        if self._config.input == "imagenet":
            mean, std = (np.array(x, dtype=np.float32) for x in (IMAGENET_MEAN, IMAGENET_STD))
            pixels = (pixels - mean) / std
        if self._config.color == "bgr":
            pixels = pixels[..., ::-1]
        if channels_first:
            pixels = pixels.transpose(0, 3, 1, 2)
        return np.ascontiguousarray(pixels)


def _shape_of(model: Any, path: Path) -> tuple[int, tuple[int, int], bool]:  # noqa: ANN401 - a type of an extra
    """Return crops at a time, (height, width), and whether the channels come first."""
    inputs = [one.partial_shape for one in model.inputs]
    shape = [0 if side.is_dynamic else side.get_length() for side in inputs[0]]
    first = len(shape) == 4 and shape[1] == 3
    size = shape[2:4] if first else shape[1:3]
    if len(inputs) != 1 or len(shape) != 4 or not (first or shape[3] == 3) or not all(size):
        raise WeightsError(
            f"{path} takes {[str(one) for one in inputs]}; a teacher takes one batch of crops of "
            "a fixed size, (N, 3, H, W) or (N, H, W, 3)."
        )
    return shape[0] or _BATCH, (size[0], size[1]), first


def _digest_of_files(path: Path) -> str:
    """Hash an exported file, and the ``.bin`` beside an ``.xml``."""
    digest = hashlib.sha256()
    for file in (path, path.with_suffix(".bin")):
        if file.is_file():
            digest.update(file.read_bytes())
    return digest.hexdigest()
