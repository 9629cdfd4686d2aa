"""The encoder of the benchmarks and its exports, written once and kept in a folder."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from sanreid import SANEncoder
from sanreid.backends import export
from tests.people import rendered_person

INPUT_SIZE = (256, 128)
CALIBRATION = 128  # crops

# Contestants by name: (backend, dtype), with "int8" for a quantised file.
CONTESTANTS: dict[str, tuple[str, str]] = {
    "sanreid torch float32": ("torch", "float32"),
    "sanreid torch auto": ("torch", "auto"),
    "sanreid onnx float32": ("onnx", "float32"),
    "sanreid openvino float32": ("openvino", "float32"),
    "sanreid openvino auto": ("openvino", "auto"),
    "sanreid onnx int8": ("onnx", "int8"),
    "sanreid openvino int8": ("openvino", "int8"),
}


def released(dtype: str = "float32") -> SANEncoder:
    """Load the bundled weights on the CPU."""
    return SANEncoder.from_pretrained("san-r50", device="cpu", dtype=dtype)


def crops(
    count: int, folder: Path, calibration: int = CALIBRATION
) -> tuple[list[Path], list[Path], str]:
    """Return ``count`` JPEG files of 64 x 128 pixels (width x height), others, and their kind.

    The others are ``calibration`` many, to quantise by.
    If SANREID_DATA is set, they are spread evenly over Market-1501's training folder, and so over
    people and cameras; otherwise they are rendered people, written into ``folder``.
    """
    total = count + calibration
    if "SANREID_DATA" in os.environ:
        market = Path(os.environ["SANREID_DATA"]) / "market1501" / "bounding_box_train"
        paths = sorted(market.glob("*.jpg"))
        paths = [paths[i * len(paths) // total] for i in range(total)]
        what = "Market-1501 training crops"
    else:
        paths = [folder / f"{index:05d}.jpg" for index in range(total)]
        for index, path in enumerate(paths):
            rendered_person(index + 1, index % 6 + 1, size=(128, 64)).save(path, quality=92)
        what = "rendered people"
    others = paths[:: total // calibration][:calibration]
    taken = set(others)
    return [path for path in paths if path not in taken][:count], others, what


def load(contestant: str, folder: Path, calibration: Sequence[Path]) -> SANEncoder:
    """Load a contestant's encoder; write its export into ``folder`` if it is missing."""
    backend, dtype = CONTESTANTS[contestant]
    if backend == "torch":
        return released(dtype)
    kind: Literal["onnx", "openvino"] = "onnx" if backend == "onnx" else "openvino"
    path = folder / f"{kind}-{'int8' if dtype == 'int8' else 'float32'}"
    if not path.is_dir():
        given = list(calibration) if dtype == "int8" else None
        export(released(), path, backend=kind, calibration=given)
    requested = "auto" if dtype == "int8" else dtype
    return SANEncoder.from_pretrained(path, backend=kind, dtype=requested)
