"""What the report says about the data."""

from stiltwalk.report.data_notes import data_notes, describe_source


def test_notes_say_where_rows_come_from_and_how_many_were_dropped():
    part = {"path": "a/b", "sha": "0123456789abcdef", "license": "mit", "rows_published": 9, "rows_read": 7}
    train = part | {"dropped": {"unlabelled": 2}, "reanchored": 1}
    source = {
        "notes": ["Old things among the new."],
        "train": {"parts": [train, train], "rows_used": 5},
        "test": {"de": part | {"rows_published": 7, "rows_used": 4, "dropped": {}}},
    }
    assert describe_source(source) == [
        "Old things among the new.",
        "Source: a/b at 0123456789ab (mit)",
        "Rows read: 21",
        "Rows used: 9",
        "Answers re-anchored: 2",
        "Rows dropped: 4 (unlabelled)",
        "Parts whose row count differs from the published one: 2 of 3",
    ]


def test_tasks_with_the_same_notes_share_them():
    world, local = {"train": {"rows_used": 5}}, {"train": {"path": "data/own/ccg/train.tsv", "rows_used": 5}}
    assert data_notes({"mnli": world, "ccg": local, "squad": world}) == [
        {
            "names": ["mnli", "squad"],
            "lines": [
                "Source: the generated world; results on it do not generalise to human languages",
                "Rows used: 5",
            ],
        },
        {"names": ["ccg"], "lines": ["Source: local files in data/own", "Rows used: 5"]},
    ]
