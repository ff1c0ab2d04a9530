"""Files of one commit of a Hugging Face repository. Failed downloads are repeated, and broken files are never returned.

`datasets.load_dataset` is not used: when the hub fails to answer, it falls back to "the latest cached version" of the
data set, whatever revision was requested. huggingface_hub does not repeat a download that ends in a server error.
Files lie in the shared cache (`HF_HOME`), where HF_HUB_OFFLINE=1 finds them again.
"""

import errno
import functools
import hashlib
import logging
import re
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import httpx2
from huggingface_hub import (
    HfApi,
    get_cached_repo_tree,
    hf_hub_download,
    is_offline_mode,
    metadata_load,
    snapshot_download,
)
from huggingface_hub.errors import (
    CachedRepoTreeNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
    RevisionResolutionError,
)
from huggingface_hub.utils import disable_progress_bars
from tqdm import tqdm

from stiltwalk.utils.errors import InputError

ATTEMPTS = 5
PAUSE = 1.0
"""Seconds before the second attempt. Each further pause is twice as long."""
HUB_ERRORS = (
    OSError,
    httpx2.TransportError,
    HFValidationError,
    RevisionResolutionError,
    CachedRepoTreeNotFoundError,
    RuntimeError,  # raised by the hub's Xet storage
)
LOCAL_FAULTS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES}
"""Faults of this machine's disk, for which another attempt is no remedy."""
RETRYABLE_CLIENT_ERRORS = {408, 425, 429}
"""HTTP status codes below 500 that ask the client to try again."""

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Repository:
    """One commit of a data set or model on the hub, and the size of each of its files in bytes."""

    repo_type: str
    """`dataset` or `model`."""
    path: str
    revision: str
    sha: str
    sizes: dict[str, int]

    @functools.cached_property
    def card(self) -> dict[str, Any]:
        """The metadata at the head of the repository's README.md; empty if there is none."""
        return (metadata_load(download(self, "README.md")) or {}) if "README.md" in self.sizes else {}

    @property
    def license(self) -> str | list[str] | None:
        """The licence that the card states, or None."""
        return self.card.get("license")


@functools.cache
def resolve_repository(path: str, revision: str, repo_type: str = "dataset") -> Repository:
    """Resolve a revision (branch, tag or commit) and list its files, once per process.

    repo_type: `dataset` or `model`.
    Raises InputError if there is no such repository or revision, or if the hub cannot be reached.
    """
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", path):
        raise InputError(f"path {path!r} is not the name of a hub repository; write owner/name")
    # The cache has a file named after the revision.
    if not re.fullmatch(r"[\w.-]+(/[\w.-]+)*", str(revision)) or ".." in str(revision).split("/"):
        raise InputError(f"revision {revision!r} is not a branch, tag or commit; use for example main")
    what = f"{repo_type} {path} at '{revision}'"
    sha = _retry(what, lambda: _resolve_commit(path, revision, repo_type))
    sizes = _retry(what, lambda: _list_file_sizes(path, sha, repo_type))
    return Repository(repo_type, path, revision, sha, sizes)


def _resolve_commit(path: str, revision: str, repo_type: str) -> str:
    api = HfApi()
    if is_offline_mode():
        return api.resolve_revision(path, repo_type=repo_type, revision=revision, local_files_only=True).resolved
    sha = api.repo_info(path, repo_type=repo_type, revision=revision).sha
    assert sha is not None
    # Record the commit in the cache for later offline runs. resolve_revision is not enough for finding the commit: when
    # the hub fails, it returns an old record.
    api.resolve_revision(path, repo_type=repo_type, revision=revision)
    return sha


def _list_file_sizes(path: str, sha: str, repo_type: str) -> dict[str, int]:
    # This also keeps the list in the cache. Its progress bar and its warning speak of the README alone.
    logging.getLogger("huggingface_hub._snapshot_download").setLevel(logging.ERROR)
    with disable_progress_bars():
        snapshot_download(path, repo_type=repo_type, revision=sha, allow_patterns=["README.md"])
    return {file.path: file.size for file in get_cached_repo_tree(path, repo_type=repo_type, revision=sha)}


