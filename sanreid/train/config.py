"""What a training run is made of, as frozen dataclasses.

Each class is a section of the TOML file; ``sanreid.train.settings`` reads the file, fills these
in and refuses a key that is not here. Defaults are the plain baseline; where a value comes from
a paper or from the released SAN code (microsoft/Semantics-Aligned-Representation-Learning-
for-Person-Re-identification), the docstring says so.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from sanreid.config import EncoderConfig
from sanreid.errors import ConfigError

__all__ = [
    "AugmentationConfig",
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
    "TrainConfig",
]

STAGES = ("stem", "layer1", "layer2", "layer3", "layer4")


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ConfigError(message)


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceConfig:
    """One folder of crops; the identities of different sources are different people.

    Args:
        folder: Where the crops lie, or the data set where ``dataset`` is given.
        names: How the files are named, as ``sanreid.datasets.read_crops`` takes it.
        dataset: A whole data set by name, as ``sanreid.datasets.read_split`` takes it
            (``"market1501"``, ``"cuhk03"``, ``"msmt17"``...); empty: ``folder`` holds crops.
        split: ``"train"``, ``"query"`` or ``"gallery"`` of ``dataset``.
        options: Of ``dataset``: ``["boxes=detected"]``.
        name: What the log and the manifest call it; the folder's name where empty.
        terms: What its makers allow, for the manifest of the weights trained on it.
        exclude_pids: A file with one identity per line to leave out; empty: none.
        only_pids: A file with one identity per line to keep, the rest left out; empty: all.
        max_identities: Keep this many identities, those with the lowest pids; 0: all.
        textures: The store of target textures of these crops, as
            ``python -m sanreid.train.textures`` writes it; empty: none.
    """

    folder: str
    names: Literal["auto", "market1501", "cuhk03", "cuhk01", "pku", "folders"] = "auto"
    dataset: str = ""
    split: Literal["train", "query", "gallery"] = "train"
    options: tuple[str, ...] = ()
    name: str = ""
    terms: str = ""
    exclude_pids: str = ""
    only_pids: str = ""
    max_identities: int = 0
    textures: str = ""

    def __post_init__(self) -> None:
        _require(bool(self.folder), "data source: folder must name a folder; it is empty.")
        _require(
            self.max_identities >= 0,
            f"data source: max_identities must be at least 0; got {self.max_identities}.",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class DataConfig:
    """Where the crops come from and how they form batches.

    Args:
        sources: The folders.
        p: Identities in a batch, over all processes together. Source: 16, the released code.
        k: Crops per identity. Source: 4, the released code.
        cache_dir: Keep the decoded crops here as memory-mapped files; empty: in memory.
        atlas: An ``.npz`` with the tables of the textures' atlas (``mirror``, ``valid``);
            empty: the one packaged with sanreid, which its own generators use.
        store: Where the decoded crops lie: ``"cpu"`` or ``"device"`` (the GPU's memory).
    """

    sources: tuple[SourceConfig, ...] = ()
    p: int = 16
    k: int = 4
    cache_dir: str = ""
    atlas: str = ""
    store: Literal["cpu", "device"] = "cpu"

    def __post_init__(self) -> None:
        _require(self.p >= 2, f"data.p must be at least 2, for negatives; got {self.p}.")
        _require(self.k >= 2, f"data.k must be at least 2, for positives; got {self.k}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class AugmentationConfig:
    """How a training crop is changed, each time anew.

    The options are those of :class:`sanreid.train.transforms.BatchAugmentation`, which says what
    each does. The released code's are ``flip = 0.5, zoom = [1.125, 1.125], shift = 0.0555`` and
    ``erasing = 0.5``.
    """

    flip: float = 0.5
    shift: float = 0.0625
    zoom: tuple[float, float] = (1.0, 1.0)
    brightness: float = 0.2
    contrast: float = 0.2
    saturation: float = 0.0
    hue: float = 0.0
    gain: float = 0.0
    grayscale: float = 0.0
    blur: float = 0.0
    low_resolution: float = 0.0
    erasing: float = 0.5
    erasing_area: tuple[float, float] = (0.02, 0.4)
    erasing_aspect: float = 0.3
    erasing_fill: Literal["mean", "color"] = "mean"


@dataclass(frozen=True, slots=True, kw_only=True)
class InitConfig:
    """What the weights start from and what of them stays as it is.

    Args:
        weights: A ``.safetensors`` file, or a weights directory, with torchvision's ResNet
            names, ours (``trunk.*``) or a whole SAN-PG; empty: random.
        decoder: A run directory or checkpoint whose SA-Dec starts this one's (SAN-PG);
            empty: random.
        freeze: Parts of the trunk that keep their weights and BatchNorm statistics, from the
            input upwards: ``["stem", "layer1"]``.
    """

    weights: str = ""
    decoder: str = ""
    freeze: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _require(
            self.freeze == STAGES[: len(self.freeze)],
            f"init.freeze must be the first parts of {list(STAGES)}, in order; "
            f"got {list(self.freeze)}.",
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
    """

    width: int = 512
    output: Literal["tanh", "linear"] = "tanh"

    def __post_init__(self) -> None:
        _require(
            self.width >= 32 and self.width % 32 == 0,
            f"decoder.width must be a multiple of 32; got {self.width}.",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class LossConfig:
    """The sum that is minimised; a weight of 0 leaves the term out.

    Args:
        identity: Weight of the cross-entropy over identities.
        triplet: Weight of the batch-hard triplet loss.
        reconstruction: Weight of the L1 difference between textures.
        tr: Weight of the Triplet ReID constraint.
        label_smoothing: Source: 0.1, the SAN paper.
        margin: Of the triplet loss. Source: 0.3, the SAN paper.
        soft_margin: Use softplus in place of the margin (Hermans et al., 2017).
        triplet_on: The vectors compared: ``"pooled"`` (before the head, as BNNeck does) or
            ``"embedding"`` (after it, as the released code does).
        tr_margin: Source: 0.3, the released code.
        tr_pairing: ``"batch_hard"``, or ``"fixed_places"`` as in the released code.
    """

    identity: float = 1.0
    triplet: float = 1.0
    reconstruction: float = 0.0
    tr: float = 0.0
    label_smoothing: float = 0.1
    margin: float = 0.3
    soft_margin: bool = False
    triplet_on: Literal["pooled", "embedding"] = "pooled"
    tr_margin: float = 0.3
    tr_pairing: Literal["batch_hard", "fixed_places"] = "batch_hard"

    def __post_init__(self) -> None:
        for name in ("identity", "triplet", "reconstruction", "tr", "margin", "tr_margin"):
            value = getattr(self, name)
            _require(value >= 0, f"loss.{name} must be at least 0; got {value}.")
        _require(
            0 <= self.label_smoothing < 1,
            f"loss.label_smoothing must be in [0, 1); got {self.label_smoothing}.",
        )
        _require(
            self.identity + self.triplet + self.reconstruction + self.tr > 0,
            "loss: every weight is 0, so there is nothing to minimise.",
        )

    @property
    def needs_decoder(self) -> bool:
        """Whether a term is computed from SA-Dec."""
        return self.reconstruction > 0 or self.tr > 0


@dataclass(frozen=True, slots=True, kw_only=True)
class PitConfig:
    """Synthetic pairs of image and texture mixed into each batch, for reconstruction only.

    Args:
        folder: A folder of pairs, as ``python -m sanreid.train.pit render`` writes it; empty:
            none are mixed in.
        per_batch: Pairs in a batch, over all processes together.
        weight: Weight of their reconstruction loss relative to ``loss.reconstruction``.
        held_out: Identities, the last ones, left out and measured in place of trained on.
        batch_norm: ``"separate"``: the pairs are normalised by their own batch statistics and
            leave the running statistics alone, which stay those of real crops;
            ``"joint"``: one batch with the real crops.
    """

    folder: str = ""
    per_batch: int = 16
    weight: float = 1.0
    held_out: int = 0
    batch_norm: Literal["separate", "joint"] = "separate"

    def __post_init__(self) -> None:
        _require(self.per_batch >= 2, f"pit.per_batch must be at least 2; got {self.per_batch}.")
        _require(self.weight >= 0, f"pit.weight must be at least 0; got {self.weight}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class OptimizerConfig:
    """The optimizer and its learning rate over time.

    Args:
        kind: ``"adamw"``, ``"adam"``, ``"amsgrad"`` (Adam with L2 decay and AMSGrad, the
            released code) or ``"sgd"`` (Nesterov momentum 0.9).
        lr: The peak learning rate.
        weight_decay: BatchNorm parameters and biases are not decayed.
        betas: Of the Adam kinds.
        head_lr_factor: Learning rate of the head and the classifier, relative to ``lr``.
        decoder_lr_factor: Learning rate of SA-Dec, relative to ``lr``.
        clip_norm: Largest norm of the whole gradient; 0: not clipped.
        schedule: ``"one_cycle"``, ``"cosine"``, ``"multi_step"`` or ``"constant"``.
        warmup_epochs: Epochs of rising learning rate; may be a fraction. For one_cycle the
            rise is a cosine, else a line.
        warmup_start: Learning rate at the start, relative to ``lr``.
        final: Learning rate at the end of one_cycle and cosine, relative to ``lr``.
        milestones: Epochs after which multi_step multiplies by ``gamma``.
        gamma: See ``milestones``.
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
        _require(self.lr > 0, f"optimizer.lr must be above 0; got {self.lr}.")
        _require(self.gamma > 0, f"optimizer.gamma must be above 0; got {self.gamma}.")
        for name in ("weight_decay", "head_lr_factor", "decoder_lr_factor", "clip_norm",
                     "warmup_epochs", "warmup_start", "final"):  # fmt: skip
            value = getattr(self, name)
            _require(value >= 0, f"optimizer.{name} must be at least 0; got {value}.")
        _require(
            all(0 <= beta < 1 for beta in self.betas),
            f"optimizer.betas must be in [0, 1); got {list(self.betas)}.",
        )
        _require(
            list(self.milestones) == sorted(set(self.milestones)),
            f"optimizer.milestones must rise; got {list(self.milestones)}.",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class EmaConfig:
    """An exponential moving average of the weights, evaluated and exported in their place.

    Args:
        decay: Weight of the past at each step; 0: no average is kept.
        warmup: Let the decay grow as (1 + step) / (10 + step) until it reaches ``decay``.
    """

    decay: float = 0.0
    warmup: bool = True

    def __post_init__(self) -> None:
        _require(0 <= self.decay < 1, f"ema.decay must be in [0, 1); got {self.decay}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationSetConfig:
    """One measurement on people the training has not seen.

    Args:
        name: What the log calls it.
        sources: Its crops; the identities of different sources are different people.
        query_sources: The queries, where the data has a split of its own for them; then
            ``sources`` is the gallery, distractors and all, equal pids are the same person,
            and ``queries`` and ``gallery`` are not looked at.
        protocol: ``"market1501"`` or ``"cuhk03"``, as ``sanreid.evaluate`` takes it.
        queries: ``"first_of_camera"``: the first crop of each camera of each identity;
            ``"all"``: every crop is a query in turn.
        gallery: ``"rest"``: the crops that are no query; ``"all"``: every crop;
            ``"other_cameras"``: for each query the crops of all other cameras only. In every
            case the same person under the query's camera is left out (Market-1501's rule).
    """

    name: str
    sources: tuple[SourceConfig, ...]
    query_sources: tuple[SourceConfig, ...] = ()
    protocol: Literal["market1501", "cuhk03"] = "market1501"
    queries: Literal["first_of_camera", "all"] = "first_of_camera"
    gallery: Literal["rest", "all", "other_cameras"] = "rest"

    def __post_init__(self) -> None:
        _require(bool(self.sources), f"evaluation set {self.name!r} has no sources.")
        _require(
            not (self.queries == "all" and self.gallery == "rest"),
            f"evaluation set {self.name!r}: with queries = 'all' nothing is left for "
            "gallery = 'rest'; use 'all' or 'other_cameras'.",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationConfig:
    """When and how the embeddings are measured.

    Args:
        sets: What is measured; the first one's mAP chooses the best checkpoint.
        every: Epochs between evaluations; the last epoch is always evaluated; 0: only it.
        at_start: Also measure before the first step.
        batch_size: Crops at a time.
        flip: Average the embedding with the mirrored crop's.
    """

    sets: tuple[EvaluationSetConfig, ...] = ()
    every: int = 1
    at_start: bool = True
    batch_size: int = 64
    flip: bool = False

    def __post_init__(self) -> None:
        _require(self.every >= 0, f"evaluation.every must be at least 0; got {self.every}.")
        _require(
            self.batch_size >= 1,
            f"evaluation.batch_size must be at least 1; got {self.batch_size}.",
        )
        names = [one.name for one in self.sets]
        _require(len(set(names)) == len(names), f"evaluation.sets share a name: {names}.")


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
        _require(self.until_epoch >= 1, "run.sizes: until_epoch must be at least 1.")
        _require(min(self.size) >= 32, f"run.sizes: a side is below 32: {list(self.size)}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunConfig:
    """How the run goes, apart from what is learned.

    Args:
        output: The run's folder: log, checkpoints, pictures.
        name: What the exported weights are called; ``san-`` is added in front where the
            reconstruction and the TR constraint are both on.
        seed: Decides the first weights, the batches and the augmentation.
        epochs: Passes over all crops.
        max_steps: Stop after this many optimizer steps; 0: no limit.
        device: ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"cuda:1"``.
        precision: ``"bf16"`` and ``"fp16"`` by autocast over float32 weights, or ``"fp32"``.
        channels_last: The memory order convolutions like best.
        accumulate: Batches per optimizer step; hard examples are mined within each batch.
        threads: Threads of torch on the CPU; 0: torch's choice.
        checkpoint_every_s: Seconds between checkpoints, besides one at each epoch's end.
        log_every: Steps between lines of the log.
        tensorboard: Also write TensorBoard files (extra ``train``).
        pictures_every: Epochs between picture sheets; 0: none.
        sizes: Smaller inputs for the first epochs, by rising ``until_epoch``.
        sync_bn: BatchNorm over the batches of all processes.
        compile: Run the network through ``torch.compile``.
    """

    output: str = "runs/run"
    name: str = "encoder"
    seed: int = 0
    epochs: int = 60
    max_steps: int = 0
    device: str = "auto"
    precision: Literal["bf16", "fp16", "fp32"] = "bf16"
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
        _require(bool(self.output), "run.output must name a folder; it is empty.")
        for name in ("epochs", "accumulate", "log_every"):
            value = getattr(self, name)
            _require(value >= 1, f"run.{name} must be at least 1; got {value}.")
        for name in ("max_steps", "threads", "checkpoint_every_s", "pictures_every", "seed"):
            value = getattr(self, name)
            _require(value >= 0, f"run.{name} must be at least 0; got {value}.")
        ends = [step.until_epoch for step in self.sizes]
        _require(ends == sorted(set(ends)), f"run.sizes: until_epoch must rise; got {ends}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainConfig:
    """A whole run; every section may be left out but ``data`` (or ``pit`` for SAN-PG)."""

    run: RunConfig = field(default_factory=RunConfig)
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    init: InitConfig = field(default_factory=InitConfig)
    data: DataConfig = field(default_factory=DataConfig)
    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)
    decoder: DecoderConfig = field(default_factory=DecoderConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    pit: PitConfig = field(default_factory=PitConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    ema: EmaConfig = field(default_factory=EmaConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)

    def __post_init__(self) -> None:
        loss = self.loss
        _require(
            bool(self.data.sources)
            or not self.pit.folder
            or loss.identity == loss.triplet == loss.tr == 0,
            "There are synthetic pairs and no data.sources (SAN-PG), so there are no identities: "
            "set loss.identity = loss.triplet = loss.tr = 0.",
        )
        _require(
            not self.pit.folder or self.loss.reconstruction > 0,
            "pit.folder is given but loss.reconstruction is 0: the pairs would teach nothing.",
        )
        _require(
            self.loss.reconstruction == 0
            or bool(self.pit.folder)
            or any(source.textures for source in self.data.sources),
            "loss.reconstruction is above 0 but no target texture is known: give a data "
            "source's 'textures' or pit.folder, or set loss.reconstruction = 0.",
        )

    @property
    def is_san_pg(self) -> bool:
        """Whether this trains the texture generator: synthetic pairs and nothing else."""
        return bool(self.pit.folder) and not self.data.sources

    @property
    def is_san(self) -> bool:
        """Whether this is SAN proper: reconstruction and the TR constraint both on."""
        return self.loss.reconstruction > 0 and self.loss.tr > 0
