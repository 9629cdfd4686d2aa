"""The mirror image of a body in its texture: a permutation of texels, not a flip."""

from __future__ import annotations

import torch
from torch import Tensor

from sanreid.errors import InputError

__all__ = ["mirror_textures"]


def mirror_textures(textures: Tensor, mirrored: Tensor, texel_map: Tensor | None = None) -> Tensor:
    """Mirror the bodies of some textures by the atlas's own left-right symmetry.

    Mirroring a crop swaps the left and the right half of the body. In the texture that is a
    permutation of texels, which depends on the atlas, and in general not a flip of the picture.

    Args:
        textures: (N, C, H, W), colours or anything else per texel; not changed.
        mirrored: (N,) bool, which bodies to mirror.
        texel_map: (H * W,) int64: texel t of the mirrored texture is texel ``texel_map[t]`` of
            the given one. None is the identity, right only for an atlas without sides.

    Raises:
        InputError: A shape does not fit.
    """
    if textures.dim() != 4 or mirrored.shape != textures.shape[:1]:
        raise InputError(
            "mirror_textures() takes (N, C, H, W) textures and (N,) flags; "
            f"got {tuple(textures.shape)} and {tuple(mirrored.shape)}."
        )
    if texel_map is None:
        return textures.clone()
    if texel_map.shape != (textures.shape[2] * textures.shape[3],):
        raise InputError(
            f"texel_map must have one place for each of {textures.shape[2]} x "
            f"{textures.shape[3]} texels; got shape {tuple(texel_map.shape)}."
        )
    turned = textures.flatten(2)[:, :, texel_map].view_as(textures)
    return torch.where(
        mirrored[:, None, None, None], turned, textures
    )  # to ask which would make a host wait
