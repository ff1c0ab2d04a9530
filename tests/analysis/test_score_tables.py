"""Tables of scores in CSV files."""

import json
import re
from pathlib import Path

import pandas as pd
import pytest

from simulate import KINDS, THREE, simulate_all_orders
from stiltwalk.analysis.tables import SCORES, ScoreTables, read_tables
from stiltwalk.report.study import Options, build_study_of_tables
from stiltwalk.utils.errors import InputError

GOOD = "order,seed,target,score\na>b,1,x,50\na>b,2,x,51\nb>a,1,x,52\nb>a,2,x,53.5\n,1,x,40\nnone,2,x,41\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "scores.csv"
    path.write_text(GOOD)
    return path


def make_tables() -> ScoreTables:
    scores, validation = simulate_all_orders(controls=["", "mnli"], seed_sd=1, noise_sd=0.123)
    scores["flag"] = ["diverged" if row.seed == 3 and row.target == "xnli" else "" for row in scores.itertuples()]
    scores["target_kind"] = scores["target"].map(KINDS)
    scores["last_kind"] = [KINDS.get(order.rpartition(",")[2], "") for order in scores["order"]]
    return ScoreTables(scores[list(SCORES)], validation)


def test_a_table_that_was_written_gives_the_same_statistics_to_the_last_digit(tmp_path):
    tables = make_tables()
    tables.write(tmp_path)
    again = read_tables(tmp_path / "scores.csv", tmp_path / "validation.csv")
    one, other = (build_study_of_tables(each, [], Options()).statistics for each in (tables, again))
    assert json.dumps(one) == json.dumps(other)
    assert one["design"]["tasks"] == sorted(THREE) and one["recency"]["targets"]["xquad"]["own_kind"] == ["squad"]
    assert one["sensitivity"]["without_flagged"]["scores_left_out"] == 6


def test_a_plain_table_needs_neither_languages_nor_kinds(file):
    tables = read_tables(file, None, ">")
    assert tables.orders == [("a", "b"), ("b", "a"), ()] and tables.language_means == {}
    statistics = build_study_of_tables(tables, [], Options()).statistics
    assert statistics["design"]["tasks"] == ["a", "b"] and statistics["recency"]["targets"] == {}
    assert statistics["variance"]["targets"]["x"]["p"] is not None


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "score\n",
            "points\n",
            r"has no column 'score' \(its first line is 'order,seed,target,points'\); it needs ",
        ),
        ("b>a,1,x,52", "b>a,1,x,high", r"scores.csv:4: score is 'high'; it must be a number with a point; leave out "),
        ("b>a,1,x,52", "b>a,1,x,nan", r"scores.csv:4: score is 'nan'; it must be a number with a point; leave out "),
        ("b>a,1,x,52", "b>a,one,x,52", r"scores.csv:4: seed is 'one'; it must be a whole number$"),
        ("b>a,1,x,52", "b>a,1,,52", r"scores.csv:4: target is empty; name the target$"),
        ("b>a,1,x,52", "b>>a,1,x,52", r"scores.csv:4: order is 'b>>a', in which the name of a task is empty; name it$"),
        ("b>a,1,x,52", '"b,a",1,x,52', r"scores.csv:4: order is 'b,a'; join its tasks by '>', or use --separator$"),
        ("b>a,1,x,52", "b>a,1,x,52,5", r"scores.csv:4 does not have 4 fields as the first line has; quote commas$"),
        ("b>a,1,x,52", "b>a,1,x,520", r"scores.csv:4: score is 520.0; scores are from 0 to 100$"),
        (
            GOOD,
            re.sub(r",(\d\d)(\.5)?\n", r",0.\1\n", GOOD),
            r"scores.csv has no score above 1; scores are from 0 to 100, so multiply them by 100$",
        ),
        (",", ";", r"has no column 'order' \(its first line is 'order;seed;target;score'\); .*, separated by commas$"),
        (
            "b>a,1,x,52",
            "a>b,1,x,52",
            r"scores.csv:4: the score of order a,b, seed 1, target x is also on line 2; remove one$",
        ),
        ("b>a,", "c,", r"scores.csv has 1 order of several tasks, and a comparison needs two; "),
        (",2,x", ",1,x", r"is also on line"),
        (GOOD, "", r"scores.csv has no column 'order' \(its first line is ''\); it needs the columns order, seed, "),
        (GOOD, "order,seed,target,score\n", r"scores.csv has no rows; it needs one for every order, seed and target$"),
    ],
)
def test_bad_tables_end_in_one_line(file, old, new, message):
    file.write_text(GOOD.replace(old, new))
    with pytest.raises(InputError, match=message) as error:
        read_tables(file, None, ">")
    assert "\n" not in str(error.value)


def test_one_seed_cannot_be_analysed(file):
    table = pd.read_csv(file, keep_default_na=False)
    table[table.seed == 1].to_csv(file, index=False)
    with pytest.raises(InputError, match=r"scores.csv has only the seed 1, which cannot tell an effect of order from"):
        read_tables(file, None, ">")


def test_a_file_that_is_no_table_ends_in_one_line(tmp_path):
    with pytest.raises(InputError, match=r"absent.csv cannot be read: No such file or directory$"):
        read_tables(tmp_path / "absent.csv", None)
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match=r"binary.csv is not a CSV file in UTF-8 \(.*\); save it as one$"):
        read_tables(tmp_path / "binary.csv", None)


def test_orders_that_share_no_checkpoints_are_one_stratum():
    tables = make_tables()
    shared, independent = (
        build_study_of_tables(tables, [], Options(independent=flag)).statistics["variance"]["targets"]["xnli"]["p"]
        for flag in (False, True)
    )
    assert shared != independent


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("x,", "y,", r"validation.csv has the target 'y', which .*scores.csv lacks; rename or remove it$"),
        (",2,", ",5,", r"validation.csv has the seed 5, which .*scores.csv lacks; rename or remove it$"),
        ("b>a", "b>c", r"validation.csv has the order 'b,c', which .*scores.csv lacks; rename or remove it$"),
    ],
)
def test_validation_scores_that_fit_no_row_of_the_scores_are_refused(file, old, new, message):
    validation = file.with_name("validation.csv")
    validation.write_text(GOOD.replace(old, new))
    with pytest.raises(InputError, match=message):
        read_tables(file, validation, ">")


@pytest.mark.parametrize("flag", ["0", "False", "no"])
def test_a_flag_says_what_is_wrong(file, flag):
    table = pd.read_csv(file, keep_default_na=False)
    table.assign(flag=flag).to_csv(file, index=False)
    with pytest.raises(InputError, match=rf"scores.csv:2: flag is '{flag}'; say what is wrong, or leave it empty$"):
        read_tables(file, None, ">")
