"""A1, The cost of inference: its notebook and its corpus, run in this process without a kernel."""

from __future__ import annotations

import re
from collections import Counter
from functools import cache
from pathlib import Path
from types import CodeType

import nbformat
import pytest

import course_lib  # noqa: F401  declares the operators that torchvision needs

ROOT = Path(__file__).parents[1]
NOTEBOOK = ROOT / "assignments/a1_cost_of_inference/a1_cost_of_inference.ipynb"
CORPUS = ROOT / "autograder/corpus/a1_cost_of_inference"
CORRECT, WRONG = sorted(CORPUS.glob("correct_*.py")), sorted(CORPUS.glob("wrong_*.py"))

CELLS = nbformat.read(NOTEBOOK, as_version=4).cells
META = {c.id: c.metadata["nbgrader"] for c in CELLS if "nbgrader" in c.metadata}
SOURCE = {META[c.id]["grade_id"]: c.source for c in CELLS if c.id in META}
KINDS = {meta["grade_id"]: meta for meta in META.values()}


def cells(**flags: bool) -> list[str]:
    """The grade ids of the code cells with these nbgrader flags, in the notebook's order."""
    code = {META[c.id]["grade_id"] for c in CELLS if c.id in META and c.cell_type == "code"}
    return [i for i in KINDS if i in code and all(KINDS[i][k] == v for k, v in flags.items())]


GIVEN = cells(grade=False, locked=True)
SOLUTIONS = cells(solution=True)
TESTS = cells(grade=True)


def own_tests(solution: str) -> list[str]:
    """The test cells between this solution cell and the next."""
    own: list[str] = []
    for grade_id in KINDS:
        if grade_id in SOLUTIONS:
            current = grade_id
        elif grade_id in TESTS and current == solution:
            own.append(grade_id)
    return own


@cache
def compiled(source: str, name: str) -> CodeType:
    return compile(source, name, "exec")


def corpus_cells(path: Path) -> dict[str, str]:
    pieces = re.split(r"^# %% (\w+)\n", path.read_text(encoding="utf-8"), flags=re.M)[1:]
    return dict(zip(pieces[::2], pieces[1::2], strict=True))


def released(source: str) -> str:
    """What a student gets: nbgrader's stub for the solution, no hidden tests."""
    stub = r"\1# YOUR CODE HERE\n\1raise NotImplementedError()"
    source = re.sub(
        r"^( *)### BEGIN SOLUTION\n.*?^ *### END SOLUTION", stub, source, flags=re.M | re.S
    )
    return re.sub(
        r"^### BEGIN HIDDEN TESTS\n.*?### END HIDDEN TESTS", "", source, flags=re.M | re.S
    )


def answered(answers: dict[str, str]) -> dict[str, object]:
    """The namespace of a notebook whose solution cells are replaced by `answers`."""
    namespace: dict[str, object] = {}
    for grade_id in KINDS:
        if grade_id in GIVEN:
            exec(compiled(SOURCE[grade_id], grade_id), namespace)
        elif grade_id in SOLUTIONS:
            exec(compiled(answers.get(grade_id, SOURCE[grade_id]), grade_id), namespace)
    return namespace


def failures(namespace: dict[str, object], tests: list[str]) -> dict[str, str]:
    """Run the test cells one after the other; return the messages of those that fail."""
    failed = {}
    for grade_id in tests:
        try:
            exec(compiled(SOURCE[grade_id], grade_id), namespace)
        except Exception as error:
            failed[grade_id] = f"{type(error).__name__}: {error}"
    return failed


WRONG_CELLS = [
    pytest.param(grade_id, source, id=f"{path.stem}-{grade_id}")
    for path in WRONG
    for grade_id, source in corpus_cells(path).items()
]


def test_the_source_notebook_passes_whatever_the_hidden_tests_draw() -> None:
    namespace = answered({})
    for _ in range(20):
        assert failures(namespace, TESTS) == {}


def test_the_release_fails_every_test() -> None:
    namespace = answered({i: released(SOURCE[i]) for i in SOLUTIONS})
    failed = failures(namespace, TESTS)
    assert set(failed) == set(TESTS)
    assert all(message.startswith("NotImplementedError") for message in failed.values())


@pytest.mark.parametrize("grade_id", SOLUTIONS)
def test_a_question_without_an_answer_costs_only_its_own_marks(grade_id: str) -> None:
    namespace = answered({grade_id: f"def {grade_id}(*arguments, **options): return None"})
    assert set(failures(namespace, TESTS)) == set(own_tests(grade_id))


