"""A table: as the page and LaTeX show it, and as the numbers behind it in CSV."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd

from stiltwalk.report.formatting import MISSING, excludes_zero, format_interval, format_signed

LATEX = {
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
    "○": r"$\circ$",
    "▲": r"$\triangle$",
    "†": r"$^\dagger$",
}


@dataclass(frozen=True)
class Cell:
    """One cell of a table."""

    text: str
    small: str = ""
    """Smaller text below it."""
    mark: str = ""
    """A symbol beside it."""
    style: str = ""
    """Its CSS class: `text` (left-aligned), `best`, `strong`, or the name of a colour."""


def text_cell(text: str) -> Cell:
    """A cell of words, which is aligned to the left."""
    return Cell(text, style="text")


def estimate_cell(estimate: Mapping[str, Any], key: str = "mean") -> Cell:
    """A cell with an effect and its interval; bold and starred if the interval excludes zero.

    key: where the estimate has its value; `low` and `high` are its interval.
    """
    significant = excludes_zero(estimate)
    interval = format_interval(estimate)
    return Cell(format_signed(estimate[key]), interval, "*" if significant else "", "strong" if significant else "")


Row = tuple[str, list[Cell]]
"""The label of a row and its cells."""


@dataclass(frozen=True)
class Table:
    """A table of the report.

    Columns with a cell of style `text` are aligned to the left, all others to the right.
    """

    name: str
    """Its file name without suffix, and its id in the page."""
    caption: str
    header: list[str]
    """The names of the columns; the first is that of the row labels."""
    groups: list[tuple[str, list[Row]]]
    """Groups of rows, each with a title or ""."""
    records: list[dict[str, Any]]
    """The rows of the CSV file."""
    colour_limit: float | None = None
    """The absolute difference at which the colours of a heat map end; None if the table is no heat map."""
    side_by_side: bool = False
    """Whether the page may show the groups beside each other."""
    footnotes: Mapping[str, str] = field(default_factory=dict)
    """By column name, what the dagger beside it stands for."""

    @property
    def text_columns(self) -> list[bool]:
        """For each column, whether it is aligned to the left."""
        return [True, *(any(cell.style == "text" for cell in column) for column in self._columns())]

    @property
    def n_rows(self) -> int:
        """How many rows the table shows."""
        return sum(len(rows) for _, rows in self.groups)

    def without_empty_columns(self) -> "Table":
        """The same table without columns whose cells are all empty. The CSV file keeps every number."""
        kept = [i for i, column in enumerate(self._columns()) if any(cell.text not in ("", MISSING) for cell in column)]
        groups = [(title, [(label, [cells[i] for i in kept]) for label, cells in rows]) for title, rows in self.groups]
        return replace(self, header=[self.header[0], *(self.header[i + 1] for i in kept)], groups=groups)

    def write(self, folder: Path) -> None:
        """Write <name>.csv with all digits, and <name>.tex for the LaTeX package booktabs."""
        folder.mkdir(parents=True, exist_ok=True)
        numbers = pd.DataFrame(self.records, dtype=object)  # pandas must not change any of them
        numbers.to_csv(folder / f"{self.name}.csv", index=False, lineterminator="\n")
        (folder / f"{self.name}.tex").write_text(self.to_latex(), encoding="utf-8")

    def to_latex(self) -> str:
        """The table as a LaTeX tabular; its caption is a comment."""
        header = [escape_latex(name + "†" * (name in self.footnotes)) for name in self.header]
        lines = [
            "% \\usepackage{booktabs}",
            f"% {' '.join(self.caption.split())}",
            f"\\begin{{tabular}}{{{''.join('l' if text else 'r' for text in self.text_columns)}}}",
            "\\toprule",
            " & ".join(header) + r" \\",
        ]
        for title, rows in self.groups:
            lines.append("\\midrule")
            if title:
                lines.append(f"\\multicolumn{{{len(header)}}}{{l}}{{\\emph{{{escape_latex(title)}}}}} \\\\")
            lines += [" & ".join([escape_latex(label), *map(latex_cell, cells)]) + r" \\" for label, cells in rows]
        return "\n".join([*lines, "\\bottomrule", "\\end{tabular}", ""])

    def _columns(self) -> list[tuple[Cell, ...]]:
        """The cells by column, without the row labels."""
        return list(zip(*(cells for _, rows in self.groups for _, cells in rows), strict=True))


def escape_latex(text: str) -> str:
    """Return the text with LaTeX commands in place of special characters."""
    return "".join(LATEX.get(character, character) for character in text)


def latex_cell(cell: Cell) -> str:
    """Return a cell in LaTeX, with its small text and mark beside it."""
    text = escape_latex(cell.text)
    if cell.style in ("best", "strong"):
        text = f"\\textbf{{{text}}}"
    small = f" {{\\scriptsize {escape_latex(cell.small)}}}" if cell.small else ""
    return f"{text}{escape_latex(cell.mark)}{small}"
