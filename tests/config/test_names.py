"""Names from data and from the configuration never reach a shell and never lead out of the project."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from dvc.dependency.param import ParamsDependency
from dvc.repo import Repo

from laboratory import clone, compose
from stiltwalk.config.orders import check_names, check_order, check_targets
from stiltwalk.utils.errors import InputError

ROOT = Path(__file__).parents[2]
SRC = ROOT / "src"

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
def test_a_name_that_is_not_a_plain_word_is_refused_in_one_line(name):
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


def test_plain_names_are_accepted():
    check_names([("", name) for name in ("mnli", "anli_plus", "squad2", "en", "zh-Hant", "0", "a" * 64)])
    with pytest.raises(InputError, match="a step of 203 characters"):
        check_order(["+".join(["a" * 50, "b" * 50, "c" * 50, "d" * 50])], ["a" * 50, "b" * 50, "c" * 50, "d" * 50])


@pytest.mark.parametrize(
    ("overrides", "message"),
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
        (["plan={'x;touch ran': {}}"], ""),  # the grammar of overrides has no such key
        (["plan={$x: {}}"], "plan follows from order and targets and cannot be set; set those"),
        (["++plan.mixtures.mnli.data={}", "order=[mnli]"], "plan follows from order"),
        (["++evil={$x: {}}", "plan=${evil}"], "plan follows from order"),
        (["++evil={../x: []}", "valid=${evil}"], "valid follows from the other fields and cannot be set"),
        (["~plan", "+plan={$x: {}}"], "plan follows from order"),
        (["~valid", "+valid={../x: []}"], "valid follows from"),
        (["plan=../../x"], "plan follows from order"),
        (["plan=[/etc/passwd]"], "plan follows from order"),
        (["++plan={../x: []}"], "plan follows from order"),
        (["valid=/etc/passwd"], "valid follows from"),
        (["~plan"], "plan follows from order"),
        (["~valid"], "valid follows from"),
    ],
    ids=str,
)
def test_a_name_that_would_reach_a_shell_or_lead_out_of_the_project_is_refused(overrides, message, tmp_path):
    out = tmp_path / "params.yaml"
    with pytest.raises(BaseException) as caught:
        compose(out, *overrides)
    assert not out.exists()
    if message:
        assert isinstance(caught.value, SystemExit)
        line = str(caught.value)
        assert line.startswith(f"error: {message}") and len(line.splitlines()) == 1


def test_a_name_in_conf_is_checked_like_an_override(tmp_path):
    conf = shutil.copytree(ROOT / "conf", tmp_path / "conf")
    with (conf / "tasks.yaml").open("a") as file:
        file.write('  "$(touch ran)\\n": {kind: pair, labels: [a, b]}\n')
    with pytest.raises(SystemExit, match=r"^error: a name in tasks is '\$\(touch ran\)\\n'; "):
        compose(tmp_path / "params.yaml", conf=conf)


def test_labels_columns_and_codes_stay_out_of_commands_and_paths(tmp_path):
    """They may be any text, because they are only compared with what is read."""
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
        assert re.fullmatch(r"exec python src/\w+\.py( [A-Za-z0-9_+-]+)?", stage.cmd), stage.cmd
        paths = [dep.def_path for dep in stage.deps if not isinstance(dep, ParamsDependency)]
        for path in [*paths, *(out.def_path for out in stage.outs)]:
            assert re.fullmatch(r"[A-Za-z0-9_+-]+([/.][A-Za-z0-9_+-]+)*", path), path


def test_file_names_are_only_printed(tmp_path):
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
def test_dvc_refuses_hostile_names(tmp_path):
    project = clone(tmp_path / "stiltwalk")
    for overrides, one_line in (
        (["order=['mnli;touch ran']"], True),
        (["++tasks={$(touch ran): {kind: pair}}", "order=['$(touch ran)']"], False),
        (["++tasks={../x: {kind: pair}}", "order=[../x]"], True),
        (["plan={-x: {}}"], True),
    ):
        command = ["dvc", "exp", "run", "--dry", *(word for override in overrides for word in ("-S", override))]
        done = subprocess.run(
            command, cwd=project.folder, env=project.environment, capture_output=True, text=True, timeout=120
        )
        assert done.returncode and "Traceback" not in done.stderr, done.stderr
        assert not one_line or re.fullmatch(r"error: [^\n]+\n", done.stderr), done.stderr
    assert project.run("git", "status", "--porcelain") == ""
    assert {path.name for path in project.folder.parent.iterdir()} == {"stiltwalk"}
