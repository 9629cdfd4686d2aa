"""Saving pictures: the suffix selects the format; files are written atomically."""

from __future__ import annotations

import pytest
from PIL import Image

from sanreid.errors import InputError
from sanreid.viz import save_picture
from sanreid.viz.storage import _MOST_PX

RED = Image.new("RGB", (8, 8), (250, 0, 0))


@pytest.mark.parametrize(
    ("name", "kind"), [("a.png", "PNG"), ("a.jpg", "JPEG"), ("a.JPEG", "JPEG"), ("a.webp", "WEBP")]
)
def test_the_suffix_selects_the_format(tmp_path, name, kind):
    save_picture(RED, tmp_path / name)
    with Image.open(tmp_path / name) as image:
        assert image.format == kind
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("name", ["a.gif", "picture"])
def test_other_suffixes_are_rejected(tmp_path, name):
    with pytest.raises(InputError, match=r"\.png, \.jpg, .*got the file name"):
        save_picture(RED, tmp_path / name)


@pytest.mark.parametrize(("name", "kind"), [("a.jpg", "JPEG"), ("a.webp", "WEBP")])
def test_formats_have_a_maximum_size(tmp_path, name, kind):
    most = _MOST_PX[kind]
    save_picture(Image.new("RGB", (1, most)), tmp_path / name)  # the limit of the encoder
    with pytest.raises(InputError, match=rf"{kind} holds at most {most:,} .* 1 x {most + 1:,}"):
        save_picture(Image.new("RGB", (1, most + 1)), tmp_path / name)
    with Image.open(tmp_path / name) as image:
        assert image.height == most  # unchanged
    save_picture(Image.new("RGB", (1, most + 1)), tmp_path / "a.png")


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "L", "CMYK", "1"])
def test_any_mode_is_saved_as_jpeg_with_transparency_as_white(tmp_path, mode):
    empty = {"RGBA": (0, 0, 0, 0), "LA": (0, 0), "CMYK": (0, 0, 0, 0), "L": 255, "1": 1}
    picture = Image.new(mode, (8, 8), empty.get(mode, 0))
    if mode == "P":
        picture.info["transparency"] = 0
    save_picture(picture, tmp_path / "a.jpg")
    with Image.open(tmp_path / "a.jpg") as image:
        assert image.getpixel((4, 4)) == (255, 255, 255)


def test_an_interrupt_keeps_the_previous_file(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    save_picture(RED, path)
    before = path.read_bytes()

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(Image.Image, "save", interrupted)
    with pytest.raises(KeyboardInterrupt):
        save_picture(RED, path)
    assert path.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]
