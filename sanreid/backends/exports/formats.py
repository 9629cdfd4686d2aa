"""The formats of an export, one row each: how it is written, and run to check it.

ONNX and OpenVINO files are run by sanreid too, in any process. A TorchScript archive is a
program, which sanreid runs only where it has just written it.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from sanreid.backends.exports.description import KEY, Description
from sanreid.backends.exports.graphs import input_network, save_openvino, to_onnx, to_openvino
from sanreid.backends.exports.inputs import example, prepare
from sanreid.backends.exports.int8 import quantised
from sanreid.backends.interface import Backend
from sanreid.backends.onnx_runtime import OnnxBackend
from sanreid.backends.open_vino import OpenVinoBackend
from sanreid.utils.ambient import plain_torch

__all__ = ["FORMATS", "ExportFormat", "FormatName"]

FormatName = Literal["onnx", "openvino", "torchscript", "torch-export"]

Crops = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class ExportFormat:
    """One format.

    Args:
        suffixes: Of its files; the first is that of a file in a directory.
        packages: What must be installed to write and run it.
        write: Write a module to a file; calibration crops where it is to be int8.
        run: Make a backend of the file just written.
        has_int8: Whether it can be quantised.
    """

    suffixes: tuple[str, ...]
    packages: tuple[str, ...]
    write: Callable[[nn.Module, Description, Path, Crops | None], None]
    run: Callable[[Path, Description], Backend]
    has_int8: bool = False


def _onnx_bytes(module: nn.Module, description: Description, crops: Crops | None) -> bytes:
    model = to_onnx(module, description)
    if crops is None:
        return model
    return quantised(model, prepare(crops, description.input, description.config))


def _write_onnx(
    module: nn.Module, description: Description, path: Path, crops: Crops | None
) -> None:
    path.write_bytes(_onnx_bytes(module, description, crops))


def _write_openvino(
    module: nn.Module, description: Description, path: Path, crops: Crops | None
) -> None:
    save_openvino(to_openvino(_onnx_bytes(module, description, crops), description), path)


def _write_torchscript(
    module: nn.Module, description: Description, path: Path, _: Crops | None
) -> None:
    network = input_network(module, description)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch deprecates the format that trackers load
        given = example(description.input, description.config)
        traced = torch.jit.trace(network, (given,))  # type: ignore[no-untyped-call]  # untyped in torch
        torch.jit.save(traced, path, _extra_files={KEY: description.to_json()})


def _write_torch_export(
    module: nn.Module, description: Description, path: Path, _: Crops | None
) -> None:
    program = torch.export.export(
        input_network(module, description),
        (example(description.input, description.config),),
        dynamic_shapes={"crops": {0: torch.export.Dim("N")}},
    )
    torch.export.save(program, path, extra_files={KEY: description.to_json()})


def _run_torchscript(path: Path, description: Description) -> Backend:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # as above
        program = torch.jit.load(path, map_location="cpu")  # type: ignore[no-untyped-call]  # as above
        return _by_torch(program, description)


def _run_torch_export(path: Path, description: Description) -> Backend:
    return _by_torch(torch.export.load(path).module(), description)


def _by_torch(network: Any, description: Description) -> Backend:  # noqa: ANN401 - a module or a program
    def run(crops: Crops) -> NDArray[np.float32]:
        with plain_torch(inference=True):
            given = torch.from_numpy(prepare(crops, description.input, description.config))
            rows: NDArray[np.float32] = network(given).numpy()
        return rows

    return run


FORMATS = {
    "onnx": ExportFormat(
        (".onnx",), ("onnxruntime",), _write_onnx, lambda path, _: OnnxBackend(path), has_int8=True
    ),
    "openvino": ExportFormat(
        (".xml",),
        ("openvino",),
        _write_openvino,
        lambda path, _: OpenVinoBackend(path, dtype=torch.float32),
        has_int8=True,
    ),
    "torchscript": ExportFormat((".torchscript", ".pt"), (), _write_torchscript, _run_torchscript),
    "torch-export": ExportFormat((".pt2",), (), _write_torch_export, _run_torch_export),
}
