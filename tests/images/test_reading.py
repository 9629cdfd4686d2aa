"""Reading images: every kind of source, every mode of file, and what is refused."""

from __future__ import annotations

import contextlib
import io
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageFile
from PIL.ImageFile import ImageFile as FileImage

from sanreid.errors import ImageError, InputError
from sanreid.images import find_images, is_one_image, iterate_images, load_crop, load_image

SIZE = (24, 12)  # (height, width), neither square nor a divisor of the pictures


def picture(height=31, width=17, seed=0):
    """A smooth picture, so that JPEG and resizing change it little."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (5, 4, 3), dtype=np.uint8))
    return coarse.resize((width, height), Image.Resampling.BICUBIC)


def encoded(image, kind="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def same_picture(tmp_path):
    """One picture as every kind of source."""
    image = picture()
    array = np.asarray(image)
    path = tmp_path / "a.png"
    image.save(path)
    chw = torch.from_numpy(array.copy()).permute(2, 0, 1)
    return {
        "str path": str(path),
        "Path": path,
        "bytes": path.read_bytes(),
        "bytearray": bytearray(path.read_bytes()),
        "memoryview": memoryview(path.read_bytes()),
        "lazy PIL": Image.open(io.BytesIO(path.read_bytes())),
        "PIL": image,
        "array": array,
        "array in Fortran order": np.asfortranarray(array),
        "reversed view": np.ascontiguousarray(array[::-1])[::-1],
        "float32 array": (array / 255).astype(np.float32),
        "float64 array": array / 255,
        "float16 array": (array / 255).astype(np.float16),
        "tensor": chw,
        "contiguous tensor": chw.contiguous(),
        "float tensor": chw.float() / 255,
        "float64 tensor": chw.double() / 255,
        "float16 tensor": (chw.float() / 255).half(),
        "tensor with gradient": (chw.float() / 255).requires_grad_(),
    }


def test_every_kind_of_source_gives_the_same_pixels(tmp_path):
    wanted = np.asarray(picture())
    wanted_crop = np.asarray(picture().resize((12, 24), Image.Resampling.BILINEAR))
    for name, source in same_picture(tmp_path).items():
        np.testing.assert_array_equal(load_image(source), wanted, err_msg=name)
        np.testing.assert_array_equal(load_crop(source, SIZE), wanted_crop, err_msg=name)


def test_the_callers_data_is_not_changed(tmp_path):
    sources = same_picture(tmp_path)
    array, tensor, image = (
        sources["array"].copy(),
        sources["tensor"].clone(),
        sources["PIL"].copy(),
    )
    for color in ("rgb", "bgr"):
        for name in ("array", "tensor", "PIL"):
            load_crop(sources[name], SIZE, color=color)
            load_crop(sources[name], (31, 17), color=color)
    np.testing.assert_array_equal(sources["array"], array)
    assert torch.equal(sources["tensor"], tensor)
    assert sources["PIL"].tobytes() == image.tobytes()


def test_a_bfloat16_tensor_is_read():
    # 0, 0.5 and 1 are exact in bfloat16; 127.5 goes to the even 128.
    tensor = torch.tensor([0.0, 0.5, 1.0], dtype=torch.bfloat16).reshape(3, 1, 1)
    assert load_image(tensor).tolist() == [[[0, 128, 255]]]


def test_floats_are_rounded_not_cut():
    values = np.array([[[0.9 / 255, 1.4 / 255, 254.6 / 255]]])
    assert load_image(values).tolist() == [[[1, 1, 255]]]


def test_bgr_turns_arrays_and_tensors_but_not_files():
    image = picture()
    array = np.asarray(image)
    bgr = np.ascontiguousarray(array[:, :, ::-1])
    np.testing.assert_array_equal(load_image(bgr, color="bgr"), array)
    chw = torch.from_numpy(bgr).permute(2, 0, 1)
    np.testing.assert_array_equal(load_image(chw, color="bgr"), array)
    np.testing.assert_array_equal(load_image(image, color="bgr"), array)
    np.testing.assert_array_equal(load_image(encoded(image), color="bgr"), array)
    grey = array[:, :, 0]
    np.testing.assert_array_equal(load_image(grey, color="bgr"), load_image(grey))


def test_an_unknown_color_is_refused():
    with pytest.raises(InputError, match="color must be 'rgb' or 'bgr'; got 'hsv'"):
        load_image(np.zeros((4, 4, 3), np.uint8), color="hsv")


# ------------------------------------------------------------------ modes of files


@pytest.mark.parametrize(
    "source", ["array", "array with one channel", "tensor", "chw", "PIL", "L"]
)
def test_grey_becomes_three_equal_channels(source):
    grey = np.asarray(picture().convert("L"))
    sources = {
        "array": grey,
        "array with one channel": grey[:, :, None],
        "tensor": torch.from_numpy(grey.copy()),
        "chw": torch.from_numpy(grey.copy())[None],
        "PIL": Image.fromarray(grey),
        "L": encoded(Image.fromarray(grey)),
    }
    np.testing.assert_array_equal(load_image(sources[source]), np.stack([grey] * 3, axis=2))


def test_one_bit_pictures():
    image = Image.fromarray(np.array([[0, 255], [255, 0]], np.uint8)).convert("1")
    assert load_image(encoded(image))[:, :, 1].tolist() == [[0, 255], [255, 0]]


def test_a_palette_is_looked_up():
    image = picture().quantize(16)
    np.testing.assert_array_equal(load_image(encoded(image)), np.asarray(image.convert("RGB")))


def rgba_over_white():
    # Opaque red stays; a blue of 20 % covers white: 255 - 0.2 * 255 = 204; nothing is white.
    pixels = np.array([[[255, 0, 0, 255], [0, 0, 255, 51], [9, 9, 9, 0]]], np.uint8)
    return Image.fromarray(pixels), [[[255, 0, 0], [204, 204, 255], [255, 255, 255]]]


def test_the_transparent_value_of_a_16_bit_picture_is_white():
    grey = Image.fromarray(np.array([[0, 65535], [257, 512]], np.uint16))
    data = encoded(grey, transparency=257)
    assert Image.open(io.BytesIO(data)).info["transparency"] == 257
    assert load_image(data)[:, :, 1].tolist() == [[0, 255], [255, 2]]


def test_transparency_is_laid_over_white():
    image, wanted = rgba_over_white()
    assert load_image(image).tolist() == wanted
    assert load_image(encoded(image)).tolist() == wanted


def test_an_opaque_alpha_channel_changes_nothing():
    image = picture()
    rgba = image.copy()
    rgba.putalpha(255)
    np.testing.assert_array_equal(load_image(encoded(rgba)), np.asarray(image))


def test_a_transparent_colour_of_a_palette_becomes_white():
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.putpixel((1, 0), 1)
    assert load_image(encoded(image, transparency=1)).tolist() == [[[10, 20, 30], [255, 255, 255]]]


def test_grey_with_alpha():
    image = Image.fromarray(np.array([[[100, 255], [0, 0]]], np.uint8))
    assert load_image(encoded(image)).tolist() == [[[100] * 3, [255] * 3]]


def test_cmyk_is_converted(tmp_path):
    image = picture()
    path = tmp_path / "cmyk.jpg"
    image.convert("CMYK").save(path, quality=100, subsampling=0)
    assert np.abs(load_image(path).astype(int) - np.asarray(image)).max() <= 6  # JPEG's rounding


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bits_are_scaled_not_clipped(kind):
    # 257 * 100 is the 16-bit 100; 65535 / 257 = 255; 300 / 257 = 1.17 rounds to 1.
    values = np.array([[0, 300, 25700, 65535]], np.uint16)
    image = Image.fromarray(values)
    assert image.mode == "I;16"
    assert load_image(image)[0, :, 0].tolist() == [0, 1, 100, 255]
    assert load_image(encoded(image, kind))[0, :, 2].tolist() == [0, 1, 100, 255]


def test_big_endian_sixteen_bits():
    image = Image.frombytes("I;16B", (2, 1), np.array([25700, 65535], ">u2").tobytes())
    assert load_image(image)[0, :, 0].tolist() == [100, 255]


def test_32_bit_grey_is_taken_for_16_bits_or_refused():
    assert load_image(Image.fromarray(np.array([[25700]], np.int32))).tolist() == [[[100] * 3]]
    with pytest.raises(ImageError, match="reach from 0 to 70000; 16-bit grey"):
        load_image(Image.fromarray(np.array([[0, 70000]], np.int32)))


def test_a_float_picture_must_lie_in_0_to_1():
    assert load_image(Image.fromarray(np.array([[0.2]], np.float32))).tolist() == [[[51] * 3]]
    with pytest.raises(ImageError, match=r"reach from 0.2 to 3; wanted \[0, 1\]"):
        load_image(encoded(Image.fromarray(np.array([[0.2, 3]], np.float32)), "TIFF"))


@pytest.mark.parametrize("mode", ["YCbCr", "HSV"])
def test_other_colour_spaces_are_converted(mode):
    image = picture().convert(mode)
    np.testing.assert_array_equal(load_image(image), np.asarray(image.convert("RGB")))


def test_a_mode_that_pillow_cannot_convert_is_refused(monkeypatch):
    def convert(self, mode):
        raise ValueError("conversion not supported")

    monkeypatch.setattr(Image.Image, "convert", convert)
    with pytest.raises(ImageError, match="Cannot read the image: .*conversion not supported"):
        load_image(Image.new("LAB", (2, 2)))


def test_the_first_frame_of_a_moving_picture_counts():
    frames = [Image.new("RGB", (4, 4), color) for color in ("red", "blue")]
    gif = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert load_image(gif)[0, 0].tolist() == [255, 0, 0]


# ----------------------------------------------------------------------- EXIF

# What each orientation means for the stored rows and columns (EXIF 2.3, tag 0x0112).
UPRIGHT = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a.transpose(1, 0, 2)[::-1, ::-1],
    8: lambda a: np.rot90(a, 1),
}


@pytest.mark.parametrize("orientation", UPRIGHT)
def test_exif_turn(orientation, tmp_path):
    image = picture()
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "turned.png"
    image.save(path, exif=exif)
    wanted = UPRIGHT[orientation](np.asarray(image))
    np.testing.assert_array_equal(load_image(path), wanted)
    np.testing.assert_array_equal(load_image(path.read_bytes()), wanted)
    with Image.open(path) as opened:
        np.testing.assert_array_equal(load_image(opened), wanted)
        assert opened.getexif()[0x0112] == orientation  # the caller's image is as it was


def test_an_unknown_orientation_turns_nothing():
    exif = Image.Exif()
    exif[0x0112] = 77
    np.testing.assert_array_equal(load_image(encoded(picture(), exif=exif)), np.asarray(picture()))


def test_damaged_exif_does_not_lose_the_picture(monkeypatch):
    def broken(self):
        raise SyntaxError("not a TIFF file")

    monkeypatch.setattr(FileImage, "getexif", broken)
    np.testing.assert_array_equal(load_image(encoded(picture())), np.asarray(picture()))


# ------------------------------------------------------------------ what is refused


def refused(source, match, **options):
    with pytest.raises(ImageError, match=match) as caught:
        load_image(source, **options)
    return str(caught.value)


def test_files_that_are_none(tmp_path):
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "text.jpg").write_text("not a picture")
    refused(tmp_path / "none.jpg", r"Cannot read '.*none\.jpg': there is no such file")
    refused(str(tmp_path / "none.jpg"), r"Cannot read '.*none\.jpg': there is no such file")
    refused(tmp_path / "empty.jpg", r"'.*empty\.jpg': the file is empty \(0 bytes\)")
    refused(tmp_path / "text.jpg", r"'.*text\.jpg': it is not an image of a known format")
    refused(tmp_path, r"it is a folder; encode_files\(\) takes folders")
    refused("", "Cannot read '': the path is empty")
    refused("a\0b.jpg", "null")
    refused("x" * 5000, "[Ff]ile name too long")
    refused(b"", r"the image: it is empty \(0 bytes\)")
    refused(b"no picture", "it is not an image of a known format")
    refused(b"no picture", "image 3 of the input: it is not", position="image 3 of the input")
    refused(
        tmp_path / "no", r"image 3 of the input, '.*no': there", position="image 3 of the input"
    )


@pytest.mark.skipif(sys.platform == "win32", reason="no such device file there")
def test_a_device_file_is_refused():
    refused("/dev/null", "it is not a regular file")


def test_a_file_that_may_not_be_read(tmp_path, monkeypatch):
    path = tmp_path / "closed.png"
    path.write_bytes(encoded(picture()))

    def denied(self, *args, **kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", denied)
    refused(path, r"closed\.png': Permission denied\.")


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "BMP", "WEBP", "TIFF", "GIF"])
def test_truncated_files(kind, tmp_path):
    path = tmp_path / "cut"
    data = encoded(picture(200, 100), kind)
    path.write_bytes(data[: len(data) // 2])
    refused(path, "Cannot read '.*cut': ")
    refused(data[: len(data) // 2], "Cannot read the image: ")
    path.write_bytes(data[:12])
    refused(path, "Cannot read '.*cut': ")


def test_a_truncated_jpeg_says_so():
    data = encoded(picture(200, 100), "JPEG")
    refused(data[:-300], "damaged or cut short")


def test_a_header_that_makes_pillow_stumble(monkeypatch):
    def stumble(*args, **kwargs):
        raise ValueError("bad header")

    monkeypatch.setattr(Image, "open", stumble)
    refused(b"x", r"its header is damaged \(bad header\)")


@pytest.mark.parametrize("limit", [100, 400])  # 527 pixels: an error of Pillow's, a warning
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_a_decompression_bomb_is_refused(limit, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    message = refused(
        encoded(picture()), f"Pillow's limit of {limit}, so it may be a decompression"
    )
    assert "MAX_IMAGE_PIXELS" in message


def test_a_decompression_bomb_where_warnings_are_errors(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 400)
    refused(encoded(picture()), "decompression bomb")


def test_no_limit_is_the_users_choice(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    assert load_image(encoded(picture())).shape == (31, 17, 3)


def load_in_two_threads(sources, monkeypatch, *, patience_s):
    """Load both at once; give the most threads that were in Pillow's decoder together."""
    load, inside, most = FileImage.load, [], []
    both = threading.Barrier(2)

    def slow(image):
        if not image.tile:  # decoded already
            return load(image)
        inside.append(image)
        with contextlib.suppress(threading.BrokenBarrierError):
            both.wait(timeout=patience_s)
        most.append(len(inside))
        try:
            return load(image)
        finally:
            inside.pop()

    monkeypatch.setattr(FileImage, "load", slow)
    with ThreadPoolExecutor(2) as threads:
        arrays = list(threads.map(load_image, sources))
    monkeypatch.undo()
    np.testing.assert_array_equal(arrays[0], arrays[1])
    return max(most)


