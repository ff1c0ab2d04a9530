"""dvc.yaml against the code: a stage depends on exactly the source that its script imports and the keys it reads."""

import ast
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from accelerate.commands.config.config_args import load_config_from_file
from accelerate.commands.launch import _validate_launch_command, launch_command_parser
from accelerate.utils import FullyShardedDataParallelPlugin
from accelerate.utils.launch import prepare_multi_gpu_env
from dvc.dependency.param import ParamsDependency
from dvc.repo import Repo

from laboratory import compose, task_of_ones_own
from stiltwalk.models.checkpoint import load_encoder
from stiltwalk.models.multitask import MultiTaskModel
from stiltwalk.sweep.experiments import CODE

ROOT = Path(__file__).parents[2]
SRC = ROOT / "src"
READERS = ("utils/params.py", "utils/stage.py")
OTHER = {"target@": r"plan\.tuning_pairs", "target_": r"plan\.tunings"}


@pytest.fixture(scope="module", params=["mini", "small"])
def stages(request, tmp_path_factory):
    """Every stage of an order with a joint step, at a scale of each source of data."""
    root = tmp_path_factory.mktemp("repo")
    (root / "dvc.yaml").write_text((ROOT / "dvc.yaml").read_text())
    compose(root / "params.yaml", f"scale={request.param}", "order=[mnli,mnli+squad]")
    Repo.init(str(root), no_scm=True)
    with Repo(str(root)) as repo:
        found = {stage.name: stage for stage in repo.index.stages}
    assert {
        "encoder",
        "data@mnli+squad",
        "intermediate@2-mnli+squad",
        "retrieval@tatoeba",
        "trajectory@0-encoder",
        "retention@2-mnli+squad",
        "score",
    } <= found.keys()
    assert ("target_pair@xquad+mlqa" in found) == (request.param == "small")
    return root, found


def module_file(name: str) -> Path | None:
    base = SRC / name.replace(".", "/")
    return next((path for path in (base.with_suffix(".py"), base / "__init__.py") if path.is_file()), None)


def imports(file: Path) -> set[Path]:
    """The files under src that a file names in its imports, packages' docstring-only __init__.py files left out."""
    names = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return {path for name in names if (path := module_file(name)) and path.name != "__init__.py"}


def choices(file: Path) -> set[Path]:
    """The files that a file may import by a computed name: strings and f-strings that begin with `stiltwalk.`."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    if not any(ast.unparse(call.func).endswith("import_module") for call in calls):
        return set()
    found: set[Path] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            name = "".join(str(part.value) if isinstance(part, ast.Constant) else "*" for part in node.values)
        else:
            name = node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""
        if re.fullmatch(r"stiltwalk(\.[\w*]+)+", name):
            found |= set(SRC.glob(f"{name.replace('.', '/')}.py"))
    return found


def closure(files: set[Path]) -> set[Path]:
    found: set[Path] = set()
    while files:
        found |= files
        files = set().union(*map(imports, files)) - found
    return found


def read_keys(script: Path) -> set[str]:
    """The keys of read_params calls as patterns: what an f-string fills in matches anything."""
    keys = set()
    for node in ast.walk(ast.parse(script.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "read_params":
            for argument in node.args:
                parts = argument.values if isinstance(argument, ast.JoinedStr) else [argument]
                keys.add("".join(re.escape(str(p.value)) if isinstance(p, ast.Constant) else ".+" for p in parts))
    return keys


def covers(dependency: Path, file: Path) -> bool:
    return file == dependency or dependency in file.parents


def test_every_stage_depends_on_exactly_the_source_that_it_imports(stages):
    root, found = stages
    for name, stage in found.items():
        script = ROOT / re.findall(r"src/\w+\.py", stage.cmd)[0]
        paths = [Path(dep.fs_path).relative_to(root) for dep in stage.deps if not isinstance(dep, ParamsDependency)]
        source = {ROOT / path for path in paths if path.parts[0] == "src"}
        assert all(dep.exists() for dep in source), f"{name} depends on source that does not exist"
        used = closure({script})
        for file in list(used):  # what is imported by a computed name is chosen by the dependencies
            candidates = choices(file)
            chosen = {path for path in candidates if any(covers(dep, path) for dep in source)}
            assert chosen or not candidates, f"{name} depends on none of what {file} may import"
            used |= closure(chosen)
        missing = {file for file in used if not any(covers(dep, file) for dep in source)}
        assert not missing, f"{name} imports {sorted(missing)} without depending on it"
        idle = {dep for dep in source if not any(covers(dep, file) for file in used)}
        assert not idle, f"{name} depends on {sorted(idle)} without importing it"


def test_every_stage_declares_exactly_the_parameters_that_it_reads(stages):
    """target.py reads the block of a single tuning or of a pair, by the number of its arguments."""
    _, found = stages
    for name, stage in found.items():
        script = ROOT / re.findall(r"src/\w+\.py", stage.cmd)[0]
        declared = {key for dep in stage.params for key in dep.params}
        patterns = {p for p in read_keys(script) if not (name.startswith("target") and p.startswith(OTHER[name[:7]]))}
        assert {k for k in declared if not any(re.fullmatch(p, k) for p in patterns)} == set(), name
        assert {p for p in patterns if not any(re.fullmatch(p, k) for k in declared)} == set(), name


def test_no_stage_names_a_path_twice_or_lists_an_output_as_its_dependency(stages):
    _, found = stages
    for name, stage in found.items():
        paths = [item.def_path for item in [*stage.deps, *stage.outs] if not isinstance(item, ParamsDependency)]
        assert len(paths) == len(set(paths)), name


def test_the_code_that_identifies_a_version_is_what_dvc_runs(stages):
    root, found = stages
    deps = [dep for stage in found.values() for dep in stage.deps if not isinstance(dep, ParamsDependency)]
    source = {str(path) for dep in deps if (path := Path(dep.fs_path).relative_to(root)).parts[0] == "src"}
    for name in source:
        assert any(covers(Path(code), Path(name)) for code in CODE), name
    generated = "target_pair@xquad+mlqa" not in found
    elsewhere = {f"src/stiltwalk/{'data' if generated else 'miniworld'}"}  # what the other scale reads
    for code in set(CODE) - {"dvc.yaml", "requirements.lock"} - elsewhere:
        assert any(covers(Path(code), Path(name)) for name in source), code


def test_parameters_are_read_by_the_stage_scripts_only():
    """The tests above look for reads in the stages' scripts."""
    for path in (SRC / "stiltwalk").rglob("*.py"):
        place = path.relative_to(SRC / "stiltwalk")
        nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
        assert not [node for node in nodes if isinstance(node, ast.ImportFrom) and node.level], place
        if place.parts[0] not in ("analysis", "report", "sweep") and str(place) not in READERS:
            names = {node.id for node in nodes if isinstance(node, ast.Name)}
            names |= {node.attr for node in nodes if isinstance(node, ast.Attribute)}
            names |= {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}
            assert names.isdisjoint({"read_params", "read_all_params", "PARAMS", "params.yaml"}), place


