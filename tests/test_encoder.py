"""SANEncoder: numerics against an independent forward, inputs, errors, files, streams."""

from __future__ import annotations

import copy
import io
import logging
import os
import pickle
import sys
import threading

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image
from torchvision.transforms import v2 as transforms

from sanreid import EncodedFiles, SANEncoder
from sanreid.config import EncoderConfig
from sanreid.errors import ImageError, InputError, WeightsError
from tests.conftest import build_tiny
from tests.people import rendered_person, write_people

MIN_COSINE_BFLOAT16 = 0.999


def crops_of(n, size=(80, 40)):
    return [rendered_person(identity, size=size) for identity in range(n)]


def plain_torchvision(module, config, images):
    """Compute embeddings with torchvision's ResNet and transforms and an explicit head."""
    with torch.device("meta"):  # the initial values are replaced
        network = getattr(torchvision.models, config.backbone)(weights=None)
    if config.last_stride == 1:
        first = network.layer4[0]
        (first.conv2 if hasattr(first, "conv3") else first.conv1).stride = (1, 1)
        first.downsample[0].stride = (1, 1)
    network.fc = torch.nn.Identity()
    weights = module.state_dict()
    network.load_state_dict(
        {k.removeprefix("trunk."): v for k, v in weights.items() if k.startswith("trunk.")},
        assign=True,
    )
    network.eval()
    prepare = transforms.Compose(
        [
            transforms.Resize(config.input_size),  # bilinear with antialiasing on PIL images
            transforms.ToImage(),
            transforms.ToDtype(torch.float32, scale=True),
            transforms.Normalize(config.mean, config.std),
        ]
    )
    with torch.inference_mode():
        pooled = network(torch.stack([prepare(image.convert("RGB")) for image in images]))
        if config.head == "pool":
            return pooled.numpy()
        embeddings = pooled @ weights["head.reduction.weight"].T
        if config.head == "fc":
            embeddings = embeddings + weights["head.reduction.bias"]
        embeddings = embeddings - weights["head.bn.running_mean"]
        embeddings = embeddings / (weights["head.bn.running_var"] + 1e-5).sqrt()
        embeddings = embeddings * weights["head.bn.weight"] + weights["head.bn.bias"]
        return (embeddings.relu() if config.head == "fc" else embeddings).numpy()


def unit(rows):
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


# ----------------------------------------------------------------------- numerics


@pytest.mark.parametrize(
    "config",
    [
        EncoderConfig(backbone="resnet18", embedding_dim=16, input_size=(64, 32)),
        EncoderConfig(backbone="resnet18", embedding_dim=16, input_size=(64, 32), head="fc"),
        EncoderConfig(backbone="resnet18", embedding_dim=512, input_size=(64, 32), head="pool"),
        EncoderConfig(backbone="resnet34", embedding_dim=9, input_size=(48, 40), last_stride=2),
        EncoderConfig(
            backbone="resnet50",
            embedding_dim=16,
            input_size=(64, 32),
            mean=(0.5, 0.4, 0.3),
            std=(0.2, 0.3, 0.4),
        ),
    ],
    ids=lambda config: f"{config.backbone}-{config.head}-{config.last_stride}",
)
def test_float32_equals_a_plain_torchvision_forward_pass(config):
    module, images = build_tiny(config), crops_of(3)
    wanted = plain_torchvision(module, config, images)
    encoder = SANEncoder(module, config, device="cpu", dtype="float32")
    embeddings = encoder.encode(images)
    assert embeddings.dtype == np.float32
    np.testing.assert_allclose(embeddings, unit(wanted), atol=1e-5)
    raw = encoder.encode(images, normalize=False)
    np.testing.assert_allclose(raw, wanted, rtol=1e-4, atol=1e-5 * np.abs(wanted).max())


