"""Augmentation of batches: each option alone, determinism, mirrored textures."""

import pytest
import torch
from torch.nn import functional

from sanreid.config import IMAGENET_MEAN, IMAGENET_STD
from sanreid.errors import InputError
from sanreid.train.data.camera_colors import CameraColorStats
from sanreid.train.data.transforms import BatchAugmentation
from sanreid.train.networks.normalization import normalize_crops
from sanreid.train.textures.targets import mirror_textures

OFF = {"flip": 0.0, "shift": 0.0, "mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def noise(count=16, height=24, width=12, seed=0):
    return torch.randint(
        0, 256, (count, 3, height, width), dtype=torch.uint8, generator=generator(seed)
    )


def augment(crops, seed=0, **options):
    return BatchAugmentation(**(OFF | options))(crops, generator=generator(seed))


def test_everything_off_is_the_normalisation_of_inference():
    crops = noise()
    batch = BatchAugmentation(flip=0.0, shift=0.0)(crops, generator=generator())
    torch.testing.assert_close(batch.crops, normalize_crops(crops), rtol=0, atol=1e-5)
    assert not batch.mirrored.any()


def test_normalisation_by_hand():
    crops = torch.tensor([0, 255, 51], dtype=torch.uint8).view(1, 3, 1, 1)
    values = normalize_crops(crops).flatten().tolist()
    wanted = [
        (v - m) / s for v, m, s in zip((0, 1, 0.2), IMAGENET_MEAN, IMAGENET_STD, strict=True)
    ]
    assert values == pytest.approx(wanted, abs=1e-6)


def test_the_callers_crops_are_not_changed():
    crops = noise()
    before = crops.clone()
    augment(crops, flip=0.5, shift=0.1, brightness=0.5, erasing=1.0, blur=1.0)
    assert torch.equal(crops, before)


ALL = {
    "flip": 0.5,
    "shift": 0.1,
    "zoom": (1.0, 1.2),
    "brightness": 0.2,
    "contrast": 0.2,
    "saturation": 0.2,
    "hue": 0.05,
    "gain": 0.1,
    "gamma": 0.3,
    "grayscale": 0.3,
    "blur": 0.3,
    "low_resolution": 0.3,
    "erasing": 0.5,
}


@pytest.mark.parametrize("fill", ["mean", "color"])
def test_the_generators_state_decides(fill):
    crops = noise()
    first = augment(crops, **ALL, erasing_fill=fill)
    torch.manual_seed(99)  # the global generator must not matter
    again = augment(crops, **ALL, erasing_fill=fill)
    other = augment(crops, seed=1, **ALL, erasing_fill=fill)
    assert torch.equal(first.crops, again.crops)
    assert torch.equal(first.mirrored, again.mirrored)
    assert not torch.equal(first.crops, other.crops)
    assert first.crops.isfinite().all()


def test_the_generator_moves_on_by_the_same_amount_whatever_the_options():
    one, two = generator(), generator()
    BatchAugmentation(**OFF)(noise(), generator=one)
    BatchAugmentation(**(OFF | ALL))(noise(), generator=two)
    assert torch.equal(one.get_state(), two.get_state())


def test_slices_of_the_ranks_are_the_joint_batch():
    crops = noise(12)
    augmentation = BatchAugmentation(**ALL)
    joint = augmentation(crops, generator=generator(3))
    for rank in range(3):
        part = augmentation(
            crops[rank * 4 : rank * 4 + 4], generator=generator(3), rank=rank, world_size=3
        )
        torch.testing.assert_close(part.crops, joint.crops[rank * 4 : rank * 4 + 4])
        assert torch.equal(part.mirrored, joint.mirrored[rank * 4 : rank * 4 + 4])


def test_mirrored_crops_are_flagged_and_the_others_whole():
    crops = noise(64)
    batch = augment(crops, flip=0.5)
    plain = crops.float() / 255
    wanted = torch.where(batch.mirrored[:, None, None, None], plain.flip(3), plain)
    torch.testing.assert_close(batch.crops, wanted, rtol=0, atol=1e-4)
    assert 16 < batch.mirrored.sum() < 48
    assert augment(crops, flip=1.0).mirrored.all()


def test_shifts_are_whole_pixels_with_the_border_repeated():
    crops = noise(64, 20, 10)
    batch = augment(crops, shift=0.1)  # up to 2 rows and 1 column
    padded = functional.pad(crops.float() / 255, (1, 1, 2, 2), mode="replicate")
    seen = set()
    for image, source in zip(batch.crops, padded, strict=True):
        fits = [
            (dy, dx)
            for dy in range(5)
            for dx in range(3)
            if torch.allclose(image, source[:, dy : dy + 20, dx : dx + 10], atol=1e-4)
        ]
        assert len(fits) == 1
        seen.update(fits)
    assert len(seen) == 15


def test_zoom_enlarges_about_the_centre():
    crops = torch.zeros(1, 3, 32, 32, dtype=torch.uint8)
    crops[:, :, 12:20, 12:20] = 255
    larger = augment(crops, zoom=(2.0, 2.0)).crops
    # A square of 8 becomes one of 16: 256 pixels of 1024, and stays in the middle.
    assert larger.mean().item() == pytest.approx(0.25, abs=0.01)
    torch.testing.assert_close(larger, larger.flip(2, 3), atol=1e-4, rtol=0)


def test_mirror_shift_and_zoom_mark_the_same_crops_as_mirror_alone():
    crops = noise(32)
    alone = augment(crops, flip=0.5).mirrored
    assert torch.equal(alone, augment(crops, **ALL).mirrored)


@pytest.mark.parametrize("option", ["brightness", "gain"])
def test_factors_stay_within_their_range(option):
    crops = torch.full((400, 3, 2, 2), 102, dtype=torch.uint8)  # 0.4
    values = augment(crops, **{option: 0.25}).crops
    assert values.amin() >= 0.3 - 1e-5
    assert values.amax() <= 0.5 + 1e-5
    assert values.amin() < 0.31
    assert values.amax() > 0.49
    channels_differ = (values[:, 0] - values[:, 1]).abs().amax() > 0.01
    assert channels_differ == (option == "gain")


def test_contrast_keeps_the_mean_grey_and_scales_the_distance_to_it():
    crops = torch.full((300, 3, 4, 4), 127, dtype=torch.uint8)
    crops[:, :, :2] = 77
    values = augment(crops, contrast=0.5).crops
    assert torch.allclose(values.mean((1, 2, 3)), torch.tensor(102 / 255), atol=1e-4)
    spread = (values[:, 0, 3, 0] - values[:, 0, 0, 0]) / (50 / 255)
    assert spread.min() >= 0.5 - 1e-3
    assert spread.max() <= 1.5 + 1e-3
    assert spread.max() - spread.min() > 0.9


def test_grey_keeps_brightness_and_loses_color():
    crops = noise()
    values = augment(crops, grayscale=1.0).crops
    luma = (crops.float() / 255 * torch.tensor([0.299, 0.587, 0.114])[:, None, None]).sum(1)
    for channel in range(3):
        torch.testing.assert_close(values[:, channel], luma, atol=1e-5, rtol=0)


def test_saturation_and_hue_keep_the_grey_of_every_pixel():
    # Colours near the middle, so that nothing is cut at 0 or 1.
    crops = torch.randint(108, 148, (64, 3, 4, 4), dtype=torch.uint8, generator=generator())
    weights = torch.tensor([0.299, 0.587, 0.114])[:, None, None]
    luma = (crops.float() / 255 * weights).sum(1)
    for options in ({"saturation": 1.0}, {"hue": 0.5}):
        values = augment(crops, **options).crops
        torch.testing.assert_close((values * weights).sum(1), luma, atol=1e-4, rtol=0)
        assert (values - crops.float() / 255).abs().amax() > 0.02


def test_hue_turns_colors_and_keeps_their_strength():
    crops = torch.randint(108, 148, (64, 3, 4, 4), dtype=torch.uint8, generator=generator())
    plain, values = crops.float() / 255, augment(crops, hue=0.5).crops
    rows = torch.tensor([[0.595716, -0.274453, -0.321263], [0.211456, -0.522591, 0.311135]])
    before = torch.einsum("kc,nchw->nkhw", rows, plain)  # I and Q of YIQ
    after = torch.einsum("kc,nchw->nkhw", rows, values)
    torch.testing.assert_close(after.norm(dim=1), before.norm(dim=1), atol=1e-4, rtol=0)
    # One angle for all pixels of a crop, and different ones for different crops.
    angle = torch.complex(after[:, 0], after[:, 1]) / torch.complex(before[:, 0], before[:, 1])
    angle = (angle / angle.abs()).flatten(1)
    torch.testing.assert_close(angle, angle[:, :1].expand_as(angle), atol=0.02, rtol=0)
    assert angle[:, 0].angle().abs().max() > 2
    assert angle[:, 0].angle().min() < 0 < angle[:, 0].angle().max()


def test_colors_never_leave_the_range_of_a_picture():
    values = augment(noise(64), brightness=1.0, contrast=1.0, saturation=1.0, gain=1.0).crops
    assert values.min() >= 0
    assert values.max() <= 1


def test_erasing_fills_one_rectangle_with_the_mean():
    crops = noise(200, 64, 32)
    augmentation = BatchAugmentation(flip=0.0, shift=0.0, erasing=1.0)
    values = augmentation(crops, generator=generator()).crops
    erased = (values == 0).all(1)
    for mask in erased:
        rows, columns = mask.any(1), mask.any(0)
        assert torch.equal(mask, rows[:, None] & columns[None])  # a rectangle
        area = mask.float().mean().item()
        assert 0.015 < area < 0.42
        ratio = rows.sum().item() / columns.sum().item()
        assert 0.2 < ratio < 4.5
    untouched = ~erased[:, None].expand_as(values)
    torch.testing.assert_close(
        values[untouched], normalize_crops(crops)[untouched], atol=1e-5, rtol=0
    )
    rows, columns = erased.any(2), erased.any(1)
    assert rows.any(0).all()  # up to the first and the last row and column
    assert columns.any(0).all()


def test_erasing_tries_again_where_a_rectangle_does_not_fit():
    # In a narrow crop most wide rectangles do not fit; none may reach from side to side.
    crops = noise(300, 80, 8)
    values = augment(crops, erasing=1.0, mean=(0.5,) * 3).crops
    erased = (values == 0).all(1)
    assert erased.any(1).sum(1).max() < 8
    assert erased.any(2).sum(1).max() < 80
    assert erased.flatten(1).any(1).float().mean() > 0.8  # with one try it is a quarter


def test_erasing_half_of_the_crops_and_by_color():
    crops = torch.full((300, 3, 32, 16), 255, dtype=torch.uint8)
    values = augment(crops, erasing=0.5, erasing_fill="color").crops
    touched = (values != 1).flatten(1).any(1)
    assert 100 < touched.sum() < 200
    colors = torch.stack([crop.flatten(1).amin(1) for crop in values[touched]])
    assert colors.std(0).min() > 0.2
    assert (colors[:, 0] - colors[:, 1]).abs().mean() > 0.2


def test_blur_smooths_and_keeps_a_plain_crop():
    crops = noise(32)
    values = augment(crops, blur=1.0).crops
    assert (values.var((2, 3)) < (crops.float() / 255).var((2, 3))).all()
    left = values.var((1, 2, 3)) / (crops.float() / 255).var((1, 2, 3))
    assert left.min() < 0.3  # some are blurred a lot,
    assert left.max() > 0.8  # some hardly
    plain = torch.full((4, 3, 8, 8), 51, dtype=torch.uint8)
    torch.testing.assert_close(
        augment(plain, blur=1.0).crops, torch.full((4, 3, 8, 8), 0.2), atol=1e-5, rtol=0
    )
    some = augment(crops, blur=0.5).crops
    same = [
        torch.allclose(a, b, atol=1e-5) for a, b in zip(some, crops.float() / 255, strict=True)
    ]
    assert 4 < sum(same) < 28


@pytest.mark.parametrize("size", [(8, 8), (9, 5)])
def test_low_resolution_halves_and_enlarges(size):
    crops = noise(3, *size)
    values = augment(crops, low_resolution=1.0).crops
    half = functional.avg_pool2d(crops.float() / 255, 2, ceil_mode=True)
    wanted = functional.interpolate(half, size=size, mode="bilinear")
    torch.testing.assert_close(values, wanted, atol=1e-5, rtol=0)


def test_gamma_is_a_power_and_leaves_black_and_white():
    crops = torch.zeros(300, 3, 1, 3, dtype=torch.uint8)
    crops[..., 1], crops[..., 2] = 64, 255
    values = augment(crops, gamma=1.0).crops
    assert (values[..., 0] == 0).all()
    torch.testing.assert_close(values[..., 2], torch.ones(300, 3, 1))
    exponents = values[:, 0, 0, 1].log() / torch.tensor(64 / 255).log()
    assert exponents.min() >= 0.5 - 1e-3
    assert exponents.max() <= 2 + 1e-3
    assert (exponents < 1).float().mean().item() == pytest.approx(0.5, abs=0.1)
    assert exponents.max() - exponents.min() > 1.4


COLORS = CameraColorStats(
    torch.tensor([[0.4, 0.5, 0.6], [0.6, 0.5, 0.4]]), torch.tensor([[0.1] * 3, [0.2, 0.1, 0.05]])
)


def styled(crops, cameras, seed=0, **options):
    augmentation = BatchAugmentation(**(OFF | options))
    return augmentation(crops, generator=generator(seed), cameras=cameras, colors=COLORS).crops


def test_a_crop_takes_on_the_style_of_another_camera_and_stays_itself():
    crops = noise(200) // 2 + 64
    cameras = torch.arange(200) % 2
    values = styled(crops, cameras, camera_style=1.0)
    plain = crops.float() / 255
    changed = (values - plain).abs().amax((1, 2, 3)) > 1e-3
    assert 70 < changed.sum() < 130  # the other camera may be one's own
    for n in torch.nonzero(changed)[:20, 0].tolist():
        own, other = cameras[n], 1 - cameras[n]
        factor = (COLORS.std[other] / COLORS.std[own]).clamp(0.5, 2)[:, None, None]
        moved = (plain[n] - COLORS.mean[own][:, None, None]) * factor
        wanted = (moved + COLORS.mean[other][:, None, None]).clamp(0, 1)
        torch.testing.assert_close(values[n], wanted, atol=1e-5, rtol=0)
    few = styled(crops, cameras, camera_style=0.2)
    assert 5 < ((few - plain).abs().amax((1, 2, 3)) > 1e-3).sum() < 40


def test_the_style_comes_before_contrast_and_needs_to_be_known():
    crops = noise(32) // 8 + 112  # nothing is cut at 0 or 1
    cameras = torch.zeros(32, dtype=torch.int64)
    options = {"contrast": 0.2, "brightness": 0.1, "saturation": 0.2, "camera_style": 1.0}
    first = styled(crops, cameras, camera_style=1.0)
    both = styled(crops, cameras, **options)
    again = augment((first * 255).round().to(torch.uint8), **(options | {"camera_style": 0.0}))
    torch.testing.assert_close(both, again.crops, atol=0.005, rtol=0)
    unknown = augment(crops, camera_style=1.0).crops
    torch.testing.assert_close(unknown, crops.float() / 255, atol=1e-5, rtol=0)


def test_an_empty_batch():
    batch = augment(noise(0), **ALL)
    assert batch.crops.shape == (0, 3, 24, 12)
    assert batch.mirrored.shape == (0,)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"flip": 1.5}, r"flip must be in \[0, 1\]; got 1.5"),
        ({"gain": -0.1}, r"gain must be in \[0, 1\]; got -0.1"),
        ({"hue": float("nan")}, "hue must be in"),
        ({"zoom": (1.2, 1.1)}, r"zoom must be two rising factors in .*; got \(1.2, 1.1\)"),
        ({"erasing_area": (0.0, 0.4)}, "erasing_area must rise"),
        ({"erasing_aspect": 2.0}, "erasing_aspect must be in"),
        ({"erasing_fill": "noise"}, "erasing_fill must be 'mean' or 'color'; got 'noise'"),
    ],
)
def test_wrong_options(options, message):
    with pytest.raises(InputError, match=message):
        BatchAugmentation(**options)


