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

    def __post_init__(self) -> None:
        require(bool(self.folder), "data source: folder must name a folder; it is empty.")
        try:
            check_names(self.names)
        except InputError as error:
            raise ConfigError(f"data source: {error}") from None
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
