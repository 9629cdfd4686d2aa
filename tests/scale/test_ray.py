"""Ray Data: the embeddings of ``encode`` to the bit, whatever dies meanwhile.

Slow: a cluster of four logical CPUs is started once for all tests here.
"""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sanreid.cli import main
from sanreid.errors import InputError, SanreidError
from sanreid.scale import EmbedCrops, embed, embed_files
from sanreid.utils.shards import read_shards, shard_files

pa = pytest.importorskip("pyarrow")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc"),
    # Ray's own settings warn of themselves; its sockets and files end with its processes.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(scope="module")
def ray():
    """A cluster of this process."""
    ray = pytest.importorskip("ray")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "disabled")
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("OMP_NUM_THREADS", "1")
        start(ray)
        import ray.data

        ray.data.DataContext.get_current().enable_progress_bars = False
        yield ray
        ray.shutdown()


def start(ray):
    """Start a cluster; Ray gives up after 30 s, which a busy machine may need."""
    for attempts_left in (2, 1, 0):
        try:
            ray.init(
                address="local",
                num_cpus=4,
                include_dashboard=False,
                log_to_driver=False,
                logging_level="error",
            )
        except Exception as error:
            if "timed out during startup" not in str(error) or not attempts_left:
                raise
            ray.shutdown()
        else:
            return


@pytest.fixture(scope="module")
def crops():
    """512 arrays (48, 24, 3), noise."""
    return np.random.default_rng(0).integers(0, 256, (512, 48, 24, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def folder(crops, tmp_path_factory):
    """The first 200 crops as files, and one that is no image."""
    folder = tmp_path_factory.mktemp("crops")
    for index, crop in enumerate(crops[:200]):
        Image.fromarray(crop).save(folder / f"{index:03d}.png")
    (folder / "bad.png").write_bytes(b"no image")
    return folder


def png(array):
    file = io.BytesIO()
    Image.fromarray(array).save(file, "PNG")
    return file.getvalue()


def processes_of(parent, *, named):
    """Process numbers below ``parent`` whose command line has a word."""
    parents, found = {}, []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text()
                parents[int(entry.name)] = int(stat.rpartition(")")[2].split()[1])
                if named in (entry / "cmdline").read_bytes().decode(errors="replace"):
                    found.append(int(entry.name))
            except OSError:  # it ended meanwhile
                continue

    def is_below(process):
        while process in parents and process != parent:
            process = parents[process]
        return process == parent

    return [process for process in found if is_below(process)]


def test_512_crops_equal_encode_though_an_actor_is_killed(ray, resnet18_encoder, crops):
    images = [png(crop) for crop in crops]
    bad = {515: b"no image", 512: b"", 513: images[0][:50], 514: None}
    table = pa.table({"n": range(516), "image": [*images, *(bad[n] for n in range(512, 516))]})
    data = embed(
        ray.data.from_arrow(table), encoder=resnet18_encoder, actors=2, batch_size=16, device="cpu"
    )
    found, killed = [], []
    for block in data.iter_batches(batch_format="pyarrow", batch_size=None, prefetch_batches=0):
        found += block.to_pylist()
        if not killed:
            killed = processes_of(os.getpid(), named="EmbedCrops")[:1]
            os.kill(killed[0], signal.SIGKILL)
            before = len(found)
    assert before < 256  # most of the work came after
    assert sorted(row["n"] for row in found) == list(range(516))
    for row in found:
        assert (row["error"] is None) == (row["n"] < 512)
        assert (row["embedding"] is not None) == (row["n"] < 512)
    found.sort(key=lambda row: row["n"])
    got = np.array([row["embedding"] for row in found[:512]], np.float32)
    np.testing.assert_array_equal(got, resnet18_encoder.encode(crops))


def test_a_killed_driver_resumes_and_each_path_stands_once(
    ray, resnet18_encoder, resnet18_weights, folder, tmp_path
):
    out, address = tmp_path / "out", ray.get_runtime_context().gcs_address
    code = (
        "import sys; from sanreid import SANEncoder; from sanreid.scale import embed_files; "
        "import ray; ray.init(sys.argv[1], log_to_driver=False, logging_level='error'); "
        "encoder = SANEncoder.from_pretrained(sys.argv[4], device='cpu', dtype='float32'); "
        "embed_files(sys.argv[2], sys.argv[3], encoder=encoder, "
        "rows_per_shard=8, batch_size=8, actors=2, device='cpu')"
    )
    arguments = [address, str(out), str(folder), str(resnet18_weights)]
    driver = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", code, *arguments], stderr=subprocess.DEVNULL
    )
    try:
        until(lambda: len(list(out.glob("part-*.parquet"))) >= 2, driver)
    finally:
        driver.kill()
        driver.wait()
    held = len(shard_files(out))
    done = embed_files(
        out, folder, encoder=resnet18_encoder, resume=True, actors=2, device="cpu", batch_size=8
    )
    assert 8 * held <= done.resumed < 201
    assert done.embedded + len(done.failures) == 201 - done.resumed
    found = {}
    for columns in read_shards(shard_files(out)):
        for path, row, error in zip(
            columns["path"], columns["embedding"], columns["error"], strict=True
        ):
            assert path not in found
            found[path] = row if error is None else error
    files = sorted(folder.glob("[0-9]*.png"))
    assert sorted(found) == sorted(map(str, [*files, folder / "bad.png"]))
    assert isinstance(found[str(folder / "bad.png")], str)
    got = np.stack([found[str(path)] for path in files])
    np.testing.assert_array_equal(got, resnet18_encoder.encode(files))


def until(condition, process):
    """Wait while a process works, which must not end before."""
    end = time.monotonic() + 120
    while not condition():
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=0.02)
        assert process.poll() is None, "it ended"
        assert time.monotonic() < end


