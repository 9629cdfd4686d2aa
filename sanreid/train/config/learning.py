"""What is learned: the first weights, the decoder, the losses, the optimizer, the average."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from sanreid.train.config.checks import require

__all__ = [
    "DecoderConfig",
    "EmaConfig",
    "InitConfig",
    "LossConfig",
    "OptimizerConfig",
    "TeacherConfig",
]

STAGES = ("stem", "layer1", "layer2", "layer3", "layer4")


@dataclass(frozen=True, slots=True, kw_only=True)
class InitConfig:
    """The first weights, and which of them stay frozen.

    Args:
        weights: The name of released weights (``"san-r50"``), a ``.safetensors`` file, or a
            weights directory, with torchvision's ResNet
            names, ours (``trunk.*``) or a whole SAN-PG; a checkpoint, or a run's folder, of
            which the last one; empty: random. Of an encoder with another pooling or head, only
            the trunk is loaded. The modules that a run's losses have on the embedding, such as
            the linear map to a teacher, are loaded too where this run has one of the same name
            and shape; the classifier is not.
        decoder: A run directory or checkpoint from which SA-Dec is loaded (a SAN-PG; where that
            copies, its SA-Dec learned to paint only what the copying then corrects);
            empty: random.
        freeze: Parts of the trunk that keep their weights and BatchNorm statistics, from the
            input upwards: ``["stem", "layer1"]``.
        freeze_epochs: Epochs after which they are trained too; 0: never. This spares the trunk
            the first gradients of an untrained head.
    """

    weights: str = ""
    decoder: str = ""
    freeze: tuple[str, ...] = ()
    freeze_epochs: int = 0

    def __post_init__(self) -> None:
        require(
            self.freeze == STAGES[: len(self.freeze)],
            f"init.freeze must be the first parts of {list(STAGES)}, in order; "
            f"got {list(self.freeze)}.",
        )
        require(
            self.freeze_epochs >= 0,
            f"init.freeze_epochs must be at least 0; got {self.freeze_epochs}.",
        )
        require(
            not self.freeze_epochs or bool(self.freeze),
            "init.freeze_epochs is set but init.freeze names nothing to freeze.",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class DecoderConfig:
    """SA-Dec, which exists in training only.

    Args:
        width: Channels after the reduction; the blocks have 1/2, 1/8, 1/16 and 1/32 of it.
            Source: 512, the released code.
        output: ``"tanh"`` keeps the texture in [-1, 1], but saturates for good where the
            learning rate is far too high (a reconstruction loss that stays near 1);
            ``"linear"`` is the released code.
        copy: For SAN-PG only: also copy the crop's pixels onto the texture
            (:class:`sanreid.train.networks.copying.TextureCopier`). Needs ``loss.surface``.
    """

    width: int = 512
    output: Literal["tanh", "linear"] = "tanh"
    copy: bool = False

    def __post_init__(self) -> None:
        require(
            self.width >= 32 and self.width % 32 == 0,
            f"decoder.width must be a multiple of 32; got {self.width}.",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TeacherConfig:
    """Another encoder, whose embeddings of the clean crops the student learns.

    Args:
        weights: A name of released weights, a weights directory, or an exported file (ONNX, or
            the ``.xml`` of OpenVINO); empty: no teacher.
        input: How the crops are prepared. ``"own"``: as sanreid does, for its weights and
            exports. For a foreign exported file, the range of its input: ``"uint8-range"``
            (0 to 255), ``"unit"`` (0 to 1) or ``"imagenet"`` (normalized by mean and standard
            deviation); the size is read from the file.
        color: The channel order of a foreign file.
        embedding: Weight of 1 - cosine between a linear map of the student's embedding and the
            teacher's.
        similarities: Weight of the mean squared difference between the cosine similarities of
            the crops in a batch and the teacher's.
    """

    weights: str = ""
    input: Literal["own", "uint8-range", "unit", "imagenet"] = "own"
    color: Literal["rgb", "bgr"] = "rgb"
    embedding: float = 5.0
    similarities: float = 10.0

    def __post_init__(self) -> None:
        for name in ("embedding", "similarities"):
            value = getattr(self, name)
            require(value >= 0, f"loss.teacher.{name} must be at least 0; got {value}.")
        require(
            not self.weights or self.embedding + self.similarities > 0,
            "loss.teacher.weights is set but both of its losses have the weight 0.",
        )
        require(
            self.input != "own" or self.color == "rgb",
            "loss.teacher.color is for foreign files: set the range of their input too, for "
            "example loss.teacher.input = 'uint8-range'.",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class LossConfig:
    """The sum that is minimized; a weight of 0 leaves the term out.

    Args:
        identity: Weight of the cross-entropy over identities.
        triplet: Weight of the batch-hard triplet loss.
        reconstruction: Weight of the L1 difference between textures.
        tr: Weight of the Triplet ReID constraint.
        surface: Weight of the loss that teaches SAN-PG which texel each pixel shows
            (:mod:`sanreid.train.losses.surface`). Needs ``decoder.copy``.
        cross_camera: Weight of the loss that ranks the same person under other cameras before
            other people under the same camera
            (:mod:`sanreid.train.losses.camera_proxies`); not part of SAN.
        teacher: Another encoder to learn from, by its embeddings
            (:mod:`sanreid.train.losses.teacher`); not part of SAN.
        custom: Weights of losses of your own, by the names under which
            :func:`sanreid.train.losses.register_loss` registered them (see ``run.imports``).
        identity_softmax: The softmax of the identity loss: ``"plain"``, or a margin softmax
            (:mod:`sanreid.train.losses.margin_softmax`), ``"arcface"`` or ``"cosface"``: the
            classifier returns cosines, and that of the true identity must be the largest by a
            margin. Not part of SAN.
        identity_scale: What a margin softmax multiplies the cosines by. Source: 30, Wang et al.,
            2018; Deng et al. use 64, for many more identities.
        identity_margin: The margin, an angle in radians for ``"arcface"`` (0.5 in Deng et al.,
            2019), a difference of cosines for ``"cosface"`` (0.35 in Wang et al., 2018).
        label_smoothing: Source: 0.1, the SAN paper.
        margin: Margin of the triplet loss. Source: 0.3, the SAN paper.
        soft_margin: Use softplus instead of the margin (Hermans et al., 2017).
        triplet_on: The vectors compared: ``"pooled"`` (before the head, as BNNeck does) or
            ``"embedding"`` (after it, as the released code does).
        tr_margin: Margin of the TR constraint. Source: 0.3, the released code.
        tr_pairing: ``"batch_hard"``, or ``"fixed_positions"`` as in the released code.
        tr_distance: ``"squared"``, or ``"relative"`` to the batch's negatives; see
            :func:`sanreid.train.losses.terms.tr_constraint`.
        cross_camera_temperature: The cosines are divided by this. Source: 0.07, Wang et al., 2021.
        cross_camera_negatives: How many of the nearest negatives each crop is compared with.
            Source: 50, as above.
        cross_camera_momentum: Weight of a batch in the memory's update. Source: 0.2, as above.
        decoder_warmup_epochs: Epochs over which the weights of SA-Dec's terms rise linearly
            from 0; may be a fraction. An untrained decoder has nothing useful to teach.
        decoder_every: n: compute SA-Dec's terms in the run's first optimizer step and in every
            n-th after it. The steps between run without SA-Dec, read no textures and no
            synthetic pairs, and minimize the other terms alone. The weights of SA-Dec's terms
            are not multiplied by n, so over a run they count an n-th. 1: every step.
    """

    identity: float = 1.0
    triplet: float = 1.0
    reconstruction: float = 0.0
    tr: float = 0.0
    surface: float = 0.0
    cross_camera: float = 0.0
    teacher: TeacherConfig = field(default_factory=TeacherConfig)
    custom: Mapping[str, float] = field(default_factory=dict)
    identity_softmax: Literal["plain", "arcface", "cosface"] = "plain"
    identity_scale: float = 30.0
    identity_margin: float = 0.3
    label_smoothing: float = 0.1
    margin: float = 0.3
    soft_margin: bool = False
    triplet_on: Literal["pooled", "embedding"] = "pooled"
    tr_margin: float = 0.3
    tr_pairing: Literal["batch_hard", "fixed_positions"] = "batch_hard"
    tr_distance: Literal["squared", "relative"] = "squared"
    cross_camera_temperature: float = 0.07
    cross_camera_negatives: int = 50
    cross_camera_momentum: float = 0.2
    decoder_warmup_epochs: float = 0.0
    decoder_every: int = 1

    def __post_init__(self) -> None:
        for name in ("identity", "triplet", "reconstruction", "tr", "surface", "cross_camera",
                     "margin", "tr_margin", "decoder_warmup_epochs"):  # fmt: skip
            value = getattr(self, name)
            require(value >= 0, f"loss.{name} must be at least 0; got {value}.")
        require(
            self.identity_softmax == "plain" or self.identity > 0,
            f"loss.identity_softmax is {self.identity_softmax!r}, but loss.identity is 0: "
            "give the identity loss a weight, or leave the softmax 'plain'.",
        )
        require(
            self.identity_scale > 0,
            f"loss.identity_scale must be above 0; got {self.identity_scale}.",
        )
        require(
            0 <= self.identity_margin <= 1,
            f"loss.identity_margin must be in [0, 1]; got {self.identity_margin}.",
        )
        require(
            0 <= self.label_smoothing < 1,
            f"loss.label_smoothing must be in [0, 1); got {self.label_smoothing}.",
        )
        require(
            self.cross_camera_temperature > 0,
            f"loss.cross_camera_temperature must be above 0; got {self.cross_camera_temperature}.",
        )
        require(
            self.cross_camera_negatives >= 1,
            f"loss.cross_camera_negatives must be at least 1; got {self.cross_camera_negatives}.",
        )
        require(
            0 < self.cross_camera_momentum <= 1,
            f"loss.cross_camera_momentum must be in (0, 1]; got {self.cross_camera_momentum}.",
        )
        require(
            self.tr_pairing == "batch_hard" or self.tr_distance == "squared",
            "loss.tr_distance = 'relative' goes with loss.tr_pairing = 'batch_hard'.",
        )
        for name, value in self.custom.items():
            require(value >= 0, f"loss.custom.{name} must be at least 0; got {value}.")
        others = self.identity + self.triplet + self.cross_camera + sum(self.custom.values())
        has_others = others > 0 or bool(self.teacher.weights)
        require(
            has_others or self.needs_decoder,
            "loss: every weight is 0, so there is nothing to minimize.",
        )
        require(
            self.decoder_every >= 1,
            f"loss.decoder_every must be at least 1; got {self.decoder_every}.",
        )
        require(
            has_others or self.decoder_every == 1,
            f"loss.decoder_every is {self.decoder_every}, but only terms of SA-Dec have a weight, "
            "so the steps without it would have nothing to minimize: set it to 1, or give "
            "another term a weight.",
        )

    @property
    def needs_decoder(self) -> bool:
        """Whether a term needs SA-Dec."""
        return self.reconstruction > 0 or self.tr > 0


@dataclass(frozen=True, slots=True, kw_only=True)
class OptimizerConfig:
    """The optimizer and its learning rate over time.

    Args:
        kind: ``"adamw"``, ``"adam"``, ``"amsgrad"`` (Adam with L2 decay and AMSGrad, the
            released code) or ``"sgd"`` (Nesterov momentum 0.9).
        lr: The peak learning rate.
        weight_decay: Weight decay of matrices and convolutions; BatchNorm parameters and biases
            are not decayed.
        betas: Coefficients of the Adam kinds.
        head_lr_factor: Learning rate of the head and the classifier, relative to ``lr``.
        decoder_lr_factor: Learning rate of SA-Dec and of what copies beside it, relative to
            ``lr``.
        clip_norm: Largest norm of the whole gradient; 0: no clipping.
        schedule: ``"one_cycle"``, ``"cosine"``, ``"multi_step"`` or ``"constant"``.
        warmup_epochs: Epochs over which the learning rate rises; may be a fraction. The rise is
            a cosine for one_cycle, otherwise linear.
        warmup_start: Learning rate at the start of the warm-up, relative to ``lr``.
        final: Learning rate at the end of one_cycle and cosine, relative to ``lr``.
        milestones: Epochs after which multi_step multiplies by ``gamma``.
        gamma: Factor at each milestone.
    """

    kind: Literal["adamw", "adam", "amsgrad", "sgd"] = "adamw"
    lr: float = 3.5e-4
    weight_decay: float = 5e-4
    betas: tuple[float, float] = (0.9, 0.999)
    head_lr_factor: float = 1.0
    decoder_lr_factor: float = 1.0
    clip_norm: float = 0.0
    schedule: Literal["one_cycle", "cosine", "multi_step", "constant"] = "one_cycle"
    warmup_epochs: float = 1.0
    warmup_start: float = 0.04
    final: float = 1e-3
    milestones: tuple[int, ...] = ()
    gamma: float = 0.1

    def __post_init__(self) -> None:
        require(self.lr > 0, f"optimizer.lr must be above 0; got {self.lr}.")
        require(self.gamma > 0, f"optimizer.gamma must be above 0; got {self.gamma}.")
        for name in ("weight_decay", "head_lr_factor", "decoder_lr_factor", "clip_norm",
                     "warmup_epochs", "warmup_start", "final"):  # fmt: skip
            value = getattr(self, name)
            require(value >= 0, f"optimizer.{name} must be at least 0; got {value}.")
        require(
            all(0 <= beta < 1 for beta in self.betas),
            f"optimizer.betas must be in [0, 1); got {list(self.betas)}.",
        )
        require(
            list(self.milestones) == sorted(set(self.milestones)),
            f"optimizer.milestones must increase; got {list(self.milestones)}.",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class EmaConfig:
    """An exponential moving average of the weights, evaluated and exported instead of them.

    Args:
        decay: Weight of the past at each step; 0: no average.
        warmup: Let the decay rise as (1 + step) / (10 + step) until it reaches ``decay``.
    """

    decay: float = 0.0
    warmup: bool = True

    def __post_init__(self) -> None:
        require(0 <= self.decay < 1, f"ema.decay must be in [0, 1); got {self.decay}.")
