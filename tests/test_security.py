"""What comes from elsewhere is data: no code in it is run, and no name in it reaches a shell or leaves the project."""

import ast
import builtins
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from dvc.dependency.param import ParamsDependency
from dvc.repo import Repo
from dvc.utils.hydra import compose_and_dump

from common.errors import InputError
from encoders import hub
from laboratory import clone
from modeling.encoder import INDEX, load_encoder, load_tokenizer
from planning.order import check_names, check_order, check_targets
from sources.hub import fetch

ROOT = Path(__file__).parent.parent
SRC = ROOT / "src"

# Code in what is read


class Planted:
    def __init__(self, mark: Path):
        self.mark = mark

    def __reduce__(self):
        return os.mkdir, (str(self.mark),)


def edit(path: Path, **changes) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


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
            hub.build(tmp_path / "out", asked, 0)
        assert str(caught.value).startswith("encoder: ") and said in str(caught.value)
        assert "\n" not in str(caught.value)
    else:
        hub.build(tmp_path / "out", asked, 0)
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


# Names

HOSTILE = [
    *(
        "",
        ".",
        "..",
        "../x",
        "a/b",
        "/etc/passwd",
        "~root",
        "-x",
        "--force",
        ".hidden",
        "a.b",
        "a b",
        "a\tb",
        "a\nb",
        "a\n",
    ),
    *(
        "a;touch ran",
        "$(touch ran)",
        "`touch ran`",
        "a|b",
        "a&b",
        "a>b",
        "$HOME",
        "${seed}",
        "a*b",
        "a'b",
        'a"b',
        "a\\b",
    ),
    *(
        "a+b",
        "a@b",
        "a:b",
        "a,b",
        "a=b",
        "#a",
        "a\u2028b",
        "a\u202eb",
        "a\x00b",
        "é",
        "a／b",
        "．．",
        "a" * 65,
        "x" * 5000,
    ),
]


@pytest.mark.parametrize("name", HOSTILE, ids=ascii)
def test_a_name_that_is_no_plain_word_is_refused_in_one_line(name):
    for call in (
        lambda: check_names([("a name in tasks", name)]),
        lambda: check_order([name], ["mnli", "squad"]),
        lambda: check_order(["mnli", f"squad+{name}"], ["mnli", "squad"]),
        lambda: check_targets([name], ["xnli"]),
    ):
        with pytest.raises(InputError) as caught:
            call()
        assert len(str(caught.value).splitlines()) == 1 and "\x00" not in str(caught.value)
    with pytest.raises(InputError, match="a name in tasks is "):
        check_names([("a name in tasks", name)])


def test_the_names_that_there_are_are_plain():
    check_names([("", name) for name in ("mnli", "anli_plus", "squad2", "en", "zh-Hant", "0", "a" * 64)])
    with pytest.raises(InputError, match="a step of 203 characters"):
        check_order(["+".join(["a" * 50, "b" * 50, "c" * 50, "d" * 50])], ["a" * 50, "b" * 50, "c" * 50, "d" * 50])


def compose(out: Path, *overrides: str, conf: Path = ROOT / "conf") -> None:
    compose_and_dump(out, str(conf), None, "config", str(SRC), list(overrides))


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["++tasks={../x: {kind: pair}}", "order=[../x]"], "a name in tasks is '../x'"),
        (["++tasks={a b: {kind: pair}}"], "a name in tasks is 'a b'"),
        (["++tasks={1: {kind: pair}}"], "a name in tasks is 1"),
        (["++xtreme={/etc/passwd: {kind: pair, languages: [en]}}"], "a name in xtreme is '/etc/passwd'"),
        (["++tasks.mnli.kind=../../x"], "tasks.mnli.kind is '../../x'"),
        (["++xtreme.xnli.languages=[en,../../x]"], "xtreme.xnli.languages is '../../x'"),
        (["++xtreme.xnli.languages=[en,'a;touch ran']"], "xtreme.xnli.languages is 'a;touch ran'"),
        (["++xtreme.bucc2018.parts.test=../../../x"], "xtreme.bucc2018.parts.test is '../../../x'"),
        (["++world.languages={../x: {order: SVO}}"], "a language of world.languages is '../x'"),
        (["source=../../x"], "source is '../../x'"),
        (["encoder.source='world;touch ran'"], "encoder.source is 'world;touch ran'"),
        (["order=['mnli;touch ran']"], "order has the unknown task 'mnli;touch ran'"),
        (["targets=['xnli\ntouch ran']"], r"targets has the unknown target 'xnli\ntouch ran'"),
        (["chain={'x;touch ran': {}}"], ""),  # the grammar of overrides has no such key
        (["chain={$x: {}}"], "chain follows from order and targets, and cannot be set"),
        (["++mixtures.mnli.data={}", "order=[mnli]"], "mixtures follows from order"),
        (["++evil={$x: {}}", "chain=${evil}"], "chain follows from order"),
        (["++evil={../x: []}", "leaks=${evil}"], "leaks follows from order"),
        (["~chain", "+chain={$x: {}}"], "chain follows from order"),
        (["~leaks", "+leaks={../x: []}"], "leaks follows from order"),
        (["final=../../x"], "final follows from order"),
        (["scored=[/etc/passwd]"], "scored follows from order"),
        (["++leaks={../x: []}"], "leaks follows from order"),
        (["probed=/etc/passwd"], "probed follows from order"),
    ],
    ids=str,
)
def test_a_name_that_would_reach_a_shell_or_leave_the_project_is_refused(overrides, said, tmp_path):
    out = tmp_path / "params.yaml"
    with pytest.raises(BaseException) as caught:
        compose(out, *overrides)
    assert not out.exists()
    if said:
        assert isinstance(caught.value, SystemExit)
        message = str(caught.value)
        assert message.startswith(f"error: {said}") and len(message.splitlines()) == 1


