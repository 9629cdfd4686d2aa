"""Pictures on disk: the format by the name, whole or not at all."""

from __future__ import annotations

import pytest
from PIL import Image

from sanreid.errors import InputError
from sanreid.viz import save_picture

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
