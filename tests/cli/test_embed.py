"""``sanreid embed``."""

from __future__ import annotations

import numpy as np
import pytest

import sanreid


def test_embeddings_and_paths_of_a_folder(run, people, tiny, tmp_path):
    out = tmp_path / "crops.npz"
    status, text, err = run("embed", people, "-o", out, "--weights", tiny, "--dtype", "float32")
    assert (status, err) == (0, "")
    assert text == f"{out}: 16 embeddings of 16 numbers\n"
    stored = np.load(out)  # no pickle
    assert sorted(stored) == ["embeddings", "fingerprint", "paths"]
    assert stored["embeddings"].dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(stored["embeddings"], axis=1), 1, atol=1e-5)
    assert stored["paths"].tolist() == sorted(map(str, people.iterdir()))
    encoder = sanreid.SANEncoder.from_pretrained(tiny, dtype="float32")
    assert str(stored["fingerprint"]) == encoder.fingerprint
    again = encoder.encode(stored["paths"][3])
    np.testing.assert_allclose(stored["embeddings"][3:4], again, atol=1e-5)


def test_files_and_folders_and_a_name_without_npz(run_json, people, tiny, tmp_path):
    out = tmp_path / "crops.data"
    one = next(people.iterdir())
    answer = run_json("embed", one, people, "-o", out, "--weights", tiny)
    assert answer["embeddings"] == 17
    assert answer["dim"] == 16
    assert answer["failures"] == []
    assert len(np.load(out)["paths"]) == 17


def test_a_bad_file_ends_the_command_and_writes_nothing(run, people, tiny, tmp_path):
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"not a picture")
    status, text, err = run("embed", people, bad, "-o", tmp_path / "a.npz", "--weights", tiny)
    assert (status, text) == (1, "")
    assert err.startswith("sanreid: ")
    assert "bad.jpg" in err
    assert err.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["bad.jpg"]


def test_collect_passes_over_bad_files_and_names_them(run, people, tiny, tmp_path):
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"not a picture")
    out = tmp_path / "a.npz"
    status, text, err = run(
        "embed", bad, people, "-o", out, "--weights", tiny, "--on-error", "collect"
    )
    assert status == 0
    assert text == f"{out}: 16 embeddings of 16 numbers, 1 skipped\n"
    assert f"sanreid: skipped {bad}: " in err
    assert len(np.load(out)["embeddings"]) == 16


def test_nothing_readable_is_an_error_under_collect_too(run, tiny, tmp_path):
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"not a picture")
    status, _, err = run(
        "embed", bad, "-o", tmp_path / "a.npz", "--weights", tiny, "--on-error", "collect"
    )
    assert status == 1
    assert "None of the 1 files could be read; first " in err
    assert err.count("\n") == 1
    assert not (tmp_path / "a.npz").exists()


@pytest.mark.parametrize(
    ("output", "message"),
    [("no/a.npz", "does not exist"), (".", "it is a folder")],
)
def test_a_wrong_output_is_told_before_the_work(run, people, tmp_path, output, message):
    status, _, err = run("embed", people, "-o", tmp_path / output, "--weights", "no such weights")
    assert status == 1
    assert message in err


def test_unknown_weights_and_an_unknown_device(run, people, tiny, tmp_path):
    status, _, err = run("embed", people, "-o", tmp_path / "a.npz", "--weights", "san-r5000")
    assert status == 1
    assert "san-r5000" in err
    status, _, err = run(
        "embed", people, "-o", tmp_path / "a.npz", "--weights", tiny, "--device", "toaster"
    )
    assert status == 1
    assert "toaster" in err