def test_generalised_mean_pooling_is_applied(crop):
    config = EncoderConfig(
        backbone="resnet18", embedding_dim=8, input_size=(64, 32), pooling="gem"
    )
    module = build_tiny(config)
    encoder = SANEncoder(module, config, device="cpu", dtype="float32")
    pixels = torch.from_numpy(np.array(crop.resize((32, 64), Image.Resampling.BILINEAR)))
    normalised = (pixels.permute(2, 0, 1) / 255 - torch.tensor(config.mean)[:, None, None]) / (
        torch.tensor(config.std)[:, None, None]
    )
    with torch.inference_mode():
        wanted = module(normalised[None]).embedding.numpy()
    np.testing.assert_allclose(encoder.encode(crop), unit(wanted), atol=1e-5)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_lower_precision_stays_close(dtype, tiny_config, tiny_module, tiny_encoder):
    images = crops_of(6)
    encoder = SANEncoder(tiny_module, tiny_config, device="cpu", dtype=dtype)
    embeddings = encoder.encode(images)
    assert embeddings.dtype == np.float32
    assert (embeddings * tiny_encoder.encode(images)).sum(axis=1).min() > MIN_COSINE_BFLOAT16


def test_float16_on_a_cpu_is_computed_in_float32(tiny_config, tiny_module, tiny_encoder, crop):
    encoder = SANEncoder(tiny_module, tiny_config, device="cpu", dtype="fp16")
    assert encoder.dtype == torch.float16
    np.testing.assert_array_equal(encoder.encode(crop), tiny_encoder.encode(crop))


def test_embeddings_do_not_depend_on_the_batch(tiny_encoder):
    images = crops_of(7)
    together = tiny_encoder.encode(images)
    separate = np.concatenate([tiny_encoder.encode(image) for image in images])
    np.testing.assert_allclose(together, separate, atol=1e-5)
    np.testing.assert_allclose(tiny_encoder.encode(images, batch_size=3), together, atol=1e-5)


def test_rows_have_norm_one(tiny_encoder):
    norms = np.linalg.norm(tiny_encoder.encode(crops_of(4)), axis=1)
    np.testing.assert_allclose(norms, 1, atol=1e-6)


def test_flip_averages_raw_embeddings_of_both_sides(tiny_encoder):
    image = crops_of(1, size=(64, 32))[0]
    mirrored = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    left, right = tiny_encoder.encode([image, mirrored], normalize=False)
    assert np.abs(left - right).max() > 1e-3
    mean = (left + right)[None] / 2
    raw = tiny_encoder.encode(image, flip=True, normalize=False)
    np.testing.assert_allclose(raw, mean, atol=1e-5 * np.abs(mean).max())
    np.testing.assert_allclose(tiny_encoder.encode(image, flip=True), unit(mean), atol=1e-5)
    np.testing.assert_allclose(tiny_encoder.encode(mirrored, flip=True), unit(mean), atol=1e-5)


def test_a_golden_embedding(resnet18_encoder):
    """The first numbers of a fixed crop's embedding, to detect silent changes."""
    ramp = np.arange(64 * 32 * 3, dtype=np.uint32).reshape(64, 32, 3) * 7 % 256
    embedding = resnet18_encoder.encode(ramp.astype(np.uint8))[0]
    np.testing.assert_allclose(embedding[:4], [-0.0483, 0.1321, -0.4250, 0.0527], atol=1e-4)


# -------------------------------------------------------------------------- inputs


def test_every_kind_of_input_in_one_call(tiny_encoder, crop, tmp_path):
    array = np.asarray(crop)
    crop.save(tmp_path / "a.png")
    png = (tmp_path / "a.png").read_bytes()
    chw = torch.from_numpy(array.copy()).permute(2, 0, 1)
    kinds = [
        str(tmp_path / "a.png"),
        tmp_path / "a.png",
        png,
        crop,
        Image.open(io.BytesIO(png)),
        array,
        array / 255,
        chw,
        chw / 255,
    ]
    embeddings = tiny_encoder.encode(kinds)
    assert embeddings.shape == (9, 16)
    np.testing.assert_allclose(embeddings, embeddings[:1].repeat(9, axis=0), atol=1e-6)


