"""Target textures: their generator, making them, storing them, and reading them for training."""

from __future__ import annotations

from typing import Any

from sanreid.train.renamed import look_up


def __getattr__(name: str) -> Any:  # noqa: ANN401 - any public object
    return look_up(__name__, name, "textures.generator textures.making tools.textures")