@functools.cache
def download(repo: Repository, name: str) -> Path:
    """Return the path of a repository's file in the local cache, with the size and the hash that the hub states.

    Raises InputError if the file is still missing or broken after ATTEMPTS attempts.
    """
    force = False

    def fetch() -> Path:
        nonlocal force
        try:
            file = Path(
                hf_hub_download(repo.path, name, repo_type=repo.repo_type, revision=repo.sha, force_download=force)
            )
        except ValueError as error:  # raised by a forced download when the hub does not answer
            raise OSError(str(error.__cause__ or error)) from None
        force = not is_offline_mode()  # if the file is broken, do not take it from the cache again
        _check_file(file, repo.sizes[name])
        return file

    return _retry(f"{repo.repo_type} {repo.path}, file {name}", fetch)


def _check_file(file: Path, size: int) -> None:
    """Raise OSError if the file does not have this size, or not the hash that the cache has for it."""
    actual_size = file.stat().st_size
    if actual_size != size:
        raise OSError(f"received {actual_size:,} of {size:,} bytes")
    # The cache links each name to a file named after its ETag: the SHA-256 of large files, Git's blob hash of others
    # (SHA-1 with a header), and plain SHA-1 on some mirrors.
    etag = file.readlink().name if file.is_symlink() else ""
    if re.fullmatch("[0-9a-f]{64}", etag):
        with file.open("rb") as stream:
            if hashlib.file_digest(stream, "sha256").hexdigest() != etag:
                raise OSError(f"its SHA-256 is not {etag}")
    elif re.fullmatch("[0-9a-f]{40}", etag):
        content = file.read_bytes()
        if etag not in (hashlib.sha1(header + content).hexdigest() for header in (b"blob %d\0" % size, b"")):
            raise OSError(f"its SHA-1 is not {etag}")


def _retry(what: str, call: Callable[[], T]) -> T:
    """Call until it succeeds, with growing pauses.

    Raises InputError after ATTEMPTS failures, or at once if another attempt cannot help.
    """
    cause = ""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return call()
        except HUB_ERRORS as error:
            if getattr(error, "errno", None) in LOCAL_FAULTS:
                raise
            if reason := _permanent_failure(error):
                raise InputError(f"{what}: {reason}") from None
            cause = _describe(error)
        if attempt < ATTEMPTS:
            pause = PAUSE * 2 ** (attempt - 1)
            tqdm.write(f"{what}: {cause}; attempt {attempt + 1} of {ATTEMPTS} in {pause:g} s", file=sys.stderr)
            time.sleep(pause)
    raise InputError(
        f"{what}: failed after {ATTEMPTS} attempts ({cause}); check the network, HF_ENDPOINT and, for gated or private "
        "repositories, HF_TOKEN, then run again; HF_HUB_OFFLINE=1 uses only cached files"
    )


def _describe(error: BaseException) -> str:
    if isinstance(error, LocalEntryNotFoundError) and error.__cause__:
        error = error.__cause__
    if isinstance(error, HfHubHTTPError):
        return f"the hub answered {error.response.status_code}"
    return " ".join(str(error).split()) or type(error).__name__


def _permanent_failure(error: Exception) -> str | None:
    """Return the reason and the remedy if another attempt cannot help, else None."""
    if is_offline_mode():
        return "missing or incomplete in the cache, and HF_HUB_OFFLINE forbids downloads; run once without it"
    if isinstance(error, GatedRepoError):
        return "it is gated; accept the terms on its page and set HF_TOKEN"
    if isinstance(error, RepositoryNotFoundError):
        return "the hub has no such repository (path); if it is private, set HF_TOKEN"
    if isinstance(error, HFValidationError):
        return "the hub does not allow this name"
    if isinstance(error, RevisionNotFoundError):
        return "the hub has no such revision"
    if isinstance(error, HfHubHTTPError):
        status = error.response.status_code
        if status < 500 and status not in RETRYABLE_CLIENT_ERRORS:
            return f"the hub answered {status}; check HF_TOKEN and HF_ENDPOINT"
    return None
