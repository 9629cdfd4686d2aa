"""What detectors and trackers hand over, by stand-ins that behave as their results do."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torchvision.tv_tensors import BoundingBoxes

from sanreid.errors import InputError
from sanreid.inference.detections import EncodedDetections
from sanreid.integrations import read_boxes

ROWS = np.array([[3, 4, 20, 30], [5, 6, 25, 38]], dtype=np.float64)
WITH_SCORE = np.hstack([ROWS, [[0.9, 0], [0.8, 0]]])


@pytest.fixture(scope="module")
def frame():
    return np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)


class Boxes:
    """As ultralytics' boxes behave: rows by index, corners by attribute."""

    def __init__(self, data):
        self.data = data[None] if data.ndim == 1 else data

    def __len__(self):
        return len(self.data)

    def __getitem__(self, i):
        return Boxes(self.data[i])

    @property
    def xyxy(self):
        return self.data[:, :4]


class Results:
    def __init__(self, boxes, obb=None):
        self.boxes, self.obb = boxes, obb

    def __len__(self):
        return 0 if self.boxes is None else len(self.boxes)

    def __getitem__(self, i):
        return Results(self.boxes[i])


class WithXyxy:
    """As supervision's detections, and YOLOv5's, which have a list of them."""

    def __init__(self, xyxy):
        self.xyxy = xyxy


class OnCard:
    """A tensor that NumPy cannot read before it is on the host, as those on CUDA."""

    def __init__(self, tensor):
        self.tensor, self.shape = tensor, tensor.shape

    def __array__(self, dtype=None, copy=None):
        raise TypeError("can't convert cuda:0 device type tensor to numpy")

    def detach(self):
        return self

    def is_floating_point(self):
        return self.tensor.is_floating_point()

    def float(self):
        return OnCard(self.tensor.float())

    def cpu(self):
        return self.tensor


TENSOR = torch.tensor(WITH_SCORE, dtype=torch.float32)


@pytest.mark.parametrize(
    "given",
    [
        WithXyxy(ROWS.astype(np.float32)),
        Results(Boxes(TENSOR)),
        [Results(Boxes(TENSOR))],
        Boxes(TENSOR),
        Results(None, obb=Boxes(TENSOR)),
        WithXyxy([TENSOR]),
        WithXyxy(TENSOR),
        {"boxes": TENSOR[:, :4], "scores": TENSOR[:, 4], "labels": torch.ones(2)},
        [{"boxes": TENSOR[:, :4].requires_grad_(requires_grad=True)}],
        np.hstack([ROWS, np.ones((2, 4))]),  # boxmot's tracks
        ROWS,
        ROWS.tolist(),
        ROWS.astype(np.int16),
        TENSOR,
        TENSOR.to(torch.bfloat16),
        TENSOR.half(),
        list(TENSOR),
        OnCard(TENSOR),
        [OnCard(row) for row in TENSOR],
        OnCard(TENSOR.to(torch.bfloat16)),
    ],
    ids=lambda given: type(given).__name__,
)
def test_boxes_of_many_libraries(given, tiny_encoder, frame):
    found = read_boxes(given)
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found, ROWS)
    np.testing.assert_array_equal(
        tiny_encoder.encode_detections(frame, given), tiny_encoder.encode_detections(frame, ROWS)
    )


@pytest.mark.parametrize(
    "given",
    [
        Results(Boxes(TENSOR[:0])),
        WithXyxy([TENSOR[:0]]),
        {"boxes": torch.empty(0, 4)},
        np.empty((0, 8)),
        torch.empty(0, 6, dtype=torch.bfloat16),
        [],
    ],
)
def test_frames_without_anybody(given, tiny_encoder, frame):
    assert tiny_encoder.encode_detections(frame, given).shape == (0, 16)
    assert tiny_encoder.get_features(given, frame).shape == (0, 16)


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        (None, r"boxes must be an array \(N, 4\).*; got NoneType"),
        ("1,2,3,4", "boxes must be .*; got str"),
        (WithXyxy([TENSOR, TENSOR]), "results of 2 frames"),
        ([Results(Boxes(TENSOR))] * 3, "results of 3 frames"),
        ({"scores": [1]}, "has no 'boxes', only 'scores'"),
        (Results(None), "This Results holds no boxes"),
        (object(), "boxes"),
        ([["1", "2", "3", "4"]], "boxes must be numbers; got list of <U1"),
        (np.ones((2, 4), dtype=bool), "of bool"),
        ([[1, 2, 3, 4], [1, 2]], "boxes must be .*; got list"),
        (np.ones((1, 2, 4)), r"got \(1, 2, 4\)"),
        (BoundingBoxes(ROWS, format="XYWH", canvas_size=(40, 60)), "are XYWH; wanted XYXY"),
        ({"boxes": BoundingBoxes(ROWS, format="CXCYWH", canvas_size=(40, 60))}, "are CXCYWH"),
        ([1.0, 2, 3, 4, 0.9, 0], r"got \(6,\). One box is \[\[x1"),
    ],
)
def test_what_is_refused(given, wanted):
    with pytest.raises(InputError, match=wanted):
        read_boxes(given)


