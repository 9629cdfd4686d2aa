from __future__ import annotations

import io
import json

import numpy as np
import pytest
from PIL import Image

from sanreid.errors import DatasetError, InputError
from sanreid.train.pit import PITDataset
from sanreid.train.pit.generate.pairs import PairSettings, make_identity, make_pair
from sanreid.train.pit.generate.scenes.backdrop import list_backgrounds, photo_backdrop
from sanreid.train.pit.generate.scenes.degradation import degrade, occlude
from sanreid.train.pit.generate.scenes.scene import Camera
from sanreid.train.pit.shards import read_seen


def test_what_is_written_is_read(folder):
    path, kept = folder
    pairs = PITDataset(path)
    assert len(pairs) == 6
    assert pairs.identities.tolist() == [0, 0, 1, 1, 2, 2]
    assert pairs.patterned.tolist() == [False, False, True, True, False, False]
    for number, (crop, pair, texture) in enumerate(kept):
        sample = pairs[number]
        np.testing.assert_array_equal(sample.crop, crop)
        np.testing.assert_array_equal(sample.texture, np.round(texture * 255))
        np.testing.assert_array_equal(sample.seen, pair.seen)
        np.testing.assert_allclose(sample.uv, pair.uv, atol=1e-7)
        assert pairs.facts(number)["activity"] == "x"


def test_splits_part_identities(folder):
    path, _ = folder
    train, val = (PITDataset(path, split=s, held_out=1) for s in ("train", "val"))
    assert set(train.identities) == {0, 1}
    assert set(val.identities) == {2}
    with pytest.raises(InputError, match="Cannot hold out 3 of 3"):
        PITDataset(path, split="val", held_out=3)
    with pytest.raises(InputError, match="'test'"):
        PITDataset(path, split="test")


def test_damage_is_said(folder, tmp_path_factory):
    path, _ = folder
    with pytest.raises(DatasetError, match=r"no readable index.*pit render"):
        PITDataset(tmp_path_factory.mktemp("empty"))
    shard = path / "shards" / "00000.tar"
    whole = shard.read_bytes()
    shard.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DatasetError, match="cut short"):
        PITDataset(path)[5]
    shard.write_bytes(b"\x07" * len(whole))
    with pytest.raises(DatasetError, match="damaged at image 1 of identity 2"):
        PITDataset(path)[5]
    shard.unlink()
    with pytest.raises(DatasetError, match="cannot be read"):
        PITDataset(path)[0]
    (path / "index.json").write_text(json.dumps({"format": 99, "rows": []}))
    with pytest.raises(DatasetError, match="format 99"):
        PITDataset(path)
    for content in (b"[1, 2]", b"\xff\xfe"):
        (path / "index.json").write_bytes(content)
        with pytest.raises(DatasetError, match="format None|no readable index"):
            PITDataset(path)


def test_a_loader_reads_it(folder):
    data = pytest.importorskip("torch.utils.data")
    pairs = PITDataset(folder[0])
    batch = next(iter(data.DataLoader(pairs, batch_size=4)))
    assert tuple(batch.crop.shape) == (4, 256, 128, 3)


def test_seen_bits_round_trip():
    import zlib

    seen = np.random.default_rng(1).random((256, 256)) < 0.5
    np.testing.assert_array_equal(read_seen(zlib.compress(np.packbits(seen).tobytes())), seen)


def test_degrading_keeps_the_size_and_the_seed():
    crop = np.random.default_rng(0).random((256, 128, 3)).astype(np.float32)
    first, facts = degrade(crop, np.random.default_rng(4))
    second, _ = degrade(crop, np.random.default_rng(4))
    assert first == second
    assert Image.open(io.BytesIO(first)).size == (128, 256)
    assert facts["rows"] <= 256


def test_occluders_hide_the_uv_map():
    crop, uv = np.zeros((256, 128, 3), np.float32), np.full((256, 128, 2), 0.5, np.float32)
    kinds = set()
    for seed in range(120):
        hidden, left, kind = occlude(crop, uv, np.random.default_rng(seed))
        kinds.add(kind)
        changed = left[..., 0] < 0
        assert changed.any() == bool(kind)
        assert changed.mean() < 0.7
        assert (hidden[~changed] == 0).all()
    assert kinds == {"", "post", "side", "low"}


def test_photographs_lie_behind(tmp_path):
    with pytest.raises(DatasetError, match="No pictures"):
        list_backgrounds(tmp_path)
    rng = np.random.default_rng(0)
    photo = (np.add.outer(np.arange(200), np.arange(300)) % 256).astype(np.uint8)
    Image.fromarray(np.stack([photo] * 3, -1)).save(tmp_path / "a.png")
    (found,) = list_backgrounds(tmp_path)
    backdrop = photo_backdrop(found, rng)
    axes = np.array([[1, 0, 0], [0, 0, -1], [0, 1, 0]], np.float32)
    camera = Camera(np.zeros(3, np.float32), axes, (-0.1, -0.2, 0.1, 0.2), 0.0)
    rays = camera.rays()
    whole = backdrop(np.zeros_like(rays), rays)
    assert whole.shape == (256 * 128, 3)
    assert whole.std() > 0.01
    some = np.array([0, 127, 5000, 32767])
    near = backdrop(np.zeros((4, 3), np.float32), camera.rays((0.45, 0.55))[some])
    np.testing.assert_allclose(near, whole[some], atol=1e-6)


def test_pairs_are_the_same_for_the_same_numbers(studio):
    settings = PairSettings(2, 2, seed=3)
    made = []
    for _ in range(2):
        dressed = make_identity(studio, settings, 1)
        made.append(make_pair(studio, settings, dressed, 1, 0))
    assert made[0].jpeg == made[1].jpeg
    np.testing.assert_array_equal(made[0].uv, made[1].uv)
    other = make_pair(studio, settings, dressed, 1, 1)
    assert other.jpeg != made[0].jpeg
    assert made[0].seen[~studio.atlas.valid].sum() == 0
    assert json.loads(json.dumps(made[0].facts))["camera"]["box"]
