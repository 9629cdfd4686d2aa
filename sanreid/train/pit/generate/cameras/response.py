"""What a camera makes of light: exposure, color, tone, sharpness, noise and compression.

A response is one camera's own and the same for all its crops; only the exposure drifts a little.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from sanreid.train.pit.generate.people.body import Array

__all__ = ["Response", "capture", "draw_response"]

_LUMA = np.array([0.299, 0.587, 0.114], np.float32)


@dataclass(frozen=True, slots=True)
class Response:
    """How one camera answers to light.

    Attributes:
        exposure: Factor on all light.
        matrix: (3, 3) from the light's RGB to the camera's: white balance, saturation, crosstalk.
        gamma: Exponent of the tone curve; above 1 darkens the middle.
        contrast: Slope of the tone curve about its middle.
        haze: Share of a veil of gray over everything: dust, glare, black level.
        vignette: Share of light lost in the corners of the frame.
        detail: Share of the frame's pixels along each axis that the camera resolves.
        blur_px: Standard deviation of its blur, pixels.
        sharpening: Strength of the edges' overshoot, percent.
        noise: Standard deviation of the noise in middle gray, 8-bit steps.
        quality: JPEG quality of its stream.
    """

    exposure: float
    matrix: Array
    gamma: float
    contrast: float
    haze: float
    vignette: float
    detail: float
    blur_px: float
    sharpening: float
    noise: float
    quality: int

    def describe(self) -> dict[str, Any]:
        """Return the response as plain values, for the index."""
        return {
            "exposure": round(self.exposure, 3),
            "matrix": [[round(float(x), 3) for x in row] for row in self.matrix],
            "gamma": round(self.gamma, 3),
            "contrast": round(self.contrast, 3),
            "haze": round(self.haze, 3),
            "vignette": round(self.vignette, 3),
            "detail": round(self.detail, 3),
            "blur_px": round(self.blur_px, 3),
            "sharpening": round(self.sharpening, 1),
            "noise": round(self.noise, 2),
            "quality": self.quality,
        }


def draw_response(rng: np.random.Generator) -> Response:
    """Draw the response of one camera."""
    warm, green = rng.normal(0, 0.030), rng.normal(0, 0.010)
    gains = np.array([1 + warm, 1 + green, 1 - warm])
    saturation = float(np.clip(rng.normal(0.74, 0.18), 0.35, 1.25))
    mixing = saturation * np.eye(3) + (1 - saturation) * _LUMA
    mixing = mixing + rng.normal(0, 0.012, (3, 3)) * (1 - np.eye(3))
    mixing /= mixing.sum(1, keepdims=True)  # gray stays gray before the white balance
    return Response(
        exposure=float(np.exp(rng.normal(0.0, 0.07))),
        matrix=(gains[:, None] * mixing).astype(np.float32),
        gamma=float(np.exp(rng.normal(0.03, 0.09))),
        contrast=float(np.clip(rng.normal(1.34, 0.15), 0.95, 1.8)),
        haze=float(np.clip(rng.normal(0.055, 0.022), 0.0, 0.13)),
        vignette=float(rng.uniform(0, 0.25)),
        detail=float(rng.choice([1.0, rng.uniform(0.55, 1.0)], p=[0.65, 0.35])),
        blur_px=float(abs(rng.normal(0, 0.3))),
        sharpening=float(rng.choice([0.0, rng.uniform(50, 150)], p=[0.3, 0.7])),
        noise=float(rng.gamma(2.0, 0.9)),
        quality=int(rng.integers(38, 93)),
    )


def capture(
    light: Array, off_axis: Array, response: Response, gains: Array, rng: np.random.Generator
) -> bytes:
    """Return a crop as the camera keeps it.

    Args:
        light: (H, W, 3) of the crop.
        off_axis: (H, W) distance of each pixel from the middle of the frame, 1 at its corners.
        response: Of the camera.
        gains: (3,) of its automatic exposure and white balance; noise rises with them.
        rng: For the noise and the drift of the exposure.

    Returns:
        JPEG bytes of the same size.
    """
    height, width = light.shape[:2]
    drift = float(np.exp(rng.normal(0, 0.08)))
    fall = 1 - response.vignette * off_axis[..., None] ** 2
    toned = light * (gains * response.exposure * drift) * fall @ response.matrix.T
    toned = np.clip(toned, 0, None) ** response.gamma
    toned = (toned - 0.42) * response.contrast + 0.42
    toned = np.where(toned > 0.7, 0.7 + 0.3 * np.tanh((toned - 0.7) / 0.3), toned)  # a shoulder
    toned = np.clip(toned, 0, 1) * (1 - response.haze) + response.haze * 0.72
    picture = Image.fromarray(_bytes(toned))
    small = max(round(width * response.detail), 16), max(round(height * response.detail), 32)
    if small != picture.size:
        picture = picture.resize(small, Image.Resampling.BOX)
    blur = response.blur_px * response.detail
    if rng.random() < 0.06:  # the person or the camera moved
        blur += float(rng.uniform(0.6, 1.3))
    if blur > 0.2:
        picture = picture.filter(ImageFilter.GaussianBlur(blur))
    values = np.asarray(picture, np.float32)
    level = response.noise * np.sqrt(0.25 + values.mean(2, keepdims=True) / 170) * gains.mean()
    grain = rng.standard_normal((*values.shape[:2], 1), np.float32)
    color = rng.standard_normal(values.shape, np.float32)
    picture = Image.fromarray(np.clip(values + level * (grain + 0.4 * color), 0, 255).astype("u1"))
    if small != (width, height):
        picture = picture.resize((width, height), Image.Resampling.BICUBIC)
    if response.sharpening:
        sharp = ImageFilter.UnsharpMask(
            radius=1.3, percent=round(response.sharpening), threshold=2
        )
        picture = picture.filter(sharp)
    stream = Image.open(io.BytesIO(_jpeg(picture, response.quality)))
    return _jpeg(stream.convert("RGB"), 92)


def _bytes(values: Array) -> NDArray[np.uint8]:
    rounded: NDArray[np.uint8] = (values * 255 + 0.5).astype(np.uint8)
    return rounded


def _jpeg(picture: Image.Image, quality: int) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()
