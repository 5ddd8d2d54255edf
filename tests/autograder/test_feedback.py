"""A feedback page tells what went wrong, tells no secret, and does nothing by itself."""

from __future__ import annotations

import html
import json
import re

import nbformat
import pytest
from nbformat import NotebookNode

from autograder.course import Course
from autograder.feedback import write_feedback
from autograder.gradebook import record
from autograder.inert import active_parts, clean_html
from autograder.result import CellResult, Result
from autograder.template import Template, by_grade_id

SECRET = 'assert square(-2) == 4, "square: negative numbers"'


def page_of(
    course: Course, template: Template, notebook: NotebookNode, reason: str = "Passed.", **more
) -> str:
    """The page of a notebook as if it had just been graded."""
    cells = tuple(
        CellResult(name, None if name == "why" else 0.0, points, reason)
        for name, points in template.points.items()
    )
    record(course, Result("eve", "mini", "mini", cells, **more), notebook)
    return write_feedback(course, "mini", "eve")[0].read_text()


def executed(template: Template, **answers: str) -> NotebookNode:
    """What is left after a run: the graded form with a student's answers."""
    notebook = nbformat.from_dict(json.loads(json.dumps(template.graded)))
    for name, source in answers.items():
        by_grade_id(notebook)[name].source = source
    return notebook


def display(**data: str) -> NotebookNode:
    bundle = {kind.replace("_", "/", 1): value for kind, value in data.items()}
    return nbformat.v4.new_output("display_data", data=bundle)


def text_of(page: str) -> str:
    return html.unescape(re.sub(r"<[^>]*>", "", page.partition("</style>")[2]))


HOSTILE = {
    "script": "<script>steal()</script>",
    "image": "<img src=x onerror=steal()>",
    "remote image": '<img src="https://evil.example/pixel.png">',
    "javascript link": "[x](javascript:steal()) <a href='java\tscript:steal()'>y</a>",
    "encoded link": '<a href="&#106;avascript:steal()">z</a>',
    "data link": "[x](data:text/html;base64,PHNjcmlwdD4=)",
    "vbscript": "<a href=vbscript:steal()>v</a>",
    "frame": "<iframe src=https://evil.example></iframe><object data=x></object><embed src=x>",
    "svg": "<svg onload=steal()><animate onbegin=steal()></svg>",
    "svg image": '<img src="data:image/svg+xml;base64,PHN2Zz4=">',
    "math": "<math><mtext><table><mglyph><style><img src=x onerror=steal()>",
    "refresh": '<meta http-equiv="refresh" content="0;url=https://evil.example">',
    "base": '<base href="https://evil.example/">',
    "form": "<form action=https://evil.example><input name=x><button>go</button></form>",
    "style": "<style>@import 'https://evil.example/x.css';</style><p style='background:url(x)'>",
    "stylesheet": '<link rel="stylesheet" href="https://evil.example/x.css">',
    "template": "<template><script>steal()</script></template><noscript><p title='</noscript>",
    "comment": "<!--><script>steal()</script>--><![CDATA[<script>steal()</script>]]>",
    "broken quotes": '"><script>steal()</script><a href="',
    "attachment": "![x](attachment:x.html)",
    "overlay": '<div class="modal-backdrop" style="position:fixed;inset:0">100 / 100</div>',
}


@pytest.mark.parametrize("attack", HOSTILE, ids=lambda name: name.replace(" ", "_"))
def test_nothing_that_a_student_writes_or_shows_can_act(released, template, attack):
    text = HOSTILE[attack]
    notebook = executed(template, why=text, square=f"'''{text}'''")
    cells = by_grade_id(notebook)
    cells["why"].attachments = {"x.html": {"text/html": text}}
    svg = f'<svg xmlns="http://www.w3.org/2000/svg">{text}</svg>'
    outputs = [
        display(text_html=text),
        display(text_markdown=text),
        display(text_latex=f"${text}$"),
        display(application_javascript="steal()", text_plain=text),
        display(**{"image_svg+xml": svg, "text_plain": text}),
        display(image_png='"><script>steal()</script>', text_plain="no picture"),
        nbformat.v4.new_output("stream", text=text),
        nbformat.v4.new_output("error", ename=text, evalue=text, traceback=[text]),
    ]
    outputs[0].metadata = {"text/html": {"isolated": True}}
    outputs[-3].metadata = {"width": "1 onload=steal()", "filenames": {"image/png": text}}
    cells["square"].outputs = outputs
    cells["square"].metadata.tags = ['x" onclick="steal()']
    page = page_of(released, template, notebook, reason=text, notes=(text,))
    assert active_parts(page) == []
    links = re.compile(r"<a [^>]*>")  # a link to the web acts only when it is followed
    assert "evil.example" not in " ".join(re.findall("<[^>]*>", links.sub("", page)))
    assert "modal-backdrop" not in " ".join(re.findall("<div[^>]*>", page))


def test_a_page_has_a_policy_and_no_script_of_its_own(released, template):
    page = page_of(released, template, executed(template))
    assert re.search(r"<meta http-equiv=\"Content-Security-Policy\"[^>]*default-src 'none'", page)
    assert "<script" not in page.lower()
    assert page.index("Content-Security-Policy") < page.index("<title>")


