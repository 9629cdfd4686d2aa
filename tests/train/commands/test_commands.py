"""The parser: which commands there are, and that asking for help loads nothing heavy."""

from __future__ import annotations

import subprocess
import sys

import pytest

from sanreid.train.commands import COMMANDS, build_parser, main


def test_the_commands_are_those_of_the_design():
    assert (
        " ".join(COMMANDS) == "run adapt evaluate export textures pairs pit find-lr balance list"
    )


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(name, capsys):
    with pytest.raises(SystemExit) as stopped:
        main([name, "--help"])
    assert stopped.value.code == 0
    assert capsys.readouterr().out.startswith(f"usage: python -m sanreid.train {name}")


def test_the_word_run_may_be_left_out():
    parser = build_parser()
    short, long = ["x.toml", "--resume"], ["run", "x.toml", "--resume"]
    assert parser.parse_args(long).resume
    assert main(["none.toml", "--quiet"]) == main(["run", "none.toml", "--quiet"]) == 1
    with pytest.raises(SystemExit):
        parser.parse_args(short)  # main() adds the word


def test_help_loads_neither_torch_nor_the_engine():
    code = (
        "import sys\n"
        "from sanreid.train.commands import build_parser\n"
        "build_parser().format_help()\n"
        "sys.exit(any(m in sys.modules for m in ('torch', 'sanreid.train.loop', 'faiss')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
