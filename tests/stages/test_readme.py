"""Every command that README.md and docs/ tell a reader to type runs: on paper where it would take long."""

import re
import runpy
import shlex
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from dvc.cli import parse_args
from dvc.repo import Repo

from laboratory import Project, clone, compose, task_of_ones_own
from stiltwalk.sweep.cost import Speed

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted(ROOT.glob("docs/*.md"))]
README = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)

# What stands for something that a reader fills in, and what is filled in here.
FILLED = {
    "order=[...]": "order=[mnli]",
    "anli_plus+mnli+...": "anli_plus+mnli+qqp",
    "access_key_id ...": "access_key_id id",
    "secret_access_key ...": "secret_access_key key",
    "GIT_REMOTE=...": "GIT_REMOTE=elsewhere",
    "--queue -S ...": "--queue -S seed=7",
}
# Inline code that begins like a command and is none.
NAMED = {
    "dvc exp run -S": "an option",
    ". .venv/bin/activate": "the tests run in it",
    "pre-commit install": "it changes the hooks of Git",
    "rm dvc.lock": "test_sharing does it where it helps",
}
# Commands that do nothing lasting, or so in a clone, and are quick: run as they stand.
QUICK = {
    *(
        "dvc metrics diff",
        "dvc params diff",
        "dvc plots show",
        "dvc exp show",
        "dvc remote add",
        "dvc remote modify",
        "dvc exp list",
    ),
    *("git switch", "git restore", "python src/compare.py", "python src/evaluate.py"),
}
PREFIXES = ([r"[A-Z_]+=\S+"], ["time"], ["python", "src/warm/run.py"])


def inline() -> list[str]:
    prose = re.sub(r"```.*?```", "", README, flags=re.S)
    return [" ".join(code.split()) for code in re.findall(r"`([^`]+)`", prose)]


def documented() -> Iterator[str]:
    """The lines of bash blocks, and inline code of two words whose first is a program."""
    for block in re.findall(r"```bash\n(.*?)```", README, re.S):
        yield from (line for line in block.splitlines() if line and line not in NAMED)
    for code in inline():
        words = re.sub(r"^([A-Z_]+=\S+|time) ", "", code).split()
        if len(words) > 1 and (words[0] in (".", "make", "dvc") or shutil.which(words[0])) and code not in NAMED:
            yield code


def commands() -> dict[str, str]:
    """By command, its placeholders filled: the line that it stands in."""
    found: dict[str, str] = {}
    for line in documented():
        text = line
        for placeholder, value in FILLED.items():
            text = text.replace(placeholder, value)
        text = text.removesuffix(" ...")
        assert "..." not in text, f"README has a command with a placeholder that this test does not know: {line}"
        for command in re.split(" && ", text):
            found.setdefault(shlex.join(shlex.split(command, comments=True)), line)
    return found


def bare(words: list[str]) -> list[str]:
    """A command without what stands before it and does not change what it does."""
    for prefix in PREFIXES:
        if len(words) > len(prefix) and all(map(re.fullmatch, prefix, words)):
            return bare(words[len(prefix) :])
    return words


def way(words: list[str]) -> str:
    """How it is tried whether a command runs; an AssertionError where nobody has said how."""
    if words[0] in ("make", "pytest"):
        return words[0]
    # What works in the background, for a remote, or on the outputs of a run.
    known = {"dvc queue start", "dvc exp pull", "dvc exp apply", "dvc gc --workspace", "dvc cache dir"}
    if " ".join(words[:3]) in known:
        return "options"
    if words[:3] == ["python", "src/sweep.py", "plan"]:
        return "plan"
    if words[:2] == ["dvc", "repro"] or words[:3] == ["dvc", "exp", "run"]:
        return "stages"
    found = [start for start in QUICK if words[: len(start.split())] == start.split()]
    assert found, f"README has a command that this test does not know how to try: {shlex.join(words)}"
    return "quick"


