"""Run the notebooks of ``examples/`` and store their outputs.

``python -m tests.notebooks [NAME...]`` runs each in a temporary copy of the folder and stores its
outputs in ``examples/``, so that they are visible on repository pages. Stored outputs are small
and have the same structure on every machine: no times, no absolute paths, one format per picture.
"""

from __future__ import annotations

import argparse
import base64
import io
import re
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from PIL import Image

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
NOTEBOOKS = sorted(path.name for path in EXAMPLES.glob("*.ipynb"))

_LEFT_BEHIND = shutil.ignore_patterns("runs", ".ipynb_checkpoints")
_PROGRESS = r"\d%\||^[\d.]+ s a step|^evaluated in "  # bars, and how long something takes

# First cell of every run: refuses connections to other machines, as no network should be needed.
WITHOUT_NETWORK = """\
import socket as _socket

def _refuse(self, address, *, _connect=_socket.socket.connect):
    if self.family != _socket.AF_UNIX and address[0] not in ("127.0.0.1", "::1"):
        raise OSError(f"the notebook tried to reach the network: {address}")
    return _connect(self, address)

_socket.socket.connect = _refuse
"""


def run(path: Path, folder: Path, *, timeout_s: int = 1500) -> Any:
    """Run a notebook without a network, with ``folder`` as its working directory.

    Args:
        path: The ``.ipynb`` file; it is not changed.
        folder: Folder with its input files, laid out as in ``examples/``.
        timeout_s: Limit for one cell.

    Returns:
        The notebook with its outputs.

    Raises:
        nbclient.exceptions.CellExecutionError: A cell failed.
    """
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(path, as_version=4)
    notebook.cells.insert(0, nbformat.v4.new_code_cell(WITHOUT_NETWORK))
    client = NotebookClient(
        notebook,
        timeout=timeout_s,
        kernel_name="python3",
        record_timing=False,
        resources={"metadata": {"path": str(folder)}},
    )
    client.execute()
    del notebook.cells[0]
    return notebook


def tidy(notebook: Any) -> Any:
    """Remove what differs between runs, and all but one format of each output."""
    notebook.metadata = {
        "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"},
        "language_info": {"name": "python", "pygments_lexer": "ipython3"},
    }
    count = 0
    for index, cell in enumerate(notebook.cells):
        cell.id, cell.metadata = f"cell-{index:02d}", {}
        if cell.cell_type != "code":
            continue
        count += 1
        cell.execution_count = count
        cell.outputs = _joined(cell.outputs)
        for output in cell.outputs:
            if "execution_count" in output:
                output.execution_count = count
            _keep_one_picture(output.get("data", {}))
            output.pop("transient", None)
    return notebook


def _keep_one_picture(data: dict[str, str]) -> None:
    """Keep a picture as JPEG or PNG, whichever is smaller."""
    if "image/png" not in data:
        return
    with Image.open(io.BytesIO(base64.b64decode(data["image/png"]))) as picture:
        paper = Image.new("RGB", picture.size, "white")
        paper.paste(picture, mask=picture.getchannel("A") if picture.mode == "RGBA" else None)
    jpeg = io.BytesIO()
    paper.save(jpeg, "JPEG", quality=80)
    if len(jpeg.getvalue()) * 4 / 3 < len(data["image/png"]):
        del data["image/png"]
        data["image/jpeg"] = base64.b64encode(jpeg.getvalue()).decode("ascii")
    else:
        data.pop("image/jpeg", None)


def _joined(outputs: list[Any]) -> list[Any]:
    """Join consecutive prints to stdout; drop stderr and progress bars."""
    joined: list[Any] = []
    for output in outputs:
        if output.output_type != "stream":
            joined.append(output)
        elif output.name == "stdout":
            if joined and joined[-1].output_type == "stream":
                joined[-1].text += output.text
            else:
                joined.append(output)
    for output in joined:
        if output.output_type == "stream":
            output.text = _as_seen(output.text)
    return [output for output in joined if output.output_type != "stream" or output.text.strip()]


def _as_seen(text: str) -> str:
    """Return what remains on a terminal: the last state of each line; no colors, bars or times."""
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text.replace("\r\n", "\n"))
    lines = [re.split(r"\r+", line.rstrip("\r"))[-1].rstrip() for line in text.split("\n")]
    lines = [re.sub(r"^\d\d:\d\d:\d\d ", "", line) for line in lines]
    kept = (line for line in lines if line and not re.search(_PROGRESS, line))
    return "\n".join(kept) + "\n"


def main() -> int:
    """Run notebooks in temporary copies of ``examples/`` and store their outputs."""
    import nbformat

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="default: all")
    args = parser.parse_args()
    for name in args.names or NOTEBOOKS:
        path = EXAMPLES / name
        with tempfile.TemporaryDirectory() as folder:  # without what earlier runs left behind
            shutil.copytree(EXAMPLES, folder, dirs_exist_ok=True, ignore=_LEFT_BEHIND)
            nbformat.write(tidy(run(path, Path(folder))), path)
        print(f"{name}: {path.stat().st_size / 1024:.0f} KiB")  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