def test_packages_run_no_code_when_they_are_imported():
    """A stage need not depend on the __init__.py files above what it imports."""
    for path in (SRC / "stiltwalk").rglob("__init__.py"):
        body = ast.parse(path.read_text(encoding="utf-8")).body
        assert len(body) == 1 and isinstance(body[0], ast.Expr) and ast.get_docstring(ast.Module(body, [])), path


def test_every_stage_prepares_its_process_before_it_imports_a_library():
    scripts = set(re.findall(r"src/\w+\.py", (ROOT / "dvc.yaml").read_text()))
    for script in map(ROOT.joinpath, scripts):
        _, first, second, *_ = ast.parse(script.read_text(encoding="utf-8")).body
        assert ast.unparse(first) == "from stiltwalk.utils.process import prepare_stage", script
        assert ast.unparse(second) == "if __name__ == '__main__':\n    prepare_stage()", script


def test_params_yaml_is_what_conf_composes(tmp_path):
    """`dvc repro` reproduces the committed params.yaml; it must not drift from conf/."""
    committed = subprocess.run(
        ["git", "show", "HEAD:params.yaml"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert yaml.safe_load(committed.stdout) == compose(tmp_path / "params.yaml")


@pytest.fixture(scope="module")
def committed(tmp_path_factory):
    """What the last commit says, and nothing that an experiment has put into the working tree since."""
    root = tmp_path_factory.mktemp("committed")
    archive = subprocess.run(["git", "archive", "HEAD"], cwd=ROOT, capture_output=True, check=True).stdout
    subprocess.run(["tar", "-x"], cwd=root, input=archive, check=True)
    (root / ".dvc/config").unlink()
    Repo.init(str(root), no_scm=True, force=True)
    with Repo(str(root)) as repo:
        yield root, repo.index.stages


def test_dvc_lock_matches_the_committed_parameters_and_source(committed):
    """As `dvc status` says it, of all that is in Git; `dvc exp run` and a commit make it so again."""
    root, stages = committed
    locked = yaml.safe_load((root / "dvc.lock").read_text())["stages"]
    odd = {stage.name for stage in stages} ^ locked.keys()
    assert not odd, f"not run, or left by other orders (remove dvc.lock and run anew): {sorted(odd)}"
    wrong = [f"{stage.name}: another command" for stage in stages if stage.cmd != locked[stage.name]["cmd"]]
    outputs = {out.def_path for stage in stages for out in stage.outs}
    for stage in stages:
        for item in [*stage.deps, *stage.outs]:
            if any(output.startswith(f"{item.def_path}/") for output in outputs):
                continue  # a folder of outputs, which Git does not have
            if (root / item.def_path).exists() and (status := item.status()):
                wrong.append(f"{stage.name}: {status}")
    assert not wrong, "\n".join(wrong)


def test_every_stage_read_what_another_stage_wrote(committed):
    root, stages = committed
    locked = yaml.safe_load((root / "dvc.lock").read_text())["stages"]
    written = {out["path"]: out["md5"] for stage in locked.values() for out in stage["outs"]}
    wrong = {
        f"{name} {dep['path']}"
        for name, stage in locked.items()
        for dep in stage["deps"]
        if dep["md5"] != written.get(dep["path"], dep["md5"])
    }
    assert wrong == set() and len(written) > len(locked)
    for stage in stages:
        now = {item.def_path for item in stage.deps if not isinstance(item, ParamsDependency)}
        assert {dep["path"] for dep in locked[stage.name]["deps"]} == now, stage.name
        assert {out["path"] for out in locked[stage.name]["outs"]} == {out.def_path for out in stage.outs}, stage.name


def test_one_fact_of_a_task_changes_only_the_blocks_that_use_it(tmp_path):
    before = compose(tmp_path / "a.yaml", "order=[mnli,squad]")["plan"]
    after = compose(tmp_path / "b.yaml", "order=[mnli,squad]", "++tasks.squad.training.epochs=9")["plan"]
    assert before["mixtures"]["mnli"] == after["mixtures"]["mnli"]
    assert before["targets"] == after["targets"] and before["steps"] == after["steps"]
    assert after["mixtures"]["squad"]["training"]["epochs"] == 9


def test_the_documented_custom_task_is_a_record_like_the_others(tmp_path):
    conf = tmp_path / "conf"
    shutil.copytree(ROOT / "conf", conf)
    with (conf / "tasks.yaml").open("a") as file:
        file.write(task_of_ones_own())
    made = compose(tmp_path / "a.yaml", "scale=small", "order=[squad,snli]", conf=conf)
    before = compose(tmp_path / "b.yaml", "scale=small", "order=[squad]")
    made, before = made["plan"], before["plan"]
    assert made["steps"]["1-squad"] == before["steps"]["1-squad"]
    assert made["mixtures"]["squad"] == before["mixtures"]["squad"]
    assert made["mixtures"]["snli"]["data"]["snli"]["validation"]["split"] == "validation"
    assert made["mixtures"]["snli"]["tasks"]["snli"]["kind"] == "pair"


TASKS = "anli_plus,mnli,qqp,squad,squad2,hellaswag,cosmosqa,commonsenseqa"
TARGETS = "xnli,pawsx,udpos,panx,xquad,mlqa,tydiqa,tatoeba"


@pytest.mark.parametrize("scale", ["mini", "small", "base", "large"])
def test_every_scale_composes_with_valid_settings(scale, tmp_path):
    from stiltwalk.training.settings import PredictionSettings, Settings

    orders = f"order=[{TASKS},{TASKS.replace(',', '+')},null,mnli+mlm]"
    plan = compose(tmp_path / "params.yaml", f"scale={scale}", orders, f"targets=[{TARGETS}]")["plan"]
    assert (
        list(plan["steps"])[-2:] == ["10-null", "11-mnli+mlm"] and plan["mixtures"]["null"]["data"]["null"]["shuffled"]
    )
    assert plan["leaks"]["xnli"] == ["anli_plus", "mnli"] and plan["leaks"]["udpos"] == []
    tuned = [plan["targets"][target] for target in plan["targets"] if target not in plan["retrievals"]]
    for block in [*plan["mixtures"].values(), *tuned]:
        Settings.read(block["training"])
    PredictionSettings.read(plan["prediction"])
    for target in plan["retrievals"]:
        PredictionSettings.read(plan["targets"][target]["training"])


def test_no_checkpoint_is_chosen_on_validation_rows_that_hold_xquads_test(tmp_path):
    params = compose(tmp_path / "params.yaml", "scale=base", "order=[squad,mnli+squad2,mnli+qqp]", "targets=[xnli]")
    kept = {mixture: block["training"]["keep"] for mixture, block in params["plan"]["mixtures"].items()}
    assert kept == {"squad": "last", "mnli+squad2": "last", "mnli+qqp": "best"}


@pytest.mark.parametrize(
    ("override", "output"),
    [
        (
            "scale=small order=[ccg]",
            "error: 'ccg' needs files of your own in data/own/ccg (see its record in conf/): t",
        ),
        ("scale=small targets=[bucc]", "'bucc2018' needs files of your own in data/own/bucc2018"),
        ("seed=x", "error: seed='x' is not a whole number"),
        (
            "order=[mnli] training.epochs=inf",
            "error: params.yaml: training.epochs is inf; it must be a number",
        ),
        ("order=[mnli] training.keep=bets", "params.yaml: training.keep is 'bets'; it must be one of last, best"),
        ("++tasks.squad.training.epoch=3", "tasks.squad.training has no key 'epoch'; the nearest is 'epochs'"),
        ("++xtreme.xnli.training.batch_size=0", "xtreme.xnli.training.batch_size is 0; it must be 1 or more"),
    ],
)
def test_a_bad_setting_is_refused_before_any_stage_runs(override, output, tmp_path):
    with pytest.raises(SystemExit) as ended:
        compose(tmp_path / "params.yaml", *override.split())
    assert output in str(ended.value)


@pytest.mark.parametrize(
    "setting",
    [("secret_access_key", "hush"), ("session_token", "hush"), ("password", "hush"), ("url", "ssh://me:hush@host/x")],
    ids=lambda setting: setting[0],
)
def test_a_credential_in_the_tracked_dvc_config_is_refused(setting, tmp_path, monkeypatch):
    key, value = setting
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".dvc").mkdir()
    config = Path(".dvc/config")
    config.write_text("['remote \"lab\"']\n    user = me\n    ask_password = true\n    keyfile = key\n")
    compose(tmp_path / "params.yaml")
    config.write_text(config.read_text() + f"    {key} = {value}\n")
    with pytest.raises(SystemExit) as ended:
        compose(tmp_path / "params.yaml")
    assert f"lab: {key} holds" in str(ended.value) and "--local" in str(ended.value) and "hush" not in str(ended.value)
    (tmp_path / "src").symlink_to(SRC)
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    (entry,) = (hook["entry"] for hook in hooks if hook["id"] == "credentials")
    done = subprocess.run(shlex.split(entry), capture_output=True, text=True)
    assert (done.returncode, done.stderr.strip()) == (1, str(ended.value))


def test_the_bar_chart_by_language_has_the_score_on_its_numeric_axis():
    """DVC's bar_horizontal draws an empty plot, without a word, where x is not a number."""
    plots = {
        name: plot for entry in yaml.safe_load((ROOT / "dvc.yaml").read_text())["plots"] for name, plot in entry.items()
    }
    languages = plots["metrics/languages"]
    assert (languages["template"], languages["x"], languages["y"]) == ("bar_horizontal", "score", "language")


@pytest.mark.parametrize("file", sorted((ROOT / "launch").glob("*.yaml")), ids=lambda file: file.stem)
def test_accelerate_reads_every_launch_file(file):
    config = load_config_from_file(str(file))
    command = launch_command_parser().parse_args(["--config_file", str(file), "src/target.py", "xnli"])
    args, *_ = _validate_launch_command(command)
    assert args.num_processes == config.num_processes >= 1 and not args.use_cpu and args.mixed_precision == "no"
    assert (args.multi_gpu, args.use_fsdp) == (file.stem == "gpus", file.stem == "fsdp")
    assert (args.training_script, args.training_script_args) == ("src/target.py", ["xnli"])


def test_fsdp_shards_the_layers_of_the_encoder(toy_folder, monkeypatch):
    """A key that the launcher does not know would be left out without a word."""
    parser, config = launch_command_parser(), str(ROOT / "launch/fsdp.yaml")
    assert load_config_from_file(config).fsdp_config.keys() <= vars(parser.parse_args(["script.py"])).keys()
    args, *_ = _validate_launch_command(parser.parse_args(["--config_file", config, "src/target.py", "xnli"]))
    for name, value in prepare_multi_gpu_env(args).items():
        monkeypatch.setenv(name, value)
    plugin = FullyShardedDataParallelPlugin()
    assert (plugin.fsdp_version, plugin.reshard_after_forward, plugin.cpu_ram_efficient_loading) == (2, True, False)
    plugin.set_auto_wrap_policy(MultiTaskModel(load_encoder(toy_folder), {}))  # fails where it has no such layer
    assert {layer.__name__ for layer in plugin.auto_wrap_policy.keywords["transformer_layer_cls"]} == {
        "XLMRobertaLayer"
    }


def test_no_stage_uses_the_users_default_accelerate_config():
    assert "accelerate" not in (ROOT / "dvc.yaml").read_text()


def test_a_missing_launch_file_is_named():
    environment = os.environ | {"STILTWALK_LAUNCH": "launch/none.yaml"}
    command = [sys.executable, "src/target.py", "xnli"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr == "error: STILTWALK_LAUNCH=launch/none.yaml: there is no such file; see launch/\n"
