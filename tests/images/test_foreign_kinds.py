"""Arrays of other libraries, closed and turned PIL images, what is no picture."""

from __future__ import annotations

import base64
import contextlib
import io
import subprocess
import sys
import tempfile

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageOps

from sanreid.errors import ImageError, InputError
from sanreid.images import is_one_image, iterate_images, load_crop, load_image
from sanreid.images.sources import expand_paths
from tests.images.test_reading import encoded, picture

h5py = pytest.importorskip("h5py")


class OnlyArray:
    """An object that says it is an array and nothing else."""

    def __init__(self, values):
        self.values = values

    def __array__(self, dtype=None, copy=None):
        return np.asarray(self.values, dtype=dtype)


class Rows(OnlyArray):
    """One that can be iterated too, as most can: a naive reader sees its rows."""

    def __iter__(self):
        return iter(self.values)

    def __len__(self):
        return len(self.values)


class Interface:
    def __init__(self, values):
        self.values = values
        self.__array_interface__ = values.__array_interface__
        self.shape, self.dtype = values.shape, values.dtype

    def __iter__(self):
        return iter(self.values)


class OnTheDevice:
    """As CuPy's: implicit copies are refused, get() makes one."""

    def __init__(self, values):
        self.values, self.shape, self.dtype = values, values.shape, values.dtype
        self.__cuda_array_interface__ = {}

    def __array__(self, dtype=None, copy=None):
        raise TypeError("Implicit conversion to a NumPy array is not allowed")

    def __iter__(self):
        return iter(self.values)

    def get(self):
        return self.values


class Decord:
    """As decord's NDArray: shape, dtype and asnumpy(), no __array__."""

    shape = dtype = None

    def __init__(self, values):
        self.values, self.shape, self.dtype = values, values.shape, str(values.dtype)

    def __iter__(self):
        return iter(self.values)

    def asnumpy(self):
        return self.values


@contextlib.contextmanager
def hdf5(values):
    with h5py.File("x", "w", driver="core", backing_store=False) as file:
        file["crop"] = values
        yield file["crop"]


KINDS = {
    "h5py": hdf5,
    "only __array__": lambda v: contextlib.nullcontext(OnlyArray(v)),
    "rows": lambda v: contextlib.nullcontext(Rows(v)),
    "interface": lambda v: contextlib.nullcontext(Interface(v)),
    "on the device": lambda v: contextlib.nullcontext(OnTheDevice(v)),
    "decord": lambda v: contextlib.nullcontext(Decord(v)),
    "memory-mapped": lambda v: contextlib.nullcontext(v.view(np.memmap)),
}


@pytest.mark.parametrize("kind", KINDS)
def test_what_says_it_is_an_array_is_one_image(kind):
    pixels = np.asarray(picture())
    with KINDS[kind](pixels) as value:
        assert is_one_image(value)
        assert list(iterate_images(value)) == [value]
        np.testing.assert_array_equal(load_image(value), pixels)
        assert load_crop(value, (8, 4)).shape == (8, 4, 3)


@pytest.mark.parametrize("kind", KINDS)
def test_a_four_dimensional_one_is_a_sequence(kind):
    batch = np.stack([np.asarray(picture(seed=seed)) for seed in (1, 2)])
    with KINDS[kind](batch) as value:
        if kind == "decord":  # has no way to be read but whole
            assert not is_one_image(value)
        for image, wanted in zip(iterate_images(value), batch, strict=True):
            np.testing.assert_array_equal(load_image(image), wanted)


@pytest.mark.parametrize(
    "values",
    [
        pd.Series(["a.jpg", "b.jpg"]),
        pd.Index(["a.jpg", "b.jpg"]),
        np.array(["a.jpg", "b.jpg"]),
        np.array([b"1", b"2"], dtype=object),
        pd.Series(["a.jpg", "b.jpg"], dtype="string"),
    ],
)
def test_arrays_of_paths_are_sequences(values):
    assert not is_one_image(values)
    assert len(list(iterate_images(values))) == 2


def test_a_table_is_no_sequence_of_images():
    with pytest.raises(ImageError, match="sequence of images; got DataFrame of shape"):
        iterate_images(pd.DataFrame({"path": ["a.jpg"]}))


