"""How well textures are painted for held-out synthetic people."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from sanreid.train.config import TrainConfig
from sanreid.train.data.pairs import Pairs
from sanreid.train.data.transforms import resize_crops
from sanreid.train.networks.normalization import normalize_crops
from sanreid.train.networks.san import SAN, SANPG
from sanreid.train.runtime import autocast_dtype
from sanreid.train.textures.targets import AtlasTables, as_target

__all__ = ["measure_pairs"]


@torch.inference_mode()
def measure_pairs(
    network: SAN | SANPG,
    pairs: Pairs,
    tables: AtlasTables,
    config: TrainConfig,
    *,
    device: torch.device,
    stop: Callable[[], bool] = lambda: False,
) -> dict[str, float] | None:
    """Return the mean absolute difference and the PSNR, separately for seen and unseen texels.

    Args:
        network: The network that paints; it is put in ``eval()``.
        pairs: The held-out pairs.
        tables: Tables of the atlas; only texels on the body count.
        config: Gives the size of the crops, the normalization and the precision.
        device: The device of the network.
        stop: Called between batches.

    Returns:
        ``l1_seen``, ``l1_unseen`` in [0, 2] (textures in [-1, 1]), ``psnr_seen``,
        ``psnr_unseen`` in dB, and ``l1_seen_mean``, ``l1_unseen_mean`` for
        painting the mean texture of these very pairs, which flatters that answer. None if
        ``stop()`` became true.
    """
    network.eval()
    autocast = autocast_dtype(config, device)
    count = config.evaluation.batch_size
    sums: dict[str, Tensor] = {}
    mean = _mean_texture(pairs, count)
    for begin in range(0, len(pairs), count):
        if stop():
            return None
        indices = torch.arange(begin, min(begin + count, len(pairs)))
        images, textures = pairs.batch(indices)
        seen = pairs.seen(indices.tolist())
        images = resize_crops(images.to(device), config.encoder.input_size)
        crops = normalize_crops(images, mean=config.encoder.mean, std=config.encoder.std)
        with torch.autocast(device.type, dtype=autocast, enabled=autocast is not None):
            painted = network.paint(crops)
        target, painted = as_target(textures.cpu()), painted.float().cpu()
        valid = tables.valid.cpu()
        for name, texels in (("seen", seen & valid), ("unseen", ~seen & valid)):
            for key, value in {
                f"l1_{name}": (painted - target).abs(),
                f"square_{name}": (painted - target).square(),
                f"l1_{name}_mean": (mean - target).abs(),
                f"count_{name}": torch.ones_like(target),
            }.items():
                sums[key] = sums.get(key, torch.zeros(())) + (value * texels).double().sum()
    found = {}
    for name in ("seen", "unseen"):
        texels = sums[f"count_{name}"].clamp_min(1)
        found[f"l1_{name}"] = float(sums[f"l1_{name}"] / texels)
        found[f"psnr_{name}"] = float(10 * torch.log10(4 * texels / sums[f"square_{name}"]))
        found[f"l1_{name}_mean"] = float(sums[f"l1_{name}_mean"] / texels)
    return {key: round(value, 6) for key, value in found.items()}


def _mean_texture(pairs: Pairs, count: int) -> Tensor:
    total = torch.zeros(3, 256, 256, dtype=torch.float64)
    for begin in range(0, len(pairs), count):
        _, textures = pairs.batch(torch.arange(begin, min(begin + count, len(pairs))))
        total += as_target(textures.cpu()).double().sum(0)
    return (total / len(pairs)).float()