def test_other_columns():
    rows = np.hstack([[[7.0, 1.0], [8.0, 2.0]], ROWS])  # frame, id, x1, y1, x2, y2
    np.testing.assert_array_equal(read_boxes(rows, columns=(2, 3, 4, 5)), ROWS)
    np.testing.assert_array_equal(read_boxes(rows, columns=(-4, -3, -2, -1)), ROWS)
    for wrong in ("2345", (2.7, 3, 4, 5), (0, 1, 2), (0, 1, 2, 9), "xyxy", 4, (0, 1, 2, None)):
        with pytest.raises(InputError, match="columns must be the numbers of four columns, of 6"):
            read_boxes(rows, columns=wrong)


@pytest.mark.parametrize(
    "boxes",
    [
        [[0.1, 0.2, 0.3, 0.9]],
        [[0.0, 0.0, 1.0, 1.0], [0.5, 0.5, 0.75, 1.0]],
        torch.tensor([[0.1, 0.2, 0.3, 0.9]], dtype=torch.bfloat16),
        {"boxes": torch.rand(3, 4, generator=torch.Generator().manual_seed(0))},
        Results(Boxes(torch.tensor([[0.1, 0.2, 0.3, 0.9, 0.5, 0.0]]))),
        np.hstack([ROWS / 100, [[0.9, 3], [0.8, 7]]]),
    ],
)
@pytest.mark.parametrize("on_error", ["raise", "skip"])
def test_relative_coordinates_are_refused(boxes, on_error, tiny_encoder, frame):
    wanted = "within 0 to 1.*Multiply x by 60 and y by 40"
    with pytest.raises(InputError, match=wanted):
        tiny_encoder.encode_detections(frame, boxes, on_error=on_error)
    with pytest.raises(InputError, match=wanted):
        tiny_encoder.get_features(boxes, frame)


def test_width_and_height_in_place_of_corners_are_guessed(tiny_encoder, frame):
    with pytest.raises(InputError, match=r"no area.*x2 = x \+ width"):
        tiny_encoder.encode_detections(frame, [[30, 20, 5, 12]])


OUTSIDE = np.array(
    [
        [3, 4, 20, 30],
        [70, 0, 90, 5],
        [5, 6, 25, 38],
        [0, np.nan, 5, 5],
        [9, 9, 9, 20],
        [-5, -5, 9, 9],
    ]
)


def test_boxes_outside_are_skipped_on_request(tiny_encoder, frame):
    result = tiny_encoder.encode_detections(frame, OUTSIDE, on_error="skip")
    assert isinstance(result, EncodedDetections)
    embeddings, kept = result
    assert kept.dtype == np.int64
    assert kept.tolist() == [0, 2, 5]
    np.testing.assert_array_equal(
        embeddings, tiny_encoder.encode_detections(frame, OUTSIDE[[0, 2, 5]])
    )
    embeddings, kept = tiny_encoder.encode_detections(frame, OUTSIDE[[1, 3]], on_error="skip")
    assert embeddings.shape == (0, 16)
    assert kept.shape == (0,)
    with pytest.raises(InputError, match="on_error must be 'raise' or 'skip'; got 'collect'"):
        tiny_encoder.encode_detections(frame, ROWS, on_error="collect")


def test_a_tracker_gets_one_row_per_box(tiny_encoder, frame, caplog):
    bgr = np.ascontiguousarray(frame[:, :, ::-1])
    features = tiny_encoder.get_features(OUTSIDE, bgr)
    wanted = tiny_encoder.encode_detections(frame, OUTSIDE[[0, 2, 5]])
    np.testing.assert_array_equal(features[[0, 2, 5]], wanted)
    assert not features[[1, 3, 4]].any()
    assert "3 of 6 boxes have no area" in caplog.text


def test_a_box_that_was_cut_down_to_the_corner_has_no_area(tiny_encoder, frame):
    assert not tiny_encoder.get_features(np.zeros((1, 4)), frame).any()
    with pytest.raises(InputError, match=r"0.* has no area"):
        tiny_encoder.encode_detections(frame, [[0, 0, 0, 0]])
