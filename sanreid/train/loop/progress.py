"""How far a run has come, and whether it can be resumed."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sanreid.errors import TrainingError
from sanreid.train.checkpoint import load_checkpoint
from sanreid.train.config import TrainConfig
from sanreid.train.config.loader import config_from_dict, config_to_dict

__all__ = ["Progress", "have_one_judge", "state_to_resume"]

# Settings that change what a run reports or where, not what it learns, may differ on resume.
# So may the locations of the crops: the checkpoint holds their digest.
_FREE_KEYS = {
    "run": ("output", "name", "max_steps", "threads", "checkpoint_every_s", "log_every",
            "tensorboard", "pictures_every", "device", "imports"),
    "data": ("cache_dir",),
}  # fmt: skip
_EMBEDDING = ("batch_size", "flip")  # of section evaluation
_PATHS = {"data": ("atlas",), "init": ("weights", "decoder"), "pit": ("folder",)}
_PATHS_IN_SOURCE = ("folder", "exclude_pids", "only_pids", "textures")
_TOLD_OF_SOURCE = ("name", "terms")  # not learned from
_REQUIRED = ("config", "data_digest", "progress", "model", "optimizer", "scaler", "ema")


@dataclass(slots=True)
class Progress:
    """How far a run has come; all of this is in a checkpoint."""

    epoch: int = 0
    position: int = 0  # batches done in this epoch
    step: int = 0  # optimizer steps done
    measured_step: int = -1  # the last step that was evaluated
    best: float = -math.inf  # mAP of the first evaluation set; for SAN-PG the negative L1
    best_epoch: int = 0  # epochs done when it was measured
    best_size: tuple[int, int] | None = None  # (height, width) of the crops measured
    metrics: dict[str, dict[str, float]] = field(default_factory=dict)
    seconds: float = 0.0  # of training, without evaluations


def state_to_resume(config: TrainConfig, *, resume: bool) -> dict[str, Any] | None:
    """Return the checkpoint to resume from; None for a new run.

    Raises:
        TrainingError: Without ``resume``, the folder already holds a run; with it, it holds none,
            one of another configuration, or a damaged checkpoint.
    """
    folder = Path(config.run.output)
    path = folder / "last.ckpt"
    if not resume:
        if path.is_file():
            raise TrainingError(
                f"{folder} already holds a run; add --resume to continue it, or choose "
                "another folder with --set run.output=..."
            )
        return None
    if not path.is_file() and not (folder / "config.json").is_file():
        raise TrainingError(f"There is no run to resume in {folder}; start it without --resume.")
    if not path.is_file():
        return None  # killed before its first checkpoint: it starts again
    state = load_checkpoint(path)
    if missing := [key for key in _REQUIRED if key not in state]:
        raise TrainingError(
            f"{path} is not a checkpoint to resume from: it lacks {', '.join(missing)}."
        )
    # Converted to the present form, in which settings added since have their defaults.
    before = config_to_dict(config_from_dict(state["config"]))
    differing = _differences(before, config_to_dict(config))
    if differing:
        raise TrainingError(
            f"The run in {folder} has another configuration: {'; '.join(differing)}. "
            "Resume with its own, or start another run."
        )
    return state


def have_one_judge(before: dict[str, Any], config: TrainConfig) -> bool:
    """Return whether the first evaluation set, which tells the best weights, is the same.

    Its folders may have moved, and have the same names then. What they are called besides, and
    under which terms, does not matter.

    Args:
        before: The configuration in a checkpoint.
        config: The present one.
    """
    judges = []
    for one in (config_from_dict(before), config):
        evaluation = config_to_dict(one)["evaluation"]
        for judge in evaluation["sets"][:1]:
            for source in (*judge["sources"], *judge["query_sources"]):
                source.update({key: Path(source[key]).name for key in _PATHS_IN_SOURCE})
                source.update(dict.fromkeys(_TOLD_OF_SOURCE, ""))
            judges.append((judge, evaluation["flip"]))
    return not judges or (len(judges) == 2 and judges[0] == judges[1])


def _differences(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """Return the settings that differ although they must not."""
    found = []
    for section, settings in new.items():
        for key in settings:
            if _is_free(section, key, new):
                continue
            was, now = old.get(section, {}).get(key), settings[key]
            if (section, key, now) == ("run", "precision", "auto"):  # that of the run
                continue
            if key in _PATHS.get(section, ()):
                was, now = bool(was), bool(now)
            if key == "teacher":  # its path may differ; its digest is part of the crops'
                was, now = ({**one, "weights": bool(one["weights"])} for one in (was, now))
            if key == "sources":
                was, now = _deciding(was), _deciding(now)
            if was != now:
                found.append(f"{section}.{key} was {was!r}, is {now!r}")
    return sorted(found)


def _is_free(section: str, key: str, config: dict[str, Any]) -> bool:
    """Return whether a setting may differ, as it does not change what is learned."""
    if section == "evaluation":  # clusters are found with it, too
        return not (config["clusters"]["enabled"] and key in _EMBEDDING)
    if (section, key) == ("data", "store"):  # on a device, confidences of textures are coarser
        return not any(source["textures"] for source in config["data"]["sources"])
    return key in _FREE_KEYS.get(section, ())


def _deciding(sources: Any) -> Any:  # noqa: ANN401 - a list of plain tables
    """Keep of each source what decides which crops it has, not where or what they are called."""
    return [
        {
            key: bool(value) if key in _PATHS_IN_SOURCE else value
            for key, value in one.items()
            if key not in _TOLD_OF_SOURCE
        }
        for one in sources or []
    ]
