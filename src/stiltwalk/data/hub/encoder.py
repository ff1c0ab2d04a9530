"""A pretrained encoder from the Hugging Face hub, such as multilingual-e5-small or XLM-R base and large."""

from pathlib import Path
from typing import Any

from stiltwalk.data.hub.fetch import Repository, download, resolve_repository
from stiltwalk.models.architecture import max_tokens
from stiltwalk.models.checkpoint import (
    WEIGHTS,
    WEIGHTS_INDEX,
    check_vocabulary,
    load_encoder,
    load_tokenizer,
    read_shard_names,
    save_encoder,
)
from stiltwalk.models.resume import Resume
from stiltwalk.utils.errors import InputError


def build(out: Path, params: dict[str, Any], resume: Resume) -> dict[str, Any]:
    """Write the encoder (float32 safetensors, without pooler or language-model head) and its fast tokenizer to `out`.

    params: `path` (owner/name) and `revision`. resume: not used, because nothing is trained here. Nothing is random
    either: the same commit gives the same bytes.
    Returns the facts for data/sources/encoder.json: where the encoder comes from, its licence and its size.
    Raises InputError if there is no such repository, or if it holds no complete encoder in safetensors.
    """
    try:
        repo = resolve_repository(params["path"], params["revision"], "model")
        files = [download(repo, name) for name in _list_files(repo)]
        folder = files[0].parent
        encoder, tokenizer = load_encoder(folder), load_tokenizer(folder)
        check_vocabulary(encoder, tokenizer, folder)
        tokenizer.model_max_length = min(tokenizer.model_max_length, max_tokens(encoder) or tokenizer.model_max_length)
    except InputError as error:
        raise InputError(f"encoder: {error}") from None
    # Without this the checkpoint would contain the path of the local cache.
    encoder.config.name_or_path = tokenizer.name_or_path = repo.path
    save_encoder(encoder, tokenizer, out)
    return {
        "source": "hub",
        "path": repo.path,
        "revision": repo.revision,
        "sha": repo.sha,
        "license": repo.license,
        "model_type": encoder.config.model_type,
        "parameters": sum(weight.numel() for weight in encoder.parameters()),
        "hidden_size": encoder.config.hidden_size,
        "layers": encoder.config.num_hidden_layers,
    }


def _list_files(repo: Repository) -> list[str]:
    """Return the names of the files to download, config.json first.

    They are the configuration and vocabulary files of the top folder, and the safetensors. Pickled weights and weights
    for other libraries are never downloaded.
    """
    if "config.json" not in repo.sizes:
        raise InputError(f"{repo.path} has no config.json; it is not a transformers model, so use another encoder")
    texts = [name for name in repo.sizes if "/" not in name and name.endswith((".json", ".txt", ".model"))]
    return ["config.json", *sorted({*texts, *_list_weights(repo)} - {"config.json"})]


def _list_weights(repo: Repository) -> list[str]:
    """Return the names of the safetensors files: one, or the shards that an index names."""
    if WEIGHTS in repo.sizes:
        return [WEIGHTS]
    if WEIGHTS_INDEX not in repo.sizes:
        raise InputError(
            f"{repo.path} has no {WEIGHTS}, and pickled weights are not read; use another encoder, or an "
            "encoder.revision that has it (the hub's safetensors bot offers one as a pull request: refs/pr/<number>)"
        )
    shards = read_shard_names(download(repo, WEIGHTS_INDEX))
    if missing := [name for name in shards if name not in repo.sizes]:
        raise InputError(f"{repo.path} has no {missing[0]}, which its {WEIGHTS_INDEX} names; use another revision")
    return shards
