"""From a run to a weights directory that ``SANEncoder.from_pretrained`` loads."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from torch import Tensor

from sanreid.errors import InputError, TrainingError
from sanreid.train.checkpoint import as_trained, encoder_state, load_run, network_state
from sanreid.train.config import TeacherConfig, TrainConfig
from sanreid.train.config.loader import config_to_dict
from sanreid.train.loop.provenance import MANIFEST_ROW
from sanreid.train.networks.embedding_map import with_map
from sanreid.train.networks.san import build_san_pg
from sanreid.train.teacher.models import open_teacher
from sanreid.train.textures.generator import save_generator
from sanreid.train.tools.manifest_row import manifest_row, trained_with
from sanreid.utils.files import atomic_write_text, sha256_of
from sanreid.utils.paths import as_path
from sanreid.weights.lookup import locate
from sanreid.weights.manifest import WeightsEntry
from sanreid.weights.storage import save_directory

__all__ = ["export_run"]


def export_run(
    run: Path,
    out: Path,
    *,
    which: str = "best",
    half: bool = True,
    input_size: tuple[int, int] | None = None,
) -> Path:
    """Write the weights directory of a run, with their row for the manifest beside them.

    Args:
        run: The folder of the run.
        out: The directory to write.
        which: ``"best"`` by mAP, or ``"last"``.
        half: Store convolutions and matrices in float16, which halves the size; all other
            tensors stay in float32.
        input_size: (height, width) in pixels to which the encoder resizes crops; if None, the
            size that it was last trained at. At another size than the run's final one the figures
            that it measured are left out of the row.

    Returns:
        ``out``.

    Raises:
        ConfigError: ``input_size`` is out of range.
        InputError: ``input_size`` is given for a texture generator, whose size is the run's.
        TrainingError: There is no such checkpoint, or ``init.weights`` of a map is another
            encoder by now.
        WeightsError: ``out`` cannot be written, or the weights hold NaN.
    """
    run, out = as_path(run, "the folder of a run"), as_path(out, "a directory to write")
    config, state = load_run(run, which=which)
    if config.is_san_pg:
        if input_size is not None:
            raise InputError("A texture generator reads crops of the run's size; give no other.")
        return _export_generator(out, config, state, half=half)
    learned = encoder_state(state)
    if config.clusters.learn == "map":
        learned = with_map(_first_weights(config, state), learned["head.weight"])
    tensors = {
        key: x.half() if half and x.is_floating_point() and x.ndim > 1 else x
        for key, x in learned.items()
    }
    encoder = as_trained(config, state).encoder
    if input_size is not None:
        encoder = replace(encoder, input_size=input_size)
    row = manifest_row(config, state) | {"config": encoder.to_dict()}
    if encoder != config.encoder:
        row["metrics"] = []
    draft = WeightsEntry(sha256="0" * 64, size_bytes=0, file="model.safetensors", **row)
    save_directory(out, state_dict=tensors, config=encoder, entry=draft)
    weights = out / "model.safetensors"
    row["sha256"], row["size_bytes"] = sha256_of(weights), weights.stat().st_size
    atomic_write_text(out / MANIFEST_ROW, json.dumps(row, indent=2) + "\n")
    return out


def _first_weights(config: TrainConfig, state: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return the encoder that a map was learned on, in float32."""
    source = config.init.weights
    digest = open_teacher(TeacherConfig(weights=source)).digest
    if digest != state["data_digest"].split()[-1]:  # MapBatches ends it with the encoder's
        raise TrainingError(
            f"The map of this run was learned on the embeddings of {source}, which is another "
            "encoder now: put back the one it was, or start another run."
        )
    tensors = load_file(locate(source).path)
    return {key: x.float() if x.is_floating_point() else x for key, x in tensors.items()}


def _export_generator(
    out: Path, config: TrainConfig, state: Mapping[str, Any], *, half: bool
) -> Path:
    network = build_san_pg(config.encoder, config.decoder)
    network.load_state_dict(network_state(state))
    trained = as_trained(config, state)
    save_generator(network, trained.encoder, config.decoder, out, half=half)
    weights = out / "model.safetensors"
    values = config_to_dict(trained)
    row = {
        "name": config.run.name,
        "role": "texture-generator",
        "sha256": sha256_of(weights),
        "size_bytes": weights.stat().st_size,
        "config": {name: values[name] for name in ("encoder", "decoder")},
        "license": "trained on rendered people; the terms of the first weights",
        "training_data": list(state["training_data"]),
        "metrics": [
            {
                "dataset": f"PIT, {name}",
                "protocol": "textures in [-1, 1]; the mean texture is of the held-out people",
                **figures,
                "command": "python -m sanreid.train pit judge PAIRS --weights RUN",
            }
            for name, figures in state["metrics"].items()
            if trained.encoder == config.encoder
        ],
        "trained_with": trained_with(config, state),
    }
    atomic_write_text(out / MANIFEST_ROW, json.dumps(row, indent=2) + "\n")
    return out
