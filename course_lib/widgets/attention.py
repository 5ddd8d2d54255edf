"""Explorer: what each byte of a text reads, in every layer and head of a small GPT.

For a text that is picked or typed: the attention weights as a picture, the row of one byte, the
distribution of the byte after it at a temperature, and the bytes of the key-value cache.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from course_lib._validate import check_int, check_number
from course_lib.attention import GPT, kv_cache_bytes, text_to_tokens
from course_lib.widgets._attention_board import BATCHES, SHOWN, Board, byte_name
from course_lib.widgets._explorer import WIDE, Picture, explorer

if TYPE_CHECKING:
    from ipywidgets import VBox
    from matplotlib.figure import Figure

LONGEST = 40  # bytes of the text that are read: more would not be legible
EXAMPLES = (
    "for item in items:\n    print(item.name, ",
    'raise ValueError("the value must be ',
    "def mean(self, values):\n    return sum(",
    "if isinstance(value, (list, tuple)):\n",
    "self.assertEqual(self.count(), self.co",
)


@dataclass(frozen=True)
class Settings:
    """What to look at. Layers, heads and positions count from 1; head 0 is the mean of all heads.

    position: the byte that asks; beyond the end of the text it is the last one. temperature
    divides the logits of the next byte. batch: texts that are generated side by side, each with a
    cache of its own. Of a longer text the last `LONGEST` bytes are read.
    """

    text: str = EXAMPLES[0]
    layer: int = 1
    head: int = 1
    position: int = LONGEST
    temperature: float = 1.0
    batch: int = 1

    def __post_init__(self) -> None:
        if not isinstance(self.text, str):
            raise TypeError(f"text must be a str, got {type(self.text).__name__}.")
        if not self.text:
            raise ValueError("text must hold at least one character, got none.")
        check_int("layer", self.layer)
        check_int("head", self.head, minimum=0)
        check_int("position", self.position)
        check_number("temperature", self.temperature, minimum=0.01, maximum=100.0)
        check_int("batch", self.batch)


@dataclass(frozen=True)
class Reading:
    """What `compute` found for T bytes.

    weights [T, T]: row t is what byte t read. probabilities [vocabulary]: of the byte that
    follows the asking one. cache_bytes: keys and values of the T bytes, for the whole batch.
    """

    settings: Settings
    tokens: tuple[int, ...]
    weights: Tensor = field(repr=False)
    probabilities: Tensor = field(repr=False)
    cache_bytes: int

    @property
    def asking(self) -> int:
        """Index of the byte that asks, from 0."""
        return min(self.settings.position, len(self.tokens)) - 1

    @property
    def row(self) -> Tensor:
        """What the asking byte read, [asking + 1]: causal attention never looks ahead."""
        return self.weights[self.asking, : self.asking + 1]


class Subject:
    """A GPT on bytes, and what it made of the last text that it read.

    ValueError unless its vocabulary is the 256 bytes.
    """

    def __init__(self, model: GPT) -> None:
        if model.token.num_embeddings != 256:
            raise ValueError(
                f"model must predict bytes, 256 of them, got {model.token.num_embeddings} tokens."
            )
        self.model = model.eval()
        self.dim = model.token.embedding_dim
        self.heads = int(model.blocks[0].attention.heads)  # type: ignore[union-attr,arg-type]
        self.layers = len(model.blocks)
        self.longest = min(LONGEST, model.context)
        self.weight_bytes = sum(tensor.nbytes for tensor in model.parameters())
        self._text, self._read = "", (torch.empty(0), torch.empty(0))

    def read(self, text: str) -> tuple[tuple[int, ...], Tensor, Tensor]:
        """Return the last `longest` bytes, logits [T, 256], weights [layers, heads, T, T]."""
        tokens = text_to_tokens(text)[-self.longest :]
        if text != self._text:
            with torch.inference_mode():
                logits, weights, _ = self.model.attend(tokens[None])
            self._text, self._read = text, (logits[0], torch.cat(weights))
        return tuple(tokens.tolist()), *self._read

    def cache_bytes(self, tokens: int, batch: int) -> int:
        """Bytes of float32 keys and values of all layers."""
        return kv_cache_bytes(tokens, self.dim, self.layers, batch=batch)


def compute(subject: Subject, settings: Settings) -> Reading:
    """Run the text through the model; ValueError for a layer or head that it does not have."""
    layer = check_int("layer", settings.layer, 1, subject.layers)
    head = check_int("head", settings.head, 0, subject.heads)
    tokens, logits, weights = subject.read(settings.text)
    shown = weights[layer - 1].mean(0) if head == 0 else weights[layer - 1, head - 1]
    asking = min(settings.position, len(tokens)) - 1
    next_byte = (logits[asking].double() / settings.temperature).softmax(-1)
    cache = subject.cache_bytes(len(tokens), settings.batch)
    return Reading(settings, tokens, shown, next_byte, cache)


def attention_table(reading: Reading) -> list[dict[str, Any]]:
    """Return what the asking byte read most, and the likeliest next bytes, side by side.

    One row per rank: rank, reads, position (from 1), weight, next_byte, probability; the first
    three after rank are None where the asking byte had fewer bytes to read.
    """
    weights, places = reading.row.sort(descending=True, stable=True)
    chances, following = reading.probabilities.sort(descending=True, stable=True)
    rows = []
    for rank in range(SHOWN):
        row: dict[str, Any] = {"rank": rank + 1, "reads": None, "position": None, "weight": None}
        if rank < len(places):
            place = int(places[rank])
            row["reads"], row["position"] = byte_name(reading.tokens[place]), place + 1
            row["weight"] = weights[rank].item()
        row["next_byte"] = byte_name(int(following[rank]))
        rows.append(row | {"probability": chances[rank].item()})
    return rows


def attention_summary(reading: Reading) -> str:
    """Say in a sentence what the asking byte read and what the model expects after it."""
    chosen, first = reading.settings, attention_table(reading)[0]
    head = f"head {chosen.head}" if chosen.head else "mean of all heads"
    asks = byte_name(reading.tokens[reading.asking])
    texts = "1 text" if chosen.batch == 1 else f"{chosen.batch:,} texts"
    return (
        f"Layer {chosen.layer}, {head}: byte {reading.asking + 1} of {len(reading.tokens)}, "
        f"“{asks}”, reads most of byte {first['position']}, “{first['reads']}” "
        f"({first['weight']:.0%}). Likeliest next byte at T = {chosen.temperature:.3g}: "
        f"“{first['next_byte']}” ({first['probability']:.1%}). "
        f"Cache of {texts}: {reading.cache_bytes:,} bytes."
    )


def attention_figure(subject: Subject, reading: Reading) -> Figure:
    """Draw the weights, the row of the asking byte, the next byte and the bytes of the cache."""
    board = Board(subject)
    board.draw(reading)
    return board.figure


def attention(subject: Subject, settings: Settings | None = None) -> VBox:
    """Return the explorer for a notebook; it starts at `settings`."""
    import ipywidgets as widgets

    first, board = settings or Settings(), Board(subject)

    def draw(example: str, own: str, **values: Any) -> tuple[Picture, str]:
        reading = compute(subject, replace(first, text=own or example, **values))
        board.draw(reading)
        return board.picture, attention_summary(reading)

    def slider(description: str, value: int, low: int, high: int) -> Any:
        return widgets.IntSlider(value, low, high, description=description, **WIDE)

    examples = tuple(dict.fromkeys((first.text, *EXAMPLES)))
    controls = {
        "example": widgets.Dropdown(
            options=[(" ".join(text.split()), text) for text in examples],
            description="text", **WIDE,
        ),
        "own": widgets.Text(
            description="or your own, and Enter", continuous_update=False, **WIDE
        ),
        "layer": slider("layer", first.layer, 1, subject.layers),
        "head": slider("head (0: mean of all)", first.head, 0, subject.heads),
        "position": slider(
            "asking byte", min(first.position, subject.longest), 1, subject.longest
        ),
        "temperature": widgets.FloatLogSlider(
            first.temperature, min=-1, max=1, step=0.05, readout_format=".2f",
            description="temperature T", **WIDE,
        ),
        "batch": widgets.SelectionSlider(
            options=sorted({*BATCHES, first.batch}), value=first.batch,
            description="batch [texts]", **WIDE,
        ),
    }  # fmt: skip
    return explorer(controls, draw)
