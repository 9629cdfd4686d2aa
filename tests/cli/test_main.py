"""The command line as a whole: help, exit statuses, interrupts, closed pipes, imports."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys

import pytest

import sanreid
from sanreid import cli
from sanreid.cli import main
from sanreid.encoder import SANEncoder
from sanreid.errors import ChecksumError
from tests.closed_pipe import run_without_reader


def call(*arguments, **options):
    code = "import sys; from sanreid.cli import main; sys.exit(main())"
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        **options,
    )


def raising(error):
    """A parser whose only command raises."""

    def run(args):
        raise error

    def add_to(commands):
        commands.add_parser("fail").set_defaults(run=run)

    return add_to


@pytest.fixture
def failing(monkeypatch, capsys):
    def call(error):
        monkeypatch.setattr(cli, "add_demo", raising(error))
        status = main(["fail"])
        return status, capsys.readouterr().err

    return call


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["demo"],
        ["embed"],
        ["gallery"],
        ["gallery", "build"],
        ["gallery", "add"],
        ["gallery", "search"],
        ["gallery", "info"],
        ["gallery", "verify"],
        ["evaluate"],
        ["weights"],
        ["weights", "list"],
        ["weights", "verify"],
        ["weights", "download"],
        ["weights", "convert"],
    ],
)
def test_every_command_has_help(arguments, capsys):
    with pytest.raises(SystemExit) as end:
        main([*arguments, "--help"])
    assert end.value.code == 0
    assert " ".join(["usage: sanreid", *arguments]) in capsys.readouterr().out


def test_version(capsys):
    with pytest.raises(SystemExit) as end:
        main(["--version"])
    assert end.value.code == 0
    assert capsys.readouterr().out == f"sanreid {sanreid.__version__}\n"


def test_python_m_sanreid_is_the_same():
    command = [sys.executable, "-m", "sanreid", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == f"sanreid {sanreid.__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "the following arguments are required: COMMAND"),
        (["fly"], "invalid choice: 'fly'"),
        (["embed", "a.jpg"], "required: -o/--output"),
        (["gallery", "search", "g", "q", "-k", "0"], "a whole number of at least 1 is wanted"),
        (["gallery", "search", "g", "q", "-k", "many"], "at least 1 is wanted, not 'many'"),
        (["gallery", "search", "g", "q", "--where", "{camid: 2}"], "not JSON"),
        (["gallery", "search", "g", "q", "--where", "[2]"], "an object such as"),
        (["gallery", "search", "g", "q", "--min-similarity", "1.1"], "a number from -1 to 1"),
        (["gallery", "search", "g", "q", "--min-similarity", "x"], "a number from -1 to 1"),
        (["gallery", "search", "g", "q", "--json", "--csv"], "not allowed with argument"),
        (["gallery", "search", "g", "q", "--where", "[" * 100_000], "nested too deep"),
        (["embed", "", "-o", "a.npz"], "a path is wanted, not an empty text"),
        (["gallery", "info", ""], "a path is wanted, not an empty text"),
        (["evaluate", "--query", "a", "--gallery", "b", "--split", "both"], "go with --folder"),
        (["evaluate"], "give --query DIR with --gallery DIR, or --folder DIR"),
        (["evaluate", "--query", "a"], "give --query DIR with --gallery DIR, or --folder DIR"),
        (["evaluate", "--query", "a", "--gallery", "b", "--folder", "c"], "give --query DIR"),
    ],
)
def test_wrong_usage_is_status_2(arguments, message, capsys):
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code == 2
    assert message in capsys.readouterr().err


def test_our_errors_are_one_line_and_status_1(failing):
    status, err = failing(ChecksumError("Not the released one.\n  expected 00\n  found 11\nStop."))
    assert status == 1
    assert err == "sanreid: Not the released one. expected 00 found 11 Stop.\n"


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (PermissionError(13, "Permission denied", "/x/y.npz"), "/x/y.npz: Permission denied"),
        (PermissionError(13, "no", "a\x1b[2J.npz"), r"a\x1b[2J.npz: no"),
        (OSError(28, "No space left on device"), "No space left on device"),
        (OSError("odd"), "odd"),
        (OSError(), "OSError"),
    ],
)
def test_errors_of_the_system_are_one_line_and_status_1(failing, error, line):
    assert failing(error) == (1, f"sanreid: {line}\n")


def test_too_little_memory_is_one_line_and_status_1(failing):
    status, err = failing(MemoryError())
    assert (status, err.count("\n")) == (1, 1)
    assert "not enough memory" in err


def test_a_closed_standard_output_is_no_error(monkeypatch, failing):
    monkeypatch.setattr(
        cli,
        "add_demo",
        lambda commands: commands.add_parser("quiet").set_defaults(run=lambda _: 0),
    )
    monkeypatch.setattr(sys, "stdout", None)
    assert main(["quiet"]) == 0


def test_an_interrupt_is_status_130(failing):
    assert failing(KeyboardInterrupt()) == (130, "sanreid: interrupted\n")


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
def test_a_reader_that_goes_away_is_no_traceback():
    command = (
        f"{sys.executable} -c 'import sys; from sanreid.cli import main; sys.exit(main())' "
        "weights list | true; echo ${PIPESTATUS[0]}"
    )
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert done.stdout in ("0\n", "141\n")  # 0 when it was done before the reader went


def test_a_closed_pipe_is_status_141():
    assert run_without_reader("sanreid.cli", ["weights", "list"]) == (141, b"")


def test_a_name_the_terminal_cannot_show_is_escaped(tmp_path):
    done = call(
        "gallery", "info", tmp_path / "f\u00fcr", env=os.environ | {"PYTHONIOENCODING": "ascii"}
    )
    assert done.returncode == 1
    assert "f\\xfcr" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_interrupt_in_the_middle_leaves_nothing(run, monkeypatch, people, tiny, tmp_path):
    def interrupt(*_, **__):
        # A shell lets what it starts in the background ignore Ctrl-C.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(SANEncoder, "encode_files", interrupt)
    for command in (
        ("embed", people, "-o", tmp_path / "a.npz"),
        ("gallery", "build", people, tmp_path / "g"),
    ):
        assert run(*command, "--weights", tiny) == (130, "", "sanreid: interrupted\n")
    assert list(tmp_path.iterdir()) == []


def test_help_loads_nothing_heavy():
    code = (
        "import sys\nfrom sanreid.cli import main\n"
        "try:\n    main(['evaluate', '--help'])\nexcept SystemExit:\n    pass\n"
        "heavy = {'torch', 'numpy', 'PIL', 'faiss', 'huggingface_hub'} & set(sys.modules)\n"
        "sys.exit(f'loaded: {heavy}' if heavy else 0)"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_what_the_library_warns_of_is_a_note(tmp_path, capsys):
    import logging

    (tmp_path / "anna").mkdir()
    (tmp_path / "anna" / "1.jpg").touch()
    status = main(["evaluate", "--folder", str(tmp_path), "--weights", "no such weights"])
    assert status == 1
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith(f"sanreid: {tmp_path}: the names of all 1 images tell no camera")
    assert second.startswith("sanreid: ")
    assert logging.getLogger("sanreid").handlers == []
