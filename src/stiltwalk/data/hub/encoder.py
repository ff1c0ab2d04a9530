"""A pretrained encoder of the Hugging Face hub: multilingual-e5-small, XLM-R base and large, and their like."""

from pathlib import Path
from typing import Any

from stiltwalk.data.hub.fetch import Repository, download, repository
from stiltwalk.models.checkpoint import INDEX, check_vocabulary, load_encoder, load_tokenizer, save_encoder, shards
from stiltwalk.models.resume import Resume
from stiltwalk.utils.errors import InputError

WEIGHTS = "model.safetensors"


def build(out: Path, params: dict[str, Any], resume: Resume) -> dict[str, Any]:
    """Write the encoder (without pooler or language-model head, float32 safetensors) and its fast tokenizer to `out`.

    params: `path` (owner/name) and `revision`. Nothing is random or trained here, so `resume` is of no use: the same
    commit gives the same bytes. Returns what was read: path, revision, sha, license, model_type, parameters, width,
    layers.
    Raises InputError where the repository is not there or holds no whole encoder in safetensors.
    """
    try:
        repo = repository(params["path"], params["revision"], "model")
        files = [download(repo, name) for name in _names(repo)]
        encoder, tokenizer = load_encoder(files[0].parent), load_tokenizer(files[0].parent)
        check_vocabulary(encoder, tokenizer, files[0].parent)
    except InputError as error:
        raise InputError(f"encoder: {error}") from None
    encoder.config._name_or_path = tokenizer.name_or_path = repo.path  # not the place of a cache in what is written
    save_encoder(encoder, tokenizer, out)
    return {
        "source": "hub",
        "path": repo.path,
        "revision": repo.revision,
        "sha": repo.sha,
        "license": repo.license,
        "model_type": encoder.config.model_type,
        "parameters": sum(p.numel() for p in encoder.parameters()),
        "hidden_size": encoder.config.hidden_size,
        "layers": encoder.config.num_hidden_layers,
    }


def _names(repo: Repository) -> list[str]:
    """The files to fetch, config.json first: configuration and vocabulary of the top folder, and the safetensors.

    Pickled weights and weights for other libraries are never fetched.
    """
    if "config.json" not in repo.sizes:
        raise InputError(f"{repo.path} has no config.json; it is not a transformers model")
    texts = [name for name in repo.sizes if "/" not in name and name.endswith((".json", ".txt", ".model"))]
    if WEIGHTS in repo.sizes:
        weights = [WEIGHTS]
    elif INDEX in repo.sizes:
        weights = shards(download(repo, INDEX))
        if missing := [name for name in weights if name not in repo.sizes]:
            raise InputError(f"{repo.path} has no {missing[0]}, which its {INDEX} names")
    else:
        raise InputError(
            f"{repo.path} has no {WEIGHTS}, and pickled weights are not read; take another encoder or an "
            "encoder.revision that has it (the hub's safetensors bot offers one as a pull request: refs/pr/<number>)"
        )
    return ["config.json", *sorted({*texts, *weights} - {"config.json"})]
