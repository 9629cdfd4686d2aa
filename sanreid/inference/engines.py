"""What an encoder computes with: a module, or a file that was exported.

An engine knows its device, precision and fingerprint and returns the backend that embeds; it makes
that backend at the first use, once for all threads.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import torch
from torch import nn

from sanreid.backends.device import after_fork
from sanreid.backends.exported import load_exported
from sanreid.backends.exports.description import Description
from sanreid.backends.interface import Backend
from sanreid.backends.runtimes import RUNTIMES, resolve
from sanreid.config import EncoderConfig
from sanreid.errors import WeightsError
from sanreid.inference.module_state import fingerprint, weights_state
from sanreid.utils.ambient import plain_torch
from sanreid.utils.arguments import check_kind

__all__ = ["Engine", "ExportedEngine", "ModuleEngine"]


class Engine:
    """The part that a module and an exported file have in common.

    Args:
        config: Of the encoder.
        backend: Name of the backend.
        device: Where it runs, as the caller asked.
        dtype: How precisely, as the caller asked.

    Raises:
        InputError: The backend cannot have the device or the dtype.
    """

    def __init__(
        self,
        config: EncoderConfig,
        *,
        backend: str,
        device: str | int | torch.device,
        dtype: str | torch.dtype,
    ) -> None:
        self.config = config
        self.backend_name = backend
        self.device, self._precision = resolve(backend, device, dtype)
        after_fork(backend, self.device)
        self._dtype_asked = dtype
        self._process = os.getpid()
        self._lock = threading.RLock()  # over the two that are made when first needed
        self._backend: tuple[object, Backend] | None = None
        self._fingerprint: tuple[object, str] | None = None

    @property
    def dtype(self) -> torch.dtype:
        """The precision asked for."""
        return self._precision

    @property
    def chooses_dtype(self) -> bool:
        """Whether the caller asked for ``"auto"``, so that :meth:`to` chooses again."""
        return isinstance(self._dtype_asked, str) and self._dtype_asked == "auto"

    @property
    def module(self) -> nn.Module:
        """The plain network."""
        raise NotImplementedError

    @property
    def fingerprint(self) -> str:
        """SHA-256 over weights and preprocessing."""
        self._after_fork()
        with self._lock, plain_torch():
            state = self._state()
            if self._fingerprint is None or self._fingerprint[0] != state:
                self._fingerprint = state, self._make_fingerprint()
            return self._fingerprint[1]

    def backend(self) -> Backend:
        """Return the callable that embeds; rebuilt when the weights have changed."""
        self._after_fork()
        with self._lock, plain_torch():
            state = self._state()
            if self._backend is None or self._backend[0] != state:
                self._backend = state, self._make_backend()
            return self._backend[1]

    def to(self, device: str | int | torch.device | None, dtype: str | torch.dtype | None) -> None:
        """Change device and dtype; a dtype that was ``"auto"`` is chosen again.

        Raises:
            InputError: They cannot be had; nothing is changed then.
        """
        self._after_fork()
        asked = self._dtype_asked if dtype is None else dtype
        new = resolve(self.backend_name, self.device if device is None else device, asked)
        with self._lock:
            self.device, self._precision = new
            self._dtype_asked = asked
            self._backend = self._fingerprint = None  # made again, whatever changed the weights

    def _after_fork(self) -> None:
        """In a forked process, drop the parent's threads and a lock that they may hold."""
        if self._process != os.getpid():
            self._process = os.getpid()
            self._lock = threading.RLock()
            if self.backend_name != "torch":
                self._backend = None
        after_fork(self.backend_name, self.device)

    def _state(self) -> object:
        """Return a value that changes when the weights do."""
        return None

    def _make_fingerprint(self) -> str:
        raise NotImplementedError

    def _make_backend(self) -> Backend:
        raise NotImplementedError

    def __getstate__(self) -> dict[str, Any]:
        """Return what pickling and copying need: not the lock, and not what can be made again."""
        return self.__dict__ | {"_lock": None, "_backend": None, "_fingerprint": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._lock = threading.RLock()
        self._process = os.getpid()


class ModuleEngine(Engine):
    """A module, on its device and in float32, and the backend made of a copy of it.

    Args:
        module: SA-Enc; changed in place: moved, float32, ``eval()``.
        config: See :class:`Engine`, as for the rest.
        backend: See there.
        device: See there.
        dtype: See there.
    """

    def __init__(
        self,
        module: nn.Module,
        config: EncoderConfig,
        *,
        backend: str,
        device: str | int | torch.device,
        dtype: str | torch.dtype,
    ) -> None:
        check_kind(module, "module", nn.Module, "a torch.nn.Module")
        check_kind(config, "config", EncoderConfig, "an EncoderConfig")
        super().__init__(config, backend=backend, device=device, dtype=dtype)
        with plain_torch():
            self._module = module.to(device=self.device, dtype=torch.float32).eval()

    @property
    def module(self) -> nn.Module:
        """The plain network."""
        return self._module

    def to(self, device: str | int | torch.device | None, dtype: str | torch.dtype | None) -> None:
        """Move the module as well; see :meth:`Engine.to`."""
        self._after_fork()
        with self._lock:
            super().to(device, dtype)
            with plain_torch():
                self._module.to(self.device)

    def _state(self) -> object:
        return weights_state(self._module)

    def _make_fingerprint(self) -> str:
        return fingerprint(self._module, self.config)

    def _make_backend(self) -> Backend:
        return RUNTIMES[self.backend_name].convert(
            self._module, self._describe, self.device, self._precision
        )

    def _describe(self) -> Description:
        fingerprint = "" if self.backend_name == "torch" else self.fingerprint  # costs time
        return Description(fingerprint, self.config)


class ExportedEngine(Engine):
    """An exported file; it has no module, so nothing of it can be trained or saved as weights.

    Args:
        path: The file.
        backend: See :class:`Engine`, as for the rest.
        device: See there.
        dtype: See there.

    Raises:
        WeightsError: The file is damaged, or was not written by sanreid.
    """

    def __init__(
        self,
        path: Path,
        *,
        backend: str,
        device: str | int | torch.device,
        dtype: str | torch.dtype,
    ) -> None:
        self._path = path.absolute()  # loaded again after the working directory has changed
        _, precision = resolve(backend, device, dtype)
        loaded = load_exported(path, dtype=precision)
        self._description = loaded.description
        super().__init__(loaded.description.config, backend=backend, device=device, dtype=dtype)
        self._backend = None, loaded

    @property
    def dtype(self) -> torch.dtype:
        """int8 where the file was quantised."""
        quantised = self._description.precision == "int8"
        return torch.int8 if quantised else self._precision

    @property
    def module(self) -> nn.Module:
        """There is none.

        Raises:
            WeightsError: Always.
        """
        raise WeightsError(
            f"{self._path} is an exported file: it has no module to train, move or save. Load "
            "the weights that it was made from."
        )

    def _make_fingerprint(self) -> str:
        return self._description.fingerprint

    def _make_backend(self) -> Backend:
        loaded = load_exported(self._path, dtype=self._precision)
        if loaded.description != self._description:
            raise WeightsError(f"{self._path} was replaced by another export; load it again.")
        return loaded
