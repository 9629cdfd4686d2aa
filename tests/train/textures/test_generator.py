from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from sanreid.config import EncoderConfig
from sanreid.datasets import read_crops
from sanreid.errors import DatasetError, InputError, WeightsError
from sanreid.train.commands import main
from sanreid.train.config import DecoderConfig
from sanreid.train.config.loader import load_config
from sanreid.train.data.sources import read_source
from sanreid.train.networks.sa_dec import DecoderOutput
from sanreid.train.pit.tables import load_tables
from sanreid.train.textures.format import TextureHeader
from sanreid.train.textures.generator import Generator, load_generator, save_generator
from sanreid.train.textures.making import make_textures
from sanreid.train.textures.store import TextureStore
from sanreid.train.textures.writer import TextureWriter
from tests.thin import THIN

TINY = EncoderConfig(backbone=THIN, embedding_dim=16, input_size=(64, 32))
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def crops(tmp_path):
    rng = np.random.default_rng(0)
    folder = tmp_path / "shop"
    folder.mkdir()
    for n in range(5):
        pixels = (rng.random((128, 64, 3)) * 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{n + 1:04d}_c1s1_000001_00.png")
    return read_crops(folder)


class SidedPainter(nn.Module):
    """Paints the left-right brightness of the crop on the left and right of the body."""

    def __init__(self, left):
        super().__init__()
        self.left = nn.Parameter(left, requires_grad=False)

    def forward(self, normal):
        half = normal.shape[3] // 2
        sides = [normal[..., half:], normal[..., :half]]  # the person's left is on our right
        bright = [side.mean((1, 2, 3)).tanh().view(-1, 1, 1, 1) for side in sides]
        texture = torch.where(self.left, bright[0], bright[1]).expand(-1, 3, -1, -1)
        return DecoderOutput(texture, ())


def test_a_painter_true_to_the_sides_agrees_with_its_mirrored_self():
    mirror = torch.from_numpy(load_tables()["mirror"].astype(np.int64))
    own = torch.arange(256 * 256)
    left = (own < mirror).view(256, 256).float()  # one of each pair of texels
    generator = Generator(SidedPainter(left > 0), TINY, mirror, "test")
    crop = torch.zeros(1, 3, 64, 32, dtype=torch.uint8)
    crop[..., 16:] = 200
    painted = generator.paint(crop)
    paired = (own != mirror).view(256, 256)
    assert painted.confidences[0, 0][paired].min() > 0.999
    swapped = Generator(SidedPainter(left > 0), TINY, own, "no mirroring").paint(crop)
    assert swapped.confidences[0, 0][paired].max() < 0.1


def test_saving_and_loading_paints_the_same(tiny_generator, crops):
    generator = load_generator(tiny_generator)
    assert (tiny_generator / "model.safetensors").stat().st_size < 30_000_000
    batch = torch.randint(0, 255, (2, 3, 64, 32), dtype=torch.uint8)
    first, second = generator.paint(batch), load_generator(tiny_generator).paint(batch)
    torch.testing.assert_close(first.textures, second.textures)
    assert first.textures.shape == (2, 3, 256, 256)
    assert first.confidences.shape == (2, 1, 256, 256)
    assert 0 <= first.confidences.min() <= first.confidences.max() <= 1


def test_a_generator_that_cannot_be_saved_leaves_the_old_one(tiny_generator, tmp_path):
    generator = load_generator(tiny_generator)
    assert load_generator(tiny_generator).digest == generator.digest
    linear = replace(generator, decoder=DecoderConfig(width=32, output="linear"))
    assert linear.digest != generator.digest
    saved = (generator.module, TINY, DecoderConfig(width=32), tmp_path / "pg")
    save_generator(*saved)
    before = (tmp_path / "pg" / "model.safetensors").read_bytes()
    save_generator(*saved, half=False)
    assert len((tmp_path / "pg" / "model.safetensors").read_bytes()) > 1.9 * len(before)
    save_generator(*saved)
    assert (tmp_path / "pg" / "model.safetensors").read_bytes() == before
    with torch.no_grad():
        generator.module.decoder.paint.weight[0] = torch.nan
    with pytest.raises(WeightsError, match=r"decoder.paint.weight .* NaN"):
        save_generator(*saved)
    assert generator.digest != load_generator(tiny_generator).digest
    assert (tmp_path / "pg" / "model.safetensors").read_bytes() == before
    (tmp_path / "file").touch()
    with pytest.raises(WeightsError, match="cannot be saved"):
        save_generator(
            load_generator(tiny_generator).module, TINY, DecoderConfig(width=32), tmp_path / "file"
        )


def test_a_store_is_made_and_resumed(tiny_generator, crops, tmp_path):
    generator, out = load_generator(tiny_generator), tmp_path / "textures.bin"
    make_textures(crops.select(np.arange(3)), out, generator, batch_size=2)
    size = out.stat().st_size
    make_textures(crops, out, generator, batch_size=2)
    assert out.stat().st_size > size
    with TextureStore(out) as store:
        assert set(store.keys) == set(crops.keys)
        batch = store.batch(crops.keys)
        assert batch.confidences is not None
        pixels = torch.from_numpy(
            np.stack([np.asarray(Image.open(p).resize((32, 64), 2)) for p in crops.paths])
        ).permute(0, 3, 1, 2)
        wanted = (generator.paint(pixels).textures + 1) * 127.5
        assert (batch.textures.float() - wanted).abs().mean() < 4  # JPEG
    size = out.stat().st_size
    make_textures(crops, out, generator)
    assert out.stat().st_size == size
    with pytest.raises(DatasetError, match="another kind"):
        make_textures(crops, out, generator, quality=50)


def test_the_command(tiny_generator, crops, tmp_path, capsys):
    folder = crops.paths[0].parent
    out = tmp_path / "t.bin"
    command = ["textures", str(folder), str(out), "--device", "cpu", "--weights"]
    assert main([*command, str(tiny_generator)]) == 0
    assert "5 textures" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main([*command, str(tiny_generator), "--set", "run.seed=1"])
    assert "--set is for a configuration" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["textures", "san-r50", "--weights", str(tiny_generator), "--names", "folders"])
    assert "--names is for a folder" in capsys.readouterr().err
    assert main([*command, str(tmp_path / "none")]) == 1
    assert "neither a name in the manifest" in capsys.readouterr().err


