"""Any kind of image in, a ``uint8`` RGB array out; the one resize that every crop goes through.

Source: none. Pillow and NumPy do the work; no torch is imported (tensors are known by what they
can do), so galleries and data sets can read pictures at no cost.

Rules, the same for every kind of source:

- The EXIF turn of files and PIL images is applied, unless a PIL image has been turned already;
  the first frame of a moving picture counts.
- Grey becomes three equal channels. Transparent pixels are laid over white.
- 16-bit pictures are scaled to 8 bits (65535 becomes 255), not clipped.
- Floats in [0, 1] are rounded to ``uint8``; NaN and values outside are refused.
- Whatever says that it is an array (NumPy's, h5py's, JAX's, CuPy's) is read as one, never row by
  row.
"""

from __future__ import annotations

from sanreid.images.headers import picture_size
from sanreid.images.reading import Color, ImageSource, load_crop, load_image
from sanreid.images.sequences import find_images, is_one_image, iterate_images
from sanreid.utils.image_files import IMAGE_SUFFIXES

__all__ = [
    "IMAGE_SUFFIXES",
    "Color",
    "ImageSource",
    "find_images",
    "is_one_image",
    "iterate_images",
    "load_crop",
    "load_image",
    "picture_size",
]
