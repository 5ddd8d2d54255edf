"""The glossary and the links to it: every link leads somewhere, and no entry lies unused."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest

NOTEBOOKS = Path(__file__).resolve().parent.parent / "notebooks"
LESSONS = sorted(NOTEBOOKS.glob("*.ipynb"))
TEXT = (NOTEBOOKS / "glossary.md").read_text(encoding="utf-8")
TERMS = re.findall(r"^### (.+)$", TEXT, flags=re.M)


def anchor(term: str) -> str:
    """The fragment that JupyterLab and GitHub give a heading."""
    return re.sub(r"[^\w -]", "", term.lower()).strip().replace(" ", "-")


def links(path: Path) -> list[str]:
    """The fragments of all links of a notebook to the glossary, in their order."""
    cells = nbformat.read(path, as_version=4).cells
    prose = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    return re.findall(r"\]\(\s*glossary\.md#([^)\s]+)\s*\)", prose)


def test_terms_are_sorted_and_listed_once():
    anchors = [anchor(term) for term in TERMS]
    assert len(set(anchors)) == len(anchors)
    assert [each.casefold() for each in TERMS] == sorted(each.casefold() for each in TERMS)


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_a_notebook_links_to_entries_that_exist_each_once(path: Path):
    found = links(path)
    assert found
    assert set(found) <= {anchor(term) for term in TERMS}
    assert len(set(found)) == len(found)


def test_every_entry_is_linked_from_a_notebook_or_another_entry():
    inside = re.findall(r"\]\(\s*#([^)\s]+)\s*\)", TEXT)
    assert set(inside) <= {anchor(term) for term in TERMS}
    used = {each for path in LESSONS for each in links(path)} | set(inside)
    assert [term for term in TERMS if anchor(term) not in used] == []


def test_every_entry_names_a_notebook_that_is_there():
    entries = re.split(r"^### .+$", TEXT, flags=re.M)[1:]
    for term, entry in zip(TERMS, entries, strict=True):
        files = re.findall(r"\]\(([\w.]+\.ipynb)\)", entry)
        assert files, term
        assert all((NOTEBOOKS / file).exists() for file in files), term