@pytest.mark.parametrize("kind", [Image.Image, np.ndarray])
def test_a_class_is_no_image(kind):
    with pytest.raises(ImageError, match="got the class "):
        load_image(kind)


def test_an_array_of_no_dimensions_holds_its_one_source(tmp_path):
    picture().save(tmp_path / "a.png")
    for dtype in (str, object):
        source = np.array(str(tmp_path / "a.png"), dtype=dtype)
        np.testing.assert_array_equal(load_image(source), np.asarray(picture()))


def test_a_data_set_of_a_closed_file_is_an_error_of_ours():
    with hdf5(np.asarray(picture())) as value:
        pass
    with pytest.raises(ImageError, match="Cannot read"):
        is_one_image(value)
    with pytest.raises(ImageError, match="Cannot read"):
        load_image(value)


# ----------------------------------------------------------------------- open files


OPENERS = {
    "BytesIO": lambda path: io.BytesIO(path.read_bytes()),
    "StringIO": lambda path: io.StringIO("a.jpg"),
    "binary": lambda path: path.open("rb"),
    "text": lambda path: path.open("r", encoding="latin-1"),
    "unbuffered": io.FileIO,
    "spooled": lambda path: tempfile.SpooledTemporaryFile(),  # noqa: SIM115 - the test closes it
}


@pytest.mark.parametrize("kind", OPENERS)
def test_an_open_file_is_refused_with_the_way_out(tmp_path, kind):
    picture().save(tmp_path / "a.png")
    with OPENERS[kind](tmp_path / "a.png") as file:
        for read in (load_image, iterate_images):
            with pytest.raises(ImageError, match=r"an open file: .*read\(\)"):
                read(file)
        for paths in (file, [file]):
            with pytest.raises(InputError, match="path"):
                expand_paths(paths, collect=True)


# ------------------------------------------------------------------ closed PIL images


def after_with(path):
    with Image.open(path) as image:
        pass
    return image


def after_close(path):
    image = Image.open(path)
    image.close()
    return image


def loaded_and_closed(path):
    image = Image.open(path)
    image.load()
    image.close()
    return image


def its_file_closed(path):
    with path.open("rb") as file:
        return Image.open(file)


def its_bytes_closed(path):
    with io.BytesIO(path.read_bytes()) as file:
        return Image.open(file)


@pytest.mark.parametrize(
    "make",
    [
        after_with,
        after_close,
        loaded_and_closed,
        its_file_closed,
        its_bytes_closed,
    ],
)
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif"])
def test_a_closed_image_is_called_closed(tmp_path, make, suffix):
    path = tmp_path / f"a{suffix}"
    picture().save(path)
    with pytest.raises(ImageError, match="the PIL image is closed.*inside the 'with' block"):
        load_image(make(path))


# ------------------------------------------------------------ turned by hand already


