"""A table as people read it, in the page and in LaTeX, and the numbers behind it, in CSV."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd

TEX = {
    "\\": r"\textbackslash{}",
    **{character: f"\\{character}" for character in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "\u00a0": "~",
    "→": r"$\rightarrow$",
    "›": r"$\rightarrow$",
    "−": "$-$",
    "–": "--",
    "±": r"$\pm$",
    "×": r"$\times$",
    "<": "$<$",
    ">": "$>$",
    "★": r"$\star$",
    "≈": r"$\approx$",
    "▲": r"$\triangle$",
    "†": r"$^\dagger$",
}


@dataclass(frozen=True)
class Cell:
    """What stands in a cell: a text, a smaller one below it, a mark beside it, and its class in the page."""

    text: str
    small: str = ""
    mark: str = ""
    style: str = ""


Row = tuple[str, list[Cell]]


@dataclass(frozen=True)
class Table:
    """A table: rows in groups, each with a title or "", and the numbers behind it, one a row.

    `head` has a name for every column, that of the row labels first. Columns with a cell of style "word" are aligned to
    the left. `limit` is the value, either side of zero, at which the colours of a heat map end; `tiles` says that the
    page may show the groups side by side. `daggers` are what a † beside a column's name stands for, by its name.
    """

    name: str
    caption: str
    head: list[str]
    groups: list[tuple[str, list[Row]]]
    records: list[dict[str, Any]]
    limit: float | None = None
    tiles: bool = False
    daggers: Mapping[str, str] = field(default_factory=dict)

    @property
    def align(self) -> list[str]:
        """`word` or "" for every column."""
        rows = [cells for _, rows in self.groups for _, cells in rows]
        return [
            "word",
            *("word" if any(c.style == "word" for c in column) else "" for column in zip(*rows, strict=True)),
        ]

    def trimmed(self) -> "Table":
        """Without the columns that say nothing in any row; the numbers in CSV stay."""
        rows = [cells for _, rows in self.groups for _, cells in rows]
        kept = [i for i, column in enumerate(zip(*rows, strict=True)) if any(c.text not in ("", "–") for c in column)]
        groups = [(title, [(label, [cells[i] for i in kept]) for label, cells in rows]) for title, rows in self.groups]
        return replace(self, head=[self.head[0], *(self.head[i + 1] for i in kept)], groups=groups)

    @property
    def frame(self) -> pd.DataFrame:
        """The numbers, none of them changed."""
        return pd.DataFrame(self.records, dtype=object)

    def write(self, folder: Path) -> None:
        """<name>.csv, the numbers, and <name>.tex, the table for booktabs."""
        folder.mkdir(parents=True, exist_ok=True)
        self.frame.to_csv(folder / f"{self.name}.csv", index=False, lineterminator="\n")
        (folder / f"{self.name}.tex").write_text(self.tex(), encoding="utf-8")

    def tex(self) -> str:
        lines = ["% \\usepackage{booktabs}", f"% {' '.join(self.caption.split())}"]
        lines += [f"\\begin{{tabular}}{{{''.join('l' if a else 'r' for a in self.align)}}}", "\\toprule"]
        lines += [" & ".join(tex(name + "†" * (name in self.daggers)) for name in self.head) + r" \\"]
        for title, rows in self.groups:
            lines.append("\\midrule")
            if title:
                lines.append(f"\\multicolumn{{{len(self.head)}}}{{l}}{{\\emph{{{tex(title)}}}}} \\\\")
            lines += [" & ".join([tex(label), *map(tex_cell, cells)]) + r" \\" for label, cells in rows]
        return "\n".join([*lines, "\\bottomrule", "\\end{tabular}", ""])


def tex(text: str) -> str:
    return "".join(TEX.get(character, character) for character in text)


def tex_cell(cell: Cell) -> str:
    text = f"\\textbf{{{tex(cell.text)}}}" if cell.style in ("best", "strong") else tex(cell.text)
    small = f" {{\\scriptsize {tex(cell.small)}}}" if cell.small else ""
    return f"{text}{tex(cell.mark)}{small}"