def test_one_lazily_opened_image_many_times(tiny_encoder, crop, tmp_path):
    crop.save(tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as lazy:
        embeddings = tiny_encoder.encode([lazy] * 20)
    np.testing.assert_allclose(embeddings, tiny_encoder.encode(crop).repeat(20, 0), atol=1e-6)


def test_one_image_gives_one_row(tiny_encoder, crop):
    for one in (crop, np.asarray(crop), torch.from_numpy(np.array(crop)).permute(2, 0, 1)):
        assert tiny_encoder.encode(one).shape == (1, 16)


@pytest.mark.parametrize(
    "empty", [[], (), iter([]), np.empty((0, 8, 6, 3), np.uint8), np.array([])]
)
def test_an_empty_sequence_gives_no_rows(empty, tiny_encoder):
    embeddings = tiny_encoder.encode(empty)
    assert embeddings.shape == (0, 16)
    assert embeddings.dtype == np.float32


def test_batches_and_iterators_are_sequences(tiny_encoder, crop):
    array = np.stack([np.asarray(crop)] * 3)
    tensor = torch.from_numpy(array).permute(0, 3, 1, 2)
    wanted = tiny_encoder.encode(crop).repeat(3, axis=0)
    for images in (array, tensor, iter([crop] * 3), (crop,) * 3):
        np.testing.assert_allclose(tiny_encoder.encode(images), wanted, atol=1e-6)


def test_bgr_arrays(tiny_encoder, crop):
    bgr = np.asarray(crop)[:, :, ::-1]
    before = bgr.copy()
    wanted = tiny_encoder.encode(crop)
    np.testing.assert_allclose(tiny_encoder.encode(bgr, color="bgr"), wanted, atol=1e-6)
    np.testing.assert_array_equal(bgr, before)
    assert np.abs(tiny_encoder.encode(bgr) - wanted).max() > 1e-4


@pytest.mark.parametrize("size", [(1, 1), (300, 7), (5, 400)])
def test_any_aspect_ratio(size, tiny_encoder):
    assert tiny_encoder.encode(np.full((*size, 3), 90, np.uint8)).shape == (1, 16)


def test_read_only_arrays_are_accepted_without_a_warning(tiny_encoder):
    array = np.full((64, 32, 3), 90, np.uint8)  # already of the input's size
    array.setflags(write=False)
    assert tiny_encoder.encode([array, array]).shape == (2, 16)


# -------------------------------------------------------------------------- errors


def test_an_unreadable_image_is_named_by_its_index_or_path(tiny_encoder, crop, tmp_path):
    with pytest.raises(ImageError, match=r"Cannot read image 2 of the input: got values of type"):
        tiny_encoder.encode([crop, crop, np.zeros((4, 4, 3), int)])
    missing = tmp_path / "none.jpg"
    with pytest.raises(
        ImageError, match=r"Cannot read image 1 of the input, '.*none\.jpg': there"
    ):
        tiny_encoder.encode([crop, str(missing)])
    with pytest.raises(ImageError, match=r"Cannot read '.*none\.jpg': there is no such file"):
        tiny_encoder.encode(str(missing))
    with pytest.raises(ImageError, match="Cannot read the image: its values are not all finite"):
        tiny_encoder.encode(np.full((4, 4, 3), np.nan))
    with pytest.raises(ImageError, match="got NoneType"):
        tiny_encoder.encode(None)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"batch_size": 0}, "batch_size must be at least 1; got 0"),
        ({"batch_size": 2.5}, "batch_size must be an int of at least 1; got 2.5"),
        ({"batch_size": True}, "batch_size must be an int of at least 1; got True"),
        ({"color": "grb"}, "color must be 'rgb' or 'bgr'; got 'grb'"),
    ],
)
def test_wrong_options(options, match, tiny_encoder):
    with pytest.raises(InputError, match=match):
        tiny_encoder.encode([], **options)
    with pytest.raises(InputError, match=match):
        tiny_encoder.encode_stream([], **options)  # immediately, not when first iterated


def test_a_wrong_progress_of_a_stream_is_refused_before_the_first_image(tiny_encoder):
    with pytest.raises(InputError, match="progress must be True, False or None; got 'yes'"):
        tiny_encoder.encode_stream([], progress="yes")


def test_nan_output_of_the_network_is_an_error(tiny_config, tiny_module, crop):
    with torch.no_grad():
        tiny_module.head.bn.bias[3] = torch.nan
    encoder = SANEncoder(tiny_module, tiny_config, device="cpu", dtype="float32")
    with pytest.raises(WeightsError, match=r"NaN or infinity for image 0 .*\(2 of 2 in its batch"):
        encoder.encode([crop, crop])


