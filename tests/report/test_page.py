"""The page on a study: complete, self-contained, and the same bytes for the same study."""

import json
import re
import shutil
import subprocess
from html import escape, unescape
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from matplotlib.image import imread

from stiltwalk.report.figure import Figure
from stiltwalk.report.page import write_report
from studies import TARGETS, THREE, make_large_effects, make_small_study, make_study

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def write_page(study: dict[str, Any], folder: Path) -> str:
    write_report(study, folder)
    return (folder / "index.html").read_text(encoding="utf-8")


def visible_text(page: str) -> str:
    return unescape(re.sub(r"<(style|svg).*?</\1>|<[^>]*>", " ", page.replace("<wbr>", ""), flags=re.S))


@pytest.fixture(scope="module")
def study() -> dict[str, Any]:
    position = {"mnli": [0, 0, 0], "squad": [0, 0, 3], "hellaswag": [0, 0, -1]}
    return make_small_study(position=position, noise_sd=0.3)


@pytest.fixture(scope="module")
def folder(study: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page")
    write_report(study, folder)
    return folder


@pytest.fixture
def without_drawing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures are composed but not drawn, which takes most of the time."""
    monkeypatch.setattr(
        Figure, "write", lambda self, _: f'<svg role="img" aria-label="{escape(self.alt, quote=True)}"></svg>'
    )


def check_page(page: str) -> None:
    assert not re.search(r"\b(nan|inf|None|NaN)\b", re.sub("<style.*?</style>", "", page, flags=re.S))
    assert "http" not in page and not re.search(r"\b(src|srcset)=|@import|url\((?!#)", page)
    assert page.count("<h1") == 1 and page.count("<caption") == page.count("<table")
    ids = re.findall(r'\bid="([^"]*)"', page)
    assert len(ids) == len(set(ids)) and set(re.findall(r'(?:href="|url\()#([\w-]+)', page)) <= set(ids)
    assert not re.search(r"#[0-9a-f]{6}", re.sub("<style.*?</style>", "", page, flags=re.S))  # no colour for one mode
    assert page.count("<svg") == page.count('role="img"') == len(re.findall('role="img" aria-label="[^"]', page))


def test_the_page_shows_every_order_and_target(study, folder):
    page = (folder / "index.html").read_text(encoding="utf-8")
    text = visible_text(page)
    check_page(page)
    for entry in study["orders"]:
        assert (" → ".join(entry["steps"]) or "none (baseline)") in text
    assert ">xnli<" in page and ">tatoeba<" in page
    assert "Three tasks & their <orders>" in text and "diverged at 1-mnli" in text and "Rows read: 392,702" in text
    assert "Order matters: its effect on both targets together is significant (p\xa0" in text
    assert re.search(r"xnli\s+†\s+\(leak: mnli\)", text) and "training or test rows (xnli: mnli)" in text


def test_figures_have_alternative_texts(folder):
    page = (folder / "index.html").read_text(encoding="utf-8")
    alts = re.findall('role="img" aria-label="([^"]*)"', page)
    assert len(alts) == page.count("<figure") == 4
    assert alts[0].startswith(
        "Tree of 6 orders and 3 controls, each with its test score (mean over targets). The highest"
    )
    assert alts[1].startswith(
        "Forest plot of 27 effects of a task&#x27;s position, by target. Intervals that exclude zero:"
    )
    assert alts[2].startswith("Bars of variance shares by target. Between orders: all 9")
    assert alts[3].startswith(
        "Tatoeba accuracy at the best hidden state over the steps: mnli → squad → hellaswag from 6"
    )


def test_files_have_the_numbers_of_the_study(study, folder):
    scores = pd.read_csv(folder / "tables/orders.csv", keep_default_na=False).set_index(["order", "target"])
    for entry in study["orders"]:
        for target, score in entry["scores"].items():
            row = scores.loc[(",".join(entry["steps"]), target), ["mean", "sd", "n", "low", "high"]]
            assert row.astype(float).to_dict() == score
    languages = pd.read_csv(folder / "tables/languages-xnli.csv", keep_default_na=False)
    assert len(languages) == 9 * 3
    for row in languages.itertuples():
        assert study["languages"]["xnli"][row.order][row.language] == row.score
    effects = pd.read_csv(folder / "tables/positions.csv").set_index(["target", "task", "position"])
    assert effects.loc[("xnli", "squad", "last")].to_dict() == study["positions"]["xnli"]["tasks"]["squad"]["last"]
    latex = (folder / "tables/orders.tex").read_text()
    assert "mnli $\\rightarrow$ squad $\\rightarrow$ hellaswag & " in latex and "\\toprule" in latex
    assert "order & all & xnli$^\\dagger$ & tatoeba" in latex and "leak" in latex
    figures = {path.stem for path in (folder / "figures").glob("*.png")}
    assert figures == {path.stem for path in (folder / "figures").glob("*.svg")}
    assert figures >= {
        "trie",
        "positions",
        "variance",
        "languages-xnli",
        "retention",
        "trajectories",
        "tau",
    }


def test_carry_over_is_shown_where_the_orders_tell_it_from_position(tmp_path, without_drawing):
    study = make_study([*THREE, "qqp"], targets=["xnli"], n_languages=2)
    page = write_page(study, tmp_path)
    check_page(page)
    assert "table-carry_over" in page and "fitted jointly" in visible_text(page)
    page = write_page(make_small_study(), tmp_path)
    assert "table-carry_over" not in page
    assert "These orders cannot tell carry-over from position." in visible_text(page)


def test_the_same_study_gives_the_same_bytes_and_old_files_are_removed(study, folder, tmp_path):
    for name in ("figures/old.png", "tables/old.csv"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).touch()
    write_report(study, tmp_path)
    files = [{path.relative_to(f): path.read_bytes() for path in f.rglob("*.*")} for f in (folder, tmp_path)]
    assert files[0] == files[1]


def test_a_single_run_makes_no_claim(tmp_path, without_drawing):
    study = make_study(orders=["mnli,squad,hellaswag"], seeds=[42])
    page = write_page(study | {"retention": [], "trajectory": [], "runs": [], "notes": []}, tmp_path)
    text = visible_text(page)
    check_page(page)
    assert "cannot yet tell" in text and "1 order of all the tasks" in text and text.count("1 seed") == 1
    assert "★" not in text and "<figure" not in page
    tables = {path.stem for path in (tmp_path / "tables").glob("*.csv")}
    assert tables == {"orders", "settings", *(f"languages-{target}" for target in TARGETS)}


@pytest.mark.parametrize(
    ("keep", "sentence"),
    [
        (lambda table: table.query("seed == 1"), "These experiments cannot yet tell whether order matters."),
        (lambda table: table.query("seed < 3"), "With two seeds the intervals are too wide to be useful"),
        (
            lambda table: table if "language" in table else table[:0],
            "No order can be selected because there are no val",
        ),
        (lambda table: table.query("target == 'xnli'"), "Its effect on xnli is not significant (p"),
        (
            lambda table: table.query("order != '' and not (target == 'xnli' and seed == 2)"),
            "8 of 48 scores are missing",
        ),
        (
            lambda table: table.sample(frac=0.7, random_state=1),
            "Its effect on tatoeba, the only target that can be tested, is not significant",
        ),
        (lambda table: table.query("order in ('', 'mnli')"), "0 orders of all the tasks"),
    ],
    ids=["one seed", "two seeds", "no validation", "one target", "missing cells", "many missing cells", "no orders"],
)
def test_incomplete_studies_say_what_is_missing(keep, sentence, tmp_path, without_drawing):
    optional = {"runs", "notes", "retention", "trajectory", "settings"}
    study = make_small_study(keep=keep)
    page = write_page({name: study[name] for name in study.keys() - optional}, tmp_path)
    check_page(page)
    assert sentence in visible_text(page)


@pytest.mark.parametrize("orders", [None, ["mnli,squad,hellaswag", "squad,hellaswag,mnli", "hellaswag,mnli,squad"]])
def test_with_one_seed_the_page_says_so_once_and_shows_no_uncertainty(orders, tmp_path, without_drawing):
    study = make_study(orders=orders, controls=["", "mnli"], seeds=[42], n_languages=3)
    page = write_page(study, tmp_path)
    text = visible_text(page)
    check_page(page)
    assert text.count("1 seed") == 1
    assert not re.search(r"Kendall|interval|\bsd\b|over seeds|estimable|±|\* ", text)
    for section in re.findall("<section id=(?!.answer|.reading|.data).*?</section>", page, re.S):
        assert "<table" in section or "<figure" in section
    for table in re.findall("<table.*?</table>", page, re.S):
        rows = [re.findall("<td[^>]*>(.*?)</td>", row) for row in table.split("<tr")]
        assert all(set(column) - {"–", ""} for column in zip(*filter(None, rows), strict=True))


def test_statistics_that_need_more_orders_are_left_out(tmp_path, without_drawing):
    orders = ["mnli,squad,hellaswag", "squad,hellaswag,mnli", "hellaswag,mnli,squad"]
    two, three = (make_study(orders=orders[:number], n_languages=2) for number in (2, 3))
    assert two["recency"]["targets"]["xnli"]["share_by_chance"] == 1
    page = write_page(two, tmp_path)
    assert "table-orders" in page and not re.search("table-(recency|agreement|tau)", page)
    assert "These orders cannot show whether the kind of the last task matters." in visible_text(page)
    page = write_page(three, tmp_path)
    assert "Kendall's W and tau need at least 5 orders" in visible_text(page)
    assert "table-recency" in page and "table-tau" not in page


MEASURE = """
console.log("errors are seen")
const size = element => element.getBoundingClientRect()
onload = () => {
  const pages = [...document.querySelectorAll("iframe")].map(frame => frame.contentDocument)
  document.title = JSON.stringify(pages.map(page => ({
    width: page.documentElement.scrollWidth,
    figures: [...page.querySelectorAll("figure svg > g")].map(size).map(box => Math.min(box.width, box.height)),
  })))
}
"""


def run_browser(*arguments: str, profile: Path) -> subprocess.CompletedProcess[str]:
    flags = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    quiet = "--disable-component-update --disable-sync --hide-scrollbars --enable-logging=stderr --v=0"
    command = [str(CHROMIUM), *flags.split(), *quiet.split(), f"--user-data-dir={profile}", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no chromium, chromium-browser or google-chrome on PATH")
def test_a_browser_shows_the_page_in_full_on_a_phone_and_in_dark_mode(tmp_path: Path):
    page = write_page(make_large_effects(), tmp_path)
    # A window is at least 500 pixels wide, a frame may be narrower.
    frames = "".join(f'<iframe srcdoc="{escape(page)}" style="width:{w}px;height:900px"></iframe>' for w in (360, 1280))
    probe = tmp_path / "probe.html"
    probe.write_text(f"<!doctype html><title></title><script>{MEASURE}</script>{frames}", encoding="utf-8")
    result = run_browser("--dump-dom", probe.as_uri(), profile=tmp_path / "probe")
    assert result.stderr.count("CONSOLE") == 1 and "errors are seen" in result.stderr
    sizes = json.loads(unescape(re.search("<title>(.*?)</title>", result.stdout)[1]))  # type: ignore[index]
    assert [frame["width"] for frame in sizes] == [360, 1280]
    for frame in sizes:
        assert len(frame["figures"]) == page.count("<figure") == 4 and min(frame["figures"]) > 100
    for mode, setting in {"dark": 0, "light": 1}.items():
        for width in (390, 1280):
            screenshot = tmp_path / f"{mode}-{width}.png"
            result = run_browser(
                f"--blink-settings=preferredColorScheme={setting}",
                f"--window-size={width},3000",
                f"--screenshot={screenshot}",
                (tmp_path / "index.html").as_uri(),
                profile=tmp_path / f"profile-{mode}-{width}",
            )
            assert "CONSOLE" not in result.stderr
            background = imread(screenshot)[2, 2, :3].mean()
            assert background < 0.2 if mode == "dark" else background > 0.9