@pytest.mark.parametrize("path", CORRECT, ids=lambda path: path.stem)
def test_every_correct_answer_passes(path: Path) -> None:
    answers = corpus_cells(path)
    assert list(answers) == SOLUTIONS
    namespace = answered(answers)
    for _ in range(5):
        assert failures(namespace, TESTS) == {}


@pytest.mark.parametrize(("grade_id", "source"), WRONG_CELLS)
def test_a_wrong_answer_fails_with_a_message_that_names_it(grade_id: str, source: str) -> None:
    expected = re.match(r"# expect: (.+)\n", source)
    assert expected, "the first line of a wrong cell says what its message must contain"
    namespace = answered({grade_id: source})
    for _ in range(5):
        messages = failures(namespace, own_tests(grade_id)).values()
        assert any(expected[1].lower() in message.lower() for message in messages), messages


@pytest.mark.parametrize(("grade_id", "source"), WRONG_CELLS)
def test_hidden_tests_alone_find_the_wrong_answer_and_tell_no_numbers(
    grade_id: str, source: str
) -> None:
    namespace = answered({grade_id: source})
    failed = {}
    for test in own_tests(grade_id):
        tree = SOURCE[test].split("### BEGIN HIDDEN TESTS")
        helper = re.search(r"^def _network.*?(?=\n\n\n)", tree[0], flags=re.M | re.S)
        imports = [line for line in tree[0].splitlines() if line.startswith("from course_lib")]
        hidden = "\n".join([*imports, helper[0] if helper else "", tree[1]])
        try:
            exec(compiled(hidden, f"{test} hidden"), namespace)
        except AssertionError as error:
            failed[test] = str(error)
        except Exception:
            failed[test] = ""
    assert failed
    for message in failed.values():
        _, _, said = message.partition(": ")
        assert not re.search(r"expected [\d{\[']|got [\d{\[']", said), message


def test_every_solution_has_wrong_answers_for_five_mistakes() -> None:
    sources = {(p.values[0], p.values[1].partition("\n")[0]) for p in WRONG_CELLS}
    count = Counter(grade_id for grade_id, _ in sources)
    assert set(count) == set(SOLUTIONS)
    assert min(count.values()) >= 5
    assert len(CORRECT) >= 3


def test_the_points_add_up_to_100() -> None:
    assert sum(meta.get("points", 0) for meta in META.values()) == 100
    assert sum(KINDS[i]["points"] for i in TESTS) == 90


def test_every_test_cell_follows_its_solution_and_is_named_after_it() -> None:
    for solution in SOLUTIONS:
        assert own_tests(solution)
        assert all(test.startswith(f"test_{solution}_") for test in own_tests(solution))
    assert sum(len(own_tests(solution)) for solution in SOLUTIONS) == len(TESTS)
    assert len(KINDS) == len(META), "every grade id is used once"


@pytest.mark.parametrize("grade_id", TESTS)
def test_hidden_tests_end_their_cell_and_never_stand_alone(grade_id: str) -> None:
    visible, begin, hidden = SOURCE[grade_id].partition("### BEGIN HIDDEN TESTS")
    assert begin
    assert hidden.rstrip().endswith("### END HIDDEN TESTS")
    assert "equal(" in visible or "close(" in visible
    assert "hidden=True" in hidden
    assert "fresh_rng()" in hidden
    compile(released(SOURCE[grade_id]), grade_id, "exec")


@pytest.mark.parametrize("cell", [c for c in CELLS if c.cell_type == "code"], ids=lambda c: c.id)
def test_code_cells_fit_a_narrow_screen_and_have_no_output(cell: nbformat.NotebookNode) -> None:
    lines = cell.source.splitlines()
    is_test = META.get(cell.id, {}).get("grade", False)
    assert len(lines) < 40 if is_test else len(lines) <= 20
    assert max(map(len, lines)) <= 79
    assert not cell.outputs
    assert cell.execution_count is None


def test_the_written_answer_is_graded_by_hand_and_its_scheme_is_a_task_cell() -> None:
    answer = KINDS["why_macs_do_not_predict_latency"]
    scheme = KINDS["why_macs_do_not_predict_latency_scheme"]
    assert (answer["grade"], answer["solution"], answer["points"]) == (True, True, 10)
    assert (scheme["task"], scheme["locked"], scheme["points"]) == (True, True, 0)
    text = SOURCE["why_macs_do_not_predict_latency_scheme"]
    assert text.index("=== BEGIN MARK SCHEME ===") < text.index("=== END MARK SCHEME ===")
