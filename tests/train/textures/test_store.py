"""The file of textures: what goes in comes out, damage is found, a crash loses one batch."""

import time

import pytest
import torch
from torch.nn import functional

from sanreid.errors import DatasetError, InputError
from sanreid.train.textures.format import TextureHeader
from sanreid.train.textures.store import TextureStore
from sanreid.train.textures.writer import TextureWriter

PNG = TextureHeader(size=(6, 4), codec="png")
WITH_MAPS = TextureHeader(
    size=(16, 16), codec="png", confidence_size=(4, 4), about={"generator": "painted"}
)


def textures(count, size=(6, 4), seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, 3, *size), dtype=torch.uint8, generator=generator)


@pytest.fixture
def store(tmp_path):
    path = tmp_path / "deep" / "a.textures"
    with TextureWriter(path, PNG) as writer:
        writer.add(["x/1.jpg", "x/2.jpg", "é/3.jpg"], textures(3))
    return path


def test_what_goes_in_comes_out(store):
    read = TextureStore(store)
    assert read.keys == ("x/1.jpg", "x/2.jpg", "é/3.jpg")
    assert len(read) == 3
    assert "x/2.jpg" in read
    assert "x/4.jpg" not in read
    assert read.missing(["x/4.jpg", "x/1.jpg"]) == ["x/4.jpg"]
    assert read.header == PNG
    batch = read.batch(["é/3.jpg", "x/1.jpg", "é/3.jpg"])
    assert torch.equal(batch.textures, textures(3)[[2, 0, 2]])
    assert batch.confidences is None
    read.verify()


def test_one_texture_under_several_keys(tmp_path):
    path = tmp_path / "shared.textures"
    first, second = textures(2)
    with TextureWriter(path, PNG) as writer:
        writer.add_shared(["a", "b"], first)
        writer.add(["c"], second[None])
        with pytest.raises(InputError, match="'b' occurs twice"):
            writer.add_shared(["d", "b"], second)
        with pytest.raises(InputError, match="textures must be uint8 of shape"):
            writer.add_shared(["d"], second[:, :3])
    read = TextureStore(path)
    assert read.keys == ("a", "b", "c")
    assert torch.equal(read.batch(["b", "c", "a"]).textures, torch.stack([first, second, first]))
    read.verify()


@pytest.mark.parametrize("workers", [1, 3])
def test_confidence_maps_come_at_the_size_of_the_textures(tmp_path, workers):
    given = textures(5, (16, 16))
    maps = torch.zeros(5, 1, 4, 4, dtype=torch.uint8)
    maps[:, :, :2] = 255
    maps[4] = 77
    path = tmp_path / "b.textures"
    with TextureWriter(path, WITH_MAPS) as writer:
        writer.add(list("abcde"), given, maps, workers=workers)
    read = TextureStore(path)
    batch = read.batch(list("edcba"), workers=workers)
    assert torch.equal(batch.textures, given.flip(0))
    assert batch.confidences.shape == (5, 1, 16, 16)
    assert (batch.confidences[0] == 77).all()
    assert (batch.confidences[1, 0, :6] == 255).all()
    assert (batch.confidences[1, 0, 10:] == 0).all()
    assert read.header.about == {"generator": "painted"}


def test_textures_can_be_read_smaller(tmp_path):
    path = tmp_path / "c.textures"
    with TextureWriter(path, TextureHeader(size=(8, 8), codec="png")) as writer:
        writer.add(["a"], textures(1, (2, 2)).repeat_interleave(4, 2).repeat_interleave(4, 3))
    small = TextureStore(path).batch(["a"], size=(4, 4)).textures
    assert small.shape == (1, 3, 4, 4)
    assert torch.equal(small[0, :, 0, 0], textures(1, (2, 2))[0, :, 0, 0])


@pytest.mark.parametrize("codec", ["jpeg", "webp"])
def test_lossy_codecs_are_close_and_small(tmp_path, codec):
    smooth = functional.interpolate(textures(4, (8, 8)).float(), size=(256, 256), mode="bicubic")
    given = smooth.clamp(0, 255).byte()
    path = tmp_path / "d.textures"
    with TextureWriter(path, TextureHeader(codec=codec)) as writer:
        writer.add(list("abcd"), given)
    read = TextureStore(path).batch(list("abcd")).textures
    assert (read.float() - given.float()).abs().mean() < 4
    assert path.stat().st_size < 4 * 12_000


