"""Who started this process, and among how many: ``torchrun``, Slurm's ``srun``, or nobody.

``torchrun`` and Ray Train set RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR and MASTER_PORT. ``srun``
sets variables of its own, which are read here; MASTER_ADDR and MASTER_PORT are taken where they
are set, else they follow from the list of nodes and the number of the job.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass

from sanreid.errors import ConfigError

__all__ = ["Launch", "launched"]

_FIRST_PORT, _PORTS = 20_000, 12_000  # below those that systems hand out by themselves
_NO_STEP = 4_294_967_290  # Slurm's numbers for batch scripts and the like begin here


@dataclass(frozen=True, slots=True)
class Launch:
    """This process among those of its run.

    Attributes:
        rank: Among all, from 0.
        world_size: How many there are.
        local_rank: Among those of this machine, from 0.
        init_method: Where they meet, for ``torch.distributed``.
        by_slurm: ``srun`` started it, which may lend each process a GPU of its own.
    """

    rank: int = 0
    world_size: int = 1
    local_rank: int = 0
    init_method: str = "env://"
    by_slurm: bool = False


def launched(environment: Mapping[str, str] = os.environ) -> Launch:
    """Read the variables of whatever started this process.

    Raises:
        ConfigError: A variable is no number, or there are several processes and no RANK.
    """
    if "RANK" in environment or "LOCAL_RANK" in environment:
        return Launch(
            _number(environment, "RANK", 0),
            _number(environment, "WORLD_SIZE", 1),
            _number(environment, "LOCAL_RANK", 0),
        )
    if not _is_srun(environment):  # scripts of sbatch often set WORLD_SIZE, and srun the rest
        if _number(environment, "WORLD_SIZE", 1) > 1:
            raise ConfigError(
                "WORLD_SIZE says that there are several processes, but RANK is not set. Start "
                "them by torchrun or srun, or unset WORLD_SIZE."
            )
        return Launch()
    return Launch(
        _number(environment, "SLURM_PROCID", 0),
        _tasks(environment),
        _number(environment, "SLURM_LOCALID", 0),
        f"tcp://{_host(environment)}:{_port(environment)}",
        by_slurm=True,
    )


def _is_srun(environment: Mapping[str, str]) -> bool:
    """Whether each of several tasks of Slurm runs this, and not the script of ``sbatch``."""
    if "SLURM_PROCID" not in environment or _tasks(environment) < 2:
        return False
    step = _number(environment, "SLURM_STEP_ID", -1)
    is_script = environment.get("ENVIRONMENT") == "BATCH" and step < 0
    return not is_script and step < _NO_STEP


def _tasks(environment: Mapping[str, str]) -> int:
    default = _number(environment, "SLURM_NTASKS", 1)
    return _number(environment, "SLURM_STEP_NUM_TASKS", default)


def _host(environment: Mapping[str, str]) -> str:
    if "MASTER_ADDR" in environment:
        return environment["MASTER_ADDR"]
    for name in ("SLURM_STEP_NODELIST", "SLURM_JOB_NODELIST", "SLURM_NODELIST"):
        # "gpu[03-05,9],cpu1": the first is gpu03.
        first = re.match(r"(?:[^,\[]|\[[^\]]*\])+", environment.get(name, ""))
        if first:
            return re.sub(r"\[([^\],-]+)[^\]]*\]", r"\1", first[0])
    return "127.0.0.1"


def _port(environment: Mapping[str, str]) -> int:
    job = _number(environment, "SLURM_JOB_ID", 0)
    step = _number(environment, "SLURM_STEP_ID", 0)
    return _number(environment, "MASTER_PORT", _FIRST_PORT + (job * 7 + step) % _PORTS)


def _number(environment: Mapping[str, str], name: str, default: int) -> int:
    text = environment.get(name, str(default))
    try:
        return int(text)
    except ValueError:
        raise ConfigError(f"The variable {name} must be a whole number; got {text!r}.") from None
