"""Every command that README.md and docs/ tell a reader to type is tested. Commands that take long are only checked."""

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
TEXT = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)

# What a reader has to fill in, and what the tests fill in.
PLACEHOLDERS = {
    "order=[...]": "order=[mnli]",
    "anli_plus+mnli+...": "anli_plus+mnli+qqp",
    "access_key_id ...": "access_key_id id",
    "secret_access_key ...": "secret_access_key key",
    "GIT_REMOTE=...": "GIT_REMOTE=elsewhere",
    "--queue -S ...": "--queue -S seed=7",
}
# Inline code that begins like a command, with the reason why it is not tested as one.
UNTESTED = {
    "dvc exp run -S": "an option",
    ". .venv/bin/activate": "the tests run in it",
    "pre-commit install": "it changes the hooks of Git",
    "rm dvc.lock": "test_sharing does it where it helps",
    "python src/compare.py --looks 3": "it needs a sweep of four seeds",
}
# Commands that do nothing lasting outside of a clone, and are quick: they are run.
QUICK = {
    *(
        "dvc status",
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
# Commands that work in the background, on a remote, or on the outputs of a run: only their options are checked.
OPTIONS_ONLY = {
    "dvc exp save",
    "dvc queue start",
    "dvc exp pull",
    "dvc exp apply",
    "dvc gc --workspace",
    "dvc cache dir",
}
PREFIXES = ([r"[A-Z_]+=\S+"], ["time"], ["python", "src/warm.py"])  # they do not change what a command does
# A task that a reader has to add first; test_a_command_in_the_pages_runs adds it.
NEEDS_OWN_TASK = ("order=[snli,squad]",)


def inline_code() -> list[str]:
    prose = re.sub(r"```.*?```", "", TEXT, flags=re.S)
    return [" ".join(code.split()) for code in re.findall(r"`([^`]+)`", prose)]


def bash_lines() -> list[str]:
    return [line for block in re.findall(r"```bash\n(.*?)```", TEXT, re.S) for line in block.splitlines() if line]


def documented_commands() -> Iterator[str]:
    """Yield the lines of bash blocks, and inline code of several words whose first is a program."""
    yield from (line for line in bash_lines() if line not in UNTESTED)
    for code in inline_code():
        words = re.sub(r"^([A-Z_]+=\S+|time) ", "", code).split()
        if len(words) > 1 and (words[0] in (".", "make", "dvc") or shutil.which(words[0])) and code not in UNTESTED:
            yield code


def commands() -> list[str]:
    """Return the distinct commands, with their placeholders filled in."""
    distinct: dict[str, None] = {}
    for line in documented_commands():
        text = line
        for placeholder, value in PLACEHOLDERS.items():
            text = text.replace(placeholder, value)
        text = text.removesuffix(" ...")
        assert "..." not in text, f"this test does not know a placeholder in the command {line}"
        for command in re.split(" && ", text):
            distinct[shlex.join(shlex.split(command, comments=True))] = None
    return list(distinct)


def settings() -> set[tuple[str, ...]]:
    """Return the settings that the pages name after -S, those of one command together."""
    alone = {(code.strip("'"),) for code in inline_code() if re.fullmatch(r"'?\+*[a-z][\w.]*=.+", code)}
    together = {tuple(re.findall(r"-S '?([^\s'`]+)", code)) for code in [*inline_code(), *bash_lines()]}
    filled = {
        tuple(name.replace("[...]", "[mnli]").replace("+...", "+qqp") for name in names if name != "...")
        for names in alone | together
    }
    return {names for names in filled if names and not set(names) & set(NEEDS_OWN_TASK)}


def strip_prefixes(words: list[str]) -> list[str]:
    for prefix in PREFIXES:
        if len(words) > len(prefix) and all(map(re.fullmatch, prefix, words)):
            return strip_prefixes(words[len(prefix) :])
    return words


def kind_of_check(words: list[str]) -> str:
    """Return how a command is tested. Raises AssertionError if this file does not say how."""
    if words[0] in ("make", "pytest"):
        return words[0]
    if " ".join(words[:3]) in OPTIONS_ONLY:
        return "options"
    if words[:3] == ["python", "src/sweep.py", "plan"]:
        return "plan"
    if words[:2] == ["dvc", "repro"] or words[:3] == ["dvc", "exp", "run"]:
        return "stages"
    quick = [start for start in QUICK if words[: len(start.split())] == start.split()]
    assert quick, f"this test does not know how to try the command {shlex.join(words)}"
    return "quick"


def check_stages(words: list[str], conf: Path, folder: Path) -> None:
    """Check that DVC knows the options, that the settings compose, and that the stages follow from them."""
    options = parse_args(words[1:])
    overrides = options.set_param if "exp" in words else []
    compose(folder / "params.yaml", *overrides, conf=conf)
    (folder / "dvc.yaml").write_text((ROOT / "dvc.yaml").read_text())
    Repo.init(str(folder), no_scm=True, force=True)
    with Repo(str(folder)) as repo:
        names = {stage.name for stage in repo.index.stages}
    assert "score" in names
    for target in options.targets:
        assert {name for name in names if name.split("@")[0] == target}, f"there is no stage {target}"


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Project:
    """A clone with the user's own task and tables, a run's outputs, and the experiments that the pages name."""
    project = clone(tmp_path_factory.mktemp("readme") / "stiltwalk", locked=None)
    with (project.folder / "conf/tasks.yaml").open("a") as file:
        file.write(task_of_ones_own())
    for place in ("data/labels", "predictions"):
        (project.folder / place / "xnli").mkdir(parents=True)
        (project.folder / place / "xnli/test-en.tsv").write_text("neutral\n")
    rows = [
        f"{order},{seed},{target},{seed + len(order)}"
        for order in ("a>b", "b>a", "a")
        for seed in (1, 2)
        for target in "ab"
    ]
    for name in ("scores.csv", "validation.csv"):
        (project.folder / name).write_text("order,seed,target,score\n" + "\n".join(rows) + "\n")
    project.run("git", "commit", "-qam", "a task of one's own")
    head = project.run("git", "rev-parse", "HEAD").strip()
    for name in re.findall(r"dvc exp run -n (\S+)", TEXT):  # as if it had been run, with the committed results
        commit = project.run("git", "commit-tree", "HEAD^{tree}", "-p", "HEAD", "-m", name).strip()
        project.run("git", "update-ref", f"refs/exps/{head[:2]}/{head[2:]}/{name}", commit)
    return project


@pytest.mark.slow
@pytest.mark.parametrize("command", commands())
def test_a_command_in_the_pages_runs(command, project, tmp_path, monkeypatch):
    words = strip_prefixes(shlex.split(command))
    match kind_of_check(words):
        case "make":
            recipe = project.run("make", "-n", *words[1:]).replace("\\\n", " ")
            for line in re.findall(r"(?:^|&& )(?:python src/warm.py )?dvc ([^&|\n]*)", recipe, re.M):
                parse_args(shlex.split(line))
        case "pytest":
            assert "test_" in project.run(*words, "--collect-only")
        case "options":
            parse_args(words[1:])
        case "plan":
            monkeypatch.chdir(project.folder)
            monkeypatch.setattr(sys, "argv", words[1:])
            monkeypatch.setattr(Speed, "tokens_per_second", lambda *_: 1000.0)  # else half a minute
            runpy.run_path(str(project.folder / "src/sweep.py"), run_name="__main__")
        case "stages":
            check_stages(words, project.folder / "conf", tmp_path)
        case "quick":
            project.run(*words)


def test_the_commands_in_the_pages_are_found():
    found = commands()
    assert len(found) > 25
    assert {"make repro", "dvc repro", "dvc exp run -n baseline -S 'order=[]'", "make fetch"} <= set(found)
    for command in found:
        kind_of_check(strip_prefixes(shlex.split(command)))
    with pytest.raises(AssertionError, match="does not know how to try"):
        kind_of_check(["dvc", "gc", "-w"])


@pytest.mark.slow
def test_every_setting_in_the_pages_composes(tmp_path):
    found = settings()
    assert len(found) > 15
    for names in found:
        compose(tmp_path / "params.yaml", *names)


def test_every_link_leads_to_a_file_and_a_heading():
    for page in PAGES:
        for link, anchor in re.findall(r"\]\((?!http)([^)#]*)(?:#([^)]+))?\)", page.read_text(encoding="utf-8")):
            target = page.parent / link if link else page
            assert target.exists(), f"{page} links to {link}"
            if anchor:
                assert anchor in anchors(target), f"{page} links to {link}#{anchor}"


def anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub gives to the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.M)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_script_that_is_named_exists():
    for path in (*PAGES, ROOT / "Makefile", *ROOT.glob("conf/**/*.yaml"), *ROOT.glob("src/**/*.py")):
        for script in re.findall(r"python (src/[\w/]+\.py)", path.read_text(encoding="utf-8")):
            assert (ROOT / script).is_file(), f"{path} names {script}"


def test_every_source_file_that_a_page_names_exists():
    roots = (ROOT, ROOT / "src", ROOT / "src/stiltwalk")
    for page in PAGES:
        for path in re.findall(r"`((?:[\w-]+/)+[\w-]+\.(?:py|yaml))`", page.read_text(encoding="utf-8")):
            assert any((root / path).is_file() for root in roots), f"{page} names {path}"
