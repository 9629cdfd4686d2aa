"""torch's ambient state, set aside: autocast, a default device, inference mode, gradients."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

__all__ = ["plain_torch"]


@contextmanager
def plain_torch(*, inference: bool = False) -> Iterator[None]:
    """Run a block as in a fresh process: no autocast, tensors made on the CPU, no gradients.

    What a caller has switched on around a call (``torch.autocast``, ``torch.device("meta")``,
    ``torch.set_default_device``, ``torch.enable_grad``, ``torch.inference_mode``) neither changes
    a result nor makes it fail. The default dtype is not thread-local and so stays as it is: code
    in the block names the dtype of each tensor that it makes.

    Args:
        inference: Run in inference mode; otherwise only without gradients, so that what the block
            makes can be trained later.
    """
    import torch  # noqa: PLC0415 - rooms that need no torch use this one's neighbours

    with ExitStack() as stack:
        for device_type in ("cpu", "cuda"):
            if torch.is_autocast_enabled(device_type):
                stack.enter_context(torch.autocast(device_type, enabled=False))
        if torch.get_default_device().type != "cpu":
            stack.enter_context(torch.device("cpu"))
        stack.enter_context(torch.inference_mode(mode=inference))
        if not inference:
            stack.enter_context(torch.no_grad())
        yield
