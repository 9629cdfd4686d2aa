"""CropStore: decoded as for inference, kept in memory or in a mapped file."""

import errno
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from sanreid.datasets import CropSet, merge_crops, read_crops
from sanreid.errors import DatasetError, ImageError, InputError
from sanreid.images import load_crop
from sanreid.train.data import CropStore


def write_crops(folder, names, size=(20, 40), seed=0):
    """Noise images; JPEG or PNG by suffix."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        pixels = rng.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / name)
    return read_crops(folder)


NAMES = ["0003_00.jpg", "0003_05.png", "0009_01.jpg", "0001_02.jpg"]


@pytest.fixture
def crops(tmp_path):
    return write_crops(tmp_path / "crops", NAMES)


def test_images_are_those_of_inference(crops):
    store = CropStore.from_crops(crops, size=(16, 8), workers=2)
    assert store.images.shape == (4, 3, 16, 8)
    assert store.images.dtype == torch.uint8
    for place, path in enumerate(crops.paths):
        wanted = torch.tensor(load_crop(path, (16, 8))).permute(2, 0, 1)
        assert torch.equal(store.images[place], wanted)


def test_order_labels_and_names(crops):
    store = CropStore.from_crops(crops, size=(8, 4))
    # Sorted by name: 0001, 0003, 0003, 0009.
    assert store.pids.tolist() == [1, 3, 3, 9]
    assert store.labels.tolist() == [0, 1, 1, 2]
    assert store.camids.tolist() == [0, 0, 1, 0]
    assert store.labels.dtype == store.pids.dtype == store.camids.dtype == torch.int64
    assert store.num_classes == 3
    assert (len(store), store.size, store.device) == (4, (8, 4), torch.device("cpu"))
    assert store.paths == crops.paths
    assert store.keys[0] == "crops/0001_02.jpg"


def test_batch_is_a_selection_of_rows(crops):
    store = CropStore.from_crops(crops, size=(8, 4))
    batch = store.batch(torch.tensor([2, 0, 2]))
    assert torch.equal(batch, torch.stack([store.images[i] for i in (2, 0, 2)]))


def test_several_sources_are_different_people(crops, tmp_path):
    other = write_crops(tmp_path / "other", NAMES, seed=1)
    store = CropStore.from_crops([crops, other], size=(8, 4))
    assert store.num_classes == 6
    assert set(store.labels[:4].tolist()).isdisjoint(store.labels[4:].tolist())
    assert set(store.camids[:4].tolist()).isdisjoint(store.camids[4:].tolist())
    assert store.keys == merge_crops([crops, other]).keys


def test_more_crops_than_one_thread_takes_at_once(tmp_path):
    crops = write_crops(tmp_path / "many", [f"{n:04}_00.png" for n in range(150)], size=(2, 2))
    store = CropStore.from_crops(crops, size=(2, 2), workers=3)
    for place in (0, 63, 64, 149):
        wanted = np.asarray(Image.open(crops.paths[place]))
        assert np.array_equal(store.images[place].permute(1, 2, 0).numpy(), wanted)


def test_cache_is_written_once_and_mapped_again(crops, tmp_path, monkeypatch):
    plain = CropStore.from_crops(crops, size=(16, 8))
    cache = tmp_path / "cache"
    first = CropStore.from_crops(crops, size=(16, 8), cache_dir=cache)
    assert torch.equal(first.images, plain.images)
    (file,) = cache.iterdir()
    assert file.stat().st_size == 4 * 3 * 16 * 8

    def no_decoding(*_):
        raise AssertionError("decoded although the pixels are in the cache")

    monkeypatch.setattr("sanreid.train.data.store.load_crop", no_decoding)
    second = CropStore.from_crops(crops, size=(16, 8), cache_dir=cache)
    assert torch.equal(second.images, plain.images)


def test_writing_to_a_mapped_store_does_not_reach_the_file(crops, tmp_path):
    store = CropStore.from_crops(crops, size=(16, 8), cache_dir=tmp_path / "cache")
    before = store.images.clone()
    store.images.zero_()
    again = CropStore.from_crops(crops, size=(16, 8), cache_dir=tmp_path / "cache")
    assert torch.equal(again.images, before)


@pytest.mark.parametrize("what", ["size", "crops", "content", "time"])
def test_another_store_has_another_file(crops, tmp_path, what):
    cache = tmp_path / "cache"
    CropStore.from_crops(crops, size=(16, 8), cache_dir=cache)
    size = (8, 16) if what == "size" else (16, 8)
    if what == "crops":
        crops = crops.select([1, 0, 2, 3])
    if what == "content":
        write_crops(tmp_path / "crops", NAMES[:1], seed=5)
    if what == "time":
        os.utime(crops.paths[1], ns=(0, 0))
    store = CropStore.from_crops(crops, size=size, cache_dir=cache)
    assert len(list(cache.iterdir())) == 2
    assert torch.equal(store.images, CropStore.from_crops(crops, size=size).images)


def test_a_cut_cache_file_is_written_anew(crops, tmp_path):
    cache = tmp_path / "cache"
    plain = CropStore.from_crops(crops, size=(16, 8), cache_dir=cache).images.clone()
    (file,) = cache.iterdir()
    file.write_bytes(file.read_bytes()[:-1])
    assert torch.equal(CropStore.from_crops(crops, size=(16, 8), cache_dir=cache).images, plain)


@pytest.mark.parametrize("cached", [False, True])
def test_unreadable_crops_are_named_and_nothing_is_kept(crops, tmp_path, cached):
    for name in NAMES[:2]:
        (tmp_path / "crops" / name).write_bytes(b"no image")
    cache = tmp_path / "cache" if cached else None
    with pytest.raises(ImageError, match=r"2 of 4 crops cannot be read:\n.*0003_00.jpg") as caught:
        CropStore.from_crops(crops, size=(16, 8), cache_dir=cache)
    assert "0003_05.png" in str(caught.value)
    if cached:
        assert list(cache.iterdir()) == []


@pytest.mark.parametrize("cached", [False, True])
def test_a_missing_crop_is_named(crops, tmp_path, cached):
    crops.paths[0].unlink()
    with pytest.raises(ImageError, match="0001_02.jpg"):
        CropStore.from_crops(crops, size=(16, 8), cache_dir=tmp_path / "cache" if cached else None)


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="the system reserves no room")
def test_a_full_disk_is_an_error_and_other_limits_are_not(crops, tmp_path, monkeypatch):
    def failing(code):
        def reserve(handle, start, count):
            raise OSError(code, os.strerror(code))

        return reserve

    monkeypatch.setattr(os, "posix_fallocate", failing(errno.ENOSPC))
    with pytest.raises(DatasetError, match=r"do not fit into .*cache: .*another cache_dir"):
        CropStore.from_crops(crops, size=(16, 8), cache_dir=tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []
    monkeypatch.setattr(os, "posix_fallocate", failing(errno.EOPNOTSUPP))
    assert len(CropStore.from_crops(crops, size=(16, 8), cache_dir=tmp_path / "cache")) == 4


@pytest.mark.parametrize("cached", [False, True])
def test_no_crops_at_all(tmp_path, cached):
    empty = CropSet("none", (), np.zeros(0, dtype=int), np.zeros(0, dtype=int))
    store = CropStore.from_crops(empty, size=(16, 8), cache_dir=tmp_path if cached else None)
    assert (len(store), store.num_classes) == (0, 0)


def test_wrong_arguments(crops):
    with pytest.raises(
        InputError, match=r"size must be \(height, width\) in pixels; got \(0, 8\)"
    ):
        CropStore.from_crops(crops, size=(0, 8))
    with pytest.raises(InputError, match="There are 3 images for 4 crops"):
        CropStore(torch.zeros(3, 3, 2, 2, dtype=torch.uint8), crops)
    with pytest.raises(InputError, match=r"takes uint8 images .* got torch.float32"):
        CropStore(torch.zeros(4, 3, 2, 2), crops)


@pytest.mark.gpu
def test_images_on_the_gpu(crops):
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    store = CropStore.from_crops(crops, size=(16, 8), device="cuda")
    assert store.images.is_cuda
    assert store.labels.device.type == "cpu"
    assert store.batch(torch.tensor([1])).is_cuda


def test_real_crops():
    if "SANREID_DATA" not in os.environ:
        pytest.skip("SANREID_DATA is not set: the folder with the data sets' real crops")
    root = Path(os.environ["SANREID_DATA"])
    crops = read_crops(root / "market1501" / "bounding_box_train").select(range(0, 400, 4))
    store = CropStore.from_crops(crops, size=(128, 64))
    assert store.images.shape == (100, 3, 128, 64)
    assert 40 < store.images.float().mean() < 200
