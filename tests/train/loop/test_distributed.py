"""Two processes on the CPU (gloo) take the step that one takes with the joint batch."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from datetime import timedelta

import pytest
import torch

from sanreid.errors import TrainingError
from sanreid.train import runtime
from sanreid.train.__main__ import main
from sanreid.train.checkpoint import load_checkpoint
from sanreid.train.claim import claimed
from sanreid.train.loop.journal import read_journal
from tests.train.loop.test_engine import write_toml

CPU = torch.device("cpu")

# Run in each process; with WORLD_SIZE=1 it is the reference. Crops 0 to 3 are pid 0 and 1, so
# the hardest negatives of one process's crops lie in the other's.
STEP = """
import sys
import torch
from torch import nn
from sanreid.config import EncoderConfig
from sanreid.train import runtime
from sanreid.train.config import DecoderConfig, LossConfig, TeacherConfig
from sanreid.train.networks.san import JointForward
from sanreid.train.losses import LossContext, Objective
from sanreid.train.losses.objective import Targets
from sanreid.train.networks.san import build_san

runtime.join_group(torch.device("cpu"))
rank, world = runtime.rank(), runtime.world_size()
torch.manual_seed(0)
config = EncoderConfig(backbone="resnet18", embedding_dim=8, input_size=(64, 32))
heads = {"teacher": lambda: nn.Linear(8, 6)}
network = build_san(
    config, num_classes=4, decoder=DecoderConfig(width=32), heads=heads
).double()
network.eval()  # BatchNorm by its running statistics
network.to(memory_format=torch.channels_last)  # as the engine has it: maps of that memory order
crops = torch.randn(8, 3, 64, 32, dtype=torch.float64)
pairs = torch.randn(4, 3, 64, 32, dtype=torch.float64)
textures = torch.rand(8, 3, 256, 256, dtype=torch.float64) * 2 - 1
pit = torch.rand(4, 3, 256, 256, dtype=torch.float64) * 2 - 1
mask = torch.rand(8, 1, 256, 256, dtype=torch.float64) * torch.arange(8).view(8, 1, 1, 1) / 7
labels = torch.arange(4).repeat_interleave(2)

def own(x):
    share = len(x) // world
    return x[rank * share : (rank + 1) * share]

forward = JointForward(network, separate_batch_norm=True)
if world > 1:
    forward = nn.parallel.DistributedDataParallel(forward, broadcast_buffers=False)
optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
proxies = torch.arange(8)  # two cameras saw each
seen = {"vectors": nn.functional.normalize(torch.randn(8, 8)), "seen": torch.ones(8).bool()}
taught = torch.randn(8, 6, dtype=torch.float64)
config = LossConfig(reconstruction=1.0, tr=1.0, cross_camera=1.0, margin=5.0, tr_margin=50.0,
                    teacher=TeacherConfig(weights="taught"))
context = LossContext(config=config, embedding_dim=8, proxy_pids=labels)
objective = Objective(context)
objective.load_state_dict({"cross_camera": seen})
output, painted = forward(own(crops), own(pairs))
targets = Targets(own(labels), own(textures), own(mask), own(pit), proxies=own(proxies),
                  taught=own(taught))
total, terms = objective(output, targets, painted.texture)
total.backward()
optimizer.step()
runtime.leave_group()
if rank == 0:
    torch.save({"weights": network.state_dict(), "triplet": terms["triplet"].detach(),
                "tr": terms["tr"].detach(), "cross_camera": terms["cross_camera"].detach(),
                "teacher_similarities": terms["teacher_similarities"].detach(),
                "proxies": objective.state_dict()["cross_camera"]}, sys.argv[1])