def test_a_record_in_conf_is_held_to_the_same(tmp_path):
    conf = shutil.copytree(ROOT / "conf", tmp_path / "conf")
    with (conf / "tasks.yaml").open("a") as file:
        file.write('  "$(touch ran)\\n": {kind: pair, labels: [a, b]}\n')
    with pytest.raises(SystemExit, match=r"^error: a name in tasks is '\$\(touch ran\)\\n'; "):
        compose(tmp_path / "params.yaml", conf=conf)


def test_words_that_are_no_names_stay_out_of_commands_and_paths(tmp_path):
    """Labels, columns, configs and codes may be anything: they are only compared with what is read."""
    evil = "'$(touch ran);../../x'"
    facts = [f"{fact}={evil}" for fact in ("train.name", "validation.columns.label")]
    compose(
        tmp_path / "params.yaml",
        "scale=small",
        "order=[mnli,mnli+squad]",
        "targets=[xnli,udpos,tatoeba]",
        f"++tasks.mnli.labels=[{evil},b]",
        f"++xtreme.udpos.test.codes.en={evil}",
        *(f"++tasks.mnli.{fact}" for fact in facts),
    )
    (tmp_path / "dvc.yaml").write_text((ROOT / "dvc.yaml").read_text())
    Repo.init(str(tmp_path), no_scm=True)
    with Repo(str(tmp_path)) as repo:
        stages = repo.index.stages
    assert len(stages) > 15
    for stage in stages:
        assert re.fullmatch(r"python src/\w+\.py( [A-Za-z0-9_+-]+)?", stage.cmd), stage.cmd
        paths = [dep.def_path for dep in stage.deps if not isinstance(dep, ParamsDependency)]
        for path in [*paths, *(out.def_path for out in stage.outs)]:
            assert re.fullmatch(r"[A-Za-z0-9_+-]+([/.][A-Za-z0-9_+-]+)*", path), path


def test_names_of_files_are_only_printed(tmp_path):
    languages = ["en", "a;touch ran", "$(touch ran)", "`touch ran`", "a\nb", "-x", "..", "é"]
    for folder in ("labels", "predictions"):
        (tmp_path / folder / "xnli").mkdir(parents=True)
        for language in languages:
            (tmp_path / folder / "xnli" / f"test-{language}.tsv").write_text("neutral\n")
    arguments = ["--labels", "labels", "--predictions", "predictions", "--languages"]
    command = [sys.executable, str(SRC / "evaluate.py"), *arguments]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["xnli"]["languages"].keys() == set(languages)
    assert {path.name for path in tmp_path.iterdir()} == {"labels", "predictions"}


@pytest.mark.slow
def test_dvc_itself_refuses_them(tmp_path):
    project = clone(tmp_path / "stiltwalk")
    for overrides, one_line in (
        (["order=['mnli;touch ran']"], True),
        (["++tasks={$(touch ran): {kind: pair}}", "order=['$(touch ran)']"], False),
        (["++tasks={../x: {kind: pair}}", "order=[../x]"], True),
        (["chain={-x: {}}"], True),
    ):
        command = ["dvc", "exp", "run", "--dry", *(word for override in overrides for word in ("-S", override))]
        done = subprocess.run(
            command, cwd=project.folder, env=project.environment, capture_output=True, text=True, timeout=120
        )
        assert done.returncode and "Traceback" not in done.stderr, done.stderr
        assert not one_line or re.fullmatch(r"error: [^\n]+\n", done.stderr), done.stderr
    assert project.run("git", "status", "--porcelain") == ""
    assert {path.name for path in project.folder.parent.iterdir()} == {"stiltwalk"}
