"""Runs an exported model in OpenVINO, on the CPU."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from sanreid.backends.exports.description import BIN_KEY, EXTRA, KEY, Description
from sanreid.backends.exports.inputs import input_shape, prepare
from sanreid.errors import ChecksumError, WeightsError
from sanreid.utils.extras import require_extra
from sanreid.utils.sniffing import describe_text

__all__ = ["OpenVinoBackend"]

_HINTS = {torch.float32: "f32", torch.bfloat16: "bf16"}


class OpenVinoBackend:
    """A compiled model with as many threads as torch has; calls wait for one another.

    Args:
        model: The ``.xml`` file, its ``.bin`` beside it, or an ``openvino.Model``.
        dtype: Precision of what is not quantised: float32 or bfloat16.

    Attributes:
        description: What the model says of itself.

    Raises:
        ChecksumError: The ``.bin`` is not the one that the ``.xml`` was written with.
        MissingExtraError: OpenVINO is not installed.
        WeightsError: It is no such model.
    """

    def __init__(self, model: Path | Any, *, dtype: torch.dtype) -> None:  # noqa: ANN401 - a type of an extra
        openvino = require_extra("openvino", purpose="The backend 'openvino'", install=EXTRA)
        core = openvino.Core()
        origin = str(model) if isinstance(model, Path) else "The exported model"
        if isinstance(model, Path):
            path = model
            described = describe_text(path)  # a sound file is text, too, and XML
            if described and ("LFS" in described or "HTML" in described):
                raise WeightsError(f"{path} {described}.")
            with _as_weights_error(origin):
                model = core.read_model(path)
            _check_bin(path.with_suffix(".bin"), _metadata(model, BIN_KEY))
        self.description = Description.from_json(_metadata(model, KEY), origin=origin)
        form, config = self.description.input, self.description.config
        kind = "u8" if form == "uint8-nhwc" else "f32"
        shape = ",".join(str(side) for side in input_shape(form, config))
        given = [f"{one.element_type.get_type_name()}{one.partial_shape}" for one in model.inputs]
        if given != [f"{kind}[?,{shape}]"]:
            raise WeightsError(f"{origin} is damaged: it takes {given}, its metadata say others.")
        settings = {
            "INFERENCE_PRECISION_HINT": _HINTS[dtype],
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
            "PERFORMANCE_HINT": "LATENCY",  # one request at a time, by all threads
        }
        with _as_weights_error(origin):
            self._request = core.compile_model(model, "CPU", settings).create_infer_request()
        self._lock = threading.Lock()

    def __call__(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Map crops (N, H, W, 3) to embeddings (N, D), not normalised."""
        given = prepare(crops, self.description.input, self.description.config)
        with self._lock:  # a request holds one result at a time
            outputs = self._request.infer([given], share_inputs=True)
            rows: NDArray[np.float32] = outputs[0].copy()
        return rows


@contextmanager
def _as_weights_error(origin: str) -> Iterator[None]:
    """Turn what the runtime raises into our error, with its last line."""
    try:
        yield
    except RuntimeError as error:
        reason = str(error).strip().rpartition("\n")[2]
        raise WeightsError(f"{origin} is not a whole OpenVINO model ({reason}).") from error


def _metadata(model: Any, key: str) -> str | None:  # noqa: ANN401 - a type of an extra
    """Return what a model's metadata hold under a key; None where there is nothing."""
    return str(model.get_rt_info([key]).value) if model.has_rt_info([key]) else None


def _check_bin(path: Path, sha256: str | None) -> None:
    """Refuse a ``.bin`` that is damaged, or of another export than the ``.xml`` beside it.

    A file that says nothing of its ``.bin`` is not of sanreid, which its description says.
    """
    if sha256 is None:
        return
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != sha256:
        raise ChecksumError(
            f"{path} is damaged, or not of the same export as the .xml beside it.\n"
            f"  expected  sha256 {sha256}\n  found     sha256 {found}\nExport again."
        )
