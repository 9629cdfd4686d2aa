"""The encoder of the benchmarks, and its exports, made once and kept in a folder."""

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

# What is measured: backend, and dtype or "int8" for a quantised file.
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
    """The bundled weights, on the CPU."""
    return SANEncoder.from_pretrained("san-r50", device="cpu", dtype=dtype)


def crops(count: int, folder: Path) -> tuple[list[Path], list[Path], str]:
    """Give ``count`` JPEG files of 64 x 128 pixels (width x height), others, and what they are.

    They are spread evenly over Market-1501's training folder, so over people and cameras, where
    SANREID_DATA is set; else rendered people, written into ``folder``.
    """
    total = count + CALIBRATION
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
    others = paths[:: total // CALIBRATION][:CALIBRATION]
    taken = set(others)
    return [path for path in paths if path not in taken][:count], others, what


def load(contestant: str, folder: Path, calibration: Sequence[Path]) -> SANEncoder:
    """The encoder of a contestant; its export is written into ``folder`` where it is not there."""
    backend, dtype = CONTESTANTS[contestant]
    if backend == "torch":
        return released(dtype)
    kind: Literal["onnx", "openvino"] = "onnx" if backend == "onnx" else "openvino"
    place = folder / f"{kind}-{'int8' if dtype == 'int8' else 'float32'}"
    if not place.is_dir():
        given = list(calibration) if dtype == "int8" else None
        export(released(), place, backend=kind, calibration=given)
    asked = "auto" if dtype == "int8" else dtype
    return SANEncoder.from_pretrained(place, backend=kind, dtype=asked)
