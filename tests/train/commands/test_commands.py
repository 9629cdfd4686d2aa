"""The parser: which commands there are, and that asking for help loads nothing heavy."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from sanreid.train import runtime
from sanreid.train.commands import COMMANDS, build_parser, main
from sanreid.train.config.run import RunConfig
from tests.closed_pipe import run_without_reader


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


@pytest.mark.parametrize(
    "command",
    [
        ["run", "cpu-hour"],
        ["adapt", "crops", "--output", "out", "--names", "folders"],
        ["find-lr", "cpu-hour"],
    ],
    ids=lambda command: command[0],
)
def test_every_command_that_trains_prepares_its_process(command, monkeypatch):
    def prepare(run):
        raise RuntimeError(f"prepared for {run.threads} threads")

    monkeypatch.setattr("sanreid.train.runtime.prepare_process", prepare)
    monkeypatch.setenv("SANREID_DATA", "/data")
    monkeypatch.setenv("SANREID_MADE", "/made")
    with pytest.raises(RuntimeError, match="prepared for 3 threads"):
        main([*command, "--set", "run.threads=3"])


@pytest.mark.parametrize(("device", "keeps"), [("cpu", True), ("cuda", False)])
def test_a_prepared_process_has_its_threads_and_keeps_memory_on_a_cpu(device, keeps, monkeypatch):
    threads, kept = [], []
    monkeypatch.setattr(torch, "set_num_threads", threads.append)
    monkeypatch.setattr(runtime, "keep_freed_memory", lambda: kept.append(True))
    monkeypatch.setattr(runtime, "resolve_device", torch.device)
    assert runtime.prepare_process(RunConfig(device=device, threads=3)).type == device
    assert runtime.prepare_process(RunConfig(device=device)).type == device
    assert threads == [3]  # 0 leaves them as they are
    assert bool(kept) == keeps


def test_a_reader_that_goes_away_is_status_141():
    assert run_without_reader("sanreid.train.commands", ["list"]) == (141, b"")
