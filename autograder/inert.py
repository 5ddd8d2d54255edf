"""Make what a student wrote or printed harmless to look at: it may inform, never act.

Everything here works on allow-lists: what is not known to be inert is shown as text or left
out. Sizes are capped too, so that a page opens however much was printed.
"""

from __future__ import annotations

import html
import re
from html.parser import HTMLParser

import bleach
from nbformat import NotebookNode

MAX_TEXT = 20_000  # characters of one output
MAX_MARKDOWN = 30_000  # beyond that, text is shown as it is: markdown parsers can be slow
MAX_HTML = 200_000
MAX_CODE = 60_000
MAX_OUTPUTS = 50  # of one cell
MAX_IMAGE = 3_000_000  # base64 characters

TAGS = {
    *("a", "abbr", "b", "blockquote", "br", "caption", "code", "dd", "del", "details", "div"),
    *("dl", "dt", "em", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "i", "img", "kbd", "li", "ol"),
    *("p", "pre", "s", "samp", "small", "span", "strong", "sub", "summary", "sup", "table"),
    *("tbody", "td", "tfoot", "th", "thead", "tr", "u", "ul", "var"),
}
ACTIVE_TAGS = {
    *("script", "iframe", "frame", "object", "embed", "applet", "base", "form", "link", "svg"),
    *("math", "template", "portal", "button", "input", "textarea", "select", "video", "audio"),
}
_ALIGN = {"align", "colspan", "rowspan"}
_HIGHLIGHT = re.compile(r"highlight|[a-z]{1,3}[0-9]?")  # the classes of Pygments
_IMAGE = re.compile(r"data:image/(png|jpeg|gif);base64,[A-Za-z0-9+/=\s]*")
_LINK = re.compile(r"(https?://|mailto:|#)", re.IGNORECASE)
_WITH_BODY = re.compile(r"(?is)<(script|style)\b.*?(</\1\s*>|\Z)")
_BASE64 = re.compile(r"[A-Za-z0-9+/=\s]+")


def clean_html(text: str) -> str:
    """HTML of which only structure, links to the web and embedded pictures are left."""
    return str(
        bleach.clean(
            _cut(text, MAX_HTML, "output"),
            tags=TAGS,
            attributes=_allowed,
            protocols={"http", "https", "mailto", "data"},
        )
    )


def clean_cell(cell: NotebookNode) -> None:
    """Leave of a cell its source, its inert outputs and nbgrader's metadata; in place."""
    cell.metadata = NotebookNode(
        {key: value for key, value in cell.metadata.items() if key == "nbgrader"}
    )
    limit = MAX_CODE if cell.cell_type == "code" else MAX_MARKDOWN
    if len(cell.source) > limit and cell.cell_type != "code":
        cell.source = f"<pre>{html.escape(_cut(cell.source, MAX_CODE, 'text'))}</pre>"
    cell.source = _cut(cell.source, MAX_CODE * 2, "cell")
    if cell.cell_type == "code":
        kept = [clean for output in cell.outputs[:MAX_OUTPUTS] if (clean := _clean(output))]
        cell.outputs = kept


def active_parts(page: str) -> list[str]:
    """Everything in a page that could run, load or send anything; empty for a safe page."""
    finder = _ActiveParts()
    finder.feed(page)
    finder.close()
    return finder.found


def _allowed(tag: str, name: str, value: str) -> bool:
    if name == "src":
        return tag == "img" and len(value) <= MAX_IMAGE and bool(_IMAGE.fullmatch(value))
    if name == "href":
        return tag == "a" and bool(_LINK.match(value))
    if name == "class":
        return all(_HIGHLIGHT.fullmatch(word) for word in value.split())
    return name in _ALIGN or (tag == "img" and name == "alt")


def _clean(output: NotebookNode) -> NotebookNode | None:
    """A new output with only text and pictures in it; None where nothing is left."""
    kind = output.get("output_type")
    if kind == "stream":
        text = _cut(_text(output.get("text")), MAX_TEXT, "output")
        name = "stderr" if output.get("name") == "stderr" else "stdout"
        return NotebookNode(output_type=kind, name=name, text=text)
    if kind == "error":
        name, says = (_cut(_text(output.get(key)), 4000, "message") for key in ("ename", "evalue"))
        lines = [_cut(_text(line), 4000, "line") for line in output.get("traceback", [])[:40]]
        return NotebookNode(output_type=kind, ename=name, evalue=says, traceback=lines)
    data = _clean_data(output.get("data", {}))
    if kind not in ("display_data", "execute_result") or not data:
        return None
    clean = NotebookNode(output_type=kind, data=NotebookNode(data), metadata=NotebookNode())
    if kind == "execute_result":
        clean.execution_count = None
    return clean


def _clean_data(data: dict[str, object]) -> dict[str, str]:
    """The best inert form of a display: a picture, else a table, else text."""
    for kind in ("image/png", "image/jpeg"):
        picture = _text(data.get(kind))
        if picture and len(picture) <= MAX_IMAGE and _BASE64.fullmatch(picture):
            return {kind: picture}
    markup = _text(data.get("text/html"))
    embedded = _IMAGE.search(markup) if len(markup) <= 2 * MAX_IMAGE else None
    if embedded and embedded.group(1) in ("png", "jpeg"):
        return {f"image/{embedded.group(1)}": embedded.group().partition(",")[2]}
    if markup and len(markup) <= MAX_HTML:
        return {"text/html": clean_html(_WITH_BODY.sub("", markup))}
    text = _text(data.get("text/plain"))
    return {"text/plain": _cut(text, MAX_TEXT, "output")} if text else {}


def _text(value: object) -> str:
    """A string that can be written to a file, whatever JSON held."""
    if isinstance(value, list):
        value = "".join(part for part in value if isinstance(part, str))
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else ""


def _cut(text: str, most: int, what: str) -> str:
    if len(text) <= most:
        return text
    tail = most // 5
    left_out = f"\n[{len(text) - most} characters of this {what} are left out]\n"
    return text[: most - tail] + left_out + text[-tail:]


class _ActiveParts(HTMLParser):
    """Collects tags and attributes that are not inert, as a browser would read them."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in ACTIVE_TAGS:
            self.found.append(f"<{tag}>")
        for name, value in attrs:
            value = re.sub(r"[\s\x00-\x20]", "", value or "").lower()
            refresh = tag == "meta" and name == "http-equiv" and "security" not in value
            local = value.startswith(("http:", "https:", "mailto:", "#", "data:image/"))
            leads_away = name in ("src", "href", "xlink:href", "action", "srcdoc", "data")
            if name.startswith("on") or refresh or (leads_away and value and not local):
                self.found.append(f"<{tag} {name}={value[:60]!r}>")
