"""The description of a run's weights, as a row of ``weights_manifest.json``.

The row is read on other machines: absolute paths become ``DATA`` and their last two parts.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sanreid.metrics.splits import split_of
from sanreid.train.config import EvaluationSetConfig, SourceConfig, TrainConfig
from sanreid.train.config.loader import config_to_dict

__all__ = ["manifest_row", "trained_with"]

_PATHS = {"folder", "exclude_pids", "only_pids", "textures", "cache_dir", "atlas", "output",
           "weights", "decoder"}  # fmt: skip


def manifest_row(config: TrainConfig, state: Mapping[str, Any]) -> dict[str, Any]:
    """Return the row of a run's encoder, without checksum and size.

    Args:
        config: The configuration of the run.
        state: The checkpoint that is exported; it has figures if these very weights were
            measured.
    """
    name = config.run.name
    if config.is_san and not name.startswith("san-"):
        name = f"san-{name}"
    sets = {one.name: one for one in config.evaluation.sets}
    data = list(state.get("training_data", []))
    return {
        "name": name,
        "role": "encoder",
        "config": config.encoder.to_dict(),
        "license": _license(
            data, [config.init.weights, config.init.decoder], config.loss.teacher.weights
        ),
        "training_data": data,
        "metrics": [
            {
                "dataset": dataset,
                "protocol": _protocol(sets.get(dataset)),
                "command": _command(sets.get(dataset), name, flip=config.evaluation.flip),
                **figures,
            }
            for dataset, figures in state.get("metrics", {}).items()
            if "mAP" in figures
        ],
        "trained_with": trained_with(config, state),
    }


def trained_with(config: TrainConfig, state: Mapping[str, Any]) -> dict[str, Any]:
    """Return the commit, steps taken, settings and seed of a run."""
    return {
        "commit": state.get("commit") or "unknown",
        "steps": state.get("step"),
        "config": _portable(config_to_dict(config)),
        "seed": config.run.seed,
    }


def _license(data: list[dict[str, Any]], starts: list[str], teacher: str) -> str:
    terms = dict.fromkeys(f"{one['name']}: {one['terms']}" for one in data)
    started = " and ".join(_portable_path(start) for start in starts if start)
    also = f", and of the weights it started from, {started}" if started else ""
    also += f", and of the teacher it learned from, {_portable_path(teacher)}" if teacher else ""
    return f"Under the terms of the training data ({'; '.join(terms) or 'unknown'}){also}."


def _protocol(one: EvaluationSetConfig | None) -> str:
    if one is None:
        return "unknown"
    if one.query_sources:
        return f"query and gallery splits, {one.protocol}"
    norm = ", camera means taken out" if one.camera_norm else ""
    return f"queries {one.queries}, gallery {one.gallery}, {one.protocol} rule{norm}"


def _command(one: EvaluationSetConfig | None, weights: str, *, flip: bool) -> str:
    """Return the command that repeats the measurement with the exported weights."""
    again = "python -m sanreid.train evaluate RUN"
    if one is None or one.query_sources:
        return again
    split, first = split_of(one.queries, one.gallery), one.sources[0]
    rules = {(s.names, s.only_pids, s.exclude_pids) for s in one.sources}
    if split is None or len(rules) > 1 or not all(map(_is_whole_folder, one.sources)):
        return again
    parts = ["sanreid", "evaluate", "--weights", weights]
    for source in one.sources:
        parts += ["--folder", _portable_path(source.folder)]
    if len(one.sources) > 1:
        parts += ["--shared-pids", "different"]
    parts += ["--names", first.names, "--split", split]
    for option, file in (("--pids", first.only_pids), ("--pids-exclude", first.exclude_pids)):
        parts += [option, _portable_path(file)] if file else []
    if one.protocol != "market1501":
        parts += ["--protocol", one.protocol]
    parts += ["--flip"] if flip else []
    parts += ["--camera-norm"] if one.camera_norm else []
    return shlex.join(parts)


def _is_whole_folder(source: SourceConfig) -> bool:
    is_table = source.folder.lower().endswith(".csv")
    return not (is_table or source.dataset or source.max_identities or source.one_camera)


def _portable(value: Any, key: str = "") -> Any:  # noqa: ANN401 - a tree of plain values
    if isinstance(value, dict):
        return {name: _portable(item, name) for name, item in value.items()}
    if isinstance(value, list):
        return [_portable(item, key) for item in value]
    return _portable_path(value) if key in _PATHS and isinstance(value, str) and value else value


def _portable_path(path: str) -> str:
    """Return a path as it reads on another machine; one below the working folder is kept.

    Home folders are removed, so that no user name is revealed.
    """
    parts = Path(path).parts
    if not Path(path).is_absolute() and ".." not in parts:
        return path
    below = [part for part in parts[Path(path).is_absolute() :] if part != ".."]
    if below[:1] in (["home"], ["Users"]):
        del below[:2]
    return "/".join(["DATA", *below[-2:]])
