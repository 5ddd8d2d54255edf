"""Tables with named columns, read from CSV, shown as text and as HTML."""

from __future__ import annotations

import csv
import html
import io
from dataclasses import dataclass

from course_lib._validate import check_choice

Value = str | int | float | None


@dataclass(frozen=True)
class Table:
    """In `rows`, numbers are numbers and an empty cell is None."""

    name: str
    columns: tuple[str, ...]
    rows: tuple[dict[str, Value], ...]

    def column(self, name: str) -> list[Value]:
        """Return the values of one column; ValueError lists the columns if there is no such one.

        >>> parse("sizes", "name,bytes\\na,4\\nb,8").column("bytes")
        [4, 8]
        """
        return [row[check_choice("name", name, self.columns)] for row in self.rows]

    @property
    def sources(self) -> tuple[str, ...]:
        """The works that the rows cite, each once, in the order of the rows; () if they don't."""
        if "source" not in self.columns:
            return ()
        return tuple(dict.fromkeys(str(row["source"]) for row in self.rows))

    def __len__(self) -> int:
        return len(self.rows)

    def __str__(self) -> str:
        """Show the table in aligned columns, its sources as numbered notes below it."""
        head, *body = self._cells()
        widths = [max(len(line[i]) for line in (head, *body)) for i in range(len(head))]
        numeric = [self._is_numeric(name) for name in head]
        lines = []
        for line in (head, ["-" * width for width in widths], *body):
            cells = zip(line, widths, numeric, strict=True)
            lines.append("  ".join(c.rjust(w) if right else c.ljust(w) for c, w, right in cells))
        notes = [f"[{i}] {source}" for i, source in enumerate(self.sources, start=1)]
        return "\n".join([line.rstrip() for line in lines] + notes)

    def _repr_html_(self) -> str:
        head, *body = self._cells()

        def row(tag: str, line: list[str]) -> str:
            aligned = zip(line, head, strict=True)
            return "".join(
                f"<{tag} style='text-align: {'right' if self._is_numeric(name) else 'left'}'>"
                f"{html.escape(cell)}</{tag}>"
                for cell, name in aligned
            )

        body_rows = "".join(f"<tr>{row('td', line)}</tr>" for line in body)
        notes = "".join(f"<li>{html.escape(source)}</li>" for source in self.sources)
        return (
            f"<table><thead><tr>{row('th', head)}</tr></thead><tbody>{body_rows}</tbody></table>"
        ) + (f"<ol>{notes}</ol>" if notes else "")

    def _cells(self) -> list[list[str]]:
        """The header and the rows as text, with the number of its note for each source."""
        notes = {source: f"[{i}]" for i, source in enumerate(self.sources, start=1)}
        lines = [[*self.columns]]
        for row in self.rows:
            shown = {**row, "source": notes[str(row["source"])]} if notes else row
            lines.append(["" if (v := shown[c]) is None else str(v) for c in self.columns])
        return lines

    def _is_numeric(self, column: str) -> bool:
        return any(isinstance(row[column], int | float) for row in self.rows)


def parse(name: str, text: str) -> Table:
    """Return the table in the text of a CSV file; a column of numbers becomes numbers."""
    reader = csv.DictReader(io.StringIO(text, newline=""))
    columns = tuple(reader.fieldnames or ())
    lines = list(reader)
    converted = {column: _converted([line[column] for line in lines]) for column in columns}
    by_row = zip(*converted.values(), strict=True)
    rows = (dict(zip(columns, values, strict=True)) for values in by_row)
    return Table(name, columns, tuple(rows))


def _converted(cells: list[str]) -> list[Value]:
    """Make a column of one type: int if all its cells are, else float, else text."""
    for kind in (int, float):
        try:
            return [kind(cell) if cell else None for cell in cells]
        except ValueError:
            continue
    return [cell or None for cell in cells]