def test_the_command_embeds_with_ray(ray, resnet18_weights, folder, tmp_path, capsys):
    few = tmp_path / "few"
    few.mkdir()
    for name in ("000.png", "001.png", "bad.png"):
        (few / name).write_bytes((folder / name).read_bytes())
    out = tmp_path / "out"
    arguments = ["embed", str(few), "-o", str(out), "--shards", "--weights", str(resnet18_weights)]
    assert main([*arguments, "--device", "cpu", "--json", "--ray", "--actors", "1"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["embedded"], len(told["failures"])) == (2, 1)
    assert ray.is_initialized()  # it was connected before


def test_images_of_ray_are_tensors(resnet18_encoder, crops):
    pytest.importorskip("ray")
    from ray.data.extensions import ArrowTensorArray, ArrowVariableShapedTensorArray

    same = ArrowTensorArray.from_numpy(crops[:8])
    two_shapes = ArrowVariableShapedTensorArray.from_numpy([*crops[:7], crops[7][::2]])
    wanted = resnet18_encoder.encode([*crops[:8]])
    for images, count in ((same, 8), (two_shapes, 7)):
        table = EmbedCrops(resnet18_encoder)(pa.table({"image": images}))
        got = np.array(table["embedding"].to_pylist(), np.float32)
        np.testing.assert_array_equal(got[:count], wanted[:count])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"actors": 0}, "actors must be"),
        ({"actors": (3, 2)}, "actors must be"),
        ({"rows_per_block": 0}, "rows_per_block must be"),
        ({"encoder": 7}, "encoder must be"),
        ({"batch_size": "many"}, "batch_size must be"),
        ({"column": 3}, "column must be the name"),
        ({"device": "gpu9"}, "device 'gpu9' cannot be used"),
        ({"dtype": "float8"}, "dtype must be"),
        ({"backend": "jax"}, "backend must be one of"),
        ({"keep_images": "x"}, "keep_images must be True or False"),
        ({"num_cpus": "x"}, "num_cpus must be a finite number"),
        ({"num_gpus": -1}, "num_gpus must be at least 0"),
    ],
)
def test_wrong_arguments_are_refused_before_any_work(ray, options, message):
    with pytest.raises(InputError, match=message):
        embed(ray.data.from_items([{"image": "a"}]), **options)


def test_actors_that_starve_a_checkpoint_are_warned_of(ray, caplog):
    context = ray.data.DataContext.get_current()
    context.checkpoint_config = ray.data.checkpoint.CheckpointConfig(
        id_column="image", checkpoint_path="/tmp/unused"
    )
    try:
        embed(ray.data.from_items([{"image": "a"}]), actors=3)
        assert "3 actors leave 1 CPUs" in caplog.text
        caplog.clear()
        embed(ray.data.from_items([{"image": "a"}]), actors=2)
        assert not [one for one in caplog.records if one.name.startswith("sanreid")]
    finally:
        context.checkpoint_config = None


def test_a_failure_inside_ray_is_an_error_of_ours(ray, resnet18_encoder, folder, tmp_path):
    import copy

    broken = copy.deepcopy(resnet18_encoder)
    for parameter in broken.module.parameters():
        parameter.data.fill_(float("nan"))
    with pytest.raises(SanreidError, match="Ray could not go on: The network gave NaN .* resume"):
        embed_files(tmp_path / "o", folder / "000.png", encoder=broken, actors=1, device="cpu")
