"""Margin softmaxes: the identity loss on cosines, where the true identity must win by a margin.

Sources: Deng et al., "ArcFace: Additive Angular Margin Loss for Deep Face Recognition", CVPR 2019,
arXiv:1801.07698; Wang et al., "CosFace: Large Margin Cosine Loss for Deep Face Recognition", CVPR
2018, arXiv:1801.09414.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from sanreid.errors import InputError

__all__ = ["margin_logits"]


def margin_logits(
    cosines: Tensor, labels: Tensor, *, kind: str = "arcface", scale: float = 30.0,
    margin: float = 0.3,
) -> Tensor:  # fmt: skip
    r"""Return the logits of a margin softmax, for a cross-entropy.

    With :math:`\theta` the angle between an embedding and the weights of its true identity, the
    cosine of that identity becomes :math:`\cos(\theta + m)` (``"arcface"``) or
    :math:`\cos\theta - m` (``"cosface"``); then all are multiplied by the scale.

    Args:
        cosines: (N, C) float, of each embedding with the weights of each identity.
        labels: (N,) int64 in [0, C).
        kind: ``"arcface"`` or ``"cosface"``.
        scale: s, above 0.
        margin: m, in radians for ``"arcface"``, at least 0 and below :math:`\pi / 2`.

    Returns:
        (N, C) in at least float32.

    Raises:
        InputError: An unknown ``kind``.

    Source:
        As above. Beyond :math:`\theta = \pi - m`, where :math:`\cos(\theta + m)` would rise again,
        ArcFace uses :math:`\cos\theta - m \sin m`, as Deng et al.'s code does.
    """
    if kind not in ("arcface", "cosface"):
        raise InputError(f"kind must be 'arcface' or 'cosface'; got {kind!r}.")
    cosines = cosines if cosines.dtype == torch.float64 else cosines.float()
    own = cosines.gather(1, labels[:, None])
    moved = _turned(own, margin) if kind == "arcface" else own - margin
    return scale * cosines.scatter(1, labels[:, None], moved)


def _turned(cosines: Tensor, margin: float) -> Tensor:
    """Return the cosines of angles that are larger by the margin.

    Not by way of the arccosine, whose gradient is infinite at both ends.
    """
    tiny = torch.finfo(cosines.dtype).eps
    sines = (1 - cosines.square()).clamp_min(tiny).sqrt()
    turned = cosines * math.cos(margin) - sines * math.sin(margin)
    return torch.where(cosines > -math.cos(margin), turned, cosines - margin * math.sin(margin))
