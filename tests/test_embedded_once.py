"""Files that several tests embed are embedded once, and each test has the rows it asked for."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from sanreid.encoder import EncodedFiles
from tests.embedded_once import embedding_once
from tests.people import write_people


def test_each_file_is_embedded_once_and_rows_are_in_the_order_asked_for(tiny_encoder, tmp_path):
    paths = write_people(tmp_path / "crops", identities=4, cameras=2, shots=2, size=(64, 32))
    embedded = []

    def encode_files(encoder, files, **options):
        embedded.extend(files)
        return type(encoder).encode_files(encoder, files, **options)

    (tmp_path / "kept").mkdir()
    for asked in (paths[:9], paths[::-1], paths[3:5]):  # another function is another process
        once = embedding_once(tmp_path / "kept", encode_files)
        found = once(tiny_encoder, asked, batch_size=8)
        assert isinstance(found, EncodedFiles)
        assert [Path(path) for path in found.paths] == asked
        expected = tiny_encoder.encode_files(asked).embeddings
        np.testing.assert_allclose(found.embeddings, expected, atol=1e-6)
    assert sorted(embedded) == paths

    flipped = embedding_once(tmp_path / "kept", encode_files)(tiny_encoder, paths[:2], flip=True)
    expected = tiny_encoder.encode_files(paths[:2], flip=True).embeddings
    np.testing.assert_allclose(flipped.embeddings, expected, atol=1e-6)
