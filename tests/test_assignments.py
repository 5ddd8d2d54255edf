"""Every assignment: its notebook and its corpus, run in this process without a kernel.

A paper is one notebook with the answers of its corpus; every test below holds for all papers.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from types import CodeType
from typing import Any

import nbformat
import pytest

import course_lib  # noqa: F401  declares the operators that torchvision needs

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Paper:
    """The source notebook of an assignment, by grade id."""

    name: str

    @cached_property
    def cells(self) -> list[nbformat.NotebookNode]:
        path = ROOT / "assignments" / self.name / f"{self.name}.ipynb"
        return nbformat.read(path, as_version=4).cells

    @cached_property
    def kinds(self) -> dict[str, Any]:
        marked = [c.metadata["nbgrader"] for c in self.cells if "nbgrader" in c.metadata]
        assert len({m["grade_id"] for m in marked}) == len(marked), "a grade id is used twice"
        return {m["grade_id"]: m for m in marked}

    @cached_property
    def source(self) -> dict[str, str]:
        marked = [c for c in self.cells if "nbgrader" in c.metadata]
        return {c.metadata["nbgrader"]["grade_id"]: c.source for c in marked}

    @cached_property
    def code(self) -> set[str]:
        marked = [c for c in self.cells if "nbgrader" in c.metadata and c.cell_type == "code"]
        return {c.metadata["nbgrader"]["grade_id"] for c in marked}

    def ids(self, **flags: bool) -> list[str]:
        """The grade ids of the code cells with these nbgrader flags, in the notebook's order."""
        kinds = self.kinds
        return [
            i for i in kinds if i in self.code and all(kinds[i][k] == v for k, v in flags.items())
        ]

    @property
    def solutions(self) -> list[str]:
        return self.ids(solution=True)

    @property
    def tests(self) -> list[str]:
        return self.ids(grade=True)

    def own_tests(self, solution: str) -> list[str]:
        """The test cells between this solution cell and the next."""
        own: list[str] = []
        current = ""
        for grade_id in self.kinds:
            if grade_id in self.solutions:
                current = grade_id
            elif grade_id in self.tests and current == solution:
                own.append(grade_id)
        return own

    def answered(self, answers: dict[str, str]) -> dict[str, object]:
        """The namespace of the notebook with its solution cells replaced by `answers`."""
        namespace: dict[str, object] = {}
        for grade_id in self.kinds:
            if grade_id in self.ids(grade=False, locked=True):
                exec(compiled(self.source[grade_id], grade_id), namespace)
            elif grade_id in self.solutions:
                source = answers.get(grade_id, self.source[grade_id])
                exec(compiled(source, grade_id), namespace)
        return namespace

    def failures(self, namespace: dict[str, object], tests: list[str]) -> dict[str, str]:
        """Run the test cells one after the other; return the messages of those that fail."""
        failed = {}
        for grade_id in tests:
            try:
                exec(compiled(self.source[grade_id], grade_id), namespace)
            except Exception as error:
                failed[grade_id] = f"{type(error).__name__}: {error}"
        return failed

    def corpus(self, kind: str) -> dict[str, dict[str, str]]:
        """The answers of every corpus file of this kind, by the file's name."""
        files = sorted((ROOT / "autograder/corpus" / self.name).glob(f"{kind}_*.py"))
        return {path.stem: corpus_cells(path) for path in files}


def corpus_cells(path: Path) -> dict[str, str]:
    pieces = re.split(r"^# %% (\w+)\n", path.read_text(encoding="utf-8"), flags=re.M)[1:]
    return dict(zip(pieces[::2], pieces[1::2], strict=True))


@cache
def compiled(source: str, name: str) -> CodeType:
    return compile(source, name, "exec")


def released(source: str) -> str:
    """What a student gets: nbgrader's stub for the solution, no hidden tests."""
    stub = r"\1# YOUR CODE HERE\n\1raise NotImplementedError()"
    source = re.sub(
        r"^( *)### BEGIN SOLUTION\n.*?^ *### END SOLUTION", stub, source, flags=re.M | re.S
    )
    return re.sub(
        r"^### BEGIN HIDDEN TESTS\n.*?### END HIDDEN TESTS", "", source, flags=re.M | re.S
    )


def without_answer(source: str) -> str:
    """Functions and classes of the same names that give nothing."""
    functions = re.findall(r"^def (\w+)", source, flags=re.M)
    classes = re.findall(r"^class (\w+)", source, flags=re.M)
    lines = [f"def {name}(*arguments, **options): return None" for name in functions]
    lines += [f"class {name}(torch.nn.Module): pass" for name in classes]
    return "\n".join(lines)


PAPERS = [Paper(path.stem) for path in sorted((ROOT / "assignments").glob("a*/a*.ipynb"))]
CASES = {
    "solution": [(p, i) for p in PAPERS for i in p.solutions],
    "test": [(p, i) for p in PAPERS for i in p.tests],
    "correct": [(p, name) for p in PAPERS for name in p.corpus("correct")],
    "wrong": [
        (p, name, i) for p in PAPERS for name, cells in p.corpus("wrong").items() for i in cells
    ],
}


def each(names: str, cases: list[Any]) -> pytest.MarkDecorator:
    """Parametrize with ids made of the paper's and the cells' names."""
    parts = [case if isinstance(case, tuple) else (case,) for case in cases]
    ids = ["-".join(part.name if isinstance(part, Paper) else part for part in c) for c in parts]
    return pytest.mark.parametrize(names, cases, ids=ids)