def test_honest_markup_and_pictures_are_still_there(released, template):
    picture = "iVBORw0KGgo="
    why = "**Because** `x` | [a link](https://pytorch.org)\n\n| a | b |\n|---|---|\n| 1 | 2 |"
    notebook = executed(template, why=why, square="def square(x):\n    return x**2")
    frame = "<style>td {color: red}</style><table><tr><td colspan='2'>3.5</td></tr></table>"
    by_grade_id(notebook)["square"].outputs = [display(text_html=frame),
                                               display(image_png=picture)]  # fmt: skip
    page = page_of(released, template, notebook)
    assert "<strong>Because</strong>" in page
    assert 'href="https://pytorch.org"' in page
    assert '<td colspan="2">3.5</td>' in page
    assert "color: red" not in page
    assert f"data:image/png;base64,{picture}" in page


LEAKS = {
    "test cell's source": lambda cells: None,
    "traceback": lambda cells: cells["test_square"].outputs.append(
        nbformat.v4.new_output(
            "error", ename="AssertionError", evalue="no", traceback=["In [1]", f"--> 3 {SECRET}"]
        )
    ),
    "print of a test": lambda cells: cells["test_square"].outputs.append(
        nbformat.v4.new_output("stream", text=f"checking {SECRET}\n")
    ),
    "value of a test": lambda cells: cells["test_square"].outputs.append(
        nbformat.v4.new_output("execute_result", data={"text/plain": repr(SECRET)})
    ),
    "student's traceback": lambda cells: cells["cube"].outputs.append(
        nbformat.v4.new_output("error", ename="E", evalue="e", traceback=[f"----> 2 {SECRET}"])
    ),
    "student's print": lambda cells: cells["cube"].outputs.append(
        nbformat.v4.new_output("stream", text=f"found it: {SECRET!r}")
    ),
    "student's html": lambda cells: cells["cube"].outputs.append(
        display(text_html=f"<b>{html.escape(SECRET)}</b>")
    ),
}


@pytest.mark.parametrize("leak", LEAKS, ids=lambda name: name.replace(" ", "_"))
def test_no_line_of_a_hidden_test_is_on_the_page(released, template, leak):
    notebook = executed(template)
    LEAKS[leak](by_grade_id(notebook))
    text = text_of(page_of(released, template, notebook))
    assert SECRET not in text
    assert "HIDDEN TESTS" not in text
    assert "square(3) should be 9" in text  # the part that was released


def test_reasons_notes_and_comments_tell_no_secret_either(released, template):
    page = page_of(
        released, template, executed(template), reason=f"in {SECRET}", notes=(f"at {SECRET}",)
    )
    assert SECRET not in text_of(page)


def test_the_message_of_a_hidden_test_is_for_the_student(released, template):
    page = page_of(released, template, executed(template), reason="square: negative numbers")
    assert "square: negative numbers" in text_of(page)


def test_a_student_who_wrote_the_same_line_sees_it(released, template):
    notebook = executed(template, cube=f"{SECRET}\n1 / 0")
    by_grade_id(notebook)["cube"].outputs = [nbformat.v4.new_output("stream", text=SECRET)]
    assert SECRET in text_of(page_of(released, template, notebook))


FLOODS = {
    "10 MB on one line": display(text_plain="x" * 10**7),
    "10 MB of html": display(text_html="<b>x</b>" * 10**6),
    "10 MB picture": display(image_png="A" * 10**7, text_plain="a picture"),
    "10 MB stream": nbformat.v4.new_output("stream", text="y\n" * (5 * 10**6)),
    "long traceback": nbformat.v4.new_output(
        "error", ename="E", evalue="e" * 10**6, traceback=["t" * 10**5] * 100
    ),
}


@pytest.mark.parametrize("flood", FLOODS, ids=lambda name: name.replace(" ", "_"))
def test_a_flood_leaves_a_page_that_opens(released, template, flood):
    notebook = executed(template)
    by_grade_id(notebook)["square"].outputs = [FLOODS[flood]]
    assert len(page_of(released, template, notebook)) < 10**6


DEEP = {"[": 5000, "> ": 3000, "*a ": 5000, "<b>": 3000, "- ": 3000}


@pytest.mark.parametrize("part", DEEP)
def test_markup_that_parsers_fear_still_gives_a_page(released, template, part):
    page = page_of(released, template, executed(template, why=part * DEEP[part]))
    assert "What happened" in page


def test_the_guard_sees_what_a_browser_would_run():
    for bad in ("<script>", "<p onclick=x>", "<a href=' java\nscript:x'>", "<iframe>",
                "<img src=//evil.example/x>", "<meta http-equiv=refresh content=0>"):  # fmt: skip
        assert active_parts(f"<p>{bad}</p>"), bad
        assert active_parts(clean_html(f"<p>{bad}</p>")) == [], bad
    assert active_parts('<a href="#top">x</a><img src="data:image/png;base64,AA">') == []
