"""Every command and argument says what it is for; ``sanreid train`` is training's program."""

from __future__ import annotations

import argparse
import logging
import sys

import pytest

from sanreid import cli
from sanreid.train.commands import build_parser


def unexplained(parser: argparse.ArgumentParser) -> list[str]:
    """Return the commands and arguments of a parser, and of those below it, that have no help."""
    found = []
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            explained = {choice.dest for choice in action._choices_actions if choice.help}
            found += [f"{parser.prog} {name}" for name in action.choices if name not in explained]
            for below in action.choices.values():
                found += unexplained(below)
        elif not action.help:
            found.append(f"{parser.prog}: {action.option_strings or action.dest}")
    return found


@pytest.mark.parametrize("parser", [cli._parser, build_parser])
def test_every_argument_has_a_help_text(parser):
    assert unexplained(parser()) == []


def test_an_argument_without_help_is_found():
    parser = argparse.ArgumentParser(prog="p")
    parser.add_subparsers().add_parser("c").add_argument("--x")
    assert unexplained(parser) == ["p c", "p c: ['--x']"]


@pytest.fixture
def own_logging():
    """Training's program sets up logging for its process; undo that."""
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    yield
    root.handlers[:] = before
    root.setLevel(level)


def test_train_is_the_program_of_training(capsys, own_logging, monkeypatch):
    monkeypatch.delitem(sys.modules, "sanreid.train.__main__", raising=False)  # another test's
    assert cli.main(["train", "list"]) == 0
    assert "cpu-minutes" in capsys.readouterr().out.split()
    assert cli.main(["train", "none.toml", "--quiet"]) == 1
    assert "none.toml" in capsys.readouterr().err
    assert cli.main(["train", "evaluate"]) == 2
    assert "the following arguments are required" in capsys.readouterr().err


@pytest.mark.usefixtures("own_logging")
def test_train_finds_modules_in_the_working_folder(capsys, monkeypatch, tmp_path):
    monkeypatch.delitem(sys.modules, "sanreid.train.__main__", raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "module_of_the_working_folder.py").write_text("raise ImportError('it was read')")
    (tmp_path / "own.toml").write_text("run.imports = ['module_of_the_working_folder']")
    before = list(sys.path)
    assert cli.main(["train", "own.toml", "--quiet"]) == 1
    assert "it was read" in capsys.readouterr().err
    assert sys.path == before
