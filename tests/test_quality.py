"""Scores of crops: their definitions, their order under damage, and what is refused."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

import sanreid
from sanreid import ImageError, InputError, crop_quality
from sanreid.quality import _lost_to_blur
from tests.people import rendered_person

PACKAGED = Path(sanreid.__file__).parent / "demo"


@pytest.fixture(scope="module")
def people():
    return [rendered_person(person, camera) for person in (1, 2, 3) for camera in (1, 2)]


def lost_by_loops(grey):
    """The definition, difference by difference, along the first axis."""
    rows, columns = grey.shape
    total = lost = 0.0
    for column in range(columns):
        values = grey[:, column]
        blurred = [
            np.mean([values[min(max(row + step, 0), rows - 1)] for step in range(-5, 6)])
            for row in range(rows)
        ]
        for row in range(1, rows):
            before = abs(values[row] - values[row - 1])
            after = abs(blurred[row] - blurred[row - 1])
            total += before
            lost += max(0.0, before - after)
    return lost / total


@pytest.mark.parametrize("shape", [(7, 4), (30, 13), (2, 5)])
def test_sharpness_equals_its_definition(shape):
    grey = np.random.default_rng(shape[0]).uniform(0, 255, shape)
    assert _lost_to_blur(grey) == pytest.approx(lost_by_loops(grey), rel=1e-12)


def test_a_line_of_known_sharpness():
    # One bright row of 21: two steps of 11; the mean over 11 rows is 1, or 0 beyond 5 rows away.
    grey = np.zeros((21, 1))
    grey[10] = 11.0
    assert _lost_to_blur(grey) == pytest.approx(
        1.0
    )  # no step coincides with a step of the blurred
    assert _lost_to_blur(np.arange(11.0).repeat(30)[:, None]) < 1


def test_sharp_crops_score_more_than_blurred_ones(people):
    scores = [
        crop_quality([crop.filter(ImageFilter.GaussianBlur(radius)) for crop in people]).sharpness
        for radius in (0, 2, 4, 8)
    ]
    for sharper, softer in pairwise(scores):
        assert (sharper >= softer).all()
        assert sharper.mean() > softer.mean()
    assert scores[-1].max() < 0.2
    assert crop_quality(Image.new("RGB", (64, 128), (90, 80, 70))).sharpness == [0.0]


@pytest.mark.parametrize(
    ("height", "width", "size", "shape"),
    [
        (128, 64, 1.0, 1.0),
        (256, 128, 1.0, 1.0),
        (32, 16, 0.25, 1.0),
        (64, 64, np.sqrt(0.5), 1 - np.log(2) / np.log(3)),
        (60, 90, np.sqrt(5400 / 8192), 0.0),  # lying
        (360, 30, 1.0, 0.0),  # twelve times as high as wide: a pole
    ],
)
def test_size_and_shape(height, width, size, shape):
    noise = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    quality = crop_quality(noise)
    assert quality.size == pytest.approx([size])
    assert quality.shape == pytest.approx([shape], abs=1e-12)
    assert quality.score == pytest.approx(quality.size * quality.sharpness * quality.shape)
    assert quality.weakest == [
        min(("size", "sharpness", "shape"), key=lambda name: quality.scores[name][0])
    ]


def test_a_box_at_the_border_is_cut_off(people):
    boxes = [
        [100, 100, 164, 228],  # well inside
        [0, 100, 64, 228],  # touches on the left
        [-32, 100, 32, 228],  # half of it outside, on the left
        [576, 352, 640, 480],  # a corner
        [700, 100, 764, 228],  # outside
    ]
    quality = crop_quality(people[:5], boxes=boxes, frame_size=(480, 640))
    assert quality.inside == pytest.approx([1, 0.5, 0.25, 0.25, 0])
    assert quality.score == pytest.approx(crop_quality(people[:5]).score * quality.inside)
    assert quality.weakest[4] == "inside"


def test_scores_do_not_depend_on_company_or_kind(people, tmp_path):
    path = tmp_path / "a.png"
    people[0].save(path)
    array = np.asarray(people[0])
    together = crop_quality([path, array, people[0], array[..., ::-1].copy(), *people])
    alone = crop_quality(path)
    for name, values in alone.scores.items():
        assert together.scores[name][:3] == pytest.approx(np.repeat(values, 3), abs=0)
    bgr = crop_quality(array[..., ::-1].copy(), color="bgr")
    assert bgr.score == pytest.approx(alone.score, abs=0)
    assert crop_quality(iter(people), batch_size=2).score == pytest.approx(
        crop_quality(people).score, abs=0
    )


def test_the_evidence_of_an_encoder(people, tiny_encoder):
    quality = crop_quality(people, encoder=tiny_encoder, batch_size=4)
    np.testing.assert_allclose(quality.embeddings, tiny_encoder.encode(people), atol=1e-5)
    rows = tiny_encoder.encode(people, normalize=False).astype(np.float64)
    mirrored = tiny_encoder.encode(
        [crop.transpose(Image.Transpose.FLIP_LEFT_RIGHT) for crop in people], normalize=False
    ).astype(np.float64)
    cosines = [a @ b / np.linalg.norm(a) / np.linalg.norm(b)
               for a, b in zip(rows, mirrored, strict=True)]  # fmt: skip
    expected = [min(max((cosine - 0.8) / 0.16, 0), 1) for cosine in cosines]
    np.testing.assert_allclose(quality.agreement, expected, atol=1e-4)
    blank = Image.new("RGB", (32, 64), (124, 116, 104))
    norm = np.linalg.norm(tiny_encoder.encode(blank, normalize=False))
    usual = tiny_encoder.encode(sorted(PACKAGED.glob("*_c1_*.jpg")), normalize=False)
    held = np.median([1 - norm / np.linalg.norm(row) for row in usual])
    beside = np.array([1 - norm / np.linalg.norm(row) for row in rows])
    expected = np.clip((beside / held - 0.6) / 0.4, 0, 1)
    np.testing.assert_allclose(quality.strength, expected, atol=1e-4)
    assert list(quality.scores) == ["size", "sharpness", "shape", "agreement", "strength"]
    assert quality.score == pytest.approx(np.prod(list(quality.scores.values()), axis=0))
    symmetric = crop_quality(blank, encoder=tiny_encoder)
    assert symmetric.agreement == pytest.approx([1.0], abs=1e-3)
    assert symmetric.strength == pytest.approx([0.0], abs=1e-4)


class ByContrast:
    """Embeddings as long as ``quiet + gain * contrast``, in one direction."""

    input_size = (64, 32)

    def __init__(self, *, quiet, gain):
        self.quiet, self.gain = quiet, gain

    def encode(self, images, **options):
        lengths = [self.quiet + self.gain * np.asarray(crop, float).std() for crop in images]
        return np.outer(lengths, [0.6, 0.8]).astype(np.float32)


def test_strength_is_relative_to_what_the_encoder_says_of_people():
    flat = Image.new("RGB", (32, 64), (90, 90, 90))
    grey = np.full((64, 32, 3), 60, np.uint8)
    grey[::2] = 180
    crops = [flat, Image.blend(flat, Image.fromarray(grey), 0.5), Image.fromarray(grey)]
    first = crop_quality(crops, encoder=ByContrast(quiet=1.0, gain=0.02)).strength
    assert first[0] == 0
    assert 0.1 < first[1] < 0.9
    assert first[2] == 1
    louder = crop_quality(crops, encoder=ByContrast(quiet=5.0, gain=0.1)).strength
    np.testing.assert_allclose(louder, first, atol=1e-6)
    deaf = crop_quality(crops, encoder=ByContrast(quiet=1.0, gain=0.0)).strength
    np.testing.assert_array_equal(deaf, 1)


class Counting(ByContrast):
    """Remembers how many crops each call was asked for; its fingerprint is always the same."""

    fingerprint, dtype, device = "a", "float32", "cpu"

    def __init__(self, **options):
        super().__init__(**options)
        self.asked = []

    def encode(self, images, **options):
        self.asked.append(len(images))
        return super().encode(images, **options)


class Unhashable(Counting):
    __hash__ = None


ONE_MORE = [9, 2, 2]  # a blank and eight people, the crops, and their mirror images


def test_the_packaged_people_are_embedded_once_per_encoder_and_state(people):
    encoder = Counting(quiet=1.0, gain=0.02)
    crop_quality(people[:2], encoder=encoder)
    assert encoder.asked == ONE_MORE
    crop_quality(people[:2], encoder=encoder)
    assert encoder.asked == [*ONE_MORE, 2, 2]
    for changed in ("fingerprint", "dtype", "device"):
        setattr(encoder, changed, f"another {changed}")
        encoder.asked.clear()
        crop_quality(people[:2], encoder=encoder)
        assert encoder.asked == ONE_MORE, changed


def test_two_encoders_of_one_fingerprint_have_each_their_own_norms(people):
    quiet, loud = Counting(quiet=1.0, gain=0.02), Counting(quiet=5.0, gain=0.1)
    first = crop_quality(people, encoder=quiet).strength
    np.testing.assert_allclose(crop_quality(people, encoder=loud).strength, first, atol=1e-6)


def test_an_encoder_that_no_dictionary_takes_is_measured_at_every_call(people):
    encoder = Unhashable(quiet=1.0, gain=0.02)
    for _ in range(2):
        encoder.asked.clear()
        crop_quality(people[:2], encoder=encoder)
        assert encoder.asked == ONE_MORE


def test_an_encoder_of_the_package_is_measured_once(people, tiny_encoder, monkeypatch):
    asked = []
    encode = type(tiny_encoder).encode
    monkeypatch.setattr(
        type(tiny_encoder),
        "encode",
        lambda self, images, **options: (
            asked.append(len(images)) or encode(self, images, **options)
        ),
    )
    crop_quality(people[:2], encoder=tiny_encoder)
    asked.clear()
    crop_quality(people[:2], encoder=tiny_encoder)
    assert asked == [2, 2]


def test_no_crops(tiny_encoder):
    quality = crop_quality([], encoder=tiny_encoder)
    assert len(quality) == 0
    assert quality.score.shape == (0,)
    assert quality.embeddings.shape == (0, 16)
    assert quality.weakest == []
    assert "0 crops" in repr(quality)
    assert crop_quality([], boxes=[], frame_size=(10, 10)).inside.shape == (0,)


def test_a_table(people):
    pytest.importorskip("pandas")
    quality = crop_quality(people)
    frame = quality.to_pandas()
    assert list(frame.columns) == ["score", "size", "sharpness", "shape"]
    np.testing.assert_array_equal(frame["score"], quality.score)
    assert repr(quality).startswith("CropQuality(6 crops, median score ")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"boxes": [[0, 0, 9, 9]]}, r"Give boxes and frame_size, \(height, width\)"),
        ({"frame_size": (480, 640)}, "Give boxes and frame_size"),
        ({"boxes": [[0, 0, 9, 9]] * 2, "frame_size": (480, 640)}, "1 images, 2 boxes"),
        ({"boxes": [[9, 0, 5, 9]], "frame_size": (480, 640)}, r"Box 0 \(9, 0, 5, 9\) has no area"),
        ({"boxes": [[0, 0, 9, 9]], "frame_size": (0, 640)}, r"got \(0, 640\)"),
        ({"boxes": [[0, 0, 9, 9]], "frame_size": 480}, "got 480"),
        ({"boxes": [[0, 0, 9, 9]], "frame_size": ([480], 640)}, r"got \(\[480\], 640\)"),
        pytest.param(
            {"boxes": [[0, 0, 9, 9]], "frame_size": 10**5000}, "got <int>", id="a long number"
        ),
        ({"encoder": "san-r50"}, "encoder must be a SANEncoder; got 'san-r50'"),
        ({"batch_size": 0}, "batch_size must be at least 1; got 0"),
    ],
)
def test_wrong_arguments(people, options, message):
    with pytest.raises(InputError, match=message):
        crop_quality(people[:1], **options)


def test_an_image_that_cannot_be_read_is_named(people, tmp_path):
    path = tmp_path / "broken.jpg"
    path.write_bytes(b"no picture")
    with pytest.raises(ImageError, match="broken.jpg"):
        crop_quality([people[0], path])
    with pytest.raises(ImageError, match="image 1 of the input"):
        crop_quality([people[0], None])


def test_tracklets_are_weighted_by_their_scores(people):
    crops = [people[0], people[0].filter(ImageFilter.GaussianBlur(6)), people[2], people[2]]
    quality = crop_quality(crops)
    rows = np.eye(4)
    gallery = sanreid.Gallery(4)
    gallery.add_tracklets(rows, ["a", "a", "b", "b"], quality=quality)
    first, second = gallery.get([0, 1])
    assert first.embedding[0] / first.embedding[1] == pytest.approx(
        quality.score[0] / quality.score[1], rel=1e-5
    )
    assert second.embedding[2] == second.embedding[3]


def test_a_tracklet_without_a_good_crop_is_averaged():
    quality = crop_quality([Image.new("RGB", (64, 128))] * 2)
    assert quality.score.tolist() == [0.0, 0.0]
    gallery = sanreid.Gallery(2)
    gallery.add_tracklets(np.eye(2), ["a", "a"], quality=quality)
    np.testing.assert_allclose(gallery.get(0)[0].embedding, [0.5**0.5] * 2, atol=1e-6)