@each("paper", PAPERS)
def test_the_source_notebook_passes_whatever_the_hidden_tests_draw(paper: Paper) -> None:
    namespace = paper.answered({})
    for _ in range(5):
        assert paper.failures(namespace, paper.tests) == {}


@each("paper", PAPERS)
def test_the_release_fails_every_test(paper: Paper) -> None:
    namespace = paper.answered({i: released(paper.source[i]) for i in paper.solutions})
    assert set(paper.failures(namespace, paper.tests)) == set(paper.tests)


@each(("paper", "grade_id"), CASES["solution"])
def test_a_question_without_an_answer_costs_only_its_own_marks(
    paper: Paper, grade_id: str
) -> None:
    namespace = paper.answered({grade_id: without_answer(paper.source[grade_id])})
    assert set(paper.failures(namespace, paper.tests)) == set(paper.own_tests(grade_id))


@each(("paper", "name"), CASES["correct"])
def test_every_correct_answer_passes(paper: Paper, name: str) -> None:
    answers = paper.corpus("correct")[name]
    assert list(answers) == paper.solutions
    namespace = paper.answered(answers)
    for _ in range(3):
        assert paper.failures(namespace, paper.tests) == {}


@each(("paper", "name", "grade_id"), CASES["wrong"])
def test_a_wrong_answer_fails_with_a_message_that_names_it(
    paper: Paper, name: str, grade_id: str
) -> None:
    source = paper.corpus("wrong")[name][grade_id]
    expected = re.match(r"# expect: (.+)\n", source)
    assert expected, "the first line of a wrong cell says what its message must contain"
    namespace = paper.answered({grade_id: source})
    for _ in range(3):
        messages = paper.failures(namespace, paper.own_tests(grade_id)).values()
        assert any(expected[1].lower() in message.lower() for message in messages), messages


@each(("paper", "name", "grade_id"), CASES["wrong"])
def test_hidden_tests_alone_find_the_wrong_answer_and_tell_no_numbers(
    paper: Paper, name: str, grade_id: str
) -> None:
    namespace = paper.answered({grade_id: paper.corpus("wrong")[name][grade_id]})
    failed = {}
    for test in paper.own_tests(grade_id):
        visible, _, hidden = paper.source[test].partition("### BEGIN HIDDEN TESTS")
        helpers = re.findall(r"^def _\w+.*?(?=\n\n\n|\Z)", visible, flags=re.M | re.S)
        imports = re.findall(r"^(?:from|import) .*$", visible, flags=re.M)
        try:
            text = "\n".join([*imports, *helpers, hidden])
            exec(compiled(text, f"{test} hidden"), namespace)
        except AssertionError as error:
            failed[test] = str(error)
        except Exception:
            failed[test] = ""
    assert failed
    for message in failed.values():
        _, _, said = message.partition(": ")
        assert not re.search(r"expected [\d{\[]|got [\d{\[]", said), message


@each("paper", PAPERS)
def test_every_solution_has_wrong_answers_for_five_mistakes(paper: Paper) -> None:
    wrong = paper.corpus("wrong").values()
    sources = {(i, text.partition("\n")[0]) for cells in wrong for i, text in cells.items()}
    count = Counter(grade_id for grade_id, _ in sources)
    assert set(count) == {i for i in paper.solutions if paper.own_tests(i)}
    assert min(count.values()) >= 5
    assert len(paper.corpus("correct")) >= 3


@each("paper", PAPERS)
def test_the_points_add_up_to_100_and_a_person_gives_some(paper: Paper) -> None:
    points = {i: kind.get("points", 0) for i, kind in paper.kinds.items()}
    assert sum(points.values()) == 100
    by_hand = [i for i in points if points[i] and i not in paper.tests]
    assert by_hand
    for answer in by_hand:
        kind, scheme = paper.kinds[answer], paper.kinds[f"{answer}_scheme"]
        assert (kind["grade"], kind["solution"]) == (True, True)
        assert (scheme["task"], scheme["locked"], scheme["points"]) == (True, True, 0)
        text = paper.source[f"{answer}_scheme"]
        assert text.index("=== BEGIN MARK SCHEME ===") < text.index("=== END MARK SCHEME ===")


@each("paper", PAPERS)
def test_every_test_cell_follows_its_solution_and_is_named_after_it(paper: Paper) -> None:
    for solution in paper.solutions:
        own = paper.own_tests(solution)
        assert own
        assert all(test.startswith(f"test_{solution}") for test in own)
    assert 6 <= len(paper.solutions) <= 12


@each(("paper", "grade_id"), CASES["test"])
def test_hidden_tests_end_their_cell_and_draw_their_inputs(paper: Paper, grade_id: str) -> None:
    visible, begin, hidden = paper.source[grade_id].partition("### BEGIN HIDDEN TESTS")
    assert begin
    assert hidden.rstrip().endswith("### END HIDDEN TESTS")
    assert re.search(r"\b(equal|close|assert|check\w*)\b", visible)
    assert re.search(r"hidden\W*(=|: )True", hidden)
    assert "fresh_rng()" in hidden
    compile(released(paper.source[grade_id]), grade_id, "exec")
