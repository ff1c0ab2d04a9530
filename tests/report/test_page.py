"""The page on a sweep: whole, honest where there is little, the same bytes for the same study."""

import json
import re
import shutil
import subprocess
from html import escape, unescape
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.image import imread
from simulate import simulate

from stiltwalk.analysis.effects import order_effects
from stiltwalk.report.drawing import Figure
from stiltwalk.report.looks import Names
from stiltwalk.report.page import write_report
from stiltwalk.report.tables import measures, standing
from stiltwalk.report.words import answer
from stiltwalk.scoring.retention import retention_measures

THREE = ["mnli", "squad", "hellaswag"]
NINE = ["anli_plus", "mnli", "qqp", "squad", "squad2", "hellaswag", "ccg", "cosmosqa", "commonsenseqa"]
TARGETS = ["xnli", "pawsx", "udpos", "panx", "xquad", "mlqa", "tydiqa", "bucc2018", "tatoeba"]
KINDS = dict.fromkeys([*NINE, *TARGETS], "pair") | {"squad": "qa", "squad2": "qa", "xquad": "qa", "mlqa": "qa"}
KINDS |= {"hellaswag": "choice", "udpos": "tagging", "panx": "tagging", "ccg": "tagging", "null": "pair"}
LANGUAGES = (
    "ar bg de el en es fr hi ru sw th tr ur vi zh eu fi fa he hu id it ja jv ka kk ko ml mr ms my nl pt ta te tl"
)
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def a_study(tasks=THREE, orders=None, controls=(), seeds=(1, 2, 3), targets=TARGETS, languages=8, keep=None, **effects):
    """A sweep with effects, as metrics/order_effects.json has it."""
    orders = orders or [",".join(order) for order in permutations(tasks)]
    rng = np.random.default_rng(0)
    codes = LANGUAGES.split()[:languages]
    scores, validation = simulate(tasks, [*orders, *controls], seeds, targets, codes, rng=rng, **effects)
    if keep:
        scores, validation = keep(scores), keep(validation)
    means = scores.groupby(["target", "order", "language"], sort=False)["score"].mean().round(6)
    trained = [order.split(",") for order in dict.fromkeys(scores["order"]) if order]
    found = order_effects(scores, validation, tasks, KINDS, draws=199)
    found["design"]["targets"].sort(key=TARGETS.index)
    several = len(found["design"]["seeds"]) > 1
    leaks = {target: ["squad" if target in ("xquad", "mlqa") else "mnli"] for target in ("xnli", "xquad", "mlqa")}
    return found | {
        "leaks": {target: leaks[target] for target in found["design"]["targets"] if target in leaks},
        "title": "Three tasks & their <orders>",
        "settings": {"scale": "mini", "encoder": "xlm-roberta-base", "training.epochs": 3},
        "experiments": scores[["order", "seed"]].drop_duplicates().shape[0],
        "languages": {
            target: {order: of.droplevel([0, 1]).to_dict() for order, of in table.groupby(level="order", sort=False)}
            for target, table in means.groupby(level="target", sort=False)
        },
        "retention": [retained(order, rng, several) for order in trained],
        "trajectory": [
            {
                "order": order,
                "checkpoints": ["0-encoder", *numbered(order)],
                "layers": [
                    [round(60 - 3 * i + 2 * k + rng.normal(), 2) for k in range(4)] for i in range(len(order) + 1)
                ],
            }
            for order in trained
        ],
        "runs": [{"name": "tawny-ibex", "order": trained[0], "seed": 1, "flags": ["diverged at 1-mnli"]}],
        "notes": [{"names": ["mnli", "xnli"], "lines": ["from a/b at 0123456789ab (mit)", "rows read: 392,702"]}],
    }


def numbered(order: list[str]) -> list[str]:
    return [f"{position}-{step}" for position, step in enumerate(order, start=1)]


def retained(order: list[str], rng: np.random.Generator, several: bool) -> dict[str, Any]:
    size = len(order)
    matrix = [[round(90 - 3 * (i - j) + rng.normal(), 2) if j <= i else None for j in range(size)] for i in range(size)]
    measures = retention_measures(matrix, [88.0] * size)
    told = {
        name: value if value is None else {"mean": value, "sd": 0.4 if several else None}
        for name, value in measures.items()
    }
    return {"order": order, "steps": numbered(order), "matrix": matrix, "measures": told}


def usual() -> dict[str, Any]:
    last = {"mnli": [0, 0, 0], "squad": [0, 0, 1.5], "hellaswag": [0, 0, -0.5]}
    controls = ["", *THREE, "mnli+squad+hellaswag", "null"]
    return a_study(controls=controls, position=last, seed_sd=0.4, noise_sd=0.5)


