"""SANEncoder: person crops in, embeddings out.

Source: the encoder of Jin et al., "Semantics-Aligned Representation Learning for Person
Re-identification", AAAI 2020, arXiv:1905.13143. The decoder that shapes its features during
training is thrown away, so an embedding costs what a plain ResNet costs.

The file is long because it is one class whose docstrings are the reference; the work itself is
in the private modules beside it.
"""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence, Sized
from contextlib import closing
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, Self, overload

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from sanreid import weights
from sanreid.backends.device import after_fork
from sanreid.backends.exported import exported_path
from sanreid.backends.interface import BackendName
from sanreid.backends.runtimes import resolve
from sanreid.config import EncoderConfig
from sanreid.images import (
    Color,
    ImageSource,
    is_one_image,
    iterate_images,
    load_image,
)
from sanreid.images.sources import expand_paths
from sanreid.inference.batches import Batch, Failure, Options, embed_in_batches
from sanreid.inference.detections import EncodedDetections, crop_boxes
from sanreid.inference.engines import Engine, ExportedEngine, ModuleEngine
from sanreid.inference.module_state import assign, compact, weights_state
from sanreid.inference.resumable import (
    EncodedShards,
    Label,
    embed_into_shards,
)
from sanreid.integrations.boxes import read_boxes
from sanreid.models import build_sa_enc
from sanreid.utils.ambient import plain_torch
from sanreid.utils.arguments import check_choice, check_flag
from sanreid.utils.progress import progress_bar