def test_a_zero_embedding_stays_zero_and_is_logged(tiny_config, tiny_module, crop, caplog):
    with torch.no_grad():
        tiny_module.head.bn.weight.zero_()
        tiny_module.head.bn.bias.zero_()
    encoder = SANEncoder(tiny_module, tiny_config, device="cpu", dtype="float32")
    with caplog.at_level(logging.WARNING, logger="sanreid"):
        assert not encoder.encode(crop).any()
    assert "1 embeddings are all zero" in caplog.text


def test_a_network_with_the_wrong_embedding_dim_is_an_error(tiny_module, crop):
    config = EncoderConfig(backbone="resnet18", embedding_dim=17, input_size=(64, 32))
    encoder = SANEncoder(tiny_module, config, device="cpu", dtype="float32")
    with pytest.raises(WeightsError, match=r"gave \(1, 16\) for 1 crops.*embedding_dim 17"):
        encoder.encode(crop)


def test_any_module_that_returns_embeddings_works(crop):
    """Any module that maps crops to embeddings can be used; here the mean color."""
    config = EncoderConfig(backbone="resnet18", embedding_dim=3, mean=(0, 0, 0), std=(1, 1, 1))

    class MeanColor(torch.nn.Module):
        def forward(self, crops):
            return crops.mean(dim=(2, 3))

    encoder = SANEncoder(MeanColor(), config, device="cpu", dtype="float32")
    red = np.zeros((9, 9, 3), np.uint8)
    red[:, :, 0] = 51
    np.testing.assert_allclose(encoder.encode(red, normalize=False), [[0.2, 0, 0]], atol=1e-6)
    np.testing.assert_allclose(encoder.encode(red), [[1, 0, 0]], atol=1e-6)


