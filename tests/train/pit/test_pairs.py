"""Pairs as training reads them, and as a source of crops with identities and textures."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from sanreid.config import EncoderConfig
from sanreid.datasets import read_crops
from sanreid.errors import DatasetError
from sanreid.train.commands import main
from sanreid.train.config import DecoderConfig, LossConfig, PitConfig, TrainConfig
from sanreid.train.config.data import AugmentationConfig
from sanreid.train.data.pair_batches import PairBatches
from sanreid.train.data.pairs import Pairs
from sanreid.train.textures.store import TextureStore
from sanreid.train.tools.rendered_source import as_source


def test_pairs_are_decoded_once_and_textures_kept_once_an_identity(folder):
    path, kept = folder
    pairs = Pairs(PitConfig(folder=str(path)), size=(256, 128))
    assert (len(pairs), pairs.num_identities) == (6, 3)
    assert pairs.textures.shape == (3, 3, 256, 256)
    images, textures = pairs.batch(torch.tensor([5, 0]))
    for row, number in enumerate((5, 0)):
        crop, pair, texture = kept[number]
        np.testing.assert_array_equal(images[row].permute(1, 2, 0), crop)
        np.testing.assert_array_equal(textures[row].permute(1, 2, 0), np.round(texture * 255))
        np.testing.assert_array_equal(pairs.seen([number])[0, 0], pair.seen)
    small = Pairs(PitConfig(folder=str(path)), size=(64, 32)).batch(torch.tensor([1]))[0]
    wanted = Image.fromarray(kept[1][0]).resize((32, 64), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(small[0].permute(1, 2, 0), wanted)


def test_pairs_know_what_their_pixels_show(folder):
    path, kept = folder
    pairs = Pairs(PitConfig(folder=str(path)), size=(128, 64), with_texels=True)
    texels = pairs.texels_of(torch.tensor([3, 0]))
    assert texels.shape == (2, 128, 64)
    for row, number in enumerate((3, 0)):
        uv = kept[number][1].uv[1::2, 1::2]
        np.testing.assert_array_equal(texels[row] >= 0, uv[..., 0] >= 0)
        body = texels[row] >= 0
        place = np.stack([texels[row] % 256, texels[row] // 256], -1)[body]
        np.testing.assert_allclose((place + 0.5) / 256, uv[body], atol=0.5 / 256 + 1e-6)
    assert Pairs(PitConfig(folder=str(path)), size=(64, 32)).texels_of(torch.tensor([0])) is None


@pytest.mark.parametrize("flip", [0.0, 1.0])
def test_batches_know_what_their_augmented_pixels_show(folder, flip):
    path, _ = folder
    config = TrainConfig(
        encoder=EncoderConfig(backbone="resnet18", input_size=(64, 32)),
        decoder=DecoderConfig(width=32, copy=True),
        pit=PitConfig(folder=str(path), per_batch=6),
        loss=LossConfig(identity=0.0, triplet=0.0, reconstruction=1.0, surface=1.0),
        augmentation=AugmentationConfig(flip=flip, shift=0.0, erasing=0.0),
    )
    batches = PairBatches(config, torch.device("cpu"))
    (indices,) = batches.epoch(0)
    batch = batches.batch(batches.read(indices, number=0), number=0, epoch=0)
    told = batches.pairs.texels_of(indices)
    blocks = [told[:, y::2, x::2] for y in (0, 1) for x in (0, 1)]  # 2 x 2 pixels
    if flip:
        mirror = batches.tables.mirror
        blocks = [torch.where(x >= 0, mirror[x.clamp_min(0)], -1).flip(2) for x in blocks]
    shown = batch.targets.pit_texels
    assert shown.shape == (6, 32, 16)
    assert torch.stack([shown == one for one in blocks]).any(0).all()
    assert (shown >= 0).any()


def test_held_out_identities_are_the_others(folder):
    path, kept = folder
    config = PitConfig(folder=str(path), held_out=1)
    train = Pairs(config, size=(256, 128))
    val = Pairs(config, size=(256, 128), split="val")
    assert (len(train), train.num_identities, len(val), val.num_identities) == (4, 2, 2, 1)
    texture = np.round(kept[4][2] * 255)
    np.testing.assert_array_equal(val.batch(torch.tensor([0]))[1][0].permute(1, 2, 0), texture)
    assert "pair 1 of" in val.name(1)


def test_pairs_become_a_source_with_identities_cameras_and_textures(folder, tmp_path, capsys):
    path, kept = folder
    out = tmp_path / "rendered"
    assert main(["pairs", str(path), str(out)]) == 0
    assert "textures.tex" in capsys.readouterr().out
    crops = read_crops(out / "crops", names="market1501")
    assert crops.pids.tolist() == [1, 1, 2, 2, 3, 3]
    assert crops.camids.tolist() == [1, 2, 1, 2, 1, 2]
    assert len(crops.without_ignored()) == 6
    for number, place in enumerate(crops.paths):
        with Image.open(place) as image:
            np.testing.assert_array_equal(np.asarray(image), kept[number][0])
    with TextureStore(out / "textures.tex") as store:
        assert not store.missing(crops.keys)
        textures = store.batch(crops.keys).textures.float()
    # Noise is what JPEG keeps worst; the textures of the identities are told apart all the same.
    own = torch.stack([torch.from_numpy(np.round(k[2] * 255)).permute(2, 0, 1) for k in kept])
    apart = (textures[:, None] - own[None]).abs().mean((2, 3, 4))
    assert (apart.argmin(1) // 2).tolist() == [0, 0, 1, 1, 2, 2]
    size = (out / "textures.tex").stat().st_size
    (out / "crops" / "000003_c2_rendered_0.jpg").unlink()
    as_source(path, out)  # gone on with: only what is missing is written
    assert (out / "crops" / "000003_c2_rendered_0.jpg").is_file()
    assert (out / "textures.tex").stat().st_size == size
    (out / "crops" / "000009_c1_rendered_0.jpg").write_bytes(b"of other pairs")
    with pytest.raises(DatasetError, match=r"000009_c1_rendered_0.jpg is not one of the crops"):
        as_source(path, out)


def test_no_pairs(tmp_path, capsys):
    with pytest.raises(DatasetError, match=r"no readable index.*pit render"):
        as_source(tmp_path, tmp_path / "out")
    assert main(["pairs", str(tmp_path), str(tmp_path / "out")]) == 1
    assert capsys.readouterr().err.startswith("sanreid: ")
