"""What one step trains on, and where it comes from.

Making a batch has two parts. Reading (rows of a store in memory, decoding textures) needs no
device and is done one batch ahead in a thread; the rest (rows of a store on the device,
augmentation, mirroring) runs on the device, and nothing in it makes the host wait.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from torch import Tensor

from sanreid.train.losses.objective import Targets

__all__ = ["Batch", "Batches", "Raw"]


class Raw(NamedTuple):
    """What was read of one batch, uint8 on the CPU; what is kept on the device is not in it."""

    indices: Tensor  # (N,) int64, of crops; of pairs if there are no crops
    images: Tensor | None = None
    textures: Tensor | None = None
    confidences: Tensor | None = None
    pit_indices: Tensor | None = None  # (M,) int64, of the pairs beside the crops


@dataclass(frozen=True, slots=True)
class Batch:
    """One batch on the device.

    Args:
        indices: (N,) int64, the indices of the crops (or pairs) in their source.
        crops: (N, 3, H, W) float32, augmented and normalized; None for SAN-PG.
        targets: Labels and textures.
        pit_crops: (M, 3, H, W) float32 of synthetic pairs, or None.
        with_decoder: Whether SA-Dec takes part in the step (``loss.decoder_every``).
    """

    indices: Tensor
    crops: Tensor | None
    targets: Targets
    pit_crops: Tensor | None = None
    with_decoder: bool = True


class Batches(Protocol):
    """Where a run's batches come from.

    A batch depends only on the configuration and its number, so a resumed run sees what an
    uninterrupted one would have seen.
    """

    num_classes: int
    proxy_pids: Tensor | None  # (M,) int64, the person of each proxy of the cross-camera loss
    teacher_dim: int  # T of the teacher's embeddings; 0 without a teacher
    training_data: list[dict[str, Any]]
    digest: str

    def __len__(self) -> int:
        """Return the number of batches in an epoch."""
        ...

    def summary(self) -> str:
        """Return in a few words what there is to train on."""
        ...

    def epoch(self, epoch: int) -> list[Tensor]:
        """Return the indices of every batch of an epoch."""
        ...

    def read(self, indices: Tensor, *, number: int) -> Raw:
        """Read one batch, the run's ``number``-th; safe to call from another thread."""
        ...

    def batch(self, raw: Raw, *, number: int, epoch: int) -> Batch:
        """Make a batch on the device from what was read."""
        ...

    def names(self, indices: Tensor) -> list[str]:
        """Return descriptions of the crops at ``indices``, for messages."""
        ...
