"""Where `dvc exp run` is called: what DVC would report late and without a remedy."""

import pytest

from stiltwalk.config.dvc_command import check_dvc_command
from stiltwalk.utils.errors import InputError

COMMAND = ["/venv/bin/dvc", "exp", "run"]


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A repository below a folder with a letter beyond ASCII, and a Git without an identity."""
    root = tmp_path / "caf\u00e9"
    (root / "src").mkdir(parents=True)
    (root / "dvc.yaml").touch()
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    for role in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{role}_NAME", "Anna")
        monkeypatch.setenv(f"GIT_{role}_EMAIL", "anna@example.org")
    monkeypatch.chdir(root)
    return root


def test_an_experiment_can_run_in_the_top_folder(repository):
    check_dvc_command(COMMAND)


def test_a_folder_below_is_refused(repository, monkeypatch):
    monkeypatch.chdir(repository / "src")
    with pytest.raises(InputError, match=f"{repository}/src has no dvc.yaml; run dvc exp run in {repository}"):
        check_dvc_command(COMMAND)


@pytest.mark.parametrize("option", ["--temp", "--queue"])
def test_dvc_cannot_make_a_copy_below_a_folder_beyond_ascii(repository, option):
    with pytest.raises(InputError, match="has letters beyond ASCII, with which DVC's --temp and --queue fail"):
        check_dvc_command([*COMMAND, option])


@pytest.mark.parametrize("key", ["name", "email"])
def test_git_needs_a_name_and_an_email(repository, monkeypatch, key):
    monkeypatch.delenv(f"GIT_AUTHOR_{key.upper()}")
    with pytest.raises(InputError, match=f"Git has no user.{key}, and experiments are commits; run git config"):
        check_dvc_command(COMMAND)


def test_other_programs_may_compose_anywhere(repository, monkeypatch):
    monkeypatch.chdir(repository / "src")
    monkeypatch.delenv("GIT_AUTHOR_NAME")
    check_dvc_command(["src/sweep.py", "plan"])
