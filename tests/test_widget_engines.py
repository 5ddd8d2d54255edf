"""The explorer of notebook 11: one network in several engines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from widget_checks import (
    check_descriptions,
    check_import_is_light,
    check_keyboard_reach,
    check_moved_picture,
    check_page_follows,
    check_reset,
    control,
    page,
    pixels,
)

from course_lib import deploy, models
from course_lib.widgets import engines as explorer
from course_lib.widgets._engines_board import Board
from course_lib.widgets.engines import COLUMNS, Settings, Subject, compute

MIB = 2**20


def row(net: str, batch: int, engine: str, milliseconds: float | None, **others: Any) -> dict:
    """A row of the table; without a time it is an engine that did not run."""
    values = dict.fromkeys(COLUMNS) | {"net": net, "batch": batch, "engine": engine, "note": ""}
    if milliseconds is None:
        return values | {"note": "RuntimeError: $\\no$ kernel for this operator"} | others
    spread = {"latency_q1_ms": 0.9 * milliseconds, "latency_q3_ms": 1.2 * milliseconds}
    sizes = {"size_bytes": 40_000, "peak_memory_bytes": 3 * MIB, "agreement": 1.0}
    exact = {"latency_ms": milliseconds, "max_abs_error": 0.0}
    return values | exact | spread | sizes | others


ROWS = [
    row("small", 1, "eager", 1.0, peak_memory_bytes=200_000),
    row("small", 1, "compile", 0.8),  # the quartiles overlap
    row("small", 1, "int8", 0.5, size_bytes=10_000),
    row("small", 64, "eager", 16.0),
    row("small", 64, "compile", None),
    row("large", 1, "eager", 100.0, size_bytes=4_000_000),
    row("large", 1, "int8", 300.0, size_bytes=1_000_000),
]
VARIED = [
    Settings("small"),
    Settings("small", 64),
    Settings("small", 64, per_input=True),
    Settings("large"),
    Settings("large", 64),  # a pair that was not measured
]


@pytest.fixture(scope="module")
def subject() -> Subject:
    return Subject(ROWS, "made up")


# Numbers


@pytest.mark.parametrize("settings", VARIED, ids=str)
def test_the_rows_are_those_of_the_network_and_batch(subject: Subject, settings: Settings) -> None:
    comparison = compute(subject, settings)
    wanted = [r for r in ROWS if r["net"] == settings.net and r["batch"] == settings.batch]
    assert list(comparison.rows) == wanted
    table = explorer.engines_table(comparison)
    assert [r["engine"] for r in table] == [r["engine"] for r in wanted]
    assert all(set(r) == set(COLUMNS) - {"net", "batch"} for r in table)


def test_only_what_is_beyond_the_quartiles_is_faster(subject: Subject) -> None:
    assert compute(subject, Settings("small")).faster == ("int8",)
    assert compute(subject, Settings("large")).faster == ()
    assert compute(subject, Settings("small", 64)).faster == ()


def test_a_pair_that_was_not_measured_has_no_rows_and_says_so(subject: Subject) -> None:
    comparison = compute(subject, Settings("large", 64))
    assert comparison.rows == ()
    assert explorer.engines_summary(comparison) == "large, 64 inputs: no engine has a number."


def test_without_eager_nothing_is_called_faster() -> None:
    alone = Subject([row("net", 1, "int8", 0.5)], "made up")
    comparison = compute(alone, Settings("net"))
    assert comparison.faster == ()
    assert comparison.eager == {}
    assert "none" in explorer.engines_summary(comparison)


def test_the_summary_names_the_fastest_and_the_silent(subject: Subject) -> None:
    says = explorer.engines_summary(compute(subject, Settings("small")))
    assert says == (
        "small, 1 input: the median is lowest in int8, 0.5 ms. "
        "Faster than eager beyond the quartiles: int8."
    )
    silent = explorer.engines_summary(compute(subject, Settings("small", 64)))
    assert silent.endswith("Without a number: compile.")


def test_choices_are_in_the_order_of_the_rows(subject: Subject) -> None:
    assert subject.nets == ("small", "large")
    assert subject.batches == (1, 64)
    assert subject.engines == ("eager", "compile", "int8")
    assert subject.first() == Settings("small", 1)


@pytest.mark.parametrize(
    ("settings", "name"), [(Settings("huge"), "net"), (Settings("large", 2), "batch")]
)
def test_what_was_not_measured_is_named(subject: Subject, settings: Settings, name: str) -> None:
    with pytest.raises(ValueError, match=name):
        compute(subject, settings)


def test_bad_rows_and_settings_are_refused_in_words() -> None:
    with pytest.raises(ValueError, match="at least one measurement"):
        Subject([], "none")
    with pytest.raises(ValueError, match="'size_bytes'"):
        Subject([{k: v for k, v in ROWS[0].items() if k != "size_bytes"}], "made up")
    with pytest.raises(ValueError, match="at least one latency"):
        Subject([row("net", 1, "eager", None)], "made up")
    with pytest.raises(TypeError, match="per_input"):
        Settings("small", per_input=1)  # type: ignore[arg-type]


def test_the_courses_table_is_used_where_it_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COURSE_RESULTS_DIR", str(tmp_path))
    assert explorer.measured() is None
    lines = [",".join((*COLUMNS, "hardware", "threads"))]
    for each in ROWS:
        values = ["" if each[c] is None else str(each[c]).replace(",", "") for c in COLUMNS]
        lines.append(",".join((*values, "a processor", "1")))
    (tmp_path / "engines.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    found = explorer.measured()
    assert found is not None
    assert (found.nets, found.batches) == (("small", "large"), (1, 64))
    assert found.source == "results/engines.csv, a processor, 1 thread"
    chosen = compute(found, Settings("small"))
    assert chosen.faster == ("int8",)
    assert Board(found).draw(chosen) is None


def test_a_live_measurement_has_the_tables_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    monkeypatch.setattr(models, "pretrained", lambda name: models.mlp((4,)).eval())
    inputs = torch.randn(6, 1, 28, 28)
    found = explorer.live({"tiny": inputs}, (1, 4), ("eager", "folded"), repeats=3)
    assert [(r["batch"], r["engine"]) for r in found.rows] == [
        (1, "eager"), (1, "folded"), (4, "eager"), (4, "folded"),
    ]  # fmt: skip
    assert all(tuple(r) == COLUMNS for r in found.rows)
    assert all(r["agreement"] == 1 and r["latency_ms"] > 0 for r in found.rows)
    assert "3 repetitions" in found.source


def test_times_of_a_measured_row_become_milliseconds() -> None:
    shared: dict[str, Any] = {"batch": 2, "threads": 1, "cpu": "c", "logical_cores": 1}
    machine: dict[str, Any] = {"memory_bytes": 1, "os": "o", "python": "p", "torch": "t"}
    ran = deploy.EngineRow(
        engine="eager",
        latency_s=0.002,
        latency_q1_s=0.001,
        latency_q3_s=0.004,
        **shared,
        **machine,
    )
    made = explorer.row_of("net", ran)
    assert [made[c] for c in COLUMNS[:6]] == ["net", 2, "eager", 2.0, 1.0, 4.0]
    silent = deploy.EngineRow(engine="eager", note="why", **shared, **machine)
    assert explorer.row_of("net", silent)["latency_ms"] is None


# Pictures


@pytest.mark.parametrize("settings", VARIED, ids=str)
def test_the_picture_shows_the_numbers(subject: Subject, settings: Settings) -> None:
    comparison = compute(subject, settings)
    panels = explorer.engines_figure(subject, comparison).axes
    share = settings.batch if settings.per_input else 1
    units = {"latency_ms": share, "size_bytes": 1e3, "peak_memory_bytes": 1e6 * share}
    rows = {subject.engines.index(r["engine"]): r for r in comparison.rows}
    for axes, (column, unit) in zip(panels, units.items(), strict=True):
        least = 2**18 if column == "peak_memory_bytes" else 0  # what can be seen
        places = [y for y in sorted(rows) if (rows[y][column] or 0) > least]
        x, y = axes.lines[0].get_data()
        assert list(y) == places
        assert list(x) == pytest.approx([rows[place][column] / unit for place in places])
        low, high = axes.get_xlim()
        assert all(low < value < high for value in x)
    for place, line in enumerate(panels[0].lines[1:]):
        ends = [rows.get(place, {}).get(n) for n in ("latency_q1_ms", "latency_q3_ms")]
        wanted = [] if None in ends else [end / share for end in ends]
        assert list(line.get_xdata()) == pytest.approx(wanted)


def test_an_engine_without_a_number_says_why(subject: Subject) -> None:
    figure = explorer.engines_figure(subject, compute(subject, Settings("small", 64)))
    words = [text.get_text() for text in figure.axes[0].texts]
    assert words[:3] == ["16 (1.00)", "RuntimeError: $\\no$ kernel …", "not measured"]
    first = explorer.engines_figure(subject, compute(subject, Settings("small")))
    words = [text.get_text() for text in first.axes[2].texts]
    assert words[0] == "too little to be seen"
    words = [text.get_text() for text in first.axes[0].texts]
    assert words[:3] == ["1 (1.00)", "0.8 (0.80)", "0.5 (0.50)"]
    assert "small, 1 input at once" in [text.get_text() for text in first.axes[0].texts]


def test_a_moved_picture_equals_a_new_one(subject: Subject) -> None:
    board = Board(subject)
    for settings in (*VARIED, VARIED[0]):
        check_moved_picture(board, Board(subject), compute(subject, settings))


def test_one_engine_of_one_value_can_be_drawn() -> None:
    alone = Subject([row("net", 1, "eager", 0.5, size_bytes=None, peak_memory_bytes=None)], "x")
    board = Board(alone)
    board.draw(compute(alone, alone.first()))
    assert pixels(board.picture.png()).size


# The widget


@pytest.fixture
def widget() -> Any:
    return explorer.engines(Subject(ROWS, "made up"), Settings("small", 64))


MOVES = [("network", "large"), ("batch [inputs]", 1)]
PER_INPUT = ("time and memory per input", True)


def test_every_control_says_what_it_chooses(widget: Any) -> None:
    check_descriptions(widget, [*MOVES, PER_INPUT])


def test_the_keyboard_reaches_every_control(widget: Any) -> None:
    check_keyboard_reach(widget)


@pytest.mark.parametrize(("description", "value"), MOVES)
def test_every_control_changes_the_picture_and_its_description(
    widget: Any, description: str, value: Any
) -> None:
    check_page_follows(widget, description, value)


def test_the_share_per_input_changes_the_picture(widget: Any) -> None:
    before = page(widget)
    description, value = PER_INPUT
    control(widget, description).value = value
    assert page(widget) != before


def test_reset_puts_everything_back(widget: Any) -> None:
    check_reset(widget, [*MOVES, PER_INPUT])


def test_importing_the_widget_loads_no_plotting_library() -> None:
    check_import_is_light("engines")
