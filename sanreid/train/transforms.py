"""Augmentation of whole batches on the device they lie on, and the texture kept in step.

Every choice is made per crop, from one table of random numbers drawn from the generator that
the caller passes: the same state of the generator gives the same batch, on every device, and
switching one option leaves the choices of the others as they were.

The geometry (mirror, shift, zoom) is one bilinear sampling; the colours (brightness, contrast,
saturation, hue, the gains that tell one camera from another) are one affine map of RGB per crop.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from sanreid.config import IMAGENET_MEAN, IMAGENET_STD
from sanreid.errors import InputError

__all__ = ["AugmentedBatch", "BatchAugmentation", "mirror_textures", "normalize_crops"]

_ERASING_TRIES = 8
_COLUMNS = 19 + 2 * _ERASING_TRIES  # random numbers per crop; see _augment
_LUMA = (0.299, 0.587, 0.114)  # grey of RGB, ITU-R BT.601


class AugmentedBatch(NamedTuple):
    """Augmented crops, and which of them show the body mirrored."""

    crops: Tensor  # (N, 3, H, W) float32, normalised
    mirrored: Tensor  # (N,) bool


class BatchAugmentation:
    """Change each crop of a batch at random, then normalise.

    Probabilities and fractions are in [0, 1]; 0 switches an option off.

    Args:
        flip: Probability of mirroring a crop left to right.
        shift: Largest shift as a fraction of each side, in whole pixels where ``zoom`` is 1;
            the border's pixels are repeated.
        zoom: Smallest and largest enlargement about the centre. The released SAN code enlarges
            by 1.125 and crops at random: ``zoom=(1.125, 1.125), shift=0.0555``.
        brightness: RGB times a factor in [1 - brightness, 1 + brightness].
        contrast: The same for the distance to the crop's mean grey.
        saturation: The same for the distance of each pixel to its own grey.
        hue: Largest turn of the colours, 1 a whole turn; 0.02 is light.
        gain: R, G and B each times a factor of their own, as cameras differ.
        grayscale: Probability of taking the colour away.
        blur: Probability of a blur of random strength (5 x 5 binomial at most).
        low_resolution: Probability of halving the resolution and enlarging again.
        erasing: Probability of erasing a rectangle.
        erasing_area: Smallest and largest area of the rectangle, as fractions of the crop.
        erasing_aspect: Smallest side ratio r of the rectangle; the largest is 1 / r.
        erasing_fill: ``"mean"`` (0 after normalisation) or ``"color"``, one random colour.
        mean: RGB mean of the normalisation, of images in [0, 1].
        std: RGB standard deviation of the normalisation.

    Raises:
        InputError: A value is out of range.

    Source:
        Zhong et al., "Random Erasing Data Augmentation", AAAI 2020, for the rectangle and its
        ranges; where no rectangle of a few tries fits, the crop is left whole. The hue turns
        about the grey axis in YIQ.
    """

    def __init__(
        self,
        *,
        flip: float = 0.5,
        shift: float = 0.0625,
        zoom: tuple[float, float] = (1.0, 1.0),
        brightness: float = 0.0,
        contrast: float = 0.0,
        saturation: float = 0.0,
        hue: float = 0.0,
        gain: float = 0.0,
        grayscale: float = 0.0,
        blur: float = 0.0,
        low_resolution: float = 0.0,
        erasing: float = 0.0,
        erasing_area: tuple[float, float] = (0.02, 0.4),
        erasing_aspect: float = 0.3,
        erasing_fill: str = "mean",
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
    ) -> None:
        fractions = {
            "flip": flip, "shift": shift, "brightness": brightness, "contrast": contrast,
            "saturation": saturation, "hue": hue, "gain": gain, "grayscale": grayscale,
            "blur": blur, "low_resolution": low_resolution, "erasing": erasing,
        }  # fmt: skip
        for name, value in fractions.items():
            if not 0 <= value <= 1:
                raise InputError(f"{name} must be in [0, 1]; got {value!r}.")
        if not 0.5 <= zoom[0] <= zoom[1] <= 4:
            raise InputError(f"zoom must be two rising factors in [0.5, 4]; got {zoom!r}.")
        if not 0 < erasing_area[0] <= erasing_area[1] <= 1:
            raise InputError(f"erasing_area must rise within (0, 1]; got {erasing_area!r}.")
        if not 0 < erasing_aspect <= 1:
            raise InputError(f"erasing_aspect must be in (0, 1]; got {erasing_aspect!r}.")
        if erasing_fill not in ("mean", "color"):
            raise InputError(f"erasing_fill must be 'mean' or 'color'; got {erasing_fill!r}.")
        self.options = fractions
        self.zoom = zoom
        self.erasing_area = erasing_area
        self.erasing_aspect = erasing_aspect
        self.erasing_fill = erasing_fill
        self.mean = tuple(mean)
        self.std = tuple(std)

    def __call__(
        self, crops: Tensor, *, generator: torch.Generator, rank: int = 0, world_size: int = 1
    ) -> AugmentedBatch:
        """Augment a batch.

        Args:
            crops: (N, 3, H, W) uint8, RGB, on any device; not changed.
            generator: Where the random numbers come from, best on the CPU. It moves on by the
                same amount whatever the options.
            rank: Which of ``world_size`` equal slices of a joint batch this is. With the same
                state of the generator, the slices' outputs together are the joint batch's.
            world_size: How many slices there are.

        Raises:
            InputError: Not a uint8 batch of RGB crops.
        """
        if crops.dtype != torch.uint8 or crops.dim() != 4 or crops.shape[1] != 3:
            raise InputError(
                "Augmentation takes uint8 crops of shape (N, 3, H, W); "
                f"got {crops.dtype} of shape {tuple(crops.shape)}."
            )
        count = len(crops)
        table = torch.rand(
            count * world_size, _COLUMNS, generator=generator, device=generator.device
        )
        numbers = table[rank * count : (rank + 1) * count].to(crops.device)
        return self._augment(crops, numbers)

    def _augment(self, crops: Tensor, numbers: Tensor) -> AugmentedBatch:
        """Spend one row of random numbers in [0, 1) on each crop."""
        mirrored = numbers[:, 0] < self.options["flip"]
        images = self._placed(crops.float().div_(255), mirrored, numbers[:, 1:4])
        images = self._softened(images, numbers[:, 4:7])
        matrix, offset = self._colors(images, numbers[:, 7:15])
        # One pass: out = M x + b, cut to [0, 1], then the normalisation in place.
        flat = torch.baddbmm(offset[:, :, None], matrix, images.flatten(2)).clamp_(0, 1)
        images = flat.view_as(images)
        mean, std = (images.new_tensor(v)[:, None, None] for v in (self.mean, self.std))
        images.sub_(mean).div_(std)
        return AugmentedBatch(self._erased(images, numbers[:, 15:]), mirrored)

    def _placed(self, images: Tensor, mirrored: Tensor, numbers: Tensor) -> Tensor:
        """Mirror, shift and zoom: output place (x, y) in [-1, 1] reads a place of the input."""
        if not (self.options["flip"] or self.options["shift"] or self.zoom != (1.0, 1.0)):
            return images
        size = images.new_tensor(images.shape[-2:])
        pixels = (numbers[:, :2] * 2 - 1) * self.options["shift"] * size
        if self.zoom == (1.0, 1.0):
            pixels = pixels.round()
        shift = pixels * 2 / size
        low, high = self.zoom
        scale = 1 / (low + (high - low) * numbers[:, 2])
        sides = torch.where(mirrored, -scale, scale)
        # Rows and columns do not depend on each other: much cheaper than affine_grid.
        y = scale[:, None] * _centres(images.shape[2], images.device) + shift[:, :1]
        x = sides[:, None] * _centres(images.shape[3], images.device) + shift[:, 1:]
        grid = torch.empty(len(images), *images.shape[-2:], 2, device=images.device)
        grid[..., 0] = x[:, None, :]
        grid[..., 1] = y[:, :, None]
        return functional.grid_sample(images, grid, padding_mode="border", align_corners=False)

    def _softened(self, images: Tensor, numbers: Tensor) -> Tensor:
        """Blur some crops and take resolution from some; the others are not touched."""
        blurred = torch.nonzero(numbers[:, 0] < self.options["blur"])[:, 0]
        coarse = torch.nonzero(numbers[:, 2] < self.options["low_resolution"])[:, 0]
        if not len(blurred) and not len(coarse):
            return images
        images = images.clone()
        if len(blurred):
            tap = images.new_tensor([1, 4, 6, 4, 1]) / 16
            chosen = images[blurred]
            soft = functional.pad(chosen, (2, 2, 2, 2), mode="replicate")
            soft = functional.conv2d(soft, tap.view(1, 1, 1, 5).expand(3, 1, 1, 5), groups=3)
            soft = functional.conv2d(soft, tap.view(1, 1, 5, 1).expand(3, 1, 5, 1), groups=3)
            images[blurred] = torch.lerp(chosen, soft, numbers[blurred, 1, None, None, None])
        if len(coarse):
            half = functional.avg_pool2d(images[coarse], 2, ceil_mode=True)
            images[coarse] = functional.interpolate(
                half, size=images.shape[-2:], mode="bilinear", align_corners=False
            )
        return images

    def _colors(self, images: Tensor, numbers: Tensor) -> tuple[Tensor, Tensor]:
        """Give the affine map of RGB per crop: (N, 3, 3) and (N, 3)."""
        options = self.options
        luma = images.new_tensor(_LUMA)
        grey = luma.expand(3, 3)  # each output channel is the grey
        eye = torch.eye(3, device=images.device)

        def factor(column: int, name: str) -> Tensor:
            return 1 + (2 * numbers[:, column] - 1) * options[name]

        matrix = eye.expand(len(images), 3, 3)
        if options["gain"]:
            gains = 1 + (2 * numbers[:, 4:7] - 1) * options["gain"]
            matrix = torch.diag_embed(gains)
        if options["hue"]:
            angle = (2 * numbers[:, 3] - 1) * options["hue"] * 2 * math.pi
            matrix = _hue_turn(angle) @ matrix
        saturation = factor(2, "saturation")
        saturation = torch.where(numbers[:, 7] < options["grayscale"], 0.0, saturation)
        matrix = (grey + saturation[:, None, None] * (eye - grey)) @ matrix
        matrix = factor(0, "brightness")[:, None, None] * matrix
        if not options["contrast"]:
            return matrix, images.new_zeros(len(images), 3)
        contrast = factor(1, "contrast")
        mean_grey = ((matrix @ images.mean((2, 3))[:, :, None])[:, :, 0] * luma).sum(1)
        offset = ((1 - contrast) * mean_grey)[:, None].expand(-1, 3)
        return contrast[:, None, None] * matrix, offset

    def _erased(self, images: Tensor, numbers: Tensor) -> Tensor:
        """Fill a rectangle of some crops, in place."""
        if not self.options["erasing"]:
            return images
        height, width = images.shape[-2:]
        tries = numbers[:, 4:].view(len(images), 2, _ERASING_TRIES)
        low, high = self.erasing_area
        area = (low + (high - low) * tries[:, 0]) * height * width
        # The side ratio is drawn on a log scale: r and 1 / r are equally likely.
        ratio = torch.exp((2 * tries[:, 1] - 1) * math.log(1 / self.erasing_aspect))
        heights = torch.sqrt(area * ratio).round()
        widths = torch.sqrt(area / ratio).round()
        fits = (heights < height) & (widths < width) & (heights > 0) & (widths > 0)
        first = fits.to(torch.int8).argmax(1, keepdim=True)
        erased = (numbers[:, 0] < self.options["erasing"]) & fits.any(1)
        heights, widths = heights.gather(1, first)[:, 0], widths.gather(1, first)[:, 0]
        top = torch.floor(numbers[:, 1] * (height - heights + 1))
        left = torch.floor(numbers[:, 2] * (width - widths + 1))
        rows = torch.arange(height, device=images.device)
        columns = torch.arange(width, device=images.device)
        in_rows = (rows >= top[:, None]) & (rows < (top + heights)[:, None]) & erased[:, None]
        in_columns = (columns >= left[:, None]) & (columns < (left + widths)[:, None])
        inside = (in_rows[:, :, None] & in_columns[:, None, :])[:, None]
        if self.erasing_fill == "mean":
            return images.masked_fill_(inside, 0.0)
        # Three numbers out of one: the digits of a colour in base 64.
        digits = torch.stack([numbers[:, 3] * 64**n % 1 for n in range(3)], dim=1)
        mean, std = (images.new_tensor(v) for v in (self.mean, self.std))
        fill = ((digits - mean) / std)[:, :, None, None]
        return torch.where(inside, fill, images)


def normalize_crops(
    crops: Tensor,
    *,
    mean: Sequence[float] = IMAGENET_MEAN,
    std: Sequence[float] = IMAGENET_STD,
) -> Tensor:
    """Normalise without augmentation, as for inference.

    Args:
        crops: (N, 3, H, W) uint8, RGB.
        mean: RGB mean, of images in [0, 1].
        std: RGB standard deviation.

    Returns:
        (N, 3, H, W) float32.
    """
    means, stds = (
        torch.tensor(v, dtype=torch.float32, device=crops.device)[:, None, None]
        for v in (mean, std)
    )
    return crops.float().div_(255).sub_(means).div_(stds)


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
    result = textures.clone()
    chosen = textures[mirrored]
    result[mirrored] = chosen.flatten(2)[:, :, texel_map].view_as(chosen)
    return result


def _centres(count: int, device: torch.device) -> Tensor:
    """Give the places of ``count`` pixel centres in [-1, 1]."""
    return (torch.arange(count, device=device) * 2 + 1) / count - 1


def _hue_turn(angle: Tensor) -> Tensor:
    """Give (N, 3, 3) maps of RGB that turn I and Q of YIQ by ``angle`` and keep Y."""
    to_yiq = angle.new_tensor(
        [_LUMA, (0.595716, -0.274453, -0.321263), (0.211456, -0.522591, 0.311135)]
    )
    cos, sin = torch.cos(angle), torch.sin(angle)
    turn = angle.new_zeros(len(angle), 3, 3)
    turn[:, 0, 0] = 1
    turn[:, 1, 1], turn[:, 1, 2] = cos, -sin
    turn[:, 2, 1], turn[:, 2, 2] = sin, cos
    back: Tensor = torch.linalg.inv(to_yiq)
    return back @ turn @ to_yiq
