"""The configuration of a training run, as frozen dataclasses.

Each class is a section of the TOML file; ``sanreid.train.config.loader`` reads the file and
rejects unknown keys. Defaults are those of the plain baseline; if a value comes from a paper or
from the released SAN code (microsoft/Semantics-Aligned-Representation-Learning-for-Person-Re-
identification), the docstring says so.
"""

from __future__ import annotations

from sanreid.train.config.clusters import ClustersConfig
from sanreid.train.config.data import AugmentationConfig, DataConfig, PitConfig, SourceConfig
from sanreid.train.config.learning import (
    DecoderConfig,
    EmaConfig,
    InitConfig,
    LossConfig,
    OptimizerConfig,
    TeacherConfig,
)
from sanreid.train.config.measuring import EvaluationConfig, EvaluationSetConfig
from sanreid.train.config.run import RunConfig, SizeStep, TrainConfig

__all__ = [
    "AugmentationConfig",
    "ClustersConfig",
    "DataConfig",
    "DecoderConfig",
    "EmaConfig",
    "EvaluationConfig",
    "EvaluationSetConfig",
    "InitConfig",
    "LossConfig",
    "OptimizerConfig",
    "PitConfig",
    "RunConfig",
    "SizeStep",
    "SourceConfig",
    "TeacherConfig",
    "TrainConfig",
]