def many() -> dict[str, Any]:
    rng = np.random.default_rng(1)
    orders = [",".join(rng.permutation(NINE)) for _ in range(40)]
    return a_study(NINE, orders, ["", *NINE, "+".join(NINE)], languages=40, order_sd=0.5, seed_sd=0.4)


def lone() -> dict[str, Any]:
    return a_study(orders=["mnli,squad,hellaswag"], seeds=[42])


def few(**options: Any) -> dict[str, Any]:
    return a_study(controls=["", "mnli", "mnli+squad+hellaswag"], targets=["xnli", "tatoeba"], languages=3, **options)


def written(study: dict[str, Any], folder: Path) -> str:
    write_report(study, folder)
    return (folder / "index.html").read_text(encoding="utf-8")


def read(page: str) -> str:
    """What is read in a page."""
    return unescape(re.sub(r"<(style|svg).*?</\1>|<[^>]*>", " ", page.replace("<wbr>", ""), flags=re.S))


@pytest.fixture(scope="module")
def study() -> dict[str, Any]:
    return few(position={"mnli": [0, 0, 0], "squad": [0, 0, 3], "hellaswag": [0, 0, -1]}, noise_sd=0.3)


@pytest.fixture(scope="module")
def folder(study, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("page")
    write_report(study, folder)
    return folder


@pytest.fixture
def undrawn(monkeypatch) -> None:
    """Figures are composed but not drawn, which takes the time."""
    monkeypatch.setattr(Figure, "write", lambda self, _: '<svg role="img" aria-label="ALT"></svg>')


def check(page: str) -> None:
    assert not re.search(r"\b(nan|inf|None|NaN)\b", re.sub("<style.*?</style>", "", page, flags=re.S))
    assert "http" not in page and not re.search(r"\b(src|srcset)=|@import|url\((?!#)", page)
    assert page.count("<h1") == 1 and page.count("<caption") == page.count("<table")
    ids = re.findall(r'\bid="([^"]*)"', page)
    assert len(ids) == len(set(ids)) and set(re.findall(r'(?:href="|url\()#([\w-]+)', page)) <= set(ids)
    assert not re.search(r"#[0-9a-f]{6}", re.sub("<style.*?</style>", "", page, flags=re.S))  # no colour for one mode
    assert page.count("<svg") == page.count('role="img"') and 'aria-label="ALT"' not in page


def test_the_page_holds_every_order_and_target(study, folder):
    page = (folder / "index.html").read_text(encoding="utf-8")
    text = read(page)
    check(page)
    for entry in study["orders"]:
        assert (" → ".join(entry["steps"]) or "none (baseline)") in text
    assert ">xnli<" in page and ">tatoeba<" in page
    assert "Three tasks & their <orders>" in text and "diverged at 1-mnli" in text and "rows read: 392,702" in text
    assert "Order matters over all 2 targets (p\xa0" in text
    assert re.search(r"xnli\s+†\s+\(leak: mnli\)", text) and "training rows (xnli: mnli)" in text


def test_files_hold_the_numbers_of_the_study(study, folder):
    scores = pd.read_csv(folder / "tables/orders.csv", keep_default_na=False).set_index(["order", "target"])
    for entry in study["orders"]:
        for target, found in entry["scores"].items():
            row = scores.loc[(",".join(entry["steps"]), target), ["mean", "sd", "n", "low", "high"]]
            assert row.astype(float).to_dict() == found
    languages = pd.read_csv(folder / "tables/languages-xnli.csv", keep_default_na=False)
    assert len(languages) == 9 * 3
    for row in languages.itertuples():
        assert study["languages"]["xnli"][row.order][row.language] == row.score
    effects = pd.read_csv(folder / "tables/positions.csv").set_index(["target", "task", "position"])
    assert effects.loc[("xnli", "squad", "last")].to_dict() == study["positions"]["xnli"]["tasks"]["squad"]["last"]
    tex = (folder / "tables/orders.tex").read_text()
    assert "mnli $\\rightarrow$ squad $\\rightarrow$ hellaswag & " in tex and "\\toprule" in tex
    assert "order & all & xnli$^\\dagger$ & tatoeba" in tex and "leak" in tex
    drawn = {path.stem for path in (folder / "figures").glob("*.png")}
    assert drawn == {path.stem for path in (folder / "figures").glob("*.svg")}
    assert drawn >= {
        "trie",
        "positions",
        "variance",
        "languages-xnli",
        "retention",
        "trajectories",
        "carry_over",
        "tau",
    }


def test_the_same_study_gives_the_same_bytes_and_what_was_there_is_gone(study, folder, tmp_path):
    for name in ("figures/old.png", "tables/old.csv"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).touch()
    write_report(study, tmp_path)
    files = [{p.relative_to(f): p.read_bytes() for p in f.rglob("*.*")} for f in (folder, tmp_path)]
    assert files[0] == files[1]


def test_a_lone_run_claims_nothing(tmp_path, undrawn):
    page = written(lone() | {"retention": [], "trajectory": [], "runs": [], "notes": []}, tmp_path)
    text = read(page)
    check(page)
    assert "cannot say yet" in text and "1 order of all the tasks" in text and text.count("1 seed") == 1
    assert "★" not in text and "<figure" not in page
    tables = {path.stem for path in (tmp_path / "tables").glob("*.csv")}
    assert tables == {"orders", "settings", *(f"languages-{target}" for target in TARGETS)}


@pytest.mark.parametrize(
    ("keep", "said"),
    [
        (lambda table: table.query("seed == 1"), "cannot say yet"),
        (lambda table: table.query("seed < 3"), "Two seeds give intervals too wide"),
        (lambda table: table if "language" in table else table[:0], "no validation scores to choose"),
        (lambda table: table.query("target == 'xnli'"), "for xnli"),
        (lambda table: table.query("order != '' and not (target == 'xnli' and seed == 2)"), "8 of 48 scores"),
        (lambda table: table.sample(frac=0.7, random_state=1), "are missing"),
        (lambda table: table.query("order in ('', 'mnli')"), "0 orders of all the tasks"),
    ],
    ids=["one seed", "two seeds", "no validation", "one target", "missing cells", "holes", "no orders"],
)
def test_what_is_not_there_is_left_out_or_named(keep, said, tmp_path, undrawn):
    optional = {"runs", "notes", "retention", "trajectory", "settings"}
    study = few(keep=keep)
    page = written({name: study[name] for name in study.keys() - optional}, tmp_path)
    check(page)
    assert said in read(page)


@pytest.mark.parametrize("orders", [None, ["mnli,squad,hellaswag", "squad,hellaswag,mnli", "hellaswag,mnli,squad"]])
def test_with_one_seed_the_page_says_so_once_and_promises_nothing(orders, tmp_path, undrawn):
    study = a_study(orders=orders, controls=["", "mnli"], seeds=[42], languages=3)
    page = written(study, tmp_path)
    text = read(page)
    check(page)
    assert text.count("1 seed") == 1
    assert not re.search(r"Kendall|interval|\bsd\b|over seeds|estimable|±|\* ", text)
    for section in re.findall("<section id=(?!.answer|.reading|.data).*?</section>", page, re.S):
        assert "<table" in section or "<figure" in section
    for table in re.findall("<table.*?</table>", page, re.S):
        rows = [re.findall("<td[^>]*>(.*?)</td>", row) for row in table.split("<tr")]
        assert all(set(column) - {"–", ""} for column in zip(*filter(None, rows), strict=True))


def test_what_few_orders_cannot_tell_is_left_out(tmp_path, undrawn):
    orders = ["mnli,squad,hellaswag", "squad,hellaswag,mnli", "hellaswag,mnli,squad"]
    two, three = (a_study(orders=orders[:number], languages=2) for number in (2, 3))
    assert two["recency"]["targets"]["xnli"]["share_by_chance"] == 1
    page = written(two, tmp_path)
    assert "table-orders" in page and not re.search("table-(recency|agreement|tau)", page)
    page = written(three, tmp_path)
    assert "table-recency" in page and "Kendall's W and tau take 5 orders" in read(page) and "table-tau" not in page


def test_a_sweep_under_way_and_one_too_small_to_show_anything_claim_nothing(tmp_path, undrawn):
    orders = ["mnli,squad,hellaswag", "squad,mnli,hellaswag"]
    study = a_study(orders=orders, controls=[""], languages=2) | {"unfinished": {"finished": 9, "of": 36}}
    text = read(written(study, tmp_path))
    assert "Whether order matters, these experiments cannot say yet." in text
    assert "2 orders with 3 seeds cannot show that the order matters: p is 1/4 at the least; 6 seeds can." in text
    assert "9 of 36 experiments of the last sweep have finished" in text


def test_one_test_answers_whether_order_matters(study):
    """A target's own test, corrected for the number of targets alone, is not another way to the same headline."""
    changed = json.loads(json.dumps(study))
    changed["variance"]["targets"]["all"]["p"] = 0.2
    targets = changed["design"]["targets"]
    for target in targets:
        changed["variance"]["targets"][target]["p_family_wise"] = 0.01
    said, paragraphs = answer(changed, Names([THREE]))
    assert said == f"No effect of order is shown over all {len(targets)} targets (p\u00a0=\u00a00.20)."
    assert any("order matters for every one of them" in paragraph for paragraph in paragraphs)
    assert any("which the luck of runs alone may give" in paragraph for paragraph in paragraphs)


def test_forgetting_is_shown_where_it_is_not_backward_transfer_again():
    def shown(*matrices: list[list[float]]) -> list[str]:
        found = [retention_measures(matrix, [80.0] * 3) for matrix in matrices]
        means = [{name: {"mean": value, "sd": None} for name, value in each.items()} for each in found]
        kept = [{"order": THREE, "measures": each} for each in means]
        return measures({"retention": kept, "design": {"seeds": [1]}}, Names([THREE])).head

    falling, rising = [[90.0], [80.0, 90.0], [75.0, 85.0, 90.0]], [[90.0], [95.0, 90.0], [75.0, 85.0, 90.0]]
    assert "forgetting" not in shown(falling) and "backward transfer" in shown(falling)
    assert "forgetting" in shown(falling, rising)


def test_long_orders_are_abbreviated_with_a_key():
    names = Names([NINE])
    assert names.order(NINE) == "an › mn › qq › sq › s2 › he › cc › co › cm"
    assert "s2 squad2" in names.key and names.order(["squad2"]) == "squad2" and Names([THREE]).key == ""


def test_a_score_equal_to_the_best_in_print_only_is_not_the_best():
    top = {"mean": 70.04, "low": 69.0, "high": 71.08}
    assert [standing(mean, top, False) for mean in (70.04, 70.03, 68.9)] == ["★", "≈", ""]
    assert [standing(mean, top, True) for mean in (70.05, 69.0, 68.9)] == ["▲", "≈", ""]
    assert standing(70.03, top | {"low": None}, False) == ""


MEASURE = """
console.log("errors are seen")
const size = element => element.getBoundingClientRect()
onload = () => {
  const pages = [...document.querySelectorAll("iframe")].map(frame => frame.contentDocument)
  document.title = JSON.stringify(pages.map(page => ({
    wide: page.documentElement.scrollWidth,
    figures: [...page.querySelectorAll("figure svg > g")].map(size).map(box => Math.min(box.width, box.height)),
  })))
}
"""


def browser(*arguments: str, profile: Path) -> subprocess.CompletedProcess[str]:
    flags = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    quiet = "--disable-component-update --disable-sync --hide-scrollbars --enable-logging=stderr --v=0"
    command = [str(CHROMIUM), *flags.split(), *quiet.split(), f"--user-data-dir={profile}", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no chromium, chromium-browser or google-chrome on PATH")
def test_a_browser_shows_it_whole_on_a_phone_and_in_the_dark(tmp_path: Path):
    page = written(usual(), tmp_path)
    # Windows are no narrower than 500 pixels, frames are.
    frames = "".join(f'<iframe srcdoc="{escape(page)}" style="width:{w}px;height:900px"></iframe>' for w in (360, 1280))
    probe = tmp_path / "probe.html"
    probe.write_text(f"<!doctype html><title></title><script>{MEASURE}</script>{frames}", encoding="utf-8")
    seen = browser("--dump-dom", probe.as_uri(), profile=tmp_path / "probe")
    assert seen.stderr.count("CONSOLE") == 1 and "errors are seen" in seen.stderr
    sizes = json.loads(unescape(re.search("<title>(.*?)</title>", seen.stdout)[1]))  # type: ignore[index]
    assert [frame["wide"] for frame in sizes] == [360, 1280]
    for frame in sizes:
        assert len(frame["figures"]) == page.count("<figure") == 4 and min(frame["figures"]) > 100
    for name, number in {"dark": 0, "light": 1}.items():
        for width in (390, 1280):
            shot = tmp_path / f"{name}-{width}.png"
            seen = browser(
                f"--blink-settings=preferredColorScheme={number}",
                f"--window-size={width},3000",
                f"--screenshot={shot}",
                (tmp_path / "index.html").as_uri(),
                profile=tmp_path / f"profile-{name}-{width}",
            )
            assert "CONSOLE" not in seen.stderr
            ground = imread(shot)[2, 2, :3].mean()
            assert ground < 0.2 if name == "dark" else ground > 0.9
