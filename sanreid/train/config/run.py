"""How a run proceeds, and a run as a whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias

from sanreid.config import EncoderConfig
from sanreid.train.config.checks import require
from sanreid.train.config.clusters import ClustersConfig
from sanreid.train.config.data import AugmentationConfig, DataConfig, PitConfig
from sanreid.train.config.learning import (
    DecoderConfig,
    EmaConfig,
    InitConfig,
    LossConfig,
    OptimizerConfig,
)
from sanreid.train.config.measuring import EvaluationConfig

__all__ = [
    "Precision",
    "RunConfig",
    "SizeStep",
    "TrainConfig",
]

Precision: TypeAlias = Literal["auto", "bf16", "fp16", "fp32"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SizeStep:
    """A smaller input for the first epochs (progressive input size).

    Args:
        until_epoch: The epochs before this one use ``size``.
        size: (height, width).
    """

    until_epoch: int
    size: tuple[int, int]

    def __post_init__(self) -> None:
        require(self.until_epoch >= 1, "run.sizes: until_epoch must be at least 1.")
        require(min(self.size) >= 32, f"run.sizes: a side is below 32: {list(self.size)}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunConfig:
    """How the run proceeds, apart from what is learned.

    Args:
        output: The folder of the run: log, checkpoints, pictures.
        name: The name of the exported weights; the prefix ``san-`` is added if reconstruction and
            the TR constraint are both on.
        seed: Determines the first weights, the batches and the augmentation.
        imports: Modules to import first, which register your own losses
            (:func:`sanreid.train.losses.register_loss`), data sets or backbones.
        epochs: Passes over all crops.
        max_steps: Stop after this many optimizer steps; 0: no limit.
        device: ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"cuda:1"``.
        precision: ``"bf16"`` and ``"fp16"`` by autocast over float32 weights, or ``"fp32"``;
            ``"auto"``: bf16 where the device computes it natively, else fp32. The run records
            which, and keeps it when resumed elsewhere.
        channels_last: Use the memory format in which convolutions are fastest.
        accumulate: Batches per optimizer step; hard examples are mined within each batch.
        threads: Number of torch threads of the commands that train, on the CPU; 0: torch's
            choice.
        checkpoint_every_s: Seconds between checkpoints; each epoch also ends with one.
        log_every: Steps between lines in the log.
        tensorboard: Also write TensorBoard files (extra ``train``).
        pictures_every: Epochs between picture sheets; 0: none.
        sizes: Smaller inputs for the first epochs, by increasing ``until_epoch``. An evaluation
            reads crops of the size that the last epoch used.
        sync_bn: Compute BatchNorm statistics over the batches of all processes (CUDA only).
        compile: Compile the network with ``torch.compile``.
    """

    output: str = "runs/run"
    name: str = "encoder"
    seed: int = 0
    imports: tuple[str, ...] = ()
    epochs: int = 60
    max_steps: int = 0
    device: str = "auto"
    precision: Precision = "auto"
    channels_last: bool = True
    accumulate: int = 1
    threads: int = 0
    checkpoint_every_s: float = 240.0
    log_every: int = 20
    tensorboard: bool = False
    pictures_every: int = 0
    sizes: tuple[SizeStep, ...] = ()
    sync_bn: bool = False
    compile: bool = False

    def __post_init__(self) -> None:
        require(bool(self.output), "run.output must name a folder; it is empty.")
        for name in ("epochs", "accumulate", "log_every"):
            value = getattr(self, name)
            require(value >= 1, f"run.{name} must be at least 1; got {value}.")
        for name in ("max_steps", "threads", "checkpoint_every_s", "pictures_every", "seed"):
            value = getattr(self, name)
            require(value >= 0, f"run.{name} must be at least 0; got {value}.")
        require(self.seed < 2**63, f"run.seed must be below 2^63; got {self.seed}.")
        ends = [step.until_epoch for step in self.sizes]
        require(ends == sorted(set(ends)), f"run.sizes: until_epoch must increase; got {ends}.")

    def smaller_size(self, epoch: int) -> tuple[int, int] | None:
        """Return the (height, width) of the crops of an epoch, from 0; None: the encoder's own."""
        return next((step.size for step in self.sizes if epoch < step.until_epoch), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainConfig:
    """A whole run; every section is optional except ``data`` (or ``pit`` for SAN-PG)."""

    run: RunConfig = field(default_factory=RunConfig)
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    init: InitConfig = field(default_factory=InitConfig)
    data: DataConfig = field(default_factory=DataConfig)
    clusters: ClustersConfig = field(default_factory=ClustersConfig)
    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)
    decoder: DecoderConfig = field(default_factory=DecoderConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    pit: PitConfig = field(default_factory=PitConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    ema: EmaConfig = field(default_factory=EmaConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)

    def __post_init__(self) -> None:
        loss = self.loss
        require(
            bool(self.data.sources)
            or not self.pit.folder
            or not (loss.identity or loss.triplet or loss.tr or loss.cross_camera or loss.custom),
            "There are synthetic pairs and no data.sources (SAN-PG), so there are no identities: "
            "set loss.identity = loss.triplet = loss.tr = loss.cross_camera = 0, and leave out "
            "loss.custom.",
        )
        require(
            bool(self.data.sources) or not self.pit.folder or not loss.teacher.weights,
            "loss.teacher is for crops: without data.sources (SAN-PG) there are none.",
        )
        require(
            not self.clusters.enabled or (bool(self.data.sources) and not loss.identity),
            "clusters.enabled needs crops in data.sources, and loss.identity = 0: the number of "
            "clusters changes from epoch to epoch, that of a classifier's classes cannot.",
        )
        require(
            not self.clusters.enabled or not any(source.share for source in self.data.sources),
            "clusters.enabled takes no shares of data.sources: a cluster may have crops of "
            "several. Leave share out.",
        )
        require(
            bool(self.data.sources) or not self.pit.folder or self.pit.weight > 0,
            "There are synthetic pairs and no data.sources (SAN-PG): with pit.weight = 0 nothing "
            "is learned.",
        )
        if self.clusters.learn == "map":
            self._check_map()
        require(
            not loss.tr or loss.tr_pairing == "batch_hard" or self.data.k == 4,
            f"loss.tr_pairing = 'fixed_positions' needs data.k = 4; got {self.data.k}.",
        )
        require(
            not self.pit.folder or self.loss.reconstruction > 0,
            "pit.folder is set but loss.reconstruction is 0: the pairs would have no effect.",
        )
        require(
            self.loss.reconstruction == 0
            or bool(self.pit.folder)
            or any(source.textures for source in self.data.sources),
            "loss.reconstruction is above 0 but there are no target textures: set a data "
            "source's 'textures' or pit.folder, or set loss.reconstruction = 0.",
        )

        sizes, final = self.run.sizes, self.encoder.input_size
        require(
            not sizes or sizes[-1].until_epoch < self.run.epochs,
            "run.sizes must leave at least the last epoch at encoder.input_size; "
            f"got until_epoch {[step.until_epoch for step in sizes]} of {self.run.epochs} epochs.",
        )
        require(
            all(step.size[n] <= final[n] for step in sizes for n in (0, 1)),
            f"run.sizes must not exceed encoder.input_size, {list(final)}; "
            f"got {[list(step.size) for step in sizes]}.",
        )
        require(
            self.is_san_pg or not (self.decoder.copy or self.loss.surface),
            "decoder.copy and loss.surface are for SAN-PG only (pit.folder without data.sources): "
            "SAN's decoder must paint from the encoder's maps alone.",
        )
        require(
            self.decoder.copy == (self.loss.surface > 0),
            "decoder.copy and loss.surface go together: which texel each pixel shows is learned "
            f"from loss.surface alone; got decoder.copy = {str(self.decoder.copy).lower()}, "
            f"loss.surface = {self.loss.surface}.",
        )
        require(
            self.is_san or self.is_san_pg or not self.run.name.startswith("san-"),
            f"run.name is {self.run.name!r}, but names that begin with 'san-' are reserved for "
            "encoders trained with reconstruction and the TR constraint.",
        )

    def size_after(self, epochs: int) -> tuple[int, int]:
        """Return the crop size (height, width) of the last epoch once ``epochs`` are done.

        Before the first it is ``encoder.input_size``.
        """
        return (self.run.smaller_size(epochs - 1) if epochs else None) or self.encoder.input_size

    def at_size(self, size: Sequence[int] | None) -> TrainConfig:
        """Return the configuration for a network as it is now, which reads crops of ``size``.

        Args:
            size: (height, width), for example that of the last steps under ``run.sizes``; None:
                ``encoder.input_size``.
        """
        height, width = size or self.encoder.input_size
        encoder = replace(self.encoder, input_size=(height, width))
        return replace(self, run=replace(self.run, sizes=()), encoder=encoder)

    def _check_map(self) -> None:
        require(self.clusters.enabled, "clusters.learn = 'map' needs clusters.enabled.")
        require(
            bool(self.init.weights) and self.encoder.head == "bnneck" and not self.init.freeze,
            "clusters.learn = 'map' needs init.weights of an encoder with the head 'bnneck', and "
            f"an empty init.freeze; got the head {self.encoder.head!r}, the weights "
            f"{self.init.weights!r}, freeze {list(self.init.freeze)}. For other heads use "
            "'network'.",
        )
        require(
            not self.loss.needs_decoder
            and not self.loss.teacher.weights
            and (not self.loss.triplet or self.loss.triplet_on == "embedding"),
            "clusters.learn = 'map' takes losses of the embedding alone: set "
            "loss.triplet_on = 'embedding', and leave out reconstruction, tr and the teacher.",
        )
        require(
            not self.run.sizes and not self.init.decoder,
            "clusters.learn = 'map' sees no crops and paints none: leave out run.sizes and "
            "init.decoder.",
        )
        require(
            not self.evaluation.sets,
            "clusters.learn = 'map' has no network to measure with: leave evaluation.sets out, "
            "and measure the exported weights.",
        )

    @property
    def is_san_pg(self) -> bool:
        """Whether this trains the texture generator: synthetic pairs and nothing else."""
        return bool(self.pit.folder) and not self.data.sources

    @property
    def is_san(self) -> bool:
        """Whether this is SAN proper: reconstruction and the TR constraint both on."""
        return self.loss.reconstruction > 0 and self.loss.tr > 0
