"""What comes from elsewhere is data: no pickle and no code in it is run, and the source has no way to."""

import ast
import builtins
import json
import os
import re
import shutil
from pathlib import Path

import pytest
import torch
import yaml

from conftest import edit
from stiltwalk.data.hub import encoder as hub
from stiltwalk.data.hub import fetch
from stiltwalk.models.checkpoint import INDEX, load_encoder, load_tokenizer
from stiltwalk.models.resume import Resume
from stiltwalk.utils.errors import InputError

ROOT = Path(__file__).parents[2]
SRC = ROOT / "src"

# Code in what is read


class Planted:
    def __init__(self, mark: Path):
        self.mark = mark

    def __reduce__(self):
        return os.mkdir, (str(self.mark),)


def pickles(folder: Path, mark: Path) -> None:
    for name in ("pytorch_model.bin", "training_args.bin", "model.pt", "vocab.pkl", "model.ckpt"):
        torch.save(Planted(mark), folder / name)


def only_a_pickle(folder: Path, mark: Path) -> None:
    pickles(folder, mark)
    (folder / "model.safetensors").unlink()


def code(folder: Path, mark: Path) -> None:
    (folder / "planted.py").write_text(f"import os\nos.mkdir({str(mark)!r})\n")
    edit(folder / "config.json", auto_map={"AutoConfig": "planted.Config", "AutoModel": "planted.Model"})
    edit(folder / "tokenizer_config.json", auto_map={"AutoTokenizer": ["planted.One", "planted.One"]})


def only_code(folder: Path, mark: Path) -> None:
    code(folder, mark)
    edit(folder / "config.json", model_type="planted")


def only_a_tokenizers_code(folder: Path, mark: Path) -> None:
    only_code(folder, mark)
    edit(folder / "config.json", auto_map={})
    edit(folder / "tokenizer_config.json", tokenizer_class="Planted")


def adapter(folder: Path, mark: Path) -> None:
    facts = {"peft_type": "LORA", "r": 2, "target_modules": ["query"], "base_model_name_or_path": "planted/base"}
    (folder / "adapter_config.json").write_text(json.dumps(facts))
    torch.save(Planted(mark), folder / "adapter_model.bin")


def index_of(name: str):
    def change(folder: Path, mark: Path) -> None:
        (folder / "model.safetensors").rename(folder.parent / "outside.safetensors")
        torch.save(Planted(mark), folder / "part.bin")
        (folder / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": {"some.weight": name}}))

    return change


def called(change) -> str:
    return getattr(change, "__name__", "index")


@pytest.fixture
def planted(toy_folder, tmp_path, monkeypatch):
    """A copy of the toy encoder; someone at the terminal answers every question with yes."""
    monkeypatch.setattr(builtins, "input", lambda *_: "yes")
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "modules"))
    shutil.copytree(toy_folder, tmp_path / "folder")
    yield tmp_path / "folder", tmp_path / "ran"
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("change", "encoder", "tokenizer"),
    [
        (pickles, "", ""),
        (only_a_pickle, "does not hold an encoder that can be loaded", ""),
        (code, "", ""),
        (only_code, "does not hold an encoder that can be loaded", ""),
        (only_a_tokenizers_code, "does not hold an encoder", "does not hold a tokenizer that can be loaded"),
        (adapter, "does not hold an encoder that can be loaded", ""),
        (index_of("part.bin"), "names 'part.bin', which is no safetensors file beside it", ""),
        (index_of("../outside.safetensors"), "names '../outside.safetensors'", ""),
        (index_of("/outside.safetensors"), "names '/outside.safetensors'", ""),
    ],
    ids=called,
)
def test_no_code_in_a_folder_is_run(planted, change, encoder, tokenizer):
    folder, mark = planted
    change(folder, mark)
    for load, said in ((load_encoder, encoder), (load_tokenizer, tokenizer)):
        if said:
            with pytest.raises(InputError) as caught:
                load(folder)
            assert said in str(caught.value) and "\n" not in str(caught.value)
        else:
            load(folder)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (pickles, ""),
        (code, ""),
        (only_a_pickle, "has no model.safetensors, and pickled weights are not read"),
        (only_code, "does not hold an encoder that can be loaded"),
        (index_of("part.bin"), "names 'part.bin'"),
        (index_of("../outside.safetensors"), "names '../outside.safetensors'"),
        (
            index_of("absent.safetensors"),
            "planted/encoder has no absent.safetensors, which its model.safetensors.index",
        ),
    ],
    ids=called,
)
def test_no_code_of_the_hub_is_fetched_or_run(planted, change, said, tmp_path, monkeypatch):
    folder, mark = planted
    change(folder, mark)
    sizes = {path.name: path.stat().st_size for path in folder.iterdir()}
    fetched: list[str] = []

    def download(_, name: str) -> Path:
        fetched.append(name)
        return folder / name

    monkeypatch.setattr(hub, "repository", lambda *_: fetch.Repository("model", "planted/encoder", "main", "", sizes))
    monkeypatch.setattr(hub, "download", download)
    (tmp_path / "out").mkdir()
    asked = {"path": "planted/encoder", "revision": "main"}
    if said:
        with pytest.raises(InputError) as caught:
            hub.build(tmp_path / "out", asked, Resume("encoder", asked, (), []))
        assert str(caught.value).startswith("encoder: ") and said in str(caught.value)
        assert "\n" not in str(caught.value)
    else:
        hub.build(tmp_path / "out", asked, Resume("encoder", asked, (), []))
        assert {"config.json", "model.safetensors", "tokenizer.json"} <= set(fetched)
        assert all(path.suffix in (".json", ".safetensors") for path in (tmp_path / "out").iterdir())
    assert all(Path(name).suffix in (".json", ".safetensors") for name in fetched)


