"""Every kind of task implements the base classes, and the loaders give its classes."""

import ast
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from stiltwalk.tasks.base_data.row_tokenizer import RowTokenizer, load_tokenizer
from stiltwalk.tasks.base_head import TrainedTask, load_task
from stiltwalk.tasks.base_search import RetrievalTask, load_search
from stiltwalk.tasks.base_spec import kind_names, load_spec

SRC = Path(__file__).parents[2] / "src"
OPTIONS: dict[str, dict[str, Any]] = {
    "pair": {"labels": ["a", "b"]},
    "tagging": {"labels": ["a", "b"]},
    "choice": {"labels": ["0", "1"]},
    "qa": {"doc_stride": 4, "max_query_length": 4, "max_answer_length": 4, "n_best": 5},
    "mlm": {"mask": 0.15},
    "lexical": {"layer": 1, "rank": 2, "alpha": 2, "temperature": 0.1},
    "retrieval": {"depth": 0.5, "pooling": "mean"},
    "mining": {"depth": 0.5, "pooling": "mean", "neighbours": 4},
}


def options_of(kind: str) -> dict[str, Any]:
    return {"kind": kind, "labels": [], "max_length": 16} | OPTIONS[kind]


@pytest.mark.parametrize("kind", kind_names())
def test_every_kind_implements_the_base_classes(kind, subwords, encoder):
    assert isinstance(load_tokenizer(options_of(kind), subwords), RowTokenizer)
    spec = load_spec(kind)
    if spec.trained:
        task = load_task(options_of(kind))
        assert isinstance(task, TrainedTask) and task.freezes_encoder == spec.freezes_encoder
        assert task.make_head(encoder, 0.1).hidden_state in (None, *range(encoder.config.num_hidden_layers + 1))
    else:
        assert isinstance(load_search(options_of(kind)), RetrievalTask)


@pytest.mark.parametrize("kind", [kind for kind in kind_names() if load_spec(kind).trained])
@pytest.mark.parametrize("part", ["data", "head"])
def test_a_stage_of_a_kind_depends_on_one_folder_of_it(kind, part):
    """dvc.yaml names only that folder, so changes of another module that it imported would go unnoticed."""
    imported: set[str] = set()
    for path in (SRC / f"stiltwalk/tasks/{kind}/{part}").glob("*.py"):
        tree = ast.parse(path.read_text())
        imported |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    of_tasks = {name for name in imported if name.startswith("stiltwalk.tasks.")}
    allowed = ("stiltwalk.tasks.base_", f"stiltwalk.tasks.{kind}.{part}.")
    assert of_tasks and all(name.startswith(allowed) for name in of_tasks)


def test_tokenising_imports_neither_torch_nor_transformers():
    modules = [
        "stiltwalk.tasks.base_data.token_files",
        *(f"stiltwalk.tasks.{kind}.data.tokenize" for kind in kind_names()),
    ]
    code = f"import sys, {', '.join(modules)}; print(*({{'torch', 'transformers', 'peft'}} & set(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env={"PYTHONPATH": str(SRC)})
    assert (result.returncode, result.stdout.strip()) == (0, ""), result.stderr
