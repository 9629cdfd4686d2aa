"""The network as a graph: ONNX by torch's exporter, OpenVINO's form of the same graph."""

from __future__ import annotations

import hashlib
import io
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from torch import nn

from sanreid.backends.exports.description import BIN_KEY, EXTRA, INPUT, KEY, OUTPUT, Description
from sanreid.backends.exports.inputs import InputNetwork, example
from sanreid.backends.network import CropNetwork
from sanreid.utils.extras import require_extra

__all__ = ["input_network", "save_openvino", "to_onnx", "to_openvino"]


def input_network(module: nn.Module, description: Description) -> InputNetwork:
    """Return the network that takes crops as the description says, a copy on the CPU."""
    network = CropNetwork(module, description.config).cpu()
    return InputNetwork(network, description.input).eval()


def to_onnx(module: nn.Module, description: Description) -> bytes:
    """Return the network, its description in the metadata, as the bytes of an ONNX file.

    The bytes do not tell where sanreid and torch are installed.

    Args:
        module: As :class:`~sanreid.backends.network.CropNetwork` takes it.
        description: What to write into the metadata.

    Raises:
        MissingExtraError: The packages for it are not installed.
    """
    onnx = require_extra("onnx", purpose="An export", install=EXTRA)
    require_extra("onnxscript", purpose="An export", install=EXTRA)
    program = torch.onnx.export(
        input_network(module, description),
        (example(description.input, description.config),),
        input_names=[INPUT],
        output_names=[OUTPUT],
        dynamic_shapes={"crops": {0: torch.export.Dim("N")}},
        dynamo=True,
        verbose=False,
    )
    if program is None:  # torch's annotation allows it; with dynamo=True there is a program
        raise RuntimeError("torch.onnx.export gave no program.")
    model = program.model_proto
    for node in chain(model.graph.node, *(function.node for function in model.functions)):
        node.ClearField("metadata_props")  # paths of source files, other ones on each machine
    onnx.helper.set_model_props(model, {KEY: description.to_json()})
    file = io.BytesIO()
    onnx.save_model(model, file)
    return file.getvalue()


def to_openvino(model: bytes, description: Description) -> Any:  # noqa: ANN401 - a type of an extra
    """Return the ``openvino.Model`` of an ONNX model's bytes, its description in it.

    Raises:
        MissingExtraError: OpenVINO is not installed.
    """
    openvino = require_extra("openvino", purpose="An export to OpenVINO", install=EXTRA)
    converted = openvino.Core().read_model(model=model, weights=b"")
    converted.set_rt_info(description.to_json(), [KEY])
    return converted


def save_openvino(model: Any, path: Path) -> None:  # noqa: ANN401 - a type of an extra
    """Write ``path`` and the ``.bin`` beside it, weights in the precision they have.

    The ``.xml`` holds the SHA-256 of the ``.bin``: two files can be torn apart.

    Raises:
        OSError: They cannot be written.
    """
    openvino = require_extra("openvino", purpose="An export to OpenVINO", install=EXTRA)
    try:
        openvino.save_model(model, path, compress_to_fp16=False)
        with path.with_suffix(".bin").open("rb") as file:
            model.set_rt_info(hashlib.file_digest(file, "sha256").hexdigest(), [BIN_KEY])
        openvino.save_model(model, path, compress_to_fp16=False)
    except RuntimeError as error:  # it names no OSError
        raise OSError(str(error).strip().rpartition("\n")[2]) from error
