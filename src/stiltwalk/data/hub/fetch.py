"""Files of one commit of a Hugging Face repository: downloads are tried again, and nothing broken is let through.

`datasets.load_dataset` is not used: when the hub fails to answer it takes "the latest cached version" of the data set,
whatever revision was asked for, and huggingface_hub does not repeat a download that is answered with a server error.
Files lie in the common cache (`HF_HOME`), where HF_HUB_OFFLINE=1 finds them again.
"""

import functools
import hashlib
import itertools
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

from stiltwalk.utils.errors import InputError

ATTEMPTS = 5
PAUSE = 1.0  # seconds before the second attempt; doubled before each further one
FAULTS = (
    OSError,
    httpx2.TransportError,
    HFValidationError,
    RevisionResolutionError,
    CachedRepoTreeNotFoundError,
    RuntimeError,  # what the hub's Xet storage fails with
)
BUSY = {408, 425, 429}  # answers below 500 that ask to come again

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Repository:
    """One commit of a data set or model on the hub, and the size in bytes of each of its files."""

    kind: str
    path: str
    revision: str
    sha: str
    sizes: dict[str, int]

    @functools.cached_property
    def card(self) -> dict[str, Any]:
        """The metadata at the head of the repository's README.md; empty where there is none."""
        return (metadata_load(download(self, "README.md")) or {}) if "README.md" in self.sizes else {}

    @property
    def license(self) -> str | list[str] | None:
        """What the card says, or None."""
        return self.card.get("license")


@functools.cache
def repository(path: str, revision: str, kind: str = "dataset") -> Repository:
    """Resolve a revision (branch, tag, commit) and list its files, once a process.

    kind: dataset or model.
    Raises InputError if there is no such repository or revision, or if the hub cannot be reached.
    """
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", path):
        raise InputError(f"{path!r} is not owner/name, as the hub needs it")
    # The cache has a file of the revision's name.
    if not re.fullmatch(r"[\w.-]+(/[\w.-]+)*", str(revision)) or ".." in str(revision).split("/"):
        raise InputError(f"revision {revision!r} is neither a branch, a tag nor a commit")
    api, what = HfApi(), f"{kind} {path} at '{revision}'"

    def resolve() -> str:
        if is_offline_mode():
            return api.resolve_revision(path, repo_type=kind, revision=revision, local_files_only=True).resolved
        sha = api.repo_info(path, repo_type=kind, revision=revision).sha
        assert sha is not None
        # Notes the commit for later runs offline. Alone it would not do: it takes an old note for the hub's answer.
        api.resolve_revision(path, repo_type=kind, revision=revision)
        return sha

    def sizes(sha: str) -> dict[str, int]:
        snapshot_download(path, repo_type=kind, revision=sha, allow_patterns=["README.md"])
        return {file.path: file.size for file in get_cached_repo_tree(path, repo_type=kind, revision=sha)}

    sha = _retry(what, resolve)
    return Repository(kind, path, revision, sha, _retry(what, lambda: sizes(sha)))


@functools.cache
def download(repo: Repository, name: str) -> Path:
    """A file of the repository in the local cache, of the size and the hash that the hub states.

    Raises InputError if it cannot be had whole after ATTEMPTS attempts.
    """
    broken = False

    def fetch() -> Path:
        nonlocal broken
        try:
            found = Path(
                hf_hub_download(repo.path, name, repo_type=repo.kind, revision=repo.sha, force_download=broken)
            )
        except ValueError as error:  # how a forced download says that the hub did not answer
            raise OSError(str(error.__cause__ or error)) from None
        broken = not is_offline_mode()
        _check(found, repo.sizes[name])
        return found

    return _retry(f"{repo.kind} {repo.path}, file {name}", fetch)


def _check(file: Path, size: int) -> None:
    found = file.stat().st_size
    if found != size:
        raise OSError(f"{found:,} bytes arrived of {size:,}")
    # The cache links each name to a file called after its ETag: the SHA-256 of large files, of others what Git calls
    # them (SHA-1 with a head), of some mirrors plain SHA-1.
    etag = file.readlink().name if file.is_symlink() else ""
    if re.fullmatch("[0-9a-f]{64}", etag):
        with file.open("rb") as stream:
            if hashlib.file_digest(stream, "sha256").hexdigest() != etag:
                raise OSError(f"its SHA-256 is not {etag}")
    elif re.fullmatch("[0-9a-f]{40}", etag):
        content = file.read_bytes()
        if etag not in (hashlib.sha1(head + content).hexdigest() for head in (b"blob %d\0" % size, b"")):
            raise OSError(f"its SHA-1 is not {etag}")


def _retry(what: str, call: Callable[[], T]) -> T:
    """Call until it succeeds, with growing pauses; InputError where trying again is vain or was."""
    for attempt in itertools.count(1):
        try:
            return call()
        except FAULTS as error:
            fault, vain = error, _vain(error)
        cause = _cause(fault)
        if vain:
            raise InputError(f"{what}: {vain}")
        if attempt == ATTEMPTS:
            raise InputError(
                f"{what}: not to be had in {ATTEMPTS} attempts ({cause}); check the network, HF_ENDPOINT and, "
                "for gated or private data, HF_TOKEN, then run again; HF_HUB_OFFLINE=1 reads what is cached already"
            )
        pause = PAUSE * 2 ** (attempt - 1)
        print(f"{what}: {cause}; attempt {attempt + 1} of {ATTEMPTS} in {pause:g} s", file=sys.stderr)
        time.sleep(pause)
    raise AssertionError


def _cause(error: BaseException) -> str:
    error = error.__cause__ if isinstance(error, LocalEntryNotFoundError) and error.__cause__ else error
    if isinstance(error, HfHubHTTPError):
        return f"the hub answered {error.response.status_code}"
    return " ".join(str(error).split()) or type(error).__name__


def _vain(error: Exception) -> str | None:
    """What to tell where a further attempt cannot help."""
    if is_offline_mode():
        return "not (whole) in the cache, and HF_HUB_OFFLINE forbids to ask the hub; run once without it"
    if isinstance(error, GatedRepoError):
        return "it is gated; accept its terms on its page and set HF_TOKEN"
    if isinstance(error, RepositoryNotFoundError):
        return "the hub has no such repository (path); if it is private, set HF_TOKEN"
    if isinstance(error, HFValidationError):
        return "the hub does not allow such a name"
    if isinstance(error, RevisionNotFoundError):
        return "the hub has no such revision"
    if isinstance(error, HfHubHTTPError) and (code := error.response.status_code) < 500 and code not in BUSY:
        return f"the hub answered {code}; check HF_TOKEN and HF_ENDPOINT"
    return None
