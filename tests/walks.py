"""Three walks through the package: the files that run for one crop, one query, one training step.

    python -m tests.walks

traces them and prints the files in the order in which each is entered first.
``tests/test_architecture.py`` compares them with ``docs/architecture.md``.
"""

from __future__ import annotations

import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np

import sanreid
from tests.people import SAMPLES

PACKAGE = Path(sanreid.__file__).parent


def walk(action: Callable[[], Any]) -> list[str]:
    """Return the files of the package that run during a call, in any thread, by first entry."""
    seen: dict[str, None] = {}
    root = str(PACKAGE)

    def on_event(frame: FrameType, event: str, _: Any) -> None:
        file = frame.f_code.co_filename
        if event == "call" and file.startswith(root):
            seen[Path(file).relative_to(root).as_posix()] = None

    threading.setprofile(on_event)
    sys.setprofile(on_event)
    try:
        action()
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    return list(seen)


def encode_walk(encoder: sanreid.SANEncoder) -> list[str]:
    """Trace one image file through ``encode``, once the network is ready."""
    path = min(SAMPLES.glob("*.jpg"))
    encoder.encode(path)
    return walk(lambda: encoder.encode(path))


def search_walk() -> list[str]:
    """Trace one query through ``search``."""
    gallery = sanreid.Gallery(16)
    rows = np.random.default_rng(0).standard_normal((100, 16))
    gallery.add(rows, pids=[1] * 100, camids=[1] * 100)
    gallery.search(rows[0], k=3)
    return walk(lambda: gallery.search(rows[0], k=3))


def training_walk(config: Any) -> list[str]:
    """Trace the second step of a run: from reading its batch to the optimizer."""
    from sanreid.train.loop.engine import Engine

    engine = Engine(config)
    steps: list[list[str]] = []
    step = engine._step
    engine._step = lambda *arguments: steps.append(walk(lambda: step(*arguments)))
    engine.run()
    return steps[1]


def main() -> None:
    """Print the three walks."""
    from tests.train.conftest import paint_people, tiny_values

    with tempfile.TemporaryDirectory() as folder:
        people = paint_people(Path(folder, "people"), people=8, crops=6)
        values = tiny_values(people, Path(folder, "run"))
        values["run"]["max_steps"] = 2
        from sanreid.train.config.loader import config_from_dict

        training = training_walk(config_from_dict(values))
    walks = {
        "encode": encode_walk(sanreid.SANEncoder.from_pretrained()),
        "search": search_walk(),
        "training step": training,
    }
    for name, files in walks.items():
        sys.stdout.write("\n  ".join([f"{name}: {len(files)}", *files]) + "\n")


if __name__ == "__main__":
    main()
