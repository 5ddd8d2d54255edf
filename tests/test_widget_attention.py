"""The explorer of notebook 10: what each byte of a text reads in a small GPT."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
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
)

from course_lib.attention import GPT, text_to_tokens
from course_lib.widgets import attention as explorer
from course_lib.widgets._attention_board import Board
from course_lib.widgets.attention import EXAMPLES, LONGEST, Settings, Subject, compute

VARIED = [
    Settings(),
    Settings("x"),
    Settings("price $5 and $6", layer=2, head=0, temperature=0.1),
    Settings(EXAMPLES[1], layer=2, head=2, position=7, batch=64),
    Settings("ä\tµ" * 40 + "!", position=3, temperature=8.0),
]


@pytest.fixture(scope="module")
def gpt() -> GPT:
    torch.manual_seed(0)
    model = GPT(context=48, dim=16, heads=2, layers=2)
    with torch.no_grad():
        for block in model.blocks:
            block.attention.query.weight.mul_(40)  # as picky as a trained one
    return model


@pytest.fixture(scope="module")
def subject(gpt: GPT) -> Subject:
    return Subject(gpt)


# Numbers


@pytest.mark.parametrize("settings", VARIED, ids=lambda s: f"{s.layer}-{s.head}-{s.position}")
def test_the_numbers_are_those_of_the_model(
    subject: Subject, gpt: GPT, settings: Settings
) -> None:
    reading = compute(subject, settings)
    tokens = text_to_tokens(settings.text)[-LONGEST:]
    assert reading.tokens == tuple(tokens.tolist())
    with torch.no_grad():
        logits = gpt(tokens[None])[0, min(settings.position, len(tokens)) - 1]
        _, weights, cache = gpt.attend(tokens[None].repeat(settings.batch, 1))
    layer = weights[settings.layer - 1][0]
    wanted = layer[settings.head - 1] if settings.head else layer.sum(0) / len(layer)
    torch.testing.assert_close(reading.weights, wanted, rtol=1e-4, atol=1e-6)
    scaled = (logits.double() / settings.temperature).softmax(0)
    torch.testing.assert_close(reading.probabilities, scaled, rtol=1e-4, atol=1e-9)
    assert reading.cache_bytes == sum(memory.size_bytes for memory in cache)


@pytest.mark.parametrize("settings", VARIED, ids=lambda s: f"{s.layer}-{s.head}-{s.position}")
def test_what_a_byte_reads_is_a_distribution_over_the_past(
    subject: Subject, settings: Settings
) -> None:
    reading = compute(subject, settings)
    assert len(reading.row) == reading.asking + 1
    assert reading.row.sum().item() == pytest.approx(1, abs=1e-5)
    assert reading.weights.triu(1).abs().max() == 0


def test_another_text_is_read_anew_and_the_same_text_once(gpt: GPT) -> None:
    fresh, calls = Subject(gpt), []
    attend, fresh.model.attend = gpt.attend, lambda x: calls.append(x) or attend(x)
    try:
        for text, head in (("abc", 1), ("abc", 2), ("abd", 2), ("abc", 1)):
            reading = compute(fresh, Settings(text, head=head))
            direct = attend(text_to_tokens(text)[None])[1][0][0, head - 1]
            torch.testing.assert_close(reading.weights, direct)
    finally:
        del gpt.attend
    assert len(calls) == 3


def test_heat_flattens_the_next_byte(subject: Subject) -> None:
    entropies = [
        torch.special.entr(compute(subject, Settings(temperature=heat)).probabilities).sum().item()
        for heat in (0.01, 0.3, 1.0, 10.0, 100.0)
    ]
    assert entropies == sorted(entropies)
    assert entropies[-1] == pytest.approx(math.log(256), abs=1e-2)


def test_the_table_ranks_both_sides(subject: Subject) -> None:
    reading = compute(subject, VARIED[3])
    rows = explorer.attention_table(reading)
    weights, chances = ([row[name] for row in rows] for name in ("weight", "probability"))
    known = [weight for weight in weights if weight is not None]
    assert known == sorted(known, reverse=True)
    assert chances == sorted(chances, reverse=True)
    assert len(known) == min(len(rows), VARIED[3].position)
    for row in rows[: len(known)]:
        assert row["weight"] == reading.row[row["position"] - 1]
        assert row["reads"] == explorer.byte_name(reading.tokens[row["position"] - 1])
    assert rows[0]["probability"] == reading.probabilities.max()


def test_the_summary_says_what_the_table_leads_with(subject: Subject) -> None:
    says = explorer.attention_summary(compute(subject, Settings("ab c", layer=2, position=3)))
    assert says.startswith("Layer 2, head 1: byte 3 of 4, “␣”, reads most of byte ")
    assert says.endswith("Cache of 1 text: 1,024 bytes.")  # 4 tokens, 2 layers, K and V, 16, 4
    assert "mean of all heads" in explorer.attention_summary(compute(subject, Settings(head=0)))


@pytest.mark.parametrize(
    ("settings", "error", "name"),
    [
        ({"text": ""}, ValueError, "text"),
        ({"text": b"x"}, TypeError, "text"),
        ({"layer": 0}, ValueError, "layer"),
        ({"head": -1}, ValueError, "head"),
        ({"head": 0.5}, TypeError, "head"),
        ({"position": 0}, ValueError, "position"),
        ({"temperature": 0.0}, ValueError, "temperature"),
        ({"temperature": float("nan")}, ValueError, "temperature"),
        ({"batch": 0}, ValueError, "batch"),
    ],
)
def test_settings_out_of_range_are_named(
    settings: dict[str, Any], error: type[Exception], name: str
) -> None:
    with pytest.raises(error, match=name):
        Settings(**settings)


@pytest.mark.parametrize(("settings", "name"), [({"layer": 3}, "layer"), ({"head": 3}, "head")])
def test_a_layer_or_head_that_is_not_there_is_named(
    subject: Subject, settings: dict[str, int], name: str
) -> None:
    with pytest.raises(ValueError, match=name):
        compute(subject, Settings(**settings))


def test_a_model_of_other_tokens_is_refused() -> None:
    with pytest.raises(ValueError, match="bytes, 256 of them, got 50 tokens"):
        Subject(GPT(vocabulary=50, context=8, dim=8, heads=1, layers=1))


# Pictures


@pytest.mark.parametrize("settings", VARIED, ids=lambda s: f"{s.layer}-{s.head}-{s.position}")
def test_the_picture_shows_the_numbers(subject: Subject, settings: Settings) -> None:
    reading = compute(subject, settings)
    picture, row, following, cache, _ = explorer.attention_figure(subject, reading).axes
    shown = picture.images[0].get_array()
    np.testing.assert_array_equal(shown, reading.weights.numpy())
    heights = [bar.get_height() for bar in row.patches]
    assert heights[: len(reading.row)] == reading.row.tolist()
    assert set(heights[len(reading.row) :]) <= {0}
    names = [text.get_text() for text in row.texts]
    assert names[: len(reading.tokens)] == [explorer.byte_name(t) for t in reading.tokens]
    assert set(names[len(reading.tokens) :]) <= {""}
    chances = [bar.get_width() for bar in following.patches]
    assert chances == [r["probability"] for r in explorer.attention_table(reading)]
    here = cache.lines[-1].get_data()
    assert (here[0][0], here[1][0]) == (len(reading.tokens), reading.cache_bytes)
    line = cache.lines[1].get_data()
    assert line[1][1] == line[1][0] * subject.model.context


def test_a_moved_picture_equals_a_new_one(subject: Subject) -> None:
    board = Board(subject)
    for settings in (*VARIED, VARIED[1]):
        check_moved_picture(board, Board(subject), compute(subject, settings))


# The widget


@pytest.fixture
def widget(subject: Subject) -> Any:
    return explorer.attention(subject, Settings(EXAMPLES[0], head=2))


MOVES = [
    ("text", EXAMPLES[2]),
    ("or your own, and Enter", "import os"),
    ("layer", 2),
    ("head (0: mean of all)", 0),
    ("asking byte", 9),
    ("temperature T", 5.0),
    ("batch [texts]", 64),
]


def test_every_control_says_what_it_chooses(widget: Any) -> None:
    check_descriptions(widget, MOVES)


def test_the_keyboard_reaches_every_control(widget: Any) -> None:
    check_keyboard_reach(widget)


@pytest.mark.parametrize(("description", "value"), MOVES)
def test_every_control_changes_the_picture_and_its_description(
    widget: Any, description: str, value: Any
) -> None:
    check_page_follows(widget, description, value)


def test_reset_puts_everything_back(widget: Any) -> None:
    check_reset(widget, MOVES)


def test_the_page_shows_what_compute_finds(widget: Any, subject: Subject) -> None:
    control(widget, "or your own, and Enter").value = "<b> & 'c'"
    reading = compute(subject, Settings("<b> & 'c'", head=2))
    board = Board(subject)
    board.draw(reading)
    assert page(widget).endswith(board.picture.html(explorer.attention_summary(reading)))


def test_importing_the_widget_loads_no_plotting_library() -> None:
    check_import_is_light("attention")
