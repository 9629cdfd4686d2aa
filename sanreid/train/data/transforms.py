"""Augmentation of whole batches on their own device.

Every choice is made per crop, from one table of random numbers drawn from the generator that
the caller passes: the same state of the generator gives the same batch, on every device, and
switching one option leaves the choices of the others as they were. torchvision's transforms draw
one value for a whole batch, from the global generator, so they cannot do this.

The geometry (mirror, shift, zoom) is one bilinear sampling; the colors (brightness, contrast,
saturation, hue, and the gains and style that distinguish cameras) are one affine map of RGB per
crop, followed by a tone curve. Nothing here makes the host wait for a GPU.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional
from torchvision.transforms.v2.functional import resize

from sanreid.config import IMAGENET_MEAN, IMAGENET_STD
from sanreid.errors import InputError
from sanreid.train.data.camera_colors import CameraColorStats
from sanreid.train.runtime import to_device
from sanreid.utils.arguments import check_choice

__all__ = ["AugmentedBatch", "BatchAugmentation", "resize_crops"]

_ERASING_TRIES = 8
_COLUMNS = 19 + 2 * _ERASING_TRIES  # random numbers per crop; see _augment
_MORE_COLUMNS = 3  # drawn after those, so that their draws stay those of earlier versions
_LUMA = (0.299, 0.587, 0.114)  # grey of RGB, ITU-R BT.601
_CHROMA = ((0.595716, -0.274453, -0.321263), (0.211456, -0.522591, 0.311135))  # I and Q of YIQ


def resize_crops(crops: Tensor, size: tuple[int, int] | None) -> Tensor:
    """Resize crops (N, 3, H, W) uint8 to (height, width); None leaves them as they are."""
    if size is None or crops.shape[-2:] == size:
        return crops
    resized: Tensor = resize(crops, list(size), antialias=True)
    return resized


class AugmentedBatch(NamedTuple):
    """Augmented crops, and how they were moved."""

    crops: Tensor  # (N, 3, H, W) float32, normalized
    mirrored: Tensor  # (N,) bool
    grid: Tensor | None  # (N, H, W, 2) where each pixel was sampled; None if none was moved
    erased: Tensor | None  # (N, H, W) bool, pixels that were erased; None without erasing

    def moved(self, labels: Tensor) -> Tensor:
        """Move labels of pixels as the crops were moved.

        Args:
            labels: (N, h, w) int64, of the crops as they were before, at any size; negative ones
                stand for no label.

        Returns:
            (N, H / 2, W / 2), rounded up: the label of a pixel next to the middle of 2 x 2, as
            labels cannot be averaged; -1 where at least half of the four were erased.
        """
        grid = self.grid
        if grid is None:
            height, width = (_centres(side, labels.device) for side in self.crops.shape[2:])
            y, x = torch.meshgrid(height, width, indexing="ij")
            grid = torch.stack([x, y], -1).expand(len(labels), -1, -1, -1)
        middles = functional.avg_pool2d(grid.permute(0, 3, 1, 2), 2, ceil_mode=True)
        found = functional.grid_sample(
            labels[:, None].float(),  # exact up to 2 ** 24
            middles.permute(0, 2, 3, 1),
            mode="nearest",
            padding_mode="border",
            align_corners=False,
        )
        found = found[:, 0].long()
        if self.erased is None:
            return found
        share = functional.avg_pool2d(self.erased[:, None].float(), 2, ceil_mode=True)
        return found.masked_fill(share[:, 0] >= 0.5, -1)


class _Constants(NamedTuple):
    """The constants of the arithmetic, on one device."""

    mean: Tensor  # (3, 1, 1)
    std: Tensor  # (3, 1, 1)
    luma: Tensor  # (3,)
    eye: Tensor  # (3, 3)
    to_yiq: Tensor  # (3, 3)
    from_yiq: Tensor  # (3, 3)
    taps: Tensor  # (5,) of the blur


class BatchAugmentation:
    """Change each crop of a batch at random, then normalize.

    Probabilities and fractions are in [0, 1]; 0 turns an option off.

    Args:
        flip: Probability of mirroring a crop left to right.
        shift: Largest shift as a fraction of each side, in whole pixels if ``zoom`` is 1;
            the pixels of the border are repeated.
        zoom: Smallest and largest enlargement about the centre. The released SAN code enlarges
            by 1.125 and crops at random: ``zoom=(1.125, 1.125), shift=0.0555``.
        brightness: RGB times a factor in [1 - brightness, 1 + brightness].
        contrast: The same factor for the distance to the crop's mean grey.
        saturation: The same factor for the distance of each pixel to its own grey.
        hue: Largest rotation of the hue, 1 is a full turn; 0.02 is little.
        gain: R, G and B each times a factor of their own, as cameras differ.
        gamma: RGB to the power of a number between 1 / (1 + gamma) and 1 + gamma, as the tone
            curves of cameras differ.
        camera_style: Probability of giving the crop the style of another camera: mean and standard
            deviation of each channel change as from its own camera's to the other's. What
            distinguishes people stays; what distinguishes cameras becomes useless. Needs
            ``colors``.
        grayscale: Probability of removing the color.
        blur: Probability of a blur of random strength (5 x 5 binomial at most).
        low_resolution: Probability of halving the resolution and enlarging the crop again.
        erasing: Probability of erasing a rectangle.
        erasing_area: Smallest and largest area of the rectangle, as fractions of the crop.
        erasing_aspect: Smallest side ratio r of the rectangle; the largest is 1 / r.
        erasing_fill: ``"mean"`` (0 after normalization) or ``"color"``, one random color.
        mean: RGB mean of the normalization, of images in [0, 1].
        std: RGB standard deviation of the normalization.

    Raises:
        InputError: A value is out of range.

    Source:
        Zhong et al., "Random Erasing Data Augmentation", AAAI 2020, for the rectangle and its
        ranges; if none of a few random rectangles fits, nothing is erased. The hue is rotated
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
        gamma: float = 0.0,
        camera_style: float = 0.0,
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
            "saturation": saturation, "hue": hue, "gain": gain, "gamma": gamma,
            "camera_style": camera_style, "grayscale": grayscale, "blur": blur,
            "low_resolution": low_resolution, "erasing": erasing,
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
        check_choice(erasing_fill, "erasing_fill", ("mean", "color"))
        self.options = fractions
        self.zoom = zoom
        self.erasing_area = erasing_area
        self.erasing_aspect = erasing_aspect
        self.erasing_fill = erasing_fill
        self.mean = tuple(mean)
        self.std = tuple(std)
        self._constants: dict[torch.device, _Constants] = {}

    def __call__(
        self,
        crops: Tensor,
        *,
        generator: torch.Generator,
        rank: int = 0,
        world_size: int = 1,
        cameras: Tensor | None = None,
        colors: CameraColorStats | None = None,
    ) -> AugmentedBatch:
        """Augment a batch.

        Args:
            crops: (N, 3, H, W) uint8, RGB, on any device; not changed.
            generator: The source of the random numbers, best on the CPU. It advances by the
                same amount whatever the options.
            rank: Which of ``world_size`` equal slices of a joint batch this is. With the same
                state of the generator, the slices' outputs together are the joint batch's.
            world_size: How many slices there are.
            cameras: (N,) int64, the row of ``colors`` of each crop's camera.
            colors: Colours of all cameras, on the crops' device; None: ``camera_style`` has no
                effect.

        Raises:
            InputError: ``crops`` is not a uint8 batch of RGB crops.
        """
        if crops.dtype != torch.uint8 or crops.dim() != 4 or crops.shape[1] != 3:
            raise InputError(
                "Augmentation takes uint8 crops of shape (N, 3, H, W); "
                f"got {crops.dtype} of shape {tuple(crops.shape)}."
            )
        count = len(crops)
        table = torch.cat(
            [
                torch.rand(count * world_size, n, generator=generator, device=generator.device)
                for n in (_COLUMNS, _MORE_COLUMNS)
            ],
            dim=1,
        )
        numbers = to_device(table[rank * count : (rank + 1) * count], crops.device)
        styles = None
        if self.options["camera_style"] and cameras is not None and colors is not None:
            styles = self._styles(numbers[:, 36:38], cameras, colors)
        return self._augment(crops, numbers, styles)

    def _augment(
        self, crops: Tensor, numbers: Tensor, styles: tuple[Tensor, Tensor] | None
    ) -> AugmentedBatch:
        """Augment each crop by its row of random numbers in [0, 1)."""
        mirrored = numbers[:, 0] < self.options["flip"]
        images = crops.float().div_(255)
        grid = self._grid(images, mirrored, numbers[:, 1:4])
        if grid is not None:
            images = functional.grid_sample(
                images, grid, padding_mode="border", align_corners=False
            )
        images = self._softened(images, numbers[:, 4:7])
        matrix, offset = self._colors(images, numbers[:, 7:15], styles)
        # One pass: out = M x + b, clipped to [0, 1], then the normalization in place.
        flat = torch.baddbmm(offset[:, :, None], matrix, images.flatten(2)).clamp_(0, 1)
        if self.options["gamma"]:
            steepest = math.log(1 + self.options["gamma"])
            flat.pow_(torch.exp((2 * numbers[:, 35] - 1) * steepest)[:, None, None])
        images = flat.view_as(images)
        constants = self._on(crops.device)
        images.sub_(constants.mean).div_(constants.std)
        erased = self._erased(images, numbers[:, 15:35])
        if erased is not None:
            images = self._filled(images, erased[:, None], numbers[:, 18])
        return AugmentedBatch(images, mirrored, grid, erased)

    def _on(self, device: torch.device) -> _Constants:
        """Return the constants, made once per device: copying them would make the host wait."""
        if device not in self._constants:
            to_yiq = torch.tensor([_LUMA, *_CHROMA], dtype=torch.float64)
            made = _Constants(
                mean=torch.tensor(self.mean)[:, None, None],
                std=torch.tensor(self.std)[:, None, None],
                luma=torch.tensor(_LUMA),
                eye=torch.eye(3),
                to_yiq=to_yiq.float(),
                from_yiq=torch.linalg.inv(to_yiq).float(),
                taps=torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0]) / 16,
            )
            self._constants[device] = _Constants(*(one.to(device) for one in made))
        return self._constants[device]

    def _styles(
        self, numbers: Tensor, cameras: Tensor, colors: CameraColorStats
    ) -> tuple[Tensor, Tensor]:
        """Return factor and offset, (N, 3), that give a crop the style of another camera."""
        other = (numbers[:, 1] * len(colors.mean)).long()
        factor = (colors.std[other] / colors.std[cameras].clamp_min(1e-3)).clamp(0.5, 2)
        offset = colors.mean[other] - factor * colors.mean[cameras]
        chosen = (numbers[:, 0] < self.options["camera_style"])[:, None]
        return torch.where(chosen, factor, 1.0), torch.where(chosen, offset, 0.0)

    def _grid(self, images: Tensor, mirrored: Tensor, numbers: Tensor) -> Tensor | None:
        """Mirror, shift and zoom: return the point (x, y) in [-1, 1] that each pixel samples."""
        if not (self.options["flip"] or self.options["shift"] or self.zoom != (1.0, 1.0)):
            return None
        low, high = self.zoom
        scale = 1 / (low + (high - low) * numbers[:, 2])
        sides = torch.where(mirrored, -scale, scale)
        # Rows and columns do not depend on each other: much cheaper than affine_grid.
        y, x = (
            factor[:, None] * _centres(side, images.device) + self._shift(number, side)[:, None]
            for factor, number, side in zip(
                (scale, sides), (numbers[:, 0], numbers[:, 1]), images.shape[-2:], strict=True
            )
        )
        grid = torch.empty(len(images), *images.shape[-2:], 2, device=images.device)
        grid[..., 0] = x[:, None, :]
        grid[..., 1] = y[:, :, None]
        return grid

    def _shift(self, numbers: Tensor, side: int) -> Tensor:
        """Return the shifts along one side, whose length is 2."""
        pixels = (numbers * 2 - 1) * self.options["shift"] * side
        if self.zoom == (1.0, 1.0):
            pixels = pixels.round()
        return pixels * 2 / side

    def _softened(self, images: Tensor, numbers: Tensor) -> Tensor:
        """Blur some crops and reduce the resolution of some; the others stay as they are.

        All are computed and some are taken: asking which would make the host wait for a GPU.
        """
        if self.options["blur"]:
            taps = self._on(images.device).taps
            soft = functional.pad(images, (2, 2, 2, 2), mode="replicate")
            soft = functional.conv2d(soft, taps.view(1, 1, 1, 5).expand(3, 1, 1, 5), groups=3)
            soft = functional.conv2d(soft, taps.view(1, 1, 5, 1).expand(3, 1, 5, 1), groups=3)
            soft = torch.lerp(images, soft, numbers[:, 1, None, None, None])
            images = torch.where(_each(numbers[:, 0] < self.options["blur"]), soft, images)
        if self.options["low_resolution"]:
            half = functional.avg_pool2d(images, 2, ceil_mode=True)
            coarse = functional.interpolate(
                half, size=images.shape[-2:], mode="bilinear", align_corners=False
            )
            chosen = _each(numbers[:, 2] < self.options["low_resolution"])
            images = torch.where(chosen, coarse, images)
        return images

    def _colors(
        self, images: Tensor, numbers: Tensor, styles: tuple[Tensor, Tensor] | None
    ) -> tuple[Tensor, Tensor]:
        """Return the affine map of RGB per crop: (N, 3, 3) and (N, 3)."""
        options, constants = self.options, self._on(images.device)
        luma, eye = constants.luma, constants.eye
        grey = luma.expand(3, 3)  # each output channel is the grey

        def factor(column: int, name: str) -> Tensor:
            return 1 + (2 * numbers[:, column] - 1) * options[name]

        matrix = eye.expand(len(images), 3, 3)
        if options["gain"]:
            gains = 1 + (2 * numbers[:, 4:7] - 1) * options["gain"]
            matrix = torch.diag_embed(gains)
        if options["hue"]:
            angle = (2 * numbers[:, 3] - 1) * options["hue"] * 2 * math.pi
            matrix = constants.from_yiq @ _rotation(angle) @ constants.to_yiq @ matrix
        saturation = factor(2, "saturation")
        saturation = torch.where(numbers[:, 7] < options["grayscale"], 0.0, saturation)
        matrix = (grey + saturation[:, None, None] * (eye - grey)) @ matrix
        matrix = factor(0, "brightness")[:, None, None] * matrix
        offset = images.new_zeros(len(images), 3)
        if styles is not None:  # before all others
            offset = (matrix @ styles[1][:, :, None])[:, :, 0]
            matrix = matrix * styles[0][:, None, :]
        if not options["contrast"]:
            return matrix, offset
        contrast = factor(1, "contrast")[:, None]
        mean = (matrix @ images.mean((2, 3))[:, :, None])[:, :, 0] + offset
        mean_grey = (mean * luma).sum(1, keepdim=True)
        return contrast[:, :, None] * matrix, contrast * offset + (1 - contrast) * mean_grey

    def _erased(self, images: Tensor, numbers: Tensor) -> Tensor | None:
        """Return the rectangle of some crops, (N, H, W) bool, that is erased."""
        if not self.options["erasing"]:
            return None
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
        return in_rows[:, :, None] & in_columns[:, None, :]

    def _filled(self, images: Tensor, inside: Tensor, numbers: Tensor) -> Tensor:
        """Fill what is erased, (N, 1, H, W) bool, in place where it has the mean color."""
        if self.erasing_fill == "mean":
            return images.masked_fill_(inside, 0.0)
        # Three numbers out of one: the digits of a color in base 64.
        digits = torch.stack([numbers * 64**n % 1 for n in range(3)], dim=1)
        constants = self._on(images.device)
        fill = (digits[:, :, None, None] - constants.mean) / constants.std
        return torch.where(inside, fill, images)


def _centres(count: int, device: torch.device) -> Tensor:
    """Return the coordinates of ``count`` pixel centres in [-1, 1]."""
    return (torch.arange(count, device=device) * 2 + 1) / count - 1


def _each(flags: Tensor) -> Tensor:
    """Reshape (N,) flags to (N, 1, 1, 1)."""
    return flags[:, None, None, None]


def _rotation(angle: Tensor) -> Tensor:
    """Return (N, 3, 3) maps of YIQ that rotate I and Q by ``angle`` and keep Y."""
    cos, sin = torch.cos(angle), torch.sin(angle)
    none, whole = torch.zeros_like(angle), torch.ones_like(angle)
    rows = [whole, none, none, none, cos, -sin, none, sin, cos]
    return torch.stack(rows, dim=1).view(-1, 3, 3)
