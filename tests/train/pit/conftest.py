from __future__ import annotations

import io
import json
import warnings
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from sanreid.errors import MissingExtraError
from sanreid.train.pit.generate.people.body import check_pit_extra
from sanreid.train.pit.generate.shard_writer import write_shard
from sanreid.train.pit.generate.studio import Studio
from sanreid.train.pit.shards import FORMAT


@pytest.fixture(scope="session")
def studio() -> Studio:
    """The body and its tables, built now if this machine has not built them yet (40 s).

    Skips where the extra is missing.
    """
    try:
        check_pit_extra()
    except MissingExtraError as error:
        pytest.skip(str(error))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Anny's own, while it builds
        return Studio.open()


def a_pair(rng):
    """Something of a pair's form, without the body model."""
    crop = (rng.random((256, 128, 3)) * 255).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(crop).save(buffer, "PNG")
    uv = np.full((256, 128, 2), -1, np.float32)
    uv[40:200, 30:90] = np.rint(rng.random((160, 60, 2)) * 65534) / 65534
    return crop, SimpleNamespace(
        jpeg=buffer.getvalue(), uv=uv, seen=rng.random((256, 256)) < 0.3, facts={"activity": "x"}
    )


@pytest.fixture
def folder(tmp_path):
    """A data set of three identities with two images each, and what went into it."""
    rng = np.random.default_rng(0)
    (tmp_path / "shards").mkdir()
    kept, people = [], []
    for identity in range(3):
        texture = np.round(rng.random((256, 256, 3)) * 255).astype(np.float32) / 255
        person = SimpleNamespace(describe=lambda: {"garments": []}, is_patterned=identity == 1)
        pairs = [a_pair(rng) for _ in range(2)]
        people.append(
            (identity, SimpleNamespace(texture=texture, person=person), [p for _, p in pairs])
        )
        kept += [(crop, pair, texture) for crop, pair in pairs]
    path = tmp_path / "shards" / "00000.tar"
    write_shard(path, people)
    rows = json.loads(path.with_suffix(".json").read_text())
    (tmp_path / "index.json").write_text(json.dumps({"format": FORMAT, "rows": rows}))
    return tmp_path, kept
