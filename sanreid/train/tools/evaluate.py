"""Measuring the encoder of a finished or running training."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from sanreid.errors import ConfigError
from sanreid.metrics import EvaluationReport
from sanreid.models import SAEnc, build_sa_enc
from sanreid.train.checkpoint import as_trained, encoder_state, load_into_network, load_run
from sanreid.train.config import TrainConfig
from sanreid.train.config.loader import load_config, override
from sanreid.train.evaluation.measuring import measure_all
from sanreid.train.evaluation.sets import load_sets
from sanreid.train.runtime import resolve_device
from sanreid.weights import list_weights, load_into, locate, read_state_dict

__all__ = ["evaluate_run", "evaluate_weights"]

logger = logging.getLogger(__name__)


def evaluate_run(
    folder: Path,
    *,
    which: str = "best",
    overrides: Sequence[str] = (),
    sets: str | Path | None = None,
) -> dict[str, EvaluationReport]:
    """Measure the encoder of a run on its evaluation sets, at the size it was last trained at.

    Args:
        folder: The run's folder.
        which: ``"best"`` or ``"last"``.
        overrides: Changes of the run's configuration, as ``--set`` takes them.
        sets: A configuration, or the folder of another run, whose evaluation sets to use
            instead of the run's own.

    Raises:
        ConfigError: There is no evaluation set.
        DatasetError: Crops are missing, or no query of a set has a match.
        TrainingError: The folder holds no run, or no such checkpoint yet; an override makes
            another network.
    """
    config, state = load_run(folder, which=which)
    if config.clusters.learn == "map":
        own = folder / "weights"
        measure = f"measure its weights, sanreid evaluate --weights {own}."
        if not own.is_dir():
            measure = "export it, then measure the weights with sanreid evaluate --weights."
        raise ConfigError(f"{folder} has learned a map on embeddings, not a network: {measure}")
    config = override(_with_sets(as_trained(config, state), sets, which), overrides)
    encoder = build_sa_enc(config.encoder)
    load_into_network(encoder, encoder_state(state), folder)
    return _measured(encoder, config, sets or folder)


def evaluate_weights(
    name_or_path: str,
    folder: Path,
    *,
    which: str = "best",
    overrides: Sequence[str] = (),
    sets: str | Path | None = None,
) -> dict[str, EvaluationReport]:
    """Measure released weights, or a weights directory, on the evaluation sets of a run.

    Args:
        name_or_path: A name of :func:`sanreid.list_weights`, or a weights directory.
        folder: The run's folder; its evaluation settings are used.
        which: As in :func:`evaluate_run`.
        overrides: As in :func:`evaluate_run`.
        sets: As in :func:`evaluate_run`.

    Raises:
        ConfigError: There is no evaluation set.
        DatasetError: Crops are missing, or no query of a set has a match.
        WeightsError: There are no such weights.
    """
    located = locate(name_or_path if name_or_path in list_weights() else Path(name_or_path))
    config = _with_sets(as_trained(*load_run(folder, which=which)), sets, which)
    config = override(config, overrides)
    own, theirs = config.encoder.input_size, located.config.input_size
    if own != theirs:
        logger.warning(
            "%s embeds crops of %d x %d, the run those of %d x %d; each is measured at its own.",
            located.name,
            *theirs,
            *own,
        )
    config = replace(config, encoder=located.config)
    encoder = build_sa_enc(located.config)
    load_into(encoder, read_state_dict(located.path), origin=located.name)
    return _measured(encoder, config, sets or folder)


def _with_sets(config: TrainConfig, sets: str | Path | None, which: str) -> TrainConfig:
    if sets is None:
        return config
    other = Path(sets)
    theirs = load_run(other, which=which)[0] if other.is_dir() else load_config(sets)
    measured = replace(config.evaluation, sets=theirs.evaluation.sets)  # flip stays the run's
    return replace(config, evaluation=measured)


def _measured(
    encoder: SAEnc, config: TrainConfig, source: str | Path
) -> dict[str, EvaluationReport]:
    if not config.evaluation.sets:
        raise ConfigError(
            f"{source} has no evaluation sets, so there is nothing to measure: name a "
            "configuration that has some with --sets CONFIG."
        )
    device = resolve_device(config.run.device)
    logger.info("%s: crops of %d x %d", source, *config.encoder.input_size)
    encoder.to(device).to(memory_format=torch.channels_last)
    found = measure_all(encoder, load_sets(config.evaluation.sets, config.encoder.input_size),
                        config, device=device)  # fmt: skip
    return found or {}
