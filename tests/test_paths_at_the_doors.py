"""Every public entry that takes a path turns what the system says against it into our errors."""

from __future__ import annotations

import numpy as np
import pytest

import sanreid
from sanreid import Gallery, datasets, viz, weights
from sanreid.backends import export
from sanreid.cli import main
from sanreid.errors import SanreidError
from sanreid.images import find_images, load_image
from tests.gallery.test_convenience import FakeEncoder

LONG = "x" * 300  # no file system takes more than 255 bytes
IMPOSSIBLE = {
    "name-too-long": lambda folder, suffix: f"{folder}/{LONG}{suffix}",
    "folder-too-long": lambda folder, suffix: f"{folder}/{LONG}/a{suffix}",
    "path-too-long": lambda folder, suffix: f"{folder}/{'x/' * 3000}a{suffix}",
    "below-a-file": lambda folder, suffix: f"{folder}/file/a{suffix}",
    "loop-of-links": lambda folder, suffix: f"{folder}/loop/a{suffix}",
    "null-character": lambda folder, suffix: f"{folder}/a\0b{suffix}",
    "half-a-character": lambda folder, suffix: f"{folder}/\ud800/a{suffix}",
}


@pytest.fixture(params=IMPOSSIBLE)
def impossible(request, tmp_path):
    """Make paths that cannot be: called with a suffix, relative to a folder of its own."""
    (tmp_path / "file").write_bytes(b"no folder")
    (tmp_path / "loop").symlink_to("loop")
    return lambda suffix="": IMPOSSIBLE[request.param](tmp_path, suffix)


@pytest.fixture(scope="module")
def gallery():
    gallery = Gallery(4)
    gallery.add(np.eye(4), pids=[1, 2, 3, 4], camids=[1, 1, 2, 2])
    return gallery


GALLERY = {
    "open": lambda gallery, path: Gallery.open(path(), dim=4),
    "open-to-read": lambda gallery, path: Gallery.open(path(), mode="r"),
    "load": lambda gallery, path: Gallery.load(path()),
    "save": lambda gallery, path: gallery.save(path()),
    "export": lambda gallery, path: gallery.export(path(".npz")),
    "export-parquet": lambda gallery, path: gallery.export(path(".parquet")),
    "import": lambda gallery, path: gallery.import_from(path(".npz")),
    "import-parquet": lambda gallery, path: gallery.import_from(path(".parquet")),
    "import-shards": lambda gallery, path: gallery.import_from(path()),
    "from-folder": lambda gallery, path: Gallery.from_folder(FakeEncoder(), path()),
    "page": lambda gallery, path: viz.write_gallery_page(gallery, path(".html"), progress=False),
}
ENCODER = {
    "from-pretrained": lambda encoder, path: sanreid.SANEncoder.from_pretrained(path()),
    "from-onnx": lambda encoder, path: sanreid.SANEncoder.from_pretrained(
        path(".onnx"), backend="onnx"
    ),
    "encode": lambda encoder, path: encoder.encode(path(".jpg")),
    "encode-files": lambda encoder, path: encoder.encode_files([path(".jpg")]),
    "encode-folder": lambda encoder, path: encoder.encode_files(path()),
    "encode-to": lambda encoder, path: encoder.encode_to(path(), []),
    "save-pretrained": lambda encoder, path: encoder.save_pretrained(path()),
    "export": lambda encoder, path: export(encoder, path(".torchscript"), backend="torchscript"),
    "export-to-folder": lambda encoder, path: export(encoder, path(), backend="torchscript"),
}
OTHERS = {
    "read-crops": lambda path: datasets.read_crops(path()),
    "read-csv": lambda path: datasets.read_csv(path(".csv")),
    "read-folders": lambda path: datasets.read_folders(path()),
    **{
        f"read-{name}": lambda path, name=name: datasets.read_dataset(name, path())
        for name in sorted(datasets.DATASETS)
    },
    "find-images": lambda path: find_images(path()),
    "load-image": lambda path: load_image(path(".jpg")),
    "manifest": lambda path: weights.read_manifest(path(".json")),
    "convert": lambda path: weights.convert(path(".pth"), path()),
    "font": lambda path: viz.contact_sheet([np.zeros((8, 4, 3), np.uint8)], font=path(".ttf")),
    "picture": lambda path: viz.save_picture(
        viz.contact_sheet([np.zeros((8, 4, 3), np.uint8)]), path(".png")
    ),
}


@pytest.mark.parametrize("door", GALLERY)
def test_galleries(gallery, impossible, door):
    with pytest.raises(SanreidError):
        GALLERY[door](gallery, impossible)
    assert len(gallery) == 4


@pytest.mark.parametrize("door", ENCODER)
def test_encoders(tiny_encoder, impossible, door):
    with pytest.raises(SanreidError):
        ENCODER[door](tiny_encoder, impossible)


@pytest.mark.parametrize("door", OTHERS)
def test_files_and_folders(impossible, door):
    with pytest.raises(SanreidError):
        OTHERS[door](impossible)


@pytest.mark.parametrize(
    "command",
    [
        ["gallery", "info", "{}"],
        ["gallery", "verify", "{}"],
        ["gallery", "build", "{}", "g"],
        ["gallery", "search", "{}", "{}.jpg"],
        ["embed", "{}", "-o", "{}.npz"],
        ["embed", "file", "-o", "{}.npz"],
        ["embed", "file", "--shards", "-o", "{}"],
        ["evaluate", "--folder", "{}"],
        ["weights", "convert", "{}", "{}"],
        ["export", "san-r50", "{}.onnx", "--format", "onnx"],
        ["demo", "--output", "{}.png"],
    ],
    ids=" ".join,
)
def test_commands(command, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_bytes(b"no image")
    assert main([part.replace("{}", LONG) for part in command]) == 1
    assert capsys.readouterr().err.startswith("sanreid: ")
