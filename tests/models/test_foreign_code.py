"""Checkpoints from elsewhere are data: neither pickles nor code in them run, and our source has no way to run them."""

import ast
import builtins
import json
import os
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from conftest import edit
from stiltwalk.data.hub import encoder as hub_encoder
from stiltwalk.data.hub import fetch
from stiltwalk.models.checkpoint import WEIGHTS, WEIGHTS_INDEX, load_encoder, load_tokenizer
from stiltwalk.models.resume import Resume
from stiltwalk.utils.errors import InputError

ROOT = Path(__file__).parents[2]
SRC = ROOT / "src"

# Code in a checkpoint
#
# Each function below plants code in a folder that would create the folder `marker` if it ran.


class Planted:
    def __init__(self, marker: Path):
        self.marker = marker

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (str(self.marker),)


def add_pickles(folder: Path, marker: Path) -> None:
    for name in ("pytorch_model.bin", "training_args.bin", "model.pt", "vocab.pkl", "model.ckpt"):
        torch.save(Planted(marker), folder / name)


def replace_weights_by_pickles(folder: Path, marker: Path) -> None:
    add_pickles(folder, marker)
    (folder / WEIGHTS).unlink()


def add_code(folder: Path, marker: Path) -> None:
    (folder / "planted.py").write_text(f"import os\nos.mkdir({str(marker)!r})\n")
    edit(folder / "config.json", auto_map={"AutoConfig": "planted.Config", "AutoModel": "planted.Model"})
    edit(folder / "tokenizer_config.json", auto_map={"AutoTokenizer": ["planted.One", "planted.One"]})


def require_model_code(folder: Path, marker: Path) -> None:
    add_code(folder, marker)
    edit(folder / "config.json", model_type="planted")


def require_tokenizer_code(folder: Path, marker: Path) -> None:
    require_model_code(folder, marker)
    edit(folder / "config.json", auto_map={})
    edit(folder / "tokenizer_config.json", tokenizer_class="Planted")


def add_adapter(folder: Path, marker: Path) -> None:
    config = {"peft_type": "LORA", "r": 2, "target_modules": ["query"], "base_model_name_or_path": "planted/base"}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    torch.save(Planted(marker), folder / "adapter_model.bin")


@dataclass
class IndexOf:
    """Replaces the weights by an index that names another file."""

    name: str

    def __call__(self, folder: Path, marker: Path) -> None:
        (folder / WEIGHTS).rename(folder.parent / "outside.safetensors")
        torch.save(Planted(marker), folder / "part.bin")
        (folder / WEIGHTS_INDEX).write_text(json.dumps({"metadata": {}, "weight_map": {"some.weight": self.name}}))


def change_id(change: Any) -> str:
    return getattr(change, "__name__", "index")


@pytest.fixture
def planted(toy_folder, tmp_path, monkeypatch):
    """A copy of the toy encoder and the marker. Every question on the terminal is answered with yes."""
    monkeypatch.setattr(builtins, "input", lambda *_: "yes")
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "modules"))
    shutil.copytree(toy_folder, tmp_path / "folder")
    yield tmp_path / "folder", tmp_path / "marker"
    assert not (tmp_path / "marker").exists()


@pytest.mark.parametrize(
    ("change", "encoder_error", "tokenizer_error"),
    [
        (add_pickles, "", ""),
        (replace_weights_by_pickles, "does not hold an encoder that can be loaded", ""),
        (add_code, "", ""),
        (require_model_code, "does not hold an encoder that can be loaded", ""),
        (require_tokenizer_code, "does not hold an encoder", "does not hold a tokenizer that can be loaded"),
        (add_adapter, "does not hold an encoder that can be loaded", ""),
        (IndexOf("part.bin"), "names 'part.bin', which is not a safetensors file in the same folder", ""),
        (IndexOf("../outside.safetensors"), "names '../outside.safetensors'", ""),
        (IndexOf("/outside.safetensors"), "names '/outside.safetensors'", ""),
    ],
    ids=change_id,
)
def test_no_code_in_a_folder_runs(planted, change, encoder_error, tokenizer_error):
    folder, marker = planted
    change(folder, marker)
    for load, expected in ((load_encoder, encoder_error), (load_tokenizer, tokenizer_error)):
        if expected:
            with pytest.raises(InputError) as caught:
                load(folder)
            assert expected in str(caught.value) and "\n" not in str(caught.value)
        else:
            load(folder)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (add_pickles, ""),
        (add_code, ""),
        (replace_weights_by_pickles, "has no model.safetensors, and pickled weights are not read"),
        (require_model_code, "does not hold an encoder that can be loaded"),
        (IndexOf("part.bin"), "names 'part.bin'"),
        (IndexOf("../outside.safetensors"), "names '../outside.safetensors'"),
        (
            IndexOf("absent.safetensors"),
            "planted/encoder has no absent.safetensors, which its model.safetensors.index",
        ),
    ],
    ids=change_id,
)
def test_no_code_from_the_hub_is_downloaded_or_run(planted, change, expected, tmp_path, monkeypatch):
    folder, marker = planted
    change(folder, marker)
    sizes = {path.name: path.stat().st_size for path in folder.iterdir()}
    repo = fetch.Repository("model", "planted/encoder", "main", "", sizes)
    downloaded: list[str] = []

    def download(_, name: str) -> Path:
        downloaded.append(name)
        return folder / name

    monkeypatch.setattr(hub_encoder, "resolve_repository", lambda *_: repo)
    monkeypatch.setattr(hub_encoder, "download", download)
    out = tmp_path / "out"
    out.mkdir()
    params = {"path": "planted/encoder", "revision": "main"}
    resume = Resume("encoder", params, (), [])
    if expected:
        with pytest.raises(InputError) as caught:
            hub_encoder.build(out, params, resume)
        assert str(caught.value).startswith("encoder: ") and expected in str(caught.value)
        assert "\n" not in str(caught.value)
    else:
        hub_encoder.build(out, params, resume)
        assert {"config.json", "model.safetensors", "tokenizer.json"} <= set(downloaded)
        assert all(path.suffix in (".json", ".safetensors") for path in out.iterdir())
    assert all(Path(name).suffix in (".json", ".safetensors") for name in downloaded)


