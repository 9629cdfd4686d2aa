"""Who started the process: torchrun, srun, or nobody."""

from __future__ import annotations

import pytest

from sanreid.errors import ConfigError
from sanreid.train.launcher import Launch, launched

SRUN = {
    "SLURM_PROCID": "5",
    "SLURM_LOCALID": "1",
    "SLURM_NTASKS": "8",
    "SLURM_STEP_ID": "0",
    "SLURM_JOB_ID": "100",
    "SLURM_JOB_NODELIST": "gpu[03-05,9],cpu1",
}


def test_nobody():
    assert launched({}) == Launch()


def test_torchrun_comes_before_slurm():
    torchrun = {"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "MASTER_ADDR": "a"}
    assert launched({**SRUN, **torchrun}) == Launch(3, 4, 1, "env://")


def test_srun():
    assert launched(SRUN) == Launch(5, 8, 1, "tcp://gpu03:20700", by_slurm=True)


@pytest.mark.parametrize(
    ("nodes", "host"),
    [
        ("node7", "node7"),
        ("node7,node9", "node7"),
        ("node[7]", "node7"),
        ("r[1-2]n[04,06]-ib,x", "r1n04-ib"),
        ("", "127.0.0.1"),
    ],
)
def test_the_first_node_of_a_list_is_where_they_meet(nodes, host):
    assert launched({**SRUN, "SLURM_JOB_NODELIST": nodes}).init_method == f"tcp://{host}:20700"


def test_where_they_meet_can_be_given():
    given = {**SRUN, "MASTER_ADDR": "10.0.0.1", "MASTER_PORT": "1234"}
    assert launched(given).init_method == "tcp://10.0.0.1:1234"


def test_two_jobs_on_a_machine_meet_apart():
    assert launched(SRUN).init_method != launched({**SRUN, "SLURM_JOB_ID": "101"}).init_method


@pytest.mark.parametrize(
    "changes",
    [
        {"SLURM_NTASKS": "1"},
        {"SLURM_STEP_NUM_TASKS": "1"},  # srun -n 1 inside an allocation for 8
        {"SLURM_STEP_ID": "4294967291"},
    ],
)
def test_one_task_is_alone(changes):
    assert launched({**SRUN, **changes}) == Launch()


def test_the_script_of_sbatch_is_alone():
    script = {name: value for name, value in SRUN.items() if name != "SLURM_STEP_ID"}
    assert launched({**script, "ENVIRONMENT": "BATCH"}) == Launch()
    assert launched({**SRUN, "ENVIRONMENT": "BATCH"}).world_size == 8


def test_a_number_of_processes_alone_starts_none():
    assert launched({**SRUN, "WORLD_SIZE": "8"}).rank == 5
    assert launched({"WORLD_SIZE": "1"}) == Launch()
    with pytest.raises(ConfigError, match="RANK is not set"):
        launched({"WORLD_SIZE": "2"})


def test_a_variable_that_is_no_number_is_named():
    with pytest.raises(ConfigError, match="WORLD_SIZE must be a whole number; got 'two'"):
        launched({"RANK": "0", "WORLD_SIZE": "two"})