def test_writing_goes_on_where_it_stopped(store):
    with TextureWriter(store, PNG) as writer:
        assert len(writer) == 3
        assert "x/1.jpg" in writer
        writer.add(["x/4.jpg"], textures(1, seed=1))
    read = TextureStore(store)
    assert len(read) == 4
    assert torch.equal(read.batch(["x/4.jpg", "x/1.jpg"]).textures[0], textures(1, seed=1)[0])
    read.verify()


def test_a_reader_sees_what_a_writer_has_added_so_far(tmp_path):
    with TextureWriter(tmp_path / "e.textures", PNG) as writer:
        assert len(TextureStore(tmp_path / "e.textures")) == 0
        writer.add(["a"], textures(1))
        assert TextureStore(tmp_path / "e.textures").keys == ("a",)


def test_every_cut_is_survived(store, caplog):
    whole = store.read_bytes()
    ends = [TextureStore(store).num_bytes]
    seen = set()
    for length in range(len(whole) - 1, len(whole) - 400, -7):
        store.write_bytes(whole[:length])
        read = TextureStore(store)
        read.verify()
        seen.add(len(read))
        assert read.num_bytes <= length < ends[0]
    assert seen == {0, 1, 2}
    assert "of an unfinished texture" in caplog.text
    with TextureWriter(store, PNG) as writer:
        writer.add(["x/9.jpg"], textures(1, seed=9))
    after = TextureStore(store)
    assert after.keys[-1] == "x/9.jpg"
    assert after.num_bytes == store.stat().st_size


def test_what_was_cut_short_is_gone_when_a_smaller_texture_follows(tmp_path):
    path, header = tmp_path / "h.textures", TextureHeader(size=(64, 64), codec="png")
    with TextureWriter(path, header) as writer:
        writer.add(["noise"], textures(1, (64, 64)))
    path.write_bytes(path.read_bytes()[:-1])
    with TextureWriter(path, header) as writer:
        writer.add(["plain"], torch.zeros(1, 3, 64, 64, dtype=torch.uint8))
    read = TextureStore(path)
    assert read.keys == ("plain",)
    assert read.num_bytes == path.stat().st_size


def test_a_key_is_added_once_by_one_writer_too(store):
    with TextureWriter(store, PNG) as writer:
        writer.add(["n"], textures(1))
        assert len(writer) == 4
        with pytest.raises(InputError, match="'n' occurs twice"):
            writer.add(["n"], textures(1))


def test_a_flipped_bit_is_found(store):
    whole = bytearray(store.read_bytes())
    whole[-10] ^= 4
    store.write_bytes(whole)
    read = TextureStore(store)
    read.batch(["x/1.jpg"])
    with pytest.raises(DatasetError, match="texture of 'é/3.jpg' in .* is damaged: its checksum"):
        read.batch(["é/3.jpg"])
    with pytest.raises(DatasetError, match="checksum is wrong"):
        read.verify()


def test_damage_of_the_header_and_of_the_chain_is_found(store):
    whole = store.read_bytes()
    for place, message in ((20, "header's checksum"), (whole.index(b"TEXR"), "no texture begins")):
        broken = bytearray(whole)
        broken[place] ^= 1
        store.write_bytes(broken)
        with pytest.raises(DatasetError, match=message):
            TextureStore(store)
        with pytest.raises(DatasetError, match=message):
            TextureWriter(store, PNG)


def test_other_files_are_refused_and_left_alone(tmp_path):
    path = tmp_path / "notes.txt"
    for content in (b"some notes", b"SANRTEX1", b""):
        path.write_bytes(content)
        with pytest.raises(DatasetError, match=r"not a texture store|cannot be read"):
            TextureStore(path)
    path.write_bytes(b"some notes")
    with pytest.raises(DatasetError, match="not a texture store"):
        TextureWriter(path, PNG)
    assert path.read_bytes() == b"some notes"
    with pytest.raises(DatasetError, match=r"There is no texture store .*nowhere"):
        TextureStore(tmp_path / "nowhere")