__all__ = ["DefaultThreshold", "EncodedFiles", "SANEncoder"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class EncodedFiles:
    """What :meth:`SANEncoder.encode_files` gives; unpacks into its three parts.

    Args:
        embeddings: (N, D) ``float32``, one row per path of ``paths``.
        paths: The N files that were read, in the order given, folders expanded.
        failures: (path, reason) of the files that could not be read.
    """

    embeddings: NDArray[np.float32]
    paths: list[Path]
    failures: list[tuple[Path, str]]

    def __iter__(self) -> Iterator[Any]:
        return iter((self.embeddings, self.paths, self.failures))


@dataclass(frozen=True, slots=True)
class DefaultThreshold:
    """A similarity between one person and two, with the rates it had where it was measured.

    Args:
        similarity: Cosine; at least this is taken for the same person.
        false_match_rate: The share of pairs of two people that reached it.
        false_non_match_rate: The share of pairs of one person that did not.
        crops: What it was measured on.
    """

    similarity: float
    false_match_rate: float
    false_non_match_rate: float
    crops: str


class SANEncoder:
    """Turns person crops into embeddings. Calls from several threads are safe.

    For several processes start them by ``"spawn"``: an encoder can be pickled. A process forked
    after PyTorch was loaded computes with one thread, and not on CUDA.

    The network runs as a private copy, made at the first call, in ``dtype``. A change of the
    module's weights in place (an optimiser's step, ``load_state_dict``) is noticed at the next
    call. PyTorch does not count changes through ``Tensor.data``: call :meth:`to` after them.

    Args:
        module: SA-Enc, as :func:`sanreid.models.build_sa_enc` builds it. It is moved to
            ``device``, made float32 and put in ``eval()`` mode, in place.
        config: What ``module`` was built from.
        device: ``"auto"`` (CUDA if there is one, else the CPU) or what torch takes.
        dtype: Precision of the network: ``"float32"``, ``"float16"``, ``"bfloat16"`` or the
            ``torch.dtype``. ``"auto"`` is bfloat16 on CUDA from compute capability 8 and on CPUs
            with native bfloat16 (AVX512-BF16, AMX), else float32. float16 on a CPU is computed
            in float32, which is faster there and loses nothing. Embeddings are always float32.
        backend: What runs the network: ``"torch"``, or on a CPU ``"onnx"`` (float32) or
            ``"openvino"`` (float32, bfloat16), from the extra ``export``.
        name: For messages.

    Raises:
        InputError: The backend, or the device or the dtype for it, cannot be had.
    """

    def __init__(
        self,
        module: nn.Module,
        config: EncoderConfig,
        *,
        device: str | int | torch.device = "auto",
        dtype: str | torch.dtype = "auto",
        backend: BackendName = "torch",
        name: str | None = None,
    ) -> None:
        self._engine: Engine = ModuleEngine(
            module, config, backend=backend, device=device, dtype=dtype
        )
        self._name = name
        self._released: tuple[object, weights.WeightsEntry] | None = None

    @classmethod
    def from_pretrained(
        cls,
        name_or_path: str | os.PathLike[str] | None = None,
        *,
        device: str | int | torch.device = "auto",
        dtype: str | torch.dtype = "auto",
        backend: BackendName = "torch",
        revision: str | None = None,
        cache_dir: str | Path | None = None,
        token: str | None = None,
        local_files_only: bool = False,
    ) -> Self:
        """Load weights, checked, ready to encode.

        Args:
            name_or_path: A name of :func:`sanreid.list_weights` (None: the default one), a local
                directory, or a Hub repository ``owner/name``. Bundled weights and directories
                need no network. With another backend than torch also what ``sanreid export``
                wrote, a file or its directory; weights are exported in memory, which takes
                some seconds at the first call.
            device: As in the constructor.
            dtype: As in the constructor.
            backend: As in the constructor.
            revision: Branch, tag or commit of a Hub repository.
            cache_dir: The Hub client's cache; its default when None.
            token: Access token for the Hub; the one the client knows when None.
            local_files_only: Never reach the network.

        Raises:
            UnknownWeightsError: There are no such weights.
            ChecksumError: The file is not the released one; nothing of it was parsed.
            WeightsError: The weights cannot be had or do not fit their configuration.
            InputError: The backend, or the device or the dtype for it, cannot be had.
            MissingExtraError: The backend's packages are not installed.
        """
        after_fork(backend, resolve(backend, device, dtype)[0])  # before a download
        if exported := exported_path(name_or_path, backend):
            # There is no module for the constructor.
            encoder = cls.__new__(cls)
            engine = ExportedEngine(exported, backend=backend, device=device, dtype=dtype)
            encoder.__dict__.update(_engine=engine, _name=str(name_or_path), _released=None)
            return encoder
        located = weights.locate(
            name_or_path,
            revision=revision,
            cache_dir=cache_dir,
            token=token,
            local_files_only=local_files_only,
        )
        with plain_torch():
            state_dict = weights.read_state_dict(located.path)
            with torch.device("meta"):  # no time for values that are replaced at once
                module = build_sa_enc(located.config).float()
            assign(module, state_dict, origin=located.name)
        encoder = cls(
            module,
            located.config,
            device=device,
            dtype=dtype,
            backend=backend,
            name=located.name,
        )
        if located.entry is not None:
            encoder._released = weights_state(module), located.entry
        return encoder

    @property
    def module(self) -> nn.Module:
        """The plain network, float32, on ``device``: normalised (N, 3, H, W) in, see SAEnc.

        Raises:
            WeightsError: The encoder was loaded from an exported file, which has none.
        """
        return self._engine.module

    @property
    def config(self) -> EncoderConfig:
        """What decides the embedding, apart from the weights."""
        return self._engine.config

    @property
    def name(self) -> str | None:
        """The weights' name, directory or repository; None when built from a module."""
        return self._name

    @property
    def embedding_dim(self) -> int:
        """D, the length of an embedding."""
        return self.config.embedding_dim

    @property
    def input_size(self) -> tuple[int, int]:
        """(height, width) in pixels that every crop is resized to."""
        return self.config.input_size

    @property
    def device(self) -> torch.device:
        """Where the network runs."""
        return self._engine.device

    @property
    def dtype(self) -> torch.dtype:
        """The precision asked for, int8 of a quantised file; embeddings are float32 always."""
        return self._engine.dtype

    @property
    def chooses_dtype(self) -> bool:
        """Whether :attr:`dtype` was ``"auto"``, so that :meth:`to` chooses it for each device."""
        return self._engine.chooses_dtype

    @property
    def backend(self) -> str:
        """What runs the network: ``"torch"``, ``"onnx"`` or ``"openvino"``."""
        return self._engine.backend_name

    @property
    def fingerprint(self) -> str:
        """SHA-256, 64 hexadecimal digits, over weights and preprocessing.

        Two encoders with the same fingerprint give comparable embeddings: it is the same for
        every device, dtype and backend, and after saving and loading.
        """
        return self._engine.fingerprint

    @property
    def default_threshold(self) -> DefaultThreshold | None:
        """The threshold that was measured for these weights; None where none was.

        A gallery's own calibration is better: how many pairs of two people reach a similarity
        depends on the cameras.
        """
        entry = self._entry()
        if entry is None or entry.threshold is None:
            return None
        values = {one.name: entry.threshold[one.name] for one in fields(DefaultThreshold)}
        return DefaultThreshold(**values)

    def __repr__(self) -> str:
        height, width = self.input_size
        name = f"{self._name!r}, " if self._name else ""
        dtype = str(self.dtype).removeprefix("torch.")
        return (
            f"SANEncoder({name}{self.config.backbone} {self.config.head}, "
            f"embedding_dim={self.embedding_dim}, input {height} x {width}, "
            f"device='{self.device}', dtype='{dtype}', backend='{self.backend}')"
        )

    def to(
        self,
        device: str | int | torch.device | None = None,
        dtype: str | torch.dtype | None = None,
    ) -> Self:
        """Move to another device or precision, in place; what is None stays.

        A dtype that was ``"auto"`` is chosen again for a new device.

        Raises:
            InputError: The device or the dtype cannot be had; nothing is changed then.
        """
        entry = self._entry()
        self._engine.to(device, dtype)
        self._released = None if entry is None else (weights_state(self.module), entry)
        return self

    # ------------------------------------------------------------------ encoding

    def encode(
        self,
        images: ImageSource | Iterable[ImageSource],
        *,
        batch_size: int = 64,
        flip: bool = False,
        normalize: bool = True,
        color: Color = "rgb",
        progress: bool | None = None,
    ) -> NDArray[np.float32]:
        """Embed one image, or a sequence of images of mixed kinds.

        The same picture gives the same embedding as a path, bytes, PIL image, array or tensor.

        Args:
            images: One image or a sequence: a path, the bytes of an image file, a PIL image, an
                array (H, W, 3) or (H, W), a tensor (3, H, W); arrays and tensors ``uint8``, or
                float in [0, 1]. A batch (N, H, W, 3) or (N, 3, H, W) is a sequence.
            batch_size: Images in the network at once; memory grows with it.
            flip: Average with the embedding of the mirrored crop, before normalising; twice the
                time.
            normalize: Return rows of L2 norm 1. A row of zeros (an ``fc`` head can give one)
                stays zeros.
            color: ``"bgr"`` for OpenCV arrays; says nothing about files and PIL images.
            progress: A bar on standard error. None: where a person watches and only for long
                work; never in a pipe.

        Returns:
            (N, D) ``float32``; one image gives (1, D), an empty sequence (0, D).

        Raises:
            ImageError: An image cannot be read; names its path or its position, counted from 0.
            InputError: Another argument is wrong.
            WeightsError: The network gives NaN or infinity.
        """
        options = Options(batch_size, flip, normalize, color)
        name_positions = not is_one_image(images)
        rows = []
        with progress_bar(progress, total=_length(images)) as bar:
            for step in self._steps(images, options, name_positions=name_positions):
                if isinstance(step, Failure):
                    raise step.error
                rows.append(step.rows)
                bar.update(len(step.rows))
        return np.concatenate(rows) if rows else self._no_rows()

    def encode_files(
        self,
        paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
        *,
        on_error: Literal["raise", "collect"] = "raise",
        batch_size: int = 64,
        flip: bool = False,
        normalize: bool = True,
        progress: bool | None = None,
    ) -> EncodedFiles:
        """Embed image files and whole folders.

        Args:
            paths: Files and folders; a folder means its image files, recursive, sorted.
            on_error: ``"raise"`` stops at the first file that cannot be read; ``"collect"``
                puts it into ``failures`` and goes on.
            batch_size: As in :meth:`encode`.
            flip: As in :meth:`encode`.
            normalize: As in :meth:`encode`.
            progress: As in :meth:`encode`.

        Returns:
            Embeddings, their paths, and failures as (path, reason).

        Raises:
            ImageError: A file cannot be read, with ``on_error="raise"``; names its path.
            InputError: A folder holds no images, with ``on_error="raise"``; or an argument is
                wrong.
        """
        check_choice(on_error, "on_error", ("raise", "collect"))
        options = Options(batch_size, flip, normalize, "rgb")
        files, failures = expand_paths(paths, collect=on_error == "collect")
        rows: list[NDArray[np.float32]] = []
        read: list[Path] = []
        with progress_bar(progress, total=len(files)) as bar:
            for step in self._steps(files, options, name_positions=False):
                if isinstance(step, Failure):
                    if on_error == "raise":
                        raise step.error
                    failures.append((files[step.index], step.error.reason))
                    bar.update(1)
                else:
                    rows.append(step.rows)
                    read.extend(files[index] for index in step.indices)
                    bar.update(len(step.rows))
        embeddings = np.concatenate(rows) if rows else self._no_rows()
        return EncodedFiles(embeddings=embeddings, paths=read, failures=failures)

    def encode_to(
        self,
        directory: str | os.PathLike[str],
        paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
        *,
        resume: bool = False,
        labels: Mapping[Path, Label] | Mapping[str, Label] | None = None,
        rows_per_shard: int = 4096,
        batch_size: int = 64,
        flip: bool = False,
        normalize: bool = True,
        progress: bool | None = None,
    ) -> EncodedShards:
        """Embed image files and folders into Parquet shards; an interrupted call can be resumed.

        Each shard is written whole, and a manifest names the shards that count, so whatever
        stops the process loses at most the shard in hand. Memory holds one shard, however many
        files there are. A file that cannot be read is a row with its reason under ``error``.

        Args:
            directory: Made if it is not there; see :mod:`sanreid.utils.shards` for its files.
            paths: As in :meth:`encode_files`. Each path is embedded once.
            resume: Continue what ``directory`` holds, by the same encoder, dtype, backend and
                options: the paths that it holds are skipped. Without it the directory must be
                empty.
            labels: (pid, camid) by path, written beside the embeddings; pids int, str or None,
                camids int or None.
            rows_per_shard: Rows in one file.
            batch_size: As in :meth:`encode`.
            flip: As in :meth:`encode`.
            normalize: As in :meth:`encode`.
            progress: As in :meth:`encode`.

        Returns:
            How many files this call embedded, how many were there, and what failed.

        Raises:
            InputError: The directory is being written, cannot be, or was begun with another
                encoder, dtype, backend or options; a file's name is not UTF-8; or an argument is
                wrong.
            MissingExtraError: ``pyarrow``, of the extra ``parquet``, is not installed.
        """
        options = Options(batch_size, flip, normalize, "rgb")
        return embed_into_shards(
            directory,
            paths,
            embed=lambda pending: self._steps(pending, options, name_positions=False),
            fingerprint=self.fingerprint,
            dim=self.embedding_dim,
            flip=flip,
            normalize=normalize,
            dtype=str(self.dtype).removeprefix("torch."),
            backend=self.backend,
            resume=resume,
            labels=labels,
            rows_per_shard=rows_per_shard,
            progress=progress,
        )

    def encode_stream(
        self,
        images: Iterable[ImageSource],
        *,
        on_error: Literal["raise", "skip"] = "raise",
        batch_size: int = 64,
        flip: bool = False,
        normalize: bool = True,
        color: Color = "rgb",
        progress: bool | None = None,
    ) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """Embed an iterable of any length, giving each embedding as it is done, in order.

        At most three batches of images are in memory, four on CUDA. ``images`` is read in the
        caller's thread, up to as many batches ahead of the embedding that is given: for a live
        camera take ``batch_size=1``.

        Args:
            images: Any iterable of images, endless ones too; kinds as in :meth:`encode`. Each
                is a new object: one that is written over while it waits is embedded as it then is.
            on_error: ``"raise"``: an image that cannot be read raises when its turn comes,
                after the embeddings of those before it. ``"skip"``: it is logged as a warning
                and its index is left out.
            batch_size: As in :meth:`encode`; also how long the stream waits for company.
            flip: As in :meth:`encode`.
            normalize: As in :meth:`encode`.
            color: As in :meth:`encode`.
            progress: As in :meth:`encode`.

        Returns:
            An iterator of (index counted from 0, embedding (D,)). Closing it, or dropping it
            before its end, ends its threads.

        Raises:
            ImageError: While iterating, as ``on_error`` says. An exception of ``images`` itself
                passes through, after the embeddings of the images before it.
            InputError: An argument is wrong; at once.
        """
        check_choice(on_error, "on_error", ("raise", "skip"))
        check_flag(progress, "progress", optional=True)
        options = Options(batch_size, flip, normalize, color)
        name_positions = not is_one_image(images)
        total = _length(images)
        steps = self._steps(images, options, name_positions=name_positions, in_order=True)
        return _stream(steps, on_error=on_error, progress=progress, total=total)

    @overload
    def encode_detections(
        self,
        frame: ImageSource,
        boxes: object,
        *,
        columns: Sequence[int] | None = ...,
        on_error: Literal["raise"] = ...,
        color: Color = ...,
        batch_size: int = ...,
        flip: bool = ...,
        normalize: bool = ...,
    ) -> NDArray[np.float32]: ...

    @overload
    def encode_detections(
        self,
        frame: ImageSource,
        boxes: object,
        *,
        columns: Sequence[int] | None = ...,
        on_error: Literal["skip"],
        color: Color = ...,
        batch_size: int = ...,
        flip: bool = ...,
        normalize: bool = ...,
    ) -> EncodedDetections: ...

    def encode_detections(
        self,
        frame: ImageSource,
        boxes: object,
        *,
        columns: Sequence[int] | None = None,
        on_error: Literal["raise", "skip"] = "raise",
        color: Color = "rgb",
        batch_size: int = 64,
        flip: bool = False,
        normalize: bool = True,
    ) -> NDArray[np.float32] | EncodedDetections:
        """Embed the people a detector found in one frame.

        Args:
            frame: One image of any kind that :meth:`encode` takes.
            boxes: (N, 4) x1, y1, x2, y2 in pixels: an array, a tensor, or what supervision,
                ultralytics, YOLOv5, torchvision or boxmot return for one frame; see
                :mod:`sanreid.integrations.boxes`. A box is widened to whole pixels and clipped at
                the border of the frame.
            columns: Which four columns of an array (N, more than 4) hold x1, y1, x2, y2; the first
                four when None.
            on_error: ``"raise"``, or ``"skip"``: a box that has no area inside the frame, or holds
                NaN, is left out, and the rows that were kept are returned too.
            color: ``"bgr"`` for OpenCV frames.
            batch_size: As in :meth:`encode`.
            flip: As in :meth:`encode`.
            normalize: As in :meth:`encode`.

        Returns:
            (N, D) ``float32``, one row per box; no boxes give (0, D). With ``on_error="skip"``
            (embeddings (M, D), kept (M,)).

        Raises:
            ImageError: The frame cannot be read.
            InputError: ``boxes`` is none of these; all boxes lie within 0 to 1; or a box has no
                area inside the frame or holds NaN, with ``on_error="raise"``: names its row.
        """
        check_choice(on_error, "on_error", ("raise", "skip"))
        picture = load_image(frame, color=color, position="the frame")
        corners = read_boxes(boxes, columns=columns)
        crops, kept = crop_boxes(picture, corners, skip=on_error == "skip")
        rows = self.encode(
            crops, batch_size=batch_size, flip=flip, normalize=normalize, progress=False
        )
        return EncodedDetections(rows, kept) if on_error == "skip" else rows

    def get_features(self, boxes: object, image: ImageSource) -> NDArray[np.float32]:
        """Embed boxes of an OpenCV frame, as the trackers of boxmot ask for it.

        A tracker wants one row per box: a box without area inside the frame gets zeros, which
        are like nobody, and a warning is logged.

        Args:
            boxes: As in :meth:`encode_detections`.
            image: (H, W, 3) ``uint8``, BGR.

        Returns:
            (N, D) ``float32``, rows of L2 norm 1 or 0.

        Raises:
            ImageError: The frame cannot be read.
            InputError: ``boxes`` cannot be read, or all lie within 0 to 1.
        """
        corners = read_boxes(boxes)
        rows, kept = self.encode_detections(image, corners, on_error="skip", color="bgr")
        features = np.zeros((len(corners), self.embedding_dim), dtype=np.float32)
        features[kept] = rows
        if len(kept) < len(corners):
            logger.warning(
                "%d of %d boxes have no area inside the frame.",
                len(corners) - len(kept), len(corners),
            )  # fmt: skip
        return features

    # ------------------------------------------------------------------ saving

    def save_pretrained(self, directory: str | os.PathLike[str]) -> Path:
        """Write ``config.json``, ``model.safetensors`` and ``README.md`` (a model card).

        What is saved loads again by :meth:`from_pretrained`, with the same fingerprint.

        Raises:
            WeightsError: The directory cannot be written, or the weights hold NaN.
        """
        return self._save(directory)

    def push_to_hub(
        self,
        repo_id: str,
        *,
        token: str | None = None,
        private: bool = False,
        revision: str | None = None,
        commit_message: str = "Upload weights with sanreid",
    ) -> str:
        """Save, and upload to the Hub repository ``owner/name``, created if missing.

        What is known of the training goes along, on the card and in the file's header: terms,
        names and sizes of the data, settings.

        Args:
            repo_id: ``"owner/name"``.
            token: Access token with the right to write; the one the client knows when None.
            private: Make a new repository private.
            revision: Branch to upload to; the main branch when None.
            commit_message: First line of the commit.

        Returns:
            The commit, 40 hexadecimal digits: the ``revision`` that loads these weights.

        Raises:
            WeightsError: The Hub refused it, or the weights cannot be saved.
        """
        card = weights.model_card(self.config, entry=self._entry(), repo_id=repo_id)
        with tempfile.TemporaryDirectory() as folder:
            return weights.push_directory(
                self._save(Path(folder, "weights"), card=card),
                repo_id,
                token=token,
                private=private,
                revision=revision,
                commit_message=commit_message,
            )

    def _save(self, directory: str | os.PathLike[str], **card: str) -> Path:
        """Write a weights directory, with a ``card`` of its own if one is given."""
        with plain_torch():
            return weights.save_directory(
                directory,
                state_dict=compact(self.module.state_dict()),
                config=self.config,
                entry=self._entry(),
                **card,
            )

    def __getstate__(self) -> dict[str, Any]:
        """Return what a copy holds: what is known of the weights goes with it."""
        return self.__dict__ | {"_released": self._entry()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take over what :meth:`__getstate__` returned."""
        self.__dict__.update(state)
        entry = state["_released"]
        self._released = None if entry is None else (weights_state(self.module), entry)

    def _entry(self) -> weights.WeightsEntry | None:
        """Return what is known of the weights, while the module still holds them unchanged."""
        if self._released is None or self._released[0] != weights_state(self.module):
            return None
        return self._released[1]

    # ------------------------------------------------------------------ the work

    def _steps(
        self, images: object, options: Options, *, name_positions: bool, in_order: bool = False
    ) -> Generator[Batch | Failure, None, None]:
        return embed_in_batches(
            iterate_images(images),
            self._engine.backend(),
            self.config,
            options,
            name_positions=name_positions,
            in_order=in_order,
        )

    def _no_rows(self) -> NDArray[np.float32]:
        return np.empty((0, self.embedding_dim), dtype=np.float32)


def _stream(
    steps: Generator[Batch | Failure, None, None],
    *,
    on_error: str,
    progress: bool | None,
    total: int | None,
) -> Iterator[tuple[int, NDArray[np.float32]]]:
    with closing(steps), progress_bar(progress, total=total) as bar:
        for step in steps:
            if isinstance(step, Failure):
                if on_error == "raise":
                    raise step.error
                logger.warning("Skipped: %s", step.error)
                bar.update(1)
                continue
            for index, row in zip(step.indices, step.rows, strict=True):
                yield index, row.copy()  # a kept row must not keep its batch alive
                bar.update(1)


def _length(images: object) -> int | None:
    if is_one_image(images):
        return 1
    return len(images) if isinstance(images, Sized) else None