def test_files_are_decoded_side_by_side(tmp_path, monkeypatch):
    paths = [tmp_path / "a.png", tmp_path / "b.png"]
    for path in paths:
        picture().save(path)
    assert load_in_two_threads(paths, monkeypatch, patience_s=10) == 2


def test_one_pil_image_is_decoded_in_one_thread_at_a_time(tmp_path, monkeypatch):
    picture().save(tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as lazy:
        assert load_in_two_threads([lazy, lazy], monkeypatch, patience_s=0.2) == 1


def test_pillows_global_settings_stay():
    before = (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES)
    load_image(encoded(picture()))
    refused(encoded(picture(), "JPEG")[:200], "Cannot read")
    assert before == (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES)


@pytest.mark.parametrize(
    ("array", "match"),
    [
        (np.zeros((3, 8, 6), np.uint8), r"\(3, 8, 6\); wanted \(H, W, 3\).*transpose\(1, 2, 0\)"),
        (np.zeros((8, 6, 4), np.uint8), r"\(8, 6, 4\).*Drop the fourth channel"),
        (np.zeros((8, 6, 2), np.uint8), r"\(8, 6, 2\); wanted \(H, W, 3\) or \(H, W\)\.$"),
        (np.zeros(5, np.uint8), r"shape \(5,\)"),
        (np.uint8(5), r"uint8|shape \(\)"),
        (np.zeros((2, 8, 6, 3), np.uint8), r"shape \(2, 8, 6, 3\)"),
        (np.zeros((0, 6, 3), np.uint8), "no pixels"),
        (
            np.zeros((8, 6, 3), np.int64),
            r"values of type int64; wanted uint8 or float in \[0, 1\]",
        ),
        (np.zeros((8, 6, 3), np.uint16), "values of type uint16"),
        (np.zeros((8, 6, 3), bool), "values of type bool"),
        (np.full((8, 6, 3), np.nan), "not all finite"),
        (np.full((8, 6, 3), np.inf), "not all finite"),
        (np.full((8, 6, 3), -0.01), r"reach from -0.01 to -0.01; wanted \[0, 1\]"),
        (np.full((8, 6, 3), 1.01), r"reach from 1.01 to 1.01; wanted \[0, 1\].*as uint8"),
        (np.full((8, 6, 3), 300.0), r"reach from 300 to 300; wanted \[0, 1\]\.$"),
    ],
)
def test_arrays_that_are_no_image(array, match):
    refused(array, match)


def test_float_rounding_beyond_the_ends_is_forgiven():
    assert load_image(np.full((1, 1), 1 + 1e-7)).max() == 255
    assert load_image(np.full((1, 1), -1e-7)).max() == 0


@pytest.mark.parametrize(
    ("tensor", "match"),
    [
        (
            torch.zeros(8, 6, 3),
            r"tensor of shape \(8, 6, 3\); wanted \(3, H, W\).*permute\(2, 0, 1",
        ),
        (torch.zeros(4, 8, 6), r"\(4, 8, 6\); wanted \(3, H, W\)\.$"),
        (torch.zeros(2, 3, 8, 6), r"\(2, 3, 8, 6\)"),
        (torch.zeros(5), r"\(5,\)"),
        (torch.zeros(3, 0, 6), "no pixels"),
        (torch.zeros(3, 8, 6, dtype=torch.int32), "values of type int32"),
        (torch.full((3, 8, 6), torch.nan), "not all finite"),
        (torch.full((3, 8, 6), 2.0), "reach from 2 to 2"),
        (torch.zeros(3, 8, 6, device="meta"), "has no plain values"),
        (torch.zeros(8, 6).to_sparse(), "has no plain values"),
    ],
)
def test_tensors_that_are_no_image(tensor, match):
    refused(tensor, match)


@pytest.mark.parametrize("value", [None, 3, 2.5, object(), [1, 2], {"a": 1}])
def test_values_that_are_no_image(value):
    refused(value, f"got {type(value).__name__}; an image is a path")


def test_an_empty_pil_image_is_refused():
    refused(Image.new("RGB", (0, 5)), "no pixels")


def test_objects_that_give_an_array():
    class Frame:
        def __array__(self, dtype=None, copy=None):
            return np.full((2, 2, 3), 7, np.uint8)

    assert load_image(Frame()).tolist() == [[[7] * 3] * 2] * 2


# --------------------------------------------------------------- one or several


@pytest.mark.parametrize(
    ("images", "one"),
    [
        ("a.jpg", True),
        (Path("a.jpg"), True),
        (b"", True),
        (Image.new("RGB", (2, 2)), True),
        (np.zeros((2, 2)), True),
        (np.zeros((2, 2, 3)), True),
        (np.zeros(5), True),  # refused when read
        (np.zeros((4, 2, 2, 3)), False),
        (np.zeros((0, 2, 2, 3)), False),
        (np.array([]), False),
        (np.array("a.jpg", dtype=object), True),
        (np.array(["a.jpg", "b.jpg"]), False),
        (np.array([Path("a.jpg")], dtype=object), False),
        (torch.zeros(3, 2, 2), True),
        (torch.zeros(4, 3, 2, 2), False),
        (torch.zeros(0), False),
        ([], False),
        (["a.jpg"], False),
        (iter(["a.jpg"]), False),
    ],
)
def test_one_or_several(images, one):
    assert is_one_image(images) is one
    given = iterate_images(images)
    assert (given is images) is not one


@pytest.mark.parametrize("images", [None, 5, {"a.jpg": 1}, {"a.jpg"}, io.BytesIO(b"a")])
def test_neither_one_nor_several(images):
    with pytest.raises(ImageError, match=f"sequence of images; got {type(images).__name__}"):
        iterate_images(images)


# ------------------------------------------------------------------------ folders


def test_a_folder_means_its_images(tmp_path):
    for name in ("b.png", "a/2.JPG", "a/1.jpeg", "a/notes.txt", ".hidden/x.jpg", "a/.y.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "c.jpg").mkdir()  # a folder by the name of a picture
    found = [path.relative_to(tmp_path).as_posix() for path in find_images(tmp_path)]
    assert found == ["a/1.jpeg", "a/2.JPG", "b.png"]


def test_a_hidden_parent_does_not_hide_the_folder(tmp_path):
    folder = tmp_path / ".cache" / "crops"
    folder.mkdir(parents=True)
    (folder / "a.jpg").touch()
    assert find_images(str(folder)) == [folder / "a.jpg"]


def test_a_folder_without_images(tmp_path):
    with pytest.raises(InputError, match=r"The folder '.*' holds no image files \(.avif, .bmp"):
        find_images(tmp_path)


def test_reading_images_loads_no_torch():
    code = "import sys, sanreid.images; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
