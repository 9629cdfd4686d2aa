"""Toolkits that build their own file from an export: which export, and the command that builds.

sanreid writes and tests the export; the toolkit's own command, run where the toolkit is installed,
makes the rest. The files that it makes hold for one version of the toolkit and often for one
device, so they are not made here.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

from sanreid.backends.exports.formats import FormatName
from sanreid.backends.exports.inputs import InputForm, input_shape
from sanreid.config import EncoderConfig

__all__ = ["VENDORS", "Vendor"]


@dataclass(frozen=True, slots=True)
class Vendor:
    """One toolkit.

    Args:
        title: For messages.
        format: The format of the export that it reads.
        suffix: Of the file that it makes.
        command: The words of what builds it, where ``{source}``, ``{target}`` and ``{shape}`` are
            filled in.
        separator: Between the numbers of ``{shape}``.
    """

    title: str
    format: FormatName
    suffix: str
    command: tuple[str, ...]
    separator: str = ","

    def command_for(
        self, source: Path, target: Path, *, form: InputForm, config: EncoderConfig
    ) -> str:
        """Return the command of a shell that builds ``target`` from the export ``source``."""
        shape = self.separator.join(str(side) for side in input_shape(form, config))
        return shlex.join(
            word.format(source=source, target=target, shape=shape) for word in self.command
        )


VENDORS = {
    "tensorrt": Vendor(
        "TensorRT",
        "onnx",
        ".engine",
        (
            "trtexec",
            "--onnx={source}",
            "--saveEngine={target}",
            "--minShapes=crops:1x{shape}",
            "--optShapes=crops:16x{shape}",
            "--maxShapes=crops:64x{shape}",
        ),
        separator="x",
    ),
    "coreml": Vendor(
        "Core ML",
        "torchscript",
        ".mlpackage",
        (
            "python",
            "-c",
            (
                "import sys, coremltools as ct, torch; "
                'ct.convert(torch.jit.load(sys.argv[1]), inputs=[ct.TensorType(name="crops", '
                "shape=(ct.RangeDim(1, 64), {shape}))]).save(sys.argv[2])"
            ),
            "{source}",
            "{target}",
        ),
    ),
}
