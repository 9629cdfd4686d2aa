"""The network on a CUDA device: one graph launch per batch, copies beside the arithmetic.

Launching the network's two hundred kernels one by one takes the host longer than a small batch
takes the card; a CUDA graph launches them all at once. A graph is for one batch size, so a batch
is padded to one of few sizes. Crops go through pinned memory on a stream of their own, so that
the next batch is copied, and read and stacked by the host, while the card works on this one.

JPEG files are decoded on the CPU, by Pillow, on every device: the card's decoder gives other
pixels, and the same picture must give the same embedding everywhere.
"""

from __future__ import annotations

import logging
import threading
from collections import defaultdict
from collections.abc import Callable
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sanreid.backends.network import CropNetwork
from sanreid.config import EncoderConfig
from sanreid.utils.ambient import plain_torch

__all__ = ["CudaBackend", "padded_size"]

logger = logging.getLogger(__name__)

LARGEST = 256  # crops in one launch; more gain nothing and would each need a graph of their own
_WARM_UP = 3  # launches before a graph is captured, in which cuDNN chooses its kernels


def padded_size(count: int) -> int:
    """Return the batch size that ``count`` crops, 1 to 256, are padded to.

    Powers of two up to 16, then multiples of 16: at most twenty sizes, and little waste.

    >>> [padded_size(n) for n in (1, 3, 16, 17, 64, 250)]
    [1, 4, 16, 32, 64, 256]
    """
    return 1 << (count - 1).bit_length() if count <= 16 else -(-count // 16) * 16


class CudaBackend:
    """Embeds on a CUDA device; calls from several threads are safe.

    Args:
        module: As :class:`~sanreid.backends.network.CropNetwork` takes it.
        config: For the normalisation and the size of the crops.
        device: The CUDA device.
        dtype: Precision of the convolutions.
    """

    def __init__(
        self,
        module: torch.nn.Module,
        config: EncoderConfig,
        *,
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        self._device = device
        self._crop_shape = (*config.input_size, 3)
        network = CropNetwork(module, config, dtype=dtype)
        self._network = network.to(device).to(memory_format=torch.channels_last)
        self._computing = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]  # untyped in torch
        self._copying = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]  # as above
        self._computing.wait_stream(torch.cuda.current_stream(device))  # the weights' way here
        self._pool = torch.cuda.graph_pool_handle()
        self._lock = threading.Lock()  # over the streams and what follows
        self._launches: dict[int, Callable[[Tensor], Tensor]] = {}
        self._met: set[int] = set()  # sizes that came once
        self._free: defaultdict[int, list[_Slot]] = defaultdict(list)

    def __call__(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Map crops (N, H, W, 3) to embeddings (N, D), not normalised."""
        return self.submit(crops)()

    def submit(self, crops: NDArray[np.uint8]) -> Callable[[], NDArray[np.float32]]:
        """Start a batch; the result's call waits for it and gives the embeddings."""
        parts = [
            self._submit(crops[start : start + LARGEST]) for start in range(0, len(crops), LARGEST)
        ]
        return lambda: np.concatenate([part() for part in parts])

    def _submit(self, crops: NDArray[np.uint8]) -> Callable[[], NDArray[np.float32]]:
        with plain_torch(inference=True):
            return self._launched(crops)

    def _launched(self, crops: NDArray[np.uint8]) -> Callable[[], NDArray[np.float32]]:
        count, size = len(crops), padded_size(len(crops))
        with self._lock, torch.cuda.device(self._device):
            launch = self._launch(size)
            slot = self._free[size].pop() if self._free[size] else self._make_slot(size)
        slot.pinned.numpy()[:count] = crops  # what a batch before left in the other rows is unread
        with self._lock, torch.cuda.device(self._device):
            with torch.cuda.stream(self._copying):
                slot.crops.copy_(slot.pinned, non_blocking=True)
                slot.copied.record()
            with torch.cuda.stream(self._computing):
                slot.copied.wait()
                slot.take(launch(slot.crops))
                slot.done.record()

        def result() -> NDArray[np.float32]:
            rows = slot.wait(count)
            with self._lock:
                self._free[size].append(slot)
            return rows

        return result

    def _make_slot(self, size: int) -> _Slot:
        streams = (self._copying, self._computing)
        return _Slot((size, *self._crop_shape), self._device, streams)

    def _launch(self, size: int) -> Callable[[Tensor], Tensor]:
        """Return what computes a batch of ``size``: a graph from the second time on.

        A size that comes once, such as that of a last batch, is not worth the capture.
        """
        if size not in self._met:
            self._met.add(size)
            return cast("Callable[[Tensor], Tensor]", self._network)
        if size not in self._launches:
            self._launches[size] = self._capture(size)
        return self._launches[size]

    def _capture(self, size: int) -> Callable[[Tensor], Tensor]:
        crops = torch.zeros((size, *self._crop_shape), dtype=torch.uint8, device=self._device)
        torch.cuda.current_stream(self._device).synchronize()  # the zeros are there
        with torch.cuda.stream(self._computing):
            for _ in range(_WARM_UP):
                self._network(crops)
            self._computing.synchronize()
            graph = torch.cuda.CUDAGraph()
            try:
                with torch.cuda.graph(
                    graph,
                    pool=self._pool,
                    stream=self._computing,
                    capture_error_mode="thread_local",  # other threads may use the card meanwhile
                ):
                    # The graphs share memory: they run one after another on one stream, and
                    # what one gives is copied out before the next begins.
                    embeddings: Tensor = self._network(crops)
            except RuntimeError as error:
                logger.warning("No CUDA graph for batches of %d, which is slower: %s", size, error)
                return cast("Callable[[Tensor], Tensor]", self._network)

        def launch(given: Tensor) -> Tensor:
            crops.copy_(given)
            graph.replay()
            return embeddings

        return launch


class _Slot:
    """Where one batch in flight lies: on the host and on the card, in and out."""

    def __init__(
        self,
        shape: tuple[int, ...],
        device: torch.device,
        streams: tuple[torch.cuda.Stream, ...],
    ) -> None:
        self.pinned = torch.zeros(shape, dtype=torch.uint8, pin_memory=True)
        self.crops = torch.zeros(shape, dtype=torch.uint8, device=device)
        torch.cuda.current_stream(device).synchronize()
        for (
            stream
        ) in streams:  # a batch that nobody waits for may still be copied when it is freed
            self.crops.record_stream(stream)
        self.rows: Tensor | None = None
        self.copied = torch.cuda.Event()  # type: ignore[no-untyped-call]  # untyped in torch
        self.done = torch.cuda.Event()  # type: ignore[no-untyped-call]  # as above

    def take(self, embeddings: Tensor) -> None:
        """Copy the embeddings to the host, on the current stream."""
        if self.rows is None:
            self.rows = torch.empty(embeddings.shape, dtype=torch.float32, pin_memory=True)
        self.rows.copy_(embeddings, non_blocking=True)

    def wait(self, count: int) -> NDArray[np.float32]:
        """Wait until the embeddings are here; give those of the first ``count`` crops."""
        self.done.synchronize()
        assert self.rows is not None  # noqa: S101 - take() came before
        rows: NDArray[np.float32] = self.rows.numpy()[:count].copy()
        return rows