def check_stages(words: list[str], conf: Path, folder: Path) -> None:
    """That DVC knows the options, that what is set composes, and that the stages follow from it."""
    options = parse_args(words[1:])
    sets = options.set_param if "exp" in words else []
    compose(folder / "params.yaml", *sets, conf=conf)
    (folder / "dvc.yaml").write_text((ROOT / "dvc.yaml").read_text())
    Repo.init(str(folder), no_scm=True, force=True)
    with Repo(str(folder)) as repo:
        assert "score" in {stage.name for stage in repo.index.stages}


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Project:
    """A clone with the README's task of one's own, what a run leaves behind, and the experiments that README names."""
    project = clone(tmp_path_factory.mktemp("readme") / "stiltwalk")
    with (project.folder / "conf/tasks.yaml").open("a") as file:
        file.write(task_of_ones_own())
    for place in ("data/labels", "predictions"):
        (project.folder / place / "xnli").mkdir(parents=True)
        (project.folder / place / "xnli/test-en.tsv").write_text("neutral\n")
    project.run("git", "commit", "-qam", "a task of one's own")
    head = project.run("git", "rev-parse", "HEAD").strip()
    for name in re.findall(r"dvc exp run -n (\S+)", README):  # as if it had been run, with the committed results
        commit = project.run("git", "commit-tree", "HEAD^{tree}", "-p", "HEAD", "-m", name).strip()
        project.run("git", "update-ref", f"refs/exps/{head[:2]}/{head[2:]}/{name}", commit)
    return project


@pytest.mark.slow
@pytest.mark.parametrize("command", list(commands()))
def test_a_command_of_the_readme_runs(command, project, tmp_path, monkeypatch):
    words = bare(shlex.split(command))
    match way(words):
        case "make":
            recipe = project.run("make", "-n", *words[1:]).replace("\\\n", " ")
            for line in re.findall(r"(?:^|&& )(?:python src/warm/run.py )?dvc ([^&|\n]*)", recipe, re.M):
                parse_args(shlex.split(line))
        case "pytest":
            assert "test_" in project.run(*words, "--collect-only")
        case "options":
            parse_args(words[1:])
        case "plan":
            monkeypatch.chdir(project.folder)
            monkeypatch.setattr(sys, "argv", words[1:])
            monkeypatch.setattr(Speed, "calibrated", lambda *_: 1000.0)  # else half a minute
            runpy.run_path(str(project.folder / "src/sweep.py"), run_name="__main__")
        case "stages":
            check_stages(words, project.folder / "conf", tmp_path)
        case "quick":
            project.run(*words)


def test_commands_of_the_readme_are_found():
    found = commands()
    assert len(found) > 25
    assert {"make repro", "dvc repro", "dvc exp run -n baseline -S 'order=[]'", "make fetch"} <= found.keys()
    for command in found:
        way(bare(shlex.split(command)))
    with pytest.raises(AssertionError, match="does not know how to try"):
        way(["dvc", "gc", "-w"])


@pytest.mark.slow
def test_every_setting_of_the_readme_composes(tmp_path):
    """`training.epochs=1` and the like, which are to follow -S."""
    settings = {code.strip("'") for code in inline() if re.fullmatch(r"'?\+*[a-z][\w.]*=.+", code)}
    settings |= set(re.findall(r"-S '?([^\s'`]+)", README)) - {"..."}
    filled = {setting.replace("[...]", "[mnli]").replace("+...", "+qqp") for setting in settings} - {
        "order=[snli,squad]"
    }
    assert len(filled) > 15
    for setting in filled:
        compose(tmp_path / "params.yaml", setting)


def test_every_link_leads_somewhere():
    for page in PAGES:
        for link in re.findall(r"\]\((?!http)([^)#]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / link).exists(), f"{page} links to {link}"


def test_every_script_that_is_named_is_there():
    for path in (*PAGES, ROOT / "Makefile", *ROOT.glob("conf/**/*.yaml"), *ROOT.glob("src/**/*.py")):
        for script in re.findall(r"python (src/[\w/]+\.py)", path.read_text(encoding="utf-8")):
            assert (ROOT / script).is_file(), f"{path} names {script}"
