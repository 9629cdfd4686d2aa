"""A backend that works on its own computes a batch while the next is read, in order."""

from __future__ import annotations

import numpy as np
import pytest

from sanreid.config import EncoderConfig
from sanreid.errors import WeightsError
from sanreid.inference.batches import Batch, Failure, Options, embed_in_batches

CONFIG = EncoderConfig(backbone="resnet18", embedding_dim=16, input_size=(32, 32))


class Card:
    """Embeds a crop as its first pixel; notes what is started and what is waited for."""

    def __init__(self):
        self.log = []

    def submit(self, crops):
        number = sum(kind == "start" for kind, _ in self.log)
        self.log.append(("start", number))

        def result():
            self.log.append(("wait", number))
            return crops[:, 0, 0, :1].astype(np.float32).repeat(16, axis=1)

        return result

    def __call__(self, crops):
        raise AssertionError("a backend with submit() is asked by it")


def crop(value):
    return np.full((32, 32, 3), value, np.uint8)


def run(images, *, batch_size=2, flip=False, in_order=False):
    card = Card()
    options = Options(batch_size, flip, False, "rgb")
    steps = list(
        embed_in_batches(images, card, CONFIG, options, name_positions=True, in_order=in_order)
    )
    return card, steps


def first_numbers(steps):
    return [[int(row[0]) for row in step.rows] for step in steps if isinstance(step, Batch)]


def test_the_next_batch_starts_before_the_last_is_waited_for():
    card, steps = run([crop(n) for n in range(1, 8)])
    assert first_numbers(steps) == [[1, 2], [3, 4], [5, 6], [7]]
    assert [step.indices for step in steps] == [[0, 1], [2, 3], [4, 5], [6]]
    assert card.log == [
        ("start", 0),
        ("start", 1),
        ("wait", 0),
        ("start", 2),
        ("wait", 1),
        ("start", 3),
        ("wait", 2),
        ("wait", 3),
    ]


def test_a_single_crop_is_not_kept_waiting():
    card, steps = run([crop(n) for n in (1, 2)], batch_size=1)
    assert first_numbers(steps) == [[1], [2]]
    assert card.log == [("start", 0), ("wait", 0), ("start", 1), ("wait", 1)]


def test_both_passes_of_flip_are_started_before_one_is_waited_for():
    card, steps = run([crop(4)], flip=True)
    assert first_numbers(steps) == [[4]]
    assert card.log == [("start", 0), ("start", 1), ("wait", 0), ("wait", 1)]


@pytest.mark.parametrize("in_order", [True, False])
def test_a_failure_comes_in_its_place_when_order_is_asked_for(in_order):
    images = [crop(1), crop(2), crop(3), b"no picture", crop(5)]
    _, steps = run(images, in_order=in_order)
    kinds = [step.index if isinstance(step, Failure) else step.indices for step in steps]
    assert kinds == ([[0, 1], [2], 3, [4]] if in_order else [3, [0, 1], [2, 4]])


def test_what_was_embedded_is_given_before_the_iterator_s_error():
    def images():
        yield from (crop(1), crop(2), crop(3))
        raise OSError("the camera is gone")

    options = Options(2, False, False, "rgb")
    steps = embed_in_batches(images(), Card(), CONFIG, options, name_positions=True, in_order=True)
    assert [next(steps).indices, next(steps).indices] == [[0, 1], [2]]
    with pytest.raises(OSError, match="camera is gone"):
        next(steps)


def test_nan_names_its_image():
    class Broken(Card):
        def submit(self, crops):
            result = super().submit(crops)
            return lambda: np.where(result() == 3, np.nan, 1).astype(np.float32)

    options = Options(2, False, False, "rgb")
    images = [crop(n) for n in range(1, 6)]
    with pytest.raises(WeightsError, match="NaN or infinity for image 2 of the input"):
        list(embed_in_batches(images, Broken(), CONFIG, options, name_positions=True))