def test_no_file_of_the_hub_is_written_outside_its_cache(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "home/cache"))
    monkeypatch.setattr(fetch, "PAUSE", 0)
    for path, revision in (
        *((path, "main") for path in ("../..", "a/..", "a/b/c", "/etc", "a\n/b", "a;b/c", "-a/b")),
        *(("a/b", revision) for revision in ("../../x", "refs/../../x", "/x", "a\nb", "a;b", "$(x)", "")),
    ):
        with pytest.raises(InputError) as caught:
            fetch.repository(path, revision)
        assert "\n" not in str(caught.value) and "attempts" not in str(caught.value), (path, revision)
    name = "../../../../../outside"
    repo = fetch.Repository("dataset", "a/b", "main", "0" * 40, {name: 1})
    with pytest.raises(InputError, match=r"cannot contain a '\.\.' path segment"):
        fetch.download(repo, name)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


# What the source may not do

UNSAFE_MODULES = {
    *("pickle", "_pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"),
    *("tarfile", "zipfile", "zipimport", "gzip", "bz2", "lzma", "pty", "commands"),
}
UNSAFE_CALLS = re.compile(
    r"eval|exec|compile|__import__|input|os\.(system|popen)|.*\.unpack_archive|.*\.read_pickle"
    r"|.*\.getoutput|.*\.getstatusoutput|yaml\.(unsafe_load|full_load|load_all)|.*create_subprocess_shell"
)
LOADERS = ("AutoConfig", "AutoModel", "AutoTokenizer")


def unsafe(source: str) -> list[str]:
    """What a module does that could run what it reads, or hand it to a shell."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names if alias.name.split(".")[0] in UNSAFE_MODULES]
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in UNSAFE_MODULES:
            found.append(str(node.module))
        if not isinstance(node, ast.Call):
            continue
        name, given = ast.unparse(node.func), {key.arg: ast.unparse(key.value) for key in node.keywords}
        if (
            UNSAFE_CALLS.fullmatch(name)
            or given.get("shell", "False") != "False"
            or given.get("allow_pickle", "False") != "False"
            or given.get("trust_remote_code", "False") != "False"
            or (name == "torch.load" and given.get("weights_only") != "True")
            or (name == "yaml.load" and not re.search("Safe", ast.unparse(node)))
            or (name in [f"{loader}.from_pretrained" for loader in LOADERS] and "trust_remote_code" not in given)
        ):
            found.append(ast.unparse(node))
    return found


def test_no_source_runs_what_it_reads():
    found = {str(path.relative_to(SRC)): unsafe(path.read_text(encoding="utf-8")) for path in SRC.rglob("*.py")}
    assert len(found) > 100 and {path: calls for path, calls in found.items() if calls} == {}


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
def test_what_is_looked_for_is_found(source):
    assert unsafe(source)


def test_a_state_of_several_gpus_is_read_without_pickle():
    """A sharded state has an index that torch reads by pickle; a full one has none."""
    assert yaml.safe_load((ROOT / "launch/fsdp.yaml").read_text())["fsdp_config"]["fsdp_state_dict_type"] == (
        "FULL_STATE_DICT"
    )