@pytest.mark.parametrize("crops", [torch.zeros(2, 3, 4, 4), noise()[:, :2], noise()[0]])
def test_wrong_crops(crops):
    with pytest.raises(InputError, match=r"takes uint8 crops of shape \(N, 3, H, W\); got"):
        BatchAugmentation()(crops, generator=generator())


def test_textures_are_mirrored_by_the_map():
    # A texture of 2 x 3 texels whose columns 0 and 1 are the two sides of the body.
    textures = torch.arange(12.0).view(2, 1, 2, 3)
    texel_map = torch.tensor([1, 0, 2, 4, 3, 5])
    result = mirror_textures(textures, torch.tensor([False, True]), texel_map)
    assert result[0].flatten().tolist() == [0, 1, 2, 3, 4, 5]
    assert result[1].flatten().tolist() == [7, 6, 8, 10, 9, 11]
    assert torch.equal(textures, torch.arange(12.0).view(2, 1, 2, 3))


def test_mirroring_twice_is_nothing_and_no_map_is_the_identity():
    textures = noise(4)
    texel_map = torch.arange(24 * 12).view(24, 12).flip(1).flatten()
    mirrored = torch.tensor([True, False, True, True])
    once = mirror_textures(textures, mirrored, texel_map)
    assert torch.equal(once[0], textures[0].flip(2))
    assert torch.equal(mirror_textures(once, mirrored, texel_map), textures)
    assert torch.equal(mirror_textures(textures, mirrored), textures)


