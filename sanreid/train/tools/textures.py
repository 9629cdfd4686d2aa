"""The target textures of all sources of a run."""

from __future__ import annotations

import logging
from pathlib import Path

from sanreid.errors import ConfigError
from sanreid.train.config import TrainConfig
from sanreid.train.data.sources import read_source
from sanreid.train.textures.generator import Generator
from sanreid.train.textures.making import make_textures
from sanreid.train.textures.store import TextureStore

__all__ = ["make_textures_of_run"]

logger = logging.getLogger(__name__)


def make_textures_of_run(
    config: TrainConfig, generator: Generator, *, batch_size: int = 64, quality: int = 85
) -> list[Path]:
    """Paint the textures that a run's sources lack, each into the store that it names.

    A store that already has a texture for every crop is left as it is, whatever its origin: the
    true textures of rendered people, for example.

    Raises:
        ConfigError: No source names a store.
        DatasetError: As :func:`make_textures`, or crops are missing.
    """
    wanted = [source for source in config.data.sources if source.textures]
    if not wanted:
        raise ConfigError("No data source of this configuration names a store of textures.")
    made = []
    for source in wanted:
        crops, out = read_source(source), Path(source.textures)
        if out.is_file():
            with TextureStore(out) as store:
                if not store.missing(crops.keys):
                    logger.info("%s is complete already.", out)
                    continue
        make_textures(crops, out, generator, batch_size=batch_size, quality=quality)
        made.append(out)
    return made