def test_the_stores_of_a_run_are_made(tiny_generator, crops, tmp_path, capsys):
    folder = crops.paths[0].parent
    known = tmp_path / "known.tex"
    with TextureWriter(known, TextureHeader(about={"generator": "rendered"})) as writer:
        writer.add(crops.keys, torch.zeros(len(crops), 3, 256, 256, dtype=torch.uint8))
    before = known.read_bytes()
    config = tmp_path / "run.toml"
    config.write_text(
        "".join(
            f'[[data.sources]]\nfolder = "{folder}"\nname = "{name}"\nonly_pids = "{pids}"\n'
            f'textures = "{store}"\n'
            for name, pids, store in (
                ("two of them", tmp_path / "two", tmp_path / "two.tex"),
                ("whose textures are known", tmp_path / "two", known),
                ("no textures", tmp_path / "two", ""),
            )
        )
        + "[loss]\nreconstruction = 1.0\n"
    )
    (tmp_path / "two").write_text("1\n2\n")
    command = ["textures", str(config), "--device", "cpu", "--weights"]
    assert main([*command, str(tiny_generator)]) == 0
    assert "two.tex: 2 textures" in capsys.readouterr().out
    assert known.read_bytes() == before
    with TextureStore(tmp_path / "two.tex") as store:
        source = load_config(config).data.sources[0]
        assert set(store.keys) == set(read_source(source).keys)
    config.write_text(f'[[data.sources]]\nfolder = "{folder}"\n')
    assert main(["textures", str(config), "--weights", str(tiny_generator)]) == 1
    assert "names a store" in capsys.readouterr().err


def test_wrong_input_is_refused(tiny_generator, crops, tmp_path):
    generator = load_generator(tiny_generator)
    with pytest.raises(InputError, match=r"\(N, 3, 64, 32\)"):
        generator.paint(torch.zeros(1, 3, 32, 64, dtype=torch.uint8))
    with pytest.raises(InputError, match="batch_size"):
        make_textures(crops, tmp_path / "x.bin", generator, batch_size=0)
    with pytest.raises(WeightsError, match="not a texture generator"):
        load_generator("san-r50")
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd" / "config.json").write_text('{"decoder": {}}')
    (tmp_path / "odd" / "model.safetensors").write_bytes(
        (tiny_generator / "model.safetensors").read_bytes()
    )
    with pytest.raises(WeightsError, match="not that of a SAN-PG"):
        load_generator(tmp_path / "odd")


def test_half_precision_paints_the_same_to_its_rounding(tiny_generator):
    full = load_generator(tiny_generator)
    half = load_generator(tiny_generator, dtype="bfloat16")
    assert (full.dtype, half.dtype) == (torch.float32, torch.bfloat16)
    noise = torch.Generator().manual_seed(0)
    crops = torch.randint(0, 256, (4, 3, 64, 32), dtype=torch.uint8, generator=noise)
    exact, rounded = full.paint(crops), half.paint(crops)
    assert rounded.textures.dtype == torch.float32
    apart = (exact.textures - rounded.textures).abs()
    assert 0 < float(apart.max()) < 0.05
    with pytest.raises(InputError, match="dtype must be"):
        load_generator(tiny_generator, dtype="int8")
