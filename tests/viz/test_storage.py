"""Pictures on disk: the format by the name, whole or not at all."""

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
def test_the_suffix_chooses_the_format(tmp_path, name, kind):
    save_picture(RED, tmp_path / name)
    with Image.open(tmp_path / name) as image:
        assert image.format == kind
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("name", ["a.gif", "picture"])
def test_another_suffix_is_refused(tmp_path, name):
    with pytest.raises(InputError, match=r"\.png, \.jpg, .*got the file name"):
        save_picture(RED, tmp_path / name)


@pytest.mark.parametrize(("name", "kind"), [("a.jpg", "JPEG"), ("a.webp", "WEBP")])
def test_a_format_holds_so_much_and_no_more(tmp_path, name, kind):
    most = _MOST_PX[kind]
    save_picture(Image.new("RGB", (1, most)), tmp_path / name)  # the limit is the encoder's own
    with pytest.raises(InputError, match=rf"{kind} holds at most {most:,} .* 1 x {most + 1:,}"):
        save_picture(Image.new("RGB", (1, most + 1)), tmp_path / name)
    with Image.open(tmp_path / name) as image:
        assert image.height == most  # as it was
    save_picture(Image.new("RGB", (1, most + 1)), tmp_path / "a.png")


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "L", "CMYK", "1"])
def test_any_mode_becomes_a_jpeg_and_the_transparent_white(tmp_path, mode):
    empty = {"RGBA": (0, 0, 0, 0), "LA": (0, 0), "CMYK": (0, 0, 0, 0), "L": 255, "1": 1}
    picture = Image.new(mode, (8, 8), empty.get(mode, 0))
    if mode == "P":
        picture.info["transparency"] = 0
    save_picture(picture, tmp_path / "a.jpg")
    with Image.open(tmp_path / "a.jpg") as image:
        assert image.getpixel((4, 4)) == (255, 255, 255)


def test_an_interrupt_leaves_what_was_there(tmp_path, monkeypatch):
    place = tmp_path / "a.png"
    save_picture(RED, place)
    before = place.read_bytes()

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(Image.Image, "save", interrupted)
    with pytest.raises(KeyboardInterrupt):
        save_picture(RED, place)
    assert place.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]
