"""Measuring the encoder of a finished or running training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from sanreid.errors import ConfigError
from sanreid.metrics import EvaluationReport
from sanreid.models import build_sa_enc
from sanreid.train.checkpoint import encoder_state, load_run
from sanreid.train.config.loader import load_config, override
from sanreid.train.evaluation.measuring import measure_all
from sanreid.train.evaluation.sets import load_sets
from sanreid.train.runtime import resolve_device

__all__ = ["evaluate_run"]


def evaluate_run(
    folder: Path,
    *,
    which: str = "best",
    overrides: Sequence[str] = (),
    sets: str | Path | None = None,
) -> dict[str, EvaluationReport]:
    """Measure the encoder of a run on its evaluation sets.

    Args:
        folder: The run's folder.
        which: ``"best"`` or ``"last"``.
        overrides: Changes of the run's configuration, as ``--set`` takes them.
        sets: A configuration, or the folder of another run, whose evaluation sets to use
            instead of the run's own.

    Raises:
        ConfigError: There is no evaluation set.
        DatasetError: Crops are missing, or no query of a set has a match.
        TrainingError: The folder holds no run, or no such checkpoint yet.
    """
    config, state = load_run(folder, which=which)
    if sets is not None:
        other = Path(sets)
        theirs = load_run(other, which=which)[0] if other.is_dir() else load_config(sets)
        measured = replace(config.evaluation, sets=theirs.evaluation.sets)  # flip stays the run's
        config = replace(config, evaluation=measured)
    config = override(config, overrides)
    if not config.evaluation.sets:
        raise ConfigError(
            f"{sets or folder} has no evaluation sets, so there is nothing to measure: name a "
            "configuration that has some with --sets CONFIG."
        )
    device = resolve_device(config.run.device)
    encoder = build_sa_enc(config.encoder)
    encoder.load_state_dict(encoder_state(state))
    encoder.to(device).to(memory_format=torch.channels_last)
    found = measure_all(encoder, load_sets(config.evaluation.sets, config.encoder.input_size),
                        config, device=device)  # fmt: skip
    return found or {}
