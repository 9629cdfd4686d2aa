"""Sample crops: named as reID data, chosen by number, and the packaged ones made again."""

from __future__ import annotations

import io
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from sanreid.datasets import read_crops
from sanreid.errors import InputError
from sanreid.train.pit.generate import samples
from sanreid.train.pit.generate.pairs import PairSettings
from sanreid.train.pit.generate.samples import write_crops
from tests.people import SAMPLES


def test_sample_crops_have_reid_names(studio, tmp_path):
    settings = PairSettings(3, 1, adults_only=True)
    all_of_them = write_crops(studio, settings, tmp_path / "all", height=128)
    assert [path.name for path in all_of_them] == [
        "0001_c1_rendered_0.jpg", "0002_c1_rendered_0.jpg", "0003_c1_rendered_0.jpg",
    ]  # fmt: skip
    with Image.open(all_of_them[0]) as crop:
        assert crop.size == (64, 128)
    assert sorted(read_crops(tmp_path / "all").pids.tolist()) == [1, 2, 3]
    chosen = write_crops(studio, settings, tmp_path / "two", people=[3, 1], height=128)
    assert [path.name for path in chosen] == ["0001_c1_rendered_0.jpg", "0002_c1_rendered_0.jpg"]
    assert chosen[0].read_bytes() == all_of_them[2].read_bytes()
    assert chosen[1].read_bytes() == all_of_them[0].read_bytes()


def test_a_sample_that_was_cut_short_has_no_name(tmp_path, monkeypatch):
    jpeg = io.BytesIO()
    Image.new("RGB", (8, 16)).save(jpeg, "JPEG")
    pair = SimpleNamespace(jpeg=jpeg.getvalue())
    monkeypatch.setattr(samples, "make_identity", lambda *_: None)
    monkeypatch.setattr(samples, "make_pair", lambda *_: pair)

    def full(_image, file, *_, **__):
        file.write(b"cut")
        raise OSError("No space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    with pytest.raises(OSError, match="No space"):
        write_crops(None, PairSettings(1, 1), tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("number", [0, 4])
def test_people_that_are_not_there_are_refused(number, tmp_path):
    with pytest.raises(InputError, match=f"the 3 identities, numbered from 1; got {number}"):
        write_crops(None, PairSettings(3, 1), tmp_path / "crops", people=[1, number])
    assert not (tmp_path / "crops").exists()


@pytest.mark.slow
def test_the_packaged_samples_are_made_by_the_command_beside_them(studio, tmp_path):
    command = next(
        line for line in (SAMPLES / "README.md").read_text().splitlines() if "pit crops" in line
    )
    words = command.split()

    def numbers(name):
        values = words[words.index(name) + 1 :]
        ends = [i for i, word in enumerate(values) if word.startswith("--")]
        return [int(word) for word in values[: ends[0] if ends else None]]

    settings = PairSettings(
        *numbers("--identities"), *numbers("--images-per-identity"), *numbers("--seed"),
        adults_only=True,
    )  # fmt: skip
    made = write_crops(studio, settings, tmp_path, people=numbers("--people"))
    packaged = sorted(SAMPLES.glob("*.jpg"))
    assert [path.name for path in made] == [path.name for path in packaged]
    for ours, theirs in zip(made, packaged, strict=True):
        a = np.asarray(Image.open(ours), dtype=float)
        b = np.asarray(Image.open(theirs), dtype=float)
        # Another processor or Pillow may round or compress by a level differently.
        assert np.abs(a - b).mean() < 1.0, ours.name