def test_mirroring_wrong_shapes():
    with pytest.raises(InputError, match=r"got \(4, 3, 24, 12\) and \(3,\)"):
        mirror_textures(noise(4), torch.zeros(3, dtype=torch.bool))
    with pytest.raises(InputError, match="one index for each of 24 x 12 texels"):
        mirror_textures(noise(4), torch.zeros(4, dtype=torch.bool), torch.arange(7))


def painted_labels(count, height, width):
    """Crops whose red and green are the row and column of each pixel, and their labels."""
    row, column = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    crop = torch.stack([row, column, torch.zeros_like(row)]).to(torch.uint8)
    return crop.expand(count, -1, -1, -1), (row * 256 + column).expand(count, -1, -1)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"flip": 0.5},
        {"shift": 0.1},
        {"flip": 0.5, "shift": 0.0625, "zoom": (0.9, 1.2)},
    ],
    ids=lambda options: "-".join(options) or "nothing",
)
@pytest.mark.parametrize("shape", [(64, 32), (33, 17)])
def test_labels_move_with_the_pixels(options, shape):
    crops, labels = painted_labels(12, *shape)
    batch = augment(crops, **options)
    moved = batch.moved(labels)
    colors = functional.avg_pool2d(batch.crops * 255, 2, ceil_mode=True)
    assert moved.shape == (12, *colors.shape[2:])
    inner = (slice(None), slice(3, -3), slice(3, -3))  # the border's pixels are repeated
    for values, coordinates in ((colors[:, 0], moved // 256), (colors[:, 1], moved % 256)):
        assert (values - coordinates)[inner].abs().max() <= 0.51


def test_labels_of_another_size_and_of_a_smaller_crop():
    crops, labels = painted_labels(8, 64, 32)
    small = crops[:, :, ::2, ::2].contiguous()
    moved = augment(small, flip=0.5).moved(labels)
    assert moved.shape == (8, 16, 8)
    assert ((moved[:, :, 0] % 256 < 4) | (moved[:, :, 0] % 256 >= 28)).all()


def test_erased_pixels_and_those_without_a_label_have_none():
    crops, labels = painted_labels(16, 64, 32)
    labels = labels.clone()
    labels[:, :10] = -1
    batch = augment(crops, erasing=1.0)
    moved = batch.moved(labels)
    hidden = functional.avg_pool2d((batch.crops == 0).all(1, keepdim=True).float(), 2)[:, 0]
    assert (moved[:, :5] == -1).all()
    assert (moved[:, 5:][hidden[:, 5:] == 1] == -1).all()
    assert (moved[:, 5:][hidden[:, 5:] == 0] >= 0).all()
    assert (batch.erased.flatten(1).any(1)).sum() > 8
