"""Data sets and encoders from the hub over HTTP, including network faults."""

import contextlib
import errno
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from transformers import AutoConfig, AutoModel, AutoTokenizer, XLMRobertaForMaskedLM

from stiltwalk.data.hub import fetch
from stiltwalk.tasks.base_data.kind_rows import load_rows
from stiltwalk.utils.errors import InputError

ROOT = Path(__file__).resolve().parents[2]
SHARED = ROOT.parent / "shared" / "hub"


def nli_rows(*labels: int) -> dict[str, list[Any]]:
    return {"text_a": ["a"] * len(labels), "text_b": ["b"] * len(labels), "label": list(labels)}


# Downloads


@pytest.mark.parametrize(
    "digest",
    [hashlib.sha256(b"the whole file"), hashlib.sha1(b"blob 14\0the whole file"), hashlib.sha1(b"the whole file")],
    ids=["sha-256", "git-blob", "sha-1"],
)
def test_a_broken_file_is_downloaded_again_and_never_returned(
    digest: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    content = b"the whole file"
    blob = tmp_path / digest.hexdigest()  # the cache names files by the hash that the hub states
    link = tmp_path / "data.parquet"
    link.symlink_to(blob)
    downloads: Iterator[Any] = iter(
        [ConnectionError("reset"), RuntimeError("CAS service error"), content[:5], b"THE WHOLE FILE", content]
    )
    forced = []

    def fake_download(*_: Any, force_download: bool, **__: Any) -> str:
        forced.append(force_download)
        result = next(downloads)
        if isinstance(result, Exception):
            raise result
        blob.write_bytes(result)
        return str(link)

    monkeypatch.setattr(fetch, "hf_hub_download", fake_download)
    monkeypatch.setattr(fetch, "PAUSE", 0)
    repo = fetch.Repository("dataset", "a/b", "main", "0" * 40, {"data.parquet": len(content)})
    assert fetch.download(repo, "data.parquet").read_bytes() == content
    assert forced == [False, False, False, True, True]  # a download is forced only after a broken file


def test_a_file_that_stays_broken_gives_a_one_line_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    half = tmp_path / "half"
    half.write_bytes(b"half")
    calls = []

    def fake_download(*_: Any, **__: Any) -> str:
        calls.append(1)
        return str(half)

    monkeypatch.setattr(fetch, "hf_hub_download", fake_download)
    monkeypatch.setattr(fetch, "PAUSE", 0)
    with pytest.raises(InputError) as caught:
        fetch.download(fetch.Repository("dataset", "a/b", "main", "0" * 40, {"x.parquet": 8}), "x.parquet")
    message = str(caught.value)
    assert len(calls) == fetch.ATTEMPTS and "\n" not in message
    assert message.startswith("dataset a/b, file x.parquet: failed after 5 attempts (received 4 of 8 bytes)")
    assert all(word in message for word in ("network", "HF_ENDPOINT", "HF_TOKEN"))


# Over HTTP, with the real client and a hub on loopback

CLIENT = """
import json, sys
from pathlib import Path
import yaml
from stiltwalk.utils.errors import InputError
from stiltwalk.tasks.base_data.kind_rows import load_rows
from stiltwalk.data.hub import fetch, source

fetch.PAUSE = 0.05
out, requests = Path(sys.argv[1]), json.loads(sys.argv[2])
out.mkdir()
config = {name: yaml.safe_load(Path(f"conf/{name}.yaml").read_text())[name] for name in ("tasks", "xtreme")}
for group, task, split, language, changes in requests:
    record = config[group][task]
    record = {**record, split: {**record[split], **changes}, "sample": {split: None, "seed": 0}}
    try:
        table, origin = source.read(task, record, split, language)
    except InputError as error:
        print(f"error: {error}")
    else:
        load_rows(record["kind"]).write(table, out / f"{task}-{split}-{language}.parquet")
        (out / f"{task}-{split}-{language}.json").write_text(json.dumps(origin))
"""
Request = tuple[str, str, str, str, dict[str, Any]]
REQUESTS: list[Request] = [
    ("tasks", "mnli", "train", "en", {}),
    ("tasks", "mnli", "validation", "en", {}),
    ("tasks", "squad", "train", "en", {}),
    ("xtreme", "xnli", "test", "sw", {}),
    ("xtreme", "xnli", "test", "th", {}),
    ("xtreme", "udpos", "test", "tl", {}),
    ("xtreme", "xquad", "test", "zh", {}),
    ("xtreme", "tatoeba", "test", "jv", {}),
]


@contextlib.contextmanager
def mirror(root: Path, *options: str) -> Iterator[str]:
    """Serve a folder as a hub and yield its endpoint."""
    if not SHARED.is_dir():
        pytest.skip(f"{SHARED} with mirror.py and its data sets is missing")
    server = subprocess.Popen(
        [sys.executable, SHARED / "mirror.py", "--root", root, *options], stdout=subprocess.PIPE, text=True
    )
    try:
        assert server.stdout
        yield server.stdout.readline().split()[-1]
    finally:
        server.terminate()
        server.communicate()


def client(
    home: Path, endpoint: str, code: str, *arguments: str | Path, offline: bool = False
) -> subprocess.CompletedProcess[str]:
    """Run code in its own process, because huggingface_hub reads HF_ENDPOINT on import, and with its own cache."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    environment |= {"HF_HOME": str(home), "HF_ENDPOINT": endpoint, "PYTHONPATH": "src"}
    environment["HF_HUB_OFFLINE"] = str(int(offline))
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done


def read_files(
    home: Path, endpoint: str, out: Path, requests: list[Request] = REQUESTS, offline: bool = False
) -> dict[str, bytes]:
    """Return the files that the client writes, by name."""
    done = client(home, endpoint, CLIENT, out, json.dumps(requests), offline=offline)
    assert not done.stdout, done.stdout
    return {file.name: file.read_bytes() for file in out.iterdir()}


def read_errors(home: Path, endpoint: str, out: Path, requests: list[Request], offline: bool = False) -> list[str]:
    """Return the errors that the client prints."""
    return client(home, endpoint, CLIENT, out, json.dumps(requests), offline=offline).stdout.splitlines()


@pytest.fixture(scope="module")
def cached(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, bytes]]:
    """A cache that has answered REQUESTS without any fault, and the files that the client wrote."""
    folder = tmp_path_factory.mktemp("cached")
    with mirror(SHARED) as endpoint:
        return folder / "home", read_files(folder / "home", endpoint, folder / "out")


@pytest.mark.slow
def test_data_sets_of_every_kind_are_read_from_the_hub(cached: tuple[Path, dict[str, bytes]]):
    _, files = cached
    origins = {name.removesuffix(".json"): json.loads(text) for name, text in files.items() if name.endswith(".json")}
    assert {name: origin["rows_used"] for name, origin in origins.items()} == {
        "mnli-train-en": 11059,
        "mnli-validation-en": 9815,
        "squad-train-en": 8073,
        "xnli-test-sw": 5010,
        "xnli-test-th": 5010,
        "udpos-test-tl": 128,
        "xquad-test-zh": 1190,
        "tatoeba-test-jv": 205,
    }
    tables = {name: pq.read_table(pa.BufferReader(files[f"{name}.parquet"])) for name in origins}
    assert tables["xnli-test-sw"]["label"].equals(tables["xnli-test-th"]["label"])
    assert not tables["xnli-test-sw"]["text_a"].equals(tables["xnli-test-th"]["text_a"])
    assert not any(text.endswith("\n") for text in tables["tatoeba-test-jv"]["source"].to_pylist())
    for row in tables["xquad-test-zh"].to_pylist():
        for text, start in zip(*row["answers"].values(), strict=True):
            assert row["context"][start : start + len(text)] == text
    assert all(len(origin["sha"]) == 40 and origin["revision"] == "main" for origin in origins.values())
    assert "127.0.0.1" not in json.dumps(origins)


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["--fail-every", "--truncate-every"])
def test_server_errors_and_truncated_downloads_do_not_change_the_files(
    cached: tuple[Path, dict[str, bytes]], fault: str, tmp_path: Path
):
    with mirror(SHARED, fault, "3") as endpoint:
        assert read_files(tmp_path / "home", endpoint, tmp_path / "out") == cached[1]


@pytest.mark.slow
def test_the_cache_is_read_offline_and_repaired_online(cached: tuple[Path, dict[str, bytes]], tmp_path: Path):
    home, files = cached
    unreachable = "http://127.0.0.1:9"
    assert read_files(home, unreachable, tmp_path / "offline", offline=True) == files
    (parquet,) = home.glob("hub/datasets--rajpurkar--squad/snapshots/*/plain_text/train-*.parquet")
    with parquet.open("r+b") as stream:
        stream.truncate(1000)
    squad = [request for request in REQUESTS if request[1] == "squad"]
    (message,) = read_errors(home, unreachable, tmp_path / "broken", squad, offline=True)
    assert "plain_text/train-00000-of-00001.parquet: missing or incomplete in the cache" in message
    with mirror(SHARED) as endpoint:
        repaired = read_files(home, endpoint, tmp_path / "repaired", squad)
    assert repaired == {name: files[name] for name in repaired}


@pytest.mark.slow
def test_an_error_names_what_the_hub_does_not_have(tmp_path: Path):
    requests: list[Request] = [
        ("tasks", "mnli", "train", "en", {"path": "nyu-mll/gleu"}),
        ("tasks", "mnli", "train", "en", {"revision": "v9"}),
        ("xtreme", "udpos", "test", "tl", {"name": "udpos.Klingon"}),
        ("xtreme", "udpos", "test", "tl", {"split": "train"}),
    ]
    with mirror(SHARED) as endpoint:
        errors = read_errors(tmp_path / "home", endpoint, tmp_path / "out", requests)
    starts = [
        "error: tasks.mnli.train: dataset nyu-mll/gleu at 'main': the hub has no such repository",
        "error: tasks.mnli.train: dataset nyu-mll/glue at 'v9': the hub has no such revision",
        "error: xtreme.udpos.test: google/xtreme has no config 'udpos.Klingon' (name); it has udpos.",
        "error: xtreme.udpos.test: google/xtreme (udpos.Tagalog) has no split 'train'; it has test",
    ]
    assert [line[: len(start)] for line, start in zip(errors, starts, strict=True)] == starts


@pytest.mark.slow
def test_cached_rows_of_an_older_commit_are_not_used_when_the_hub_fails(tmp_path: Path):
    file = tmp_path / "hub/datasets/a/b/all/train/0000.parquet"
    file.parent.mkdir(parents=True)
    facts = {"path": "a/b", "name": "all", "columns": {name: name for name in load_rows("pair").schema.names}}
    requests: list[Request] = [("tasks", "mnli", "train", "en", facts)]
    pq.write_table(pa.table(nli_rows(0)), file)
    with mirror(tmp_path / "hub") as endpoint:
        read_files(tmp_path / "home", endpoint, tmp_path / "old", requests)
    pq.write_table(pa.table(nli_rows(0, 1, 2)), file)
    with mirror(tmp_path / "hub", "--fail-every", "1") as endpoint:
        (message,) = read_errors(tmp_path / "home", endpoint, tmp_path / "new", requests)
    assert "dataset a/b, file all/train/0000.parquet: failed after 5 attempts (the hub answered 503)" in message


@pytest.mark.slow
def test_text_and_translated_pairs_are_read_from_one_config_per_language(tmp_path: Path):
    root = tmp_path / "hub/datasets"
    for code in ("de", "sw"):
        texts = pa.table({"id": ["1", "2", "3"], "text": [f"{code} {i}" for i in range(3)]})
        pairs = pa.table({"premise": [code] * 2, "hypothesis": ["b"] * 2, "label": [0, 2]})
        for place, table in ((f"wikimedia/wikipedia/20231101.{code}", texts), (f"facebook/xnli/{code}", pairs)):
            (root / place / "train").mkdir(parents=True)
            pq.write_table(table, root / place / "train/0000.parquet")
    requests: list[Request] = [
        ("tasks", "mlm", "train", "en", {"each": ["de", "sw"], "split": "train[1:3]"}),
        ("tasks", "mnli_translated", "train", "en", {"each": ["sw", "de"]}),
    ]
    with mirror(tmp_path / "hub") as endpoint:
        files = read_files(tmp_path / "home", endpoint, tmp_path / "out", requests)
    text, translated = (
        pq.read_table(pa.BufferReader(files[f"{task}-train-en.parquet"])) for task in ("mlm", "mnli_translated")
    )
    assert text["text"].to_pylist() == ["de 1", "de 2", "sw 1", "sw 2"]
    assert translated["text_a"].to_pylist() == ["sw", "sw", "de", "de"]
    assert translated["label"].to_pylist() == ["entailment", "contradiction"] * 2


@pytest.mark.slow
def test_only_the_files_that_hold_the_rows_are_downloaded(tmp_path: Path):
    folder = tmp_path / "hub/datasets/wikimedia/wikipedia/20231101.de/train"
    folder.mkdir(parents=True)
    for number in range(4):
        texts = [f"{number} {i}" for i in range(3)]
        pq.write_table(pa.table({"id": texts, "text": texts}), folder / f"000{number}.parquet")
    facts = {"each": ["de"], "split": "train[2:5]"}
    with mirror(tmp_path / "hub") as endpoint:
        files = read_files(tmp_path / "home", endpoint, tmp_path / "out", [("tasks", "mlm", "train", "en", facts)])
    text = pq.read_table(pa.BufferReader(files["mlm-train-en.parquet"]))["text"].to_pylist()
    assert text == ["0 2", "1 0", "1 1"]
    assert sorted({path.name for path in (tmp_path / "home").rglob("*.parquet")}) == ["0000.parquet", "0001.parquet"]


BUILD = """
import json, sys
from pathlib import Path
from stiltwalk.utils.errors import InputError
from stiltwalk.data.hub.encoder import build
from stiltwalk.models.resume import Resume

for out, path in zip(sys.argv[1::2], sys.argv[2::2]):
    Path(out).mkdir()
    try:
        params = {"source": "hub", "path": path, "revision": "main"}
        print(json.dumps(build(Path(out), params, Resume("encoder", params, (), []))))
    except InputError as error:
        print(f"error: {error}")
"""


@pytest.mark.slow
def test_the_encoder_is_the_checkpoint_without_its_language_model_head(toy_folder: Path, tmp_path: Path):
    models = tmp_path / "hub/models/toy"
    torch.manual_seed(1)
    model = XLMRobertaForMaskedLM(AutoConfig.from_pretrained(toy_folder)).half()
    tokenizer = AutoTokenizer.from_pretrained(toy_folder)
    model.save_pretrained(models / "safe")
    tokenizer.save_pretrained(models / "safe")
    (models / "safe/README.md").write_text("---\nlicense: mit\n---\n")
    model.config.save_pretrained(models / "pickled")
    torch.save(model.state_dict(), models / "pickled/pytorch_model.bin")
    outs = [tmp_path / "first", tmp_path / "second", tmp_path / "pickled"]
    paths = ["toy/safe", "toy/safe", "toy/pickled"]
    arguments = [argument for pair in zip(outs, paths, strict=True) for argument in pair]
    with mirror(tmp_path / "hub") as endpoint:
        first, second, error = client(tmp_path / "home", endpoint, BUILD, *arguments).stdout.splitlines()
    assert error.startswith("error: encoder: toy/pickled has no model.safetensors, and pickled weights are not read")
    facts = json.loads(first)
    assert first == second and (facts["path"], facts["license"], facts["layers"]) == ("toy/safe", "mit", 2)
    written = {file.name: file.read_bytes() for file in outs[0].iterdir()}
    assert written == {file.name: file.read_bytes() for file in outs[1].iterdir()}
    assert not any(str(tmp_path).encode() in content for content in written.values())
    loaded, report = AutoModel.from_pretrained(outs[0], add_pooling_layer=False, output_loading_info=True)
    assert not report["missing_keys"] and not report["unexpected_keys"]
    weights = loaded.state_dict()
    assert all(value.dtype == torch.float32 for value in weights.values())
    body = model.roberta.float().state_dict()
    assert set(weights) == set(body) and all(torch.equal(weights[name], body[name]) for name in body)
    text = "the red cat sees Anna ."
    assert AutoTokenizer.from_pretrained(outs[0])(text) == tokenizer(text)


def test_a_full_disk_is_not_retried():
    attempts = []

    def fill_the_disk() -> None:
        attempts.append(1)
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        fetch._retry("a file", fill_the_disk)
    assert len(attempts) == 1