@pytest.mark.parametrize(
    ("module", "told"),
    [
        (torch.nn.Linear(4, 3), "a Linear, must map .* to embeddings .N, 3.; it raised: "),
        (torch.nn.Identity(), r"for N = 1 it gave \(1, 3, 64, 32\)"),
        (torch.nn.Flatten(), r"for N = 1 it gave \(1, 6144\)"),
        (torch.nn.LSTM(32, 3), "it raised: "),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_module_that_returns_no_embeddings_is_named(module, told, crop):
    config = EncoderConfig(backbone="resnet18", embedding_dim=3, input_size=(64, 32))
    with pytest.raises(InputError, match=told):
        SANEncoder(module, config, device="cpu", dtype="float32").encode(crop)


# --------------------------------------------------------------------------- files


def test_files_and_folders(tiny_encoder, tmp_path):
    paths = write_people(tmp_path / "people", identities=2, cameras=2, names="folders")
    result = tiny_encoder.encode_files([tmp_path / "people", str(paths[0])])
    assert isinstance(result, EncodedFiles)
    assert result.paths == [*paths, paths[0]]
    assert result.failures == []
    assert len(result.embeddings) == 5
    embeddings, listed, failures = result
    assert embeddings is result.embeddings
    assert (listed, failures) == (result.paths, [])
    np.testing.assert_allclose(result.embeddings, tiny_encoder.encode(result.paths), atol=1e-6)
    only_folder = tiny_encoder.encode_files(str(tmp_path / "people"))
    assert only_folder.paths == paths


def test_bad_files_are_collected(tiny_encoder, tmp_path):
    paths = write_people(tmp_path / "people", identities=2, cameras=2)
    paths[1].write_bytes(paths[1].read_bytes()[:-200])
    (tmp_path / "nothing").mkdir()
    given = [tmp_path / "none.jpg", tmp_path / "people", tmp_path / "nothing"]
    result = tiny_encoder.encode_files(given, on_error="collect", batch_size=2)
    assert result.paths == [paths[0], paths[2], paths[3]]
    np.testing.assert_allclose(result.embeddings, tiny_encoder.encode(result.paths), atol=1e-5)
    reasons = dict(result.failures)
    assert set(reasons) == {tmp_path / "none.jpg", paths[1], tmp_path / "nothing"}
    assert reasons[tmp_path / "none.jpg"] == "there is no such file."
    assert "holds no image files" in reasons[tmp_path / "nothing"]
    assert "damaged or cut short" in reasons[paths[1]]


def test_the_reason_of_a_file_with_a_long_path_does_not_repeat_it(tiny_encoder, tmp_path):
    path = tmp_path.joinpath(*["long" * 20] * 4, "none.jpg")
    ((_, reason),) = tiny_encoder.encode_files([path], on_error="collect").failures
    assert reason == "there is no such file."


def test_a_folder_may_be_called_as_the_home_folder_is(tiny_encoder, tmp_path, monkeypatch):
    (path,) = write_people(tmp_path / "~", identities=1, cameras=1)
    monkeypatch.chdir(tmp_path)
    for folder in (".", "./~"):
        (found,) = tiny_encoder.encode_files(folder).paths
        assert found.samefile(path)


def test_bad_files_raise_by_default(tiny_encoder, tmp_path):
    with pytest.raises(ImageError, match=r"Cannot read '.*none\.jpg': there is no such file"):
        tiny_encoder.encode_files([tmp_path / "none.jpg"])
    with pytest.raises(InputError, match="holds no image files"):
        tiny_encoder.encode_files(tmp_path)


def test_no_files(tiny_encoder, tmp_path):
    assert tiny_encoder.encode_files([]).embeddings.shape == (0, 16)
    failed = tiny_encoder.encode_files([tmp_path / "none.jpg"], on_error="collect")
    assert failed.embeddings.shape == (0, 16)
    assert failed.paths == []


def test_wrong_arguments_of_encode_files(tiny_encoder, crop):
    with pytest.raises(InputError, match="on_error must be 'raise' or 'collect'; got 'skip'"):
        tiny_encoder.encode_files([], on_error="skip")
    with pytest.raises(InputError, match="Item 1 of paths must be a path; got Image"):
        tiny_encoder.encode_files(["a.jpg", crop])
    with (
        os.scandir(b".") as entries,
        pytest.raises(InputError, match=r"Item 0 of paths is a path in bytes; pass text"),
    ):
        tiny_encoder.encode_files(entries)
    with pytest.raises(InputError, match="Item 0 of paths is an empty string"):
        tiny_encoder.encode_files("")
    for wrong in (5, b"a.jpg"):
        with pytest.raises(InputError, match="paths must be a path or a sequence of paths"):
            tiny_encoder.encode_files(wrong)


# -------------------------------------------------------------------------- streams


def test_a_stream_yields_indices_and_embeddings_in_order(tiny_encoder):
    images = crops_of(7)
    given = list(tiny_encoder.encode_stream(iter(images), batch_size=3))
    assert len(list(tiny_encoder.encode_stream(images, batch_size=sys.maxsize))) == 7
    assert [index for index, _ in given] == list(range(7))
    rows = np.stack([embedding for _, embedding in given])
    np.testing.assert_allclose(rows, tiny_encoder.encode(images), atol=1e-5)


def test_a_stream_reads_only_a_few_batches_ahead(tiny_encoder, crop):
    read = 0

    def endless():
        nonlocal read
        while True:
            read += 1
            yield crop

    stream = tiny_encoder.encode_stream(endless(), batch_size=4)
    assert read == 0
    assert next(stream)[0] == 0
    assert read <= 12  # three batches
    for index, _ in stream:
        assert read <= index + 1 + 12
        if index == 50:
            break
    stream.close()


def test_embeddings_before_a_bad_image_are_yielded_first(tiny_encoder, crop):
    stream = tiny_encoder.encode_stream([crop, crop, b"", crop], batch_size=8)
    assert [next(stream)[0], next(stream)[0]] == [0, 1]
    with pytest.raises(ImageError, match=r"image 2 of the input: it is empty"):
        next(stream)
    with pytest.raises(StopIteration):
        next(stream)


def test_a_stream_can_skip_bad_images(tiny_encoder, crop, caplog):
    with caplog.at_level(logging.WARNING, logger="sanreid"):
        stream = tiny_encoder.encode_stream([b"", crop, b"", crop], on_error="skip", batch_size=2)
        assert [index for index, _ in stream] == [1, 3]
    assert "Skipped: Cannot read image 2 of the input: it is empty" in caplog.text
    with pytest.raises(InputError, match="on_error must be 'raise' or 'skip'; got 'collect'"):
        tiny_encoder.encode_stream([], on_error="collect")


@pytest.mark.parametrize("n", [0, 1, 2, 7])
def test_an_exception_of_the_source_is_raised_after_the_images_before_it(n, tiny_encoder, crop):
    def broken():
        yield from [crop] * n
        raise OSError("camera unplugged")

    stream = tiny_encoder.encode_stream(broken(), batch_size=4)
    assert [next(stream)[0] for _ in range(n)] == list(range(n))
    with pytest.raises(OSError, match="camera unplugged"):
        next(stream)
    with pytest.raises(OSError, match="camera unplugged"):
        tiny_encoder.encode(broken(), batch_size=4)
    assert not decode_threads()


def test_closing_a_stream_leaves_its_source_open(tiny_encoder, crop):
    source = (crop for _ in range(50))
    stream = tiny_encoder.encode_stream(source, batch_size=2)
    next(stream)
    stream.close()
    assert next(source) is crop


def decode_threads():
    return [t for t in threading.enumerate() if t.name.startswith("sanreid-decode")]


def test_no_threads_are_left_behind(tiny_encoder, crop):
    list(tiny_encoder.encode_stream([crop] * 9, batch_size=2))
    assert not decode_threads()

    stream = tiny_encoder.encode_stream([crop] * 20, batch_size=2)
    next(stream)
    assert decode_threads()
    stream.close()
    assert not decode_threads()

    def consume():
        for index, _ in tiny_encoder.encode_stream([crop] * 20, batch_size=2):
            1 / (3 - index)

    with pytest.raises(ZeroDivisionError):
        consume()
    assert not decode_threads()

    with pytest.raises(ImageError):
        tiny_encoder.encode([crop] * 9 + [None] + [crop] * 9, batch_size=2)
    assert not decode_threads()


# ------------------------------------------------------------------------ detections


@pytest.fixture
def frame():
    return np.asarray(Image.effect_noise((60, 40), 80).convert("RGB"))  # 40 high, 60 wide


def test_detections_are_encoded_as_crops_of_the_frame(tiny_encoder, frame):
    boxes = [[0, 0, 20, 40], [10, 5, 30, 35], [-7, -3, 12, 22], [50, 30, 90, 70]]
    crops = [frame[0:40, 0:20], frame[5:35, 10:30], frame[0:22, 0:12], frame[30:40, 50:60]]
    wanted = tiny_encoder.encode(crops)
    for given in (boxes, np.array(boxes), np.array(boxes, np.float32), torch.tensor(boxes)):
        found = tiny_encoder.encode_detections(frame, given)
        np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_fractional_boxes_are_rounded_outwards(tiny_encoder, frame):
    found = tiny_encoder.encode_detections(frame, [[1.5, 2.25, 8.5, 9.75]])
    np.testing.assert_allclose(found, tiny_encoder.encode(frame[2:10, 1:9]), atol=1e-5)


def test_an_object_with_xyxy_and_other_kinds_of_frames(tiny_encoder, frame):
    class Detections:
        xyxy = np.array([[3, 4, 20, 30]])

    wanted = tiny_encoder.encode(frame[4:30, 3:20])
    bgr = np.ascontiguousarray(frame[:, :, ::-1])
    for found in (
        tiny_encoder.encode_detections(Image.fromarray(frame), Detections()),
        tiny_encoder.encode_detections(bgr, Detections(), color="bgr"),
    ):
        np.testing.assert_allclose(found, wanted, atol=1e-5)


@pytest.mark.parametrize("boxes", [[], np.empty((0, 4)), torch.empty(0, 4), np.array([])])
def test_no_boxes_give_no_rows(boxes, tiny_encoder, frame):
    assert tiny_encoder.encode_detections(frame, boxes).shape == (0, 16)


@pytest.mark.parametrize(
    ("boxes", "match"),
    [
        ([[0, 0, 5, 5], [9, 9, 9, 20]], r"Box 1 \(9, 9, 9, 20\) has no area inside the frame"),
        ([[9, 9, 3, 20]], r"Box 0 .*wanted x1 < x2 and y1 < y2"),
        ([[0, 20, 5, 3]], "Box 0 .*no area"),
        ([[0, 0, 5, 5], [0, 0, 5, 5], [70, 0, 90, 5]], "Box 2 .*frame of 60 x 40 pixels"),
        ([[0, np.nan, 5, 5]], r"Box 0 \(0, nan, 5, 5\) holds NaN or infinity; wanted"),
        ([[0, 0, np.inf, 5]], "Box 0 .*holds NaN or infinity"),
        ([1, 2, 3, 4], r"got \(4,\). One box is \[\[x1, y1, x2, y2\]\]"),
        (np.zeros((2, 3)), r"shape \(N, 4\), x1 y1 x2 y2; got \(2, 3\)\.$"),
        (np.zeros((2, 5)), r"Box 0 .*has no area"),
        ([[0, 0, 1, 1, 0.9]] * 2, r"All boxes lie within 0 to 1.*Multiply x by 60 and y by 40"),
        ([["a", 0, 1, 2]], "boxes must be numbers.*got list"),
        (None, "boxes must be"),
    ],
)
def test_wrong_boxes(boxes, match, tiny_encoder, frame):
    with pytest.raises(InputError, match=match):
        tiny_encoder.encode_detections(frame, boxes)


def test_an_unreadable_frame(tiny_encoder):
    with pytest.raises(ImageError, match=r"Cannot read the frame, 'none\.jpg': there is no such"):
        tiny_encoder.encode_detections("none.jpg", [[0, 0, 1, 1]])


# ------------------------------------------------------------------ several threads


def test_encoding_from_several_threads(tiny_config, tiny_module, tiny_encoder):
    fresh = SANEncoder(tiny_module, tiny_config, device="cpu", dtype="float32")
    images = [crops_of(5)[i:] for i in range(4)]
    found = [None] * 4

    def work(i):
        found[i] = fresh.encode(images[i], batch_size=2)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for i in range(4):
        np.testing.assert_allclose(found[i], tiny_encoder.encode(images[i]), atol=1e-5)


# ---------------------------------------------------------------- copies and changes


def test_pickled_and_copied_encoders_work(tiny_encoder, crop):
    wanted = tiny_encoder.encode(crop)
    for twin in (pickle.loads(pickle.dumps(tiny_encoder)), copy.deepcopy(tiny_encoder)):
        np.testing.assert_array_equal(twin.encode(crop), wanted)
        assert twin.fingerprint == tiny_encoder.fingerprint


def test_copies_of_released_weights_keep_their_terms():
    encoder = SANEncoder.from_pretrained("san-r50", device="cpu", dtype="float32")
    for twin in (pickle.loads(pickle.dumps(encoder)), copy.deepcopy(encoder)):
        assert twin.default_threshold == encoder.default_threshold is not None


def test_a_change_of_the_weights_takes_effect(tiny_config, tiny_module, crop):
    encoder = SANEncoder(tiny_module, tiny_config, device="cpu", dtype="float32")
    before, fingerprint = encoder.encode(crop, normalize=False), encoder.fingerprint
    with torch.no_grad():
        encoder.module.head.bn.bias.add_(1)
    after = encoder.encode(crop, normalize=False)
    np.testing.assert_allclose(after, before + 1, atol=1e-5 * np.abs(before).max())
    assert encoder.fingerprint != fingerprint
    with torch.no_grad():
        encoder.module.head.bn.bias.sub_(1)
        encoder.module.trunk.layer1[0].bn1.running_mean.add_(1)
    assert np.abs(encoder.encode(crop, normalize=False) - before).max() > 1e-3


def test_the_module_is_not_modified(tiny_config, tiny_module, crop):
    before = {key: value.clone() for key, value in tiny_module.state_dict().items()}
    encoder = SANEncoder(tiny_module.train(), tiny_config, device="cpu", dtype="bfloat16")
    encoder.encode(crop)
    assert encoder.module is tiny_module
    assert not tiny_module.training
    after = tiny_module.state_dict()
    assert list(after) == list(before)
    for key, value in before.items():
        assert torch.equal(after[key], value), key
        assert after[key].dtype == value.dtype
    assert all(parameter.requires_grad for parameter in tiny_module.parameters())
    assert encoder.module(torch.zeros(1, 3, 64, 32)).embedding.shape == (1, 16)