def test_no_download_is_written_outside_the_cache(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "home/cache"))
    monkeypatch.setattr(fetch, "PAUSE", 0)
    for path, revision in (
        *((path, "main") for path in ("../..", "a/..", "a/b/c", "/etc", "a\n/b", "a;b/c", "-a/b")),
        *(("a/b", revision) for revision in ("../../x", "refs/../../x", "/x", "a\nb", "a;b", "$(x)", "")),
    ):
        with pytest.raises(InputError) as caught:
            fetch.resolve_repository(path, revision)
        assert "\n" not in str(caught.value) and "attempts" not in str(caught.value), (path, revision)
    name = "../../../../../outside"
    repo = fetch.Repository("dataset", "a/b", "main", "0" * 40, {name: 1})
    with pytest.raises(InputError, match=r"cannot contain a '\.\.' path segment"):
        fetch.download(repo, name)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


# Calls that our source must not make

UNSAFE_MODULES = {
    *("pickle", "_pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"),
    *("tarfile", "zipfile", "zipimport", "gzip", "bz2", "lzma", "pty", "commands"),
}
UNSAFE_CALLS = re.compile(
    r"eval|exec|compile|__import__|input|os\.(system|popen)|.*\.unpack_archive|.*\.read_pickle"
    r"|.*\.getoutput|.*\.getstatusoutput|yaml\.(unsafe_load|full_load|load_all)|.*create_subprocess_shell"
)
LOADERS = ("AutoConfig", "AutoModel", "AutoTokenizer")


def find_unsafe(source: str) -> list[str]:
    """Return the imports and calls of a module that could run the data it reads, or pass it to a shell."""
    unsafe = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            unsafe += [alias.name for alias in node.names if alias.name.split(".")[0] in UNSAFE_MODULES]
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in UNSAFE_MODULES:
            unsafe.append(str(node.module))
        if not isinstance(node, ast.Call):
            continue
        name, keywords = ast.unparse(node.func), {key.arg: ast.unparse(key.value) for key in node.keywords}
        if (
            UNSAFE_CALLS.fullmatch(name)
            or keywords.get("shell", "False") != "False"
            or keywords.get("allow_pickle", "False") != "False"
            or keywords.get("trust_remote_code", "False") != "False"
            or (name == "torch.load" and keywords.get("weights_only") != "True")
            or (name == "yaml.load" and not re.search("Safe", ast.unparse(node)))
            or (name in [f"{loader}.from_pretrained" for loader in LOADERS] and "trust_remote_code" not in keywords)
        ):
            unsafe.append(ast.unparse(node))
    return unsafe


def test_no_module_runs_the_data_that_it_reads():
    unsafe = {str(path.relative_to(SRC)): find_unsafe(path.read_text(encoding="utf-8")) for path in SRC.rglob("*.py")}
    # dask sends functions as pickles; this module writes one and reads none.
    assert unsafe.pop("stiltwalk/sweep/engines/dask.py") == ["cloudpickle"]
    assert len(unsafe) > 100 and {path: calls for path, calls in unsafe.items() if calls} == {}


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from zipfile import ZipFile",
        "import tarfile as t",
        "eval(x)",
        "os.system(f'dvc {x}')",
        "subprocess.run(x, shell=True)",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "np.load(path, allow_pickle=True)",
        "shutil.unpack_archive(x)",
        "AutoModel.from_pretrained(x)",
        "f(x, trust_remote_code=True)",
        "yaml.load(x, yaml.Loader)",
    ],
)
def test_unsafe_code_is_detected(source):
    assert find_unsafe(source)


def test_training_state_of_several_gpus_is_read_without_pickle():
    """torch unpickles the index of a sharded state. A full state has no index."""
    assert yaml.safe_load((ROOT / "launch/fsdp.yaml").read_text())["fsdp_config"]["fsdp_state_dict_type"] == (
        "FULL_STATE_DICT"
    )
