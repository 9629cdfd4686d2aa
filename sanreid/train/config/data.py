"""What is trained on: sources of crops, synthetic pairs, augmentation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sanreid.datasets.schemes import AUTO, check_names
from sanreid.errors import ConfigError, InputError
from sanreid.train.config.checks import require

__all__ = [
    "AugmentationConfig",
    "DataConfig",
    "PitConfig",
    "SourceConfig",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceConfig:
    """One folder of crops; the identities of different sources are different people.

    Args:
        folder: The folder of the crops, or of the data set if ``dataset`` is set; or a table of
            crops, ``.csv``, as ``sanreid.datasets.read_csv`` takes it.
        names: How the files are named, as ``sanreid.datasets.read_crops`` takes it.
        dataset: A whole data set by name, as ``sanreid.datasets.read_split`` takes it
            (``"market1501"``, ``"cuhk03"``, ``"msmt17"``..., or one of your own); empty:
            ``folder`` holds crops.
        split: ``"train"``, ``"query"`` or ``"gallery"`` of ``dataset``.
        options: Options of ``dataset``, for example ``["boxes=detected"]``.
        name: Its name in the log and the manifest; empty: the name of the folder.
        terms: The terms of use, for the manifest of the weights trained on it.
        exclude_pids: A file with one identity per line to exclude, by number or, if people are
            folders, by the name of the folder; empty: none.
        only_pids: A file with one identity per line to keep, excluding all others; empty: all.
        max_identities: Keep this many identities, those with the lowest pids; 0: all.
        one_camera: Treat all crops as seen by one camera, whatever their names say. For rendered
            people whose crops each have their own viewpoint and light: their numbers are not
            cameras with a style to transfer, or in which to search for a person.
        people: Sources with the same text here show the same people under the same cameras,
            each with the pids and camids of its own file names: two kinds of boxes of one data
            set. Empty: nobody in this source is in another.
        textures: The store of target textures of these crops, as
            ``python -m sanreid.train textures`` writes it; empty: none.
        share: The share of the identities of each batch that comes from this source, in [0, 1].
            Sources with the same ``people`` count as one: set it for one of them. 0: the
            sources without a share divide the rest in proportion to their crops, as all
            sources do if none has a share. An epoch has as many batches as without shares: a
            source above its proportion is seen more than once in it, one below in part, and
            the next epoch continues there.
    """

    folder: str
    names: str = AUTO
    dataset: str = ""
    split: Literal["train", "query", "gallery"] = "train"
    options: tuple[str, ...] = ()
    name: str = ""
    terms: str = ""
    exclude_pids: str = ""
    only_pids: str = ""
    max_identities: int = 0
    one_camera: bool = False
    people: str = ""
    textures: str = ""
    share: float = 0.0

    def __post_init__(self) -> None:
        require(
            0 <= self.share <= 1,
            f"data source: share must be in [0, 1]; got {self.share}.",
        )
        require(bool(self.folder), "data source: folder must name a folder; it is empty.")
        try:
            check_names(self.names)
        except InputError as error:
            raise ConfigError(f"data source: {error}") from None
        require(
            not self.dataset or self.names == AUTO,
            f"data source: names is for a folder of crops; the data set {self.dataset!r} knows "
            "its own.",
        )
        require(
            bool(self.dataset) or (self.split == "train" and not self.options),
            f"data source: split and options are of a dataset; {self.folder} is given without.",
        )
        require(
            self.max_identities >= 0,
            f"data source: max_identities must be at least 0; got {self.max_identities}.",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class DataConfig:
    """Where the crops come from and how they form batches.

    Args:
        sources: The sources of crops.
        p: Identities per batch, over all processes together. Source: 16, the released code.
        k: Crops per identity. Source: 4, the released code.
        cache_dir: Keep the decoded crops in this folder as memory-mapped files; empty: in memory.
        atlas: An ``.npz`` with the tables of the texture atlas (``mirror``, ``valid``);
            empty: the one packaged with sanreid, which its own generators use.
        store: Where the decoded crops are kept: ``"cpu"`` or ``"device"`` (the GPU's memory,
            with the textures and the synthetic pairs, all decoded once).
    """

    sources: tuple[SourceConfig, ...] = ()
    p: int = 16
    k: int = 4
    cache_dir: str = ""
    atlas: str = ""
    store: Literal["cpu", "device"] = "cpu"

    def __post_init__(self) -> None:
        require(self.p >= 2, f"data.p must be at least 2, for negatives; got {self.p}.")
        require(self.k >= 2, f"data.k must be at least 2, for positives; got {self.k}.")
        self._check_shares()

    def _check_shares(self) -> None:
        said = [source for source in self.sources if source.share]
        names = [source.people for source in said if source.people]
        twice = next((name for name in names if names.count(name) > 1), "")
        require(
            not twice,
            f"data.sources: those with people = {twice!r} count as one source; "
            "set the share of one of them only.",
        )
        total = sum(source.share for source in said)
        require(
            total <= 1 + 1e-9,
            f"data.sources: the shares add up to {total:g}; they may add up to 1 at most.",
        )
        silent = [
            source.folder
            for source in self.sources
            if not source.share and not (source.people and source.people in names)
        ]
        require(
            not said or bool(silent) == (total < 1 - 1e-9),
            f"data.sources: the shares add up to {total:g}, "
            + (
                f"which leaves nothing for those without one: {', '.join(silent)}."
                if silent
                else "but every source has one: let them add up to 1, or leave one out for the "
                "rest."
            ),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class AugmentationConfig:
    """How a training crop is augmented, redrawn every time.

    The options are those of :class:`sanreid.train.data.transforms.BatchAugmentation`, which
    explains each. The released code's are ``flip = 0.5, zoom = [1.125, 1.125],
    shift = 0.0555`` and ``erasing = 0.5``.
    """

    flip: float = 0.5
    shift: float = 0.0625
    zoom: tuple[float, float] = (1.0, 1.0)
    brightness: float = 0.2
    contrast: float = 0.2
    saturation: float = 0.0
    hue: float = 0.0
    gain: float = 0.0
    gamma: float = 0.0
    camera_style: float = 0.0
    grayscale: float = 0.0
    blur: float = 0.0
    low_resolution: float = 0.0
    erasing: float = 0.5
    erasing_area: tuple[float, float] = (0.02, 0.4)
    erasing_aspect: float = 0.3
    erasing_fill: Literal["mean", "color"] = "mean"


@dataclass(frozen=True, slots=True, kw_only=True)
class PitConfig:
    """Synthetic pairs of image and texture mixed into each batch, for reconstruction only.

    Args:
        folder: A folder of pairs, as ``python -m sanreid.train pit render`` writes it; empty:
            none.
        per_batch: Pairs per batch, over all processes together.
        weight: Weight of their reconstruction loss relative to ``loss.reconstruction``.
        held_out: Number of identities, the last ones, to measure on instead of training on them.
        batch_norm: ``"separate"``: the pairs are normalized by their own batch statistics and
            leave the running statistics to the real crops;
            ``"joint"``: one batch with the real crops.
    """

    folder: str = ""
    per_batch: int = 16
    weight: float = 1.0
    held_out: int = 0
    batch_norm: Literal["separate", "joint"] = "separate"

    def __post_init__(self) -> None:
        require(self.per_batch >= 2, f"pit.per_batch must be at least 2; got {self.per_batch}.")
        require(self.weight >= 0, f"pit.weight must be at least 0; got {self.weight}.")