def test_a_generator_is_known_by_its_weights_not_by_where_they_are(tmp_path):
    def header(name, digest):
        return TextureHeader(size=(6, 4), about={"generator": name, "digest": digest})

    for name in ("runs/pg", "/home/me/runs/pg"):
        TextureWriter(tmp_path / "t.tex", header(name, "aa")).close()
    with pytest.raises(DatasetError, match="textures of another kind"):
        TextureWriter(tmp_path / "t.tex", header("runs/pg", "bb"))


def test_a_file_name_that_is_no_utf_8_is_a_key_too(tmp_path):
    key = "crops/caf\udce9.jpg"
    with TextureWriter(tmp_path / "t.tex", TextureHeader(size=(6, 4), codec="png")) as writer:
        writer.add([key], torch.zeros(1, 3, 6, 4, dtype=torch.uint8))
    with TextureStore(tmp_path / "t.tex") as store:
        assert store.keys == (key,)
        assert store.batch([key]).textures.shape == (1, 3, 6, 4)


def test_another_header_is_refused(store):
    with pytest.raises(
        DatasetError, match=r"textures of another kind(.|\n)*there .*size=\(6, 4\)"
    ):
        TextureWriter(store, TextureHeader(size=(6, 5), codec="png"))


@pytest.mark.parametrize(
    ("keys", "count", "message"),
    [
        (["x/1.jpg"], 1, "Each key may be added once; 'x/1.jpg' occurs twice"),
        (["n", "n"], 2, "Each key may be added once; 'n' occurs twice"),
        (["n"], 2, r"textures must be uint8 of shape \(1, 3, 6, 4\); got .* \(2, 3, 6, 4\)"),
        ([""], 1, "A key must be 1 to 65,535 bytes"),
        (["n" * 70_000], 1, "A key must be 1 to 65,535 bytes"),
    ],
)
def test_a_wrong_batch_writes_nothing(store, keys, count, message):
    before = store.read_bytes()
    with TextureWriter(store, PNG) as writer, pytest.raises(InputError, match=message):
        writer.add(keys, textures(count))
    assert store.read_bytes() == before


def test_confidence_maps_must_fit_the_header(tmp_path):
    maps = torch.zeros(1, 1, 4, 4, dtype=torch.uint8)
    with TextureWriter(tmp_path / "f", PNG) as writer:
        with pytest.raises(InputError, match="confidence_size is None; got some"):
            writer.add(["a"], textures(1), maps)
        with pytest.raises(InputError, match=r"textures must be uint8 .* got torch.float32"):
            writer.add(["a"], textures(1).float())
    with TextureWriter(tmp_path / "g", WITH_MAPS) as writer:
        with pytest.raises(InputError, match=r"confidence_size is \(4, 4\); got no"):
            writer.add(["a"], textures(1, (16, 16)))
        with pytest.raises(InputError, match=r"confidences must be uint8 of shape \(1, 1, 4, 4\)"):
            writer.add(["a"], textures(1, (16, 16)), maps[:, :, :2])


def test_unknown_keys_are_named(store):
    with pytest.raises(InputError, match=r"2 of 3 crops have no texture in .*'q.jpg'"):
        TextureStore(store).batch(["q.jpg", "x/1.jpg", "r.jpg"])


def test_an_empty_batch(store):
    with TextureWriter(store, PNG) as writer:
        writer.add([], textures(0))
    assert TextureStore(store).batch([]).textures.shape == (0, 3, 6, 4)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"size": (0, 4)}, r"size must be \(height, width\) in texels; got \(0, 4\)"),
        ({"confidence_size": (4,)}, "confidence_size must be"),
        ({"codec": "gif"}, "codec must be one of .*; got 'gif'"),
        ({"quality": 0}, r"quality must be in \[1, 100\]; got 0"),
    ],
)
def test_wrong_headers(values, message):
    with pytest.raises(InputError, match=message):
        TextureHeader(**values)


@pytest.mark.slow
def test_many_textures_open_quickly(tmp_path):
    header = TextureHeader(size=(2, 2), codec="png")
    with TextureWriter(tmp_path / "many", header) as writer:
        writer.add([f"k/{n}" for n in range(24_000)], textures(24_000, (2, 2)))
    started = time.perf_counter()
    assert len(TextureStore(tmp_path / "many")) == 24_000
    assert time.perf_counter() - started < 5