def stored(tmp_path, orientation, *, with_size=True):
    """A picture 31 high and 17 wide, as stored, with the turn in EXIF."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    if with_size:
        exif.get_ifd(0x8769).update({0xA002: 17, 0xA003: 31})
    picture().save(tmp_path / "a.png", exif=exif)
    return tmp_path / "a.png"


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_an_image_turned_by_hand_is_not_turned_again(tmp_path, orientation):
    path = stored(tmp_path, orientation)
    turn = {5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_270,
            7: Image.Transpose.TRANSVERSE, 8: Image.Transpose.ROTATE_90}[orientation]  # fmt: skip
    upright = load_image(path)
    with Image.open(path) as image:
        for turned in (
            image.transpose(turn),
            image.convert("RGB").transpose(turn),
            ImageOps.exif_transpose(image),
            ImageOps.exif_transpose(image).convert("RGB"),
        ):
            np.testing.assert_array_equal(load_image(turned), upright)
        for derived in (image, image.convert("RGB"), image.copy()):  # not turned yet
            np.testing.assert_array_equal(load_image(derived), upright)


def test_without_the_stored_size_an_image_is_turned_as_its_file_is(tmp_path):
    path = stored(tmp_path, 6, with_size=False)
    with Image.open(path) as image:
        np.testing.assert_array_equal(load_image(image.convert("RGB")), load_image(path))


# --------------------------------------------------------- texts and files of others

JPEG = encoded(picture(), "JPEG")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("data:image/jpeg;base64," + base64.b64encode(JPEG * 900).decode(), "a data URL"),
        ("data:image/png;base64,iVBORw0KGgo=", "a data URL"),
        (base64.b64encode(JPEG * 900).decode(), "if it is base64 text"),
        (base64.b64encode(JPEG).decode()[:240], "it looks like base64 text|base64"),
        ("https://example.org/a.jpg", "a web address: download it first"),
        ("s3://bucket/a.jpg", "a web address"),
        ("x" * 1_000_000, "File name too long"),
        ("x/" * 100_000, "File name too long"),
    ],
)
def test_a_text_that_is_no_path_is_told_briefly(text, told):
    for source in (text, [text]):
        (one,) = iterate_images(source)
        with pytest.raises(ImageError, match=told) as caught:
            load_image(one)
        assert len(str(caught.value)) < 700
    assert expand_paths([text], collect=True)[1] == []  # reading it says what it is


POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (POINTER, "is a Git LFS pointer, not the file itself: run 'git lfs install'"),
        (b"../.git/annex/objects/x/y/SHA256E-s1--z.jpg\n", "a git-annex pointer"),
        (b"\n<!DOCTYPE html><html><body>404", "is an HTML page, as a failed download leaves"),
        (b"<HTML><head>", "an HTML page"),
        (b"404: Not Found", "a text file that begins with '404: Not Found'"),
        (b'<?xml version="1.0"?><svg xmlns="x">', "an SVG drawing"),
        (b"\0\0\0\x18ftypheic" + bytes(20), "it is HEIC"),
        (b"data:image/png;base64,iVBO", "the text of a data URL"),
        (base64.b64encode(JPEG), "base64 text"),
    ],
)
def test_a_file_that_is_something_else_is_called_so(tmp_path, data, told):
    (tmp_path / "a.jpg").write_bytes(data)
    for source in (data, tmp_path / "a.jpg", bytearray(data), str(tmp_path / "a.jpg")):
        with pytest.raises(ImageError, match=f"not an image of a known format: .*{told}"):
            load_image(source)


def test_the_home_folder_is_expanded(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    picture().save(tmp_path / "a.png")
    np.testing.assert_array_equal(load_image("~/a.png"), np.asarray(picture()))
    assert expand_paths(["~/a.png", "~"], collect=False)[0] == [tmp_path / "a.png"] * 2


# --------------------------------------------------------------------------- memory

MEASURE = """
import resource, sys
from concurrent.futures import ThreadPoolExecutor
from sanreid.images import load_crop
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
with ThreadPoolExecutor(4) as pool:
    list(pool.map(lambda path: load_crop(path, (256, 128)), [sys.argv[1]] * 3))
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in KiB there")
@pytest.mark.parametrize("mode", ["I;16", "RGBA"])
def test_large_images_are_read_in_bounded_memory(tmp_path, mode):
    image = Image.new(mode, (9_000, 9_000))  # 81 million pixels: under Pillow's limit
    image.save(tmp_path / "a.png")
    command = [sys.executable, "-c", MEASURE, str(tmp_path / "a.png")]
    peak_mb = float(subprocess.run(command, capture_output=True, check=True).stdout)
    assert peak_mb < 800, f"{peak_mb:.0f} MB for three at once; one needs 8 bytes per pixel"


@pytest.mark.parametrize("mode", ["I;16", "RGBA", "F", "LA"])
def test_strips_give_the_same_pixels(monkeypatch, mode):
    from sanreid.images import decoding as pillow

    rng = np.random.default_rng(0)
    shape = (31, 17)
    values = {
        "I;16": rng.integers(0, 65536, shape).astype(np.uint16),
        "RGBA": rng.integers(0, 256, (*shape, 4)).astype(np.uint8),
        "LA": rng.integers(0, 256, (*shape, 2)).astype(np.uint8),
        "F": rng.random(shape).astype(np.float32),
    }[mode]
    image = Image.fromarray(values)
    assert image.mode == mode
    whole = load_image(image)
    monkeypatch.setattr(pillow, "_STRIP", 40)  # two rows
    np.testing.assert_array_equal(load_image(image), whole)


def test_sixteen_bits_are_rounded_to_the_nearest():
    values = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    wanted = np.rint(values / 257).astype(np.uint8)
    np.testing.assert_array_equal(load_image(Image.fromarray(values))[:, :, 1], wanted)
