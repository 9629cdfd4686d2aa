"""The Hugging Face Hub: files of a repository in, weights directories out.

The only part of the library that reaches the network, and only when asked for weights that are
neither bundled nor in a local directory. The client is ``huggingface_hub``: its cache, its
``HF_HOME``, ``HF_ENDPOINT``, ``HF_TOKEN`` and ``HF_HUB_OFFLINE`` apply.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sanreid.errors import ChecksumError, UnknownWeightsError, WeightsError
from sanreid.utils.files import sha256_of
from sanreid.weights.storage import (
    CARD_NAME,
    CONFIG_NAME,
    WEIGHTS_NAME,
    check_keys,
    encoder_shapes,
    expanded,
    read_config,
    read_state_dict,
)

__all__ = ["hub_file", "push_directory"]

logger = logging.getLogger(__name__)


def hub_file(
    repo_id: str,
    filename: str,
    *,
    revision: str | None = None,
    cache_dir: str | Path | None = None,
    token: str | None = None,
    local_files_only: bool = False,
    force: bool = False,
) -> Path:
    """Return a file of a Hub repository in the client's cache, fetched if it is not there.

    Args:
        repo_id: ``"owner/name"``.
        filename: Its path in the repository.
        revision: Branch, tag or commit; the main branch when None.
        cache_dir: Cache folder; the client's own when None.
        token: Access token; the one the client knows when None.
        local_files_only: Never reach the network.
        force: Fetch it again even if the cache has it.

    Returns:
        ``<cache>/.../snapshots/<commit>/<filename>``.

    Raises:
        UnknownWeightsError: There is no such repository, or it is private.
        WeightsError: It cannot be had: no such revision or file, no network, not cached, no
            space on the disk.
    """
    from huggingface_hub import hf_hub_download  # noqa: PLC0415 - slow to import, seldom needed

    with _translated(repo_id, revision=revision, filename=filename, local=local_files_only):
        return Path(
            hf_hub_download(
                repo_id,
                filename,
                revision=revision,
                cache_dir=cache_dir,
                token=token,
                local_files_only=local_files_only,
                force_download=force,
                library_name="sanreid",
            )
        )


def check_cached(path: Path) -> None:
    """Compare a large file in the client's cache with the SHA-256 the Hub named it by.

    The cache keeps a large file under its SHA-256 and links to it; where it does not (a copy on
    a file system without links), there is nothing to compare with.

    Raises:
        ChecksumError: The cached bytes are not those the Hub has.
    """
    name = path.readlink().name if path.is_symlink() else ""
    if re.fullmatch(r"[0-9a-f]{64}", name) and sha256_of(path) != name:
        raise ChecksumError(
            f"The cached file {path} is damaged; nothing of it was parsed. Its sha256 should be "
            f"{name}. Delete {path.resolve()} and load again."
        )


def push_directory(
    directory: str | Path,
    repo_id: str,
    *,
    token: str | None = None,
    private: bool = False,
    revision: str | None = None,
    commit_message: str = "Upload weights with sanreid",
) -> str:
    """Upload a weights directory to the Hub, creating the repository if there is none.

    The directory is read and checked first: what is uploaded loads again.

    Args:
        directory: As :func:`sanreid.weights.save_directory` writes it.
        repo_id: ``"owner/name"``.
        token: Access token with the right to write; the one the client knows when None.
        private: Make a new repository private. An existing one stays as it is.
        revision: Branch to upload to, created if missing; the main branch when None.
        commit_message: First line of the commit.

    Returns:
        The commit, 40 hexadecimal digits: the ``revision`` that loads exactly these weights.

    Raises:
        WeightsError: The directory is not a whole weights directory, or the Hub refused it.
    """
    from huggingface_hub import CommitOperationAdd, HfApi  # noqa: PLC0415 - slow to import

    directory = expanded(directory)
    config = read_config(directory / CONFIG_NAME)
    tensors = read_state_dict(directory / WEIGHTS_NAME)
    check_keys(encoder_shapes(config), tensors, origin=directory)
    names = [n for n in (CONFIG_NAME, WEIGHTS_NAME, CARD_NAME) if (directory / n).is_file()]

    api = HfApi(token=token, library_name="sanreid")
    with _translated(repo_id, revision=revision):
        api.create_repo(repo_id, private=private, exist_ok=True)
        if revision is not None:
            api.create_branch(repo_id, branch=revision, exist_ok=True)
        commit = api.create_commit(  # one commit: never a repository with half the files
            repo_id,
            [CommitOperationAdd(name, directory / name) for name in names],
            revision=revision,
            commit_message=commit_message,
        )
    logger.info("Uploaded %s to %s at %s.", directory, repo_id, commit.oid)
    return str(commit.oid)


@contextmanager
def _translated(
    repo_id: str, *, revision: str | None, filename: str = "", local: bool = False
) -> Iterator[None]:
    """Turn whatever the client raises into one of our errors, with what to do now."""
    from huggingface_hub import constants  # noqa: PLC0415 - slow to import, seldom needed
    from huggingface_hub.errors import (  # noqa: PLC0415 - as above
        EntryNotFoundError,
        GatedRepoError,
        LocalEntryNotFoundError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    where = f"{repo_id!r} on the Hugging Face Hub"
    at = revision or "the main branch"
    try:
        yield
    except GatedRepoError as error:
        raise WeightsError(
            f"{where} is gated: ask for access on its page, then pass token=... or log in."
        ) from error
    except RepositoryNotFoundError as error:
        raise UnknownWeightsError(
            f"There is no repository {where}, or it is private. Check the name; for a private one "
            "pass token=... or log in."
        ) from error
    except RevisionNotFoundError as error:
        raise WeightsError(
            f"{where} has no revision {revision!r}. Name one of its branches, tags or commits."
        ) from error
    except (LocalEntryNotFoundError, OfflineModeIsEnabled) as error:
        reason = "local_files_only=True" if local else "HF_HUB_OFFLINE"
        if not filename:
            raise WeightsError(
                f"Nothing was uploaded to {where}: {reason} forbids the network. Unset it first."
            ) from error
        if local or constants.HF_HUB_OFFLINE:
            raise WeightsError(
                f"{filename} of {where} at {at} is not in the local cache, and {reason} forbids "
                "the network. Load it once with the network on, point cache_dir or HF_HOME at a "
                "cache that has it, or use the bundled weights."
            ) from error
        raise WeightsError(
            f"{filename} of {where} at {at} is not in the local cache and the Hub cannot be "
            "reached. Check the connection, HF_ENDPOINT and the proxy, or use the bundled weights."
        ) from error
    except EntryNotFoundError as error:
        raise WeightsError(
            f"{where} has no {filename} at {at}; weights for sanreid are a {CONFIG_NAME} and a "
            f"{WEIGHTS_NAME}."
        ) from error
    except Exception as error:
        first_line = str(error).strip().partition("\n")[0]
        deed = "Fetching" if filename else "Uploading to"
        raise WeightsError(
            f"{deed} {where} at {at} failed: {type(error).__name__}: {first_line}"
        ) from error