"""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def run(command, world):
    """Run a command as ``torchrun`` would; give what each process wrote to stderr."""
    port = str(free_port())
    meeting = {"WORLD_SIZE": str(world), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    return run_all(
        [
            ([sys.executable, *command], {"RANK": str(rank), "LOCAL_RANK": str(rank), **meeting})
            for rank in range(world)
        ]
    )


def run_all(started):
    """Run commands, each with its variables, at once; give what each wrote to stderr."""
    processes = [
        subprocess.Popen(
            command,
            env={**os.environ, "OMP_NUM_THREADS": "1", **variables},
            stderr=subprocess.PIPE,
            text=True,
        )
        for command, variables in started
    ]
    told = [process.communicate(timeout=300)[1] for process in processes]
    for process, errors in zip(processes, told, strict=True):
        assert process.returncode == 0, errors
    return told


@pytest.mark.slow
def test_two_processes_take_the_step_of_one(tmp_path):
    for world in (1, 2):
        run(["-c", STEP, str(tmp_path / f"{world}.pt")], world)
    one, two = (torch.load(tmp_path / f"{world}.pt", weights_only=True) for world in (1, 2))
    for term in ("triplet", "tr", "cross_camera", "teacher_similarities"):
        torch.testing.assert_close(two[term], one[term])
        assert one[term] > 0
    torch.testing.assert_close(two["proxies"]["vectors"], one["proxies"]["vectors"])
    for key, x in one["weights"].items():
        torch.testing.assert_close(two["weights"][key], x, rtol=0, atol=1e-8, msg=key)


@pytest.mark.slow
def test_two_processes_train_measure_and_resume_to_the_bit(tiny_run, tmp_path, recipe):
    changes = {
        **recipe,
        "init": {"freeze": ["stem"], "freeze_epochs": 1},  # thawed, it is wrapped again
        "ema": {"decay": 0.9},
        "loss": {"cross_camera": 0.5, **recipe["loss"]},
    }
    for name, limits in (("whole", [0]), ("cut", [2, 0])):
        for number, limit in enumerate(limits):
            run_ = {"accumulate": 2, "max_steps": limit}
            path = write_toml(tiny_run(name, run=run_, **changes), tmp_path / f"{name}.toml")
            more = ["--resume"] if number else []
            told = run(["-m", "sanreid.train", str(path), *more], 2)
            assert "epoch" in told[0]
            # One of them tells of the run, and nothing is deprecated. Torch's notice that no
            # parameter was idle in the first step is about those that are in the second.
            others = [one for one in told[1].splitlines() if "find_unused_parameters" not in one]
            assert others == []
    rows = read_journal(tmp_path / "whole" / "log.jsonl")
    assert [row["step"] for row in rows if row["kind"] == "train"] == list(range(1, 7))
    assert [row["set"] for row in rows if row["kind"] == "evaluation"] == ["others"] * 2
    whole, cut = (load_checkpoint(tmp_path / name / "last.ckpt") for name in ("whole", "cut"))
    assert whole["progress"]["step"] == cut["progress"]["step"] == 6
    for key, x in whole["model"].items():
        assert torch.equal(x, cut["model"][key]), key
    states = whole["optimizer"]["state"]
    taken = {
        float(states[n]["step"])
        for group in whole["optimizer"]["param_groups"] if group["name"].startswith("decoder")
        for n in group["params"] if n in states
    }  # fmt: skip
    assert taken == {3.0}  # idle in the other steps, not moved by a gradient of 0
    assert main(["evaluate", str(tmp_path / "whole"), "--quiet"]) == 0


@pytest.mark.slow
def test_two_nodes_of_torchrun_and_two_tasks_of_srun_are_one_run_each(tiny_run, tmp_path):
    def command(name):
        path = write_toml(tiny_run(name, run={"max_steps": 2}), tmp_path / f"{name}.toml")
        return ["-m", "sanreid.train", str(path)]

    agent = [sys.executable, "-m", "torch.distributed.run", "--nnodes", "2"]
    agent += ["--nproc-per-node", "1", "--master-addr", "127.0.0.1"]
    agent += ["--master-port", str(free_port()), "--node-rank"]
    run_all([([*agent, str(node), *command("nodes")], {}) for node in range(2)])

    slurm = {"SLURM_NTASKS": "2", "SLURM_STEP_ID": "0", "SLURM_JOB_NODELIST": "localhost"}
    slurm["MASTER_PORT"] = str(free_port())
    task = [sys.executable, *command("tasks")]
    told = run_all([(task, {"SLURM_PROCID": str(number), **slurm}) for number in range(2)])
    assert told[1] == ""  # one of them tells of the run

    one, other = (tmp_path / name for name in ("nodes", "tasks"))
    for folder in (one, other):
        assert json.loads((folder / "run.json").read_text())["processes"] == 2
        rows = read_journal(folder / "log.jsonl")
        assert [row["step"] for row in rows if row["kind"] == "train"] == [1, 2]
    one, other = (load_checkpoint(folder / "last.ckpt")["model"] for folder in (one, other))
    for key, x in one.items():
        assert torch.equal(x, other[key]), key


def test_a_group_that_is_there_is_used_and_left_as_it_is(tmp_path, monkeypatch):
    dist = torch.distributed
    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    try:
        monkeypatch.setenv("WORLD_SIZE", "1")
        assert runtime.join_group(torch.device("cpu")) is False
        assert dist.is_initialized()
    finally:
        runtime.leave_group()
    assert not dist.is_initialized()


def test_the_others_wait_for_hours_while_one_evaluates(monkeypatch):
    given = {}
    monkeypatch.setattr(
        torch.distributed, "init_process_group", lambda *_, **options: given.update(options)
    )
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert runtime.join_group(torch.device("cpu"))
    assert given["timeout"] >= timedelta(hours=2)


def test_a_run_that_the_main_process_cannot_claim_ends_in_all(tmp_path, monkeypatch):
    monkeypatch.setattr(runtime, "is_main", lambda: False)
    monkeypatch.setattr(runtime, "all_sum", lambda x: x)  # the main process added 0
    with (
        pytest.raises(TrainingError, match="main process could not take"),
        claimed(tmp_path, CPU, written=None),
    ):
        pass
    monkeypatch.setattr(runtime, "all_sum", lambda x: x + 1)
    with claimed(tmp_path, CPU, written=None):
        pass
    assert not list(tmp_path.iterdir())


def test_one_process_is_the_identity():
    x = torch.ones(2, 3, requires_grad=True)
    assert runtime.gather(x) is x
    assert runtime.all_sum(x) is x
    assert (runtime.rank(), runtime.world_size(), runtime.is_main()) == (0, 1, True)
