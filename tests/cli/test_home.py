"""``~`` in every path of a command, also where the shell leaves it: ``--output=~/x``."""

from __future__ import annotations

import pytest

from sanreid.cli.options import file_path
from tests.people import write_people

COMMANDS = [
    (("embed", "~/crops", "--output=~/out.npz"), "out.npz"),
    (("gallery", "build", "~/crops", "~/built"), "built"),
    (("gallery", "search", "~/g", "~/crops", "--picture=~/ranks.png"), "ranks.png"),
    (("gallery", "sync", "~/crops", "~/g"), "g"),
    (("gallery", "info", "~/g"), "g"),
    (("gallery", "browse", "~/g", "--output=~/page.html"), "page.html"),
    (("evaluate", "--folder=~/crops"), "crops"),
    (("evaluate", "--query=~/crops", "--gallery=~/crops"), "crops"),
]


@pytest.mark.parametrize(("command", "there"), COMMANDS)
def test_the_home_folder_is_expanded(run, tiny, tmp_path, monkeypatch, command, there):
    home, elsewhere = tmp_path / "home", tmp_path / "elsewhere"
    write_people(home / "crops", identities=2, cameras=2, size=(64, 32))
    elsewhere.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(elsewhere)
    weights = () if command[1] in ("info", "browse") else ("--weights", tiny)
    if "~/g" in command:
        assert run("gallery", "build", "~/crops", "~/g", "--weights", tiny)[0] == 0
    status, _, err = run(*command, *weights)
    assert status == 0, err
    assert (home / there).exists()
    assert list(elsewhere.iterdir()) == []


def test_a_user_that_there_is_not_is_a_name():
    assert str(file_path("~nobody-has-this-name/x")) == "~nobody-has-this-name/x"


def test_a_folder_may_be_called_as_the_home_folder_is(run_json, tiny, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    write_people(tmp_path / "~" / "crops", identities=2, cameras=1, size=(64, 32))
    answer = run_json("embed", "./~/crops", "-o", "./~/out.npz", "--weights", tiny)
    assert answer["embeddings"] == 2
    assert (tmp_path / "~" / "out.npz").exists()


def test_what_is_no_path_is_wrong_usage(run, capsys):
    for wrong, words in (
        ("a\0b", "null character"),
        ("a\ud800", "half a character"),
        ("", "empty"),
    ):
        with pytest.raises(SystemExit) as end:
            run("gallery", "info", wrong)
        assert (end.value.code, words in capsys.readouterr().err) == (2, True)
