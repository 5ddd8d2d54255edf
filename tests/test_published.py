"""Published tables: every file is sound, and holds the facts that the syllabus states."""

from __future__ import annotations

import csv
import math
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from course_lib import _tables, published

FOLDER = Path(published.__file__).parent
# What the end of a numeric column's name may be: units, counts, and the three without a unit.
UNITS = (
    *("percent", "percent_per_million", "millions", "billions", "count", "times", "exponent"),
    *("dmips", "kib", "mib", "kb", "mb", "bits", "pixels", "pj", "ms"),
    *("hours", "days", "months", "year", "usd_per_hour"),
)
WITHOUT_UNIT = ("bleu", "temperature", "sparsity")


@pytest.fixture(params=published.names())
def table(request) -> published.Table:
    return published.table(request.param)


def test_names_are_the_files():
    assert published.names() == tuple(sorted(path.stem for path in FOLDER.glob("*.csv")))
    assert len(published.names()) > 20


def test_every_row_is_complete_and_cites_a_work_with_a_year(table):
    with (FOLDER / f"{table.name}.csv").open(encoding="utf-8", newline="") as file:
        header, *lines = csv.reader(file)
    assert table.columns == tuple(header)
    assert header[-1] == "source"
    assert len(set(header)) == len(header)
    assert len(lines) == len(table) > 0
    for line, row in zip(lines, table.rows, strict=True):
        assert len(line) == len(header)
        assert all(cell == cell.strip() for cell in line)
        assert tuple(row) == table.columns
        cited = str(row["source"])
        assert re.search(r"\b(19|20)\d\d\b|documentation|torchvision 0\.\d+", cited), cited
        assert "http" not in cited


def test_numeric_columns_say_their_unit(table):
    for column in table.columns:
        kinds = {type(value) for value in table.column(column) if value is not None}
        assert len(kinds) == 1, f"{column} is empty or mixes {kinds}"
        if kinds <= {int, float}:
            assert column in WITHOUT_UNIT or column.endswith(tuple(f"_{unit}" for unit in UNITS))


def test_values_are_within_what_their_unit_allows(table):
    for column in table.columns:
        values = [v for v in table.column(column) if isinstance(v, int | float)]
        if column.endswith("_percent"):
            assert all(0 < value <= 100 for value in values)
        elif column == "sparsity":
            assert all(0 <= value < 1 for value in values)
        elif not column.endswith("_exponent"):
            assert all(0 < value < math.inf for value in values)
    for low in (c for c in table.columns if "low_" in c):
        high = low.replace("low_", "high_")
        pairs = zip(table.column(low), table.column(high), strict=True)
        assert all(a <= b for a, b in pairs)


def test_rows_are_told_apart_by_their_texts(table):
    names = [tuple(v for v in row.values() if isinstance(v, str)) for row in table.rows]
    if "sparsity" in table.columns:
        names = list(zip(names, table.column("sparsity"), strict=True))
    assert len(set(names)) == len(names)


# Facts as the syllabus states them: table, how to find the row, what it must hold.
FACTS = [
    ("devices", {"device": "Cortex-M0"}, {"performance_dmips": 50, "memory_kib": 32}),
    ("devices", {"device": "Cortex-M4"}, {"performance_dmips": 200, "memory_kib": 128}),
    ("devices", {"device": "Cortex-M7"}, {"performance_dmips": 850, "memory_kib": 384}),
    (
        "devices",
        {"device": "Raspberry Pi Zero"},
        {"performance_dmips": 1250, "memory_kib": 512 * 2**10},
    ),
    (
        "devices",
        {"device": "Raspberry Pi 3"},
        {"performance_dmips": 11_000, "memory_kib": 2**20},
    ),
    ("devices", {"device": "Smartphone"}, {"performance_dmips": 50_000, "memory_kib": 2**22}),
    (
        "models",
        {"model": "1.0 MobileNet-224"},
        {"top1_percent": 70.6, "macs_millions": 569, "params_millions": 4.2},
    ),
    (
        "models",
        {"model": "VGG-16"},
        {"top1_percent": 71.5, "macs_millions": 15300, "params_millions": 138},
    ),
    ("models", {"model": "Inception V3"}, {"top1_percent": 78.8, "params_millions": 24}),
    ("energy", {"operation": "int32 add"}, {"energy_pj": 0.1}),
    ("energy", {"operation": "fp32 add"}, {"energy_pj": 0.9}),
    ("energy", {"operation": "int32 mul"}, {"energy_pj": 3.1}),
    ("energy", {"operation": "fp32 mul"}, {"energy_pj": 3.7}),
    ("energy", {"operation": "SRAM read"}, {"energy_pj": 5}),
    ("energy", {"operation": "DRAM read"}, {"energy_pj": 640}),
    (
        "tflite_quantization",
        {"model": "MobileNet v1 1.0 224", "quantization": "post-training"},
        {"top1_percent": 65.7, "latency_ms": 112, "size_mb": 4.3},
    ),
    (
        "tflite_quantization",
        {"model": "MobileNet v2 1.0 224", "quantization": "quantization-aware"},
        {"top1_percent": 70.9, "latency_ms": 54, "size_mb": 3.6},
    ),
    (
        "tflite_quantization",
        {"model": "Inception v3", "quantization": "none"},
        {"top1_percent": 78.0, "latency_ms": 1130, "size_mb": 95.7},
    ),
    (
        "tflite_quantization",
        {"model": "ResNet v2 101", "quantization": "post-training"},
        {"top1_percent": 76.8, "latency_ms": 2868, "size_mb": 44.9},
    ),
    (
        "xnor_net",
        {"network": "AlexNet", "method": "BNN"},
        {"top1_percent": 27.9, "top5_percent": 50.42, "weight_bits": 1, "activation_bits": 1},
    ),
    (
        "xnor_net",
        {"network": "ResNet-18", "method": "BWN"},
        {"top1_percent": 60.8, "top5_percent": 83.0, "weight_bits": 1, "activation_bits": 32},
    ),
    (
        "xnor_net",
        {"network": "GoogLeNet", "method": "full precision"},
        {"top1_percent": 71.3, "top5_percent": 90.0},
    ),
    ("tf_pruning_images", {"model": "Inception v3", "sparsity": 0.875}, {"top1_percent": 74.6}),
    ("tf_pruning_images", {"model": "MobileNet v1 224", "sparsity": 0.5}, {"top1_percent": 70.84}),
    ("tf_pruning_gnmt", {"translation": "English to German", "sparsity": 0.8}, {"bleu": 26.86}),
    ("tf_pruning_gnmt", {"translation": "German to English", "sparsity": 0.9}, {"bleu": 28.81}),
    (
        "deep_compression",
        {"network": "LeNet-300-100"},
        {
            "original_top1_error_percent": 1.64,
            "compressed_top1_error_percent": 1.58,
            "original_size_kb": 1070,
            "compressed_size_kb": 27,
            "compression_times": 40,
        },
    ),
    (
        "deep_compression",
        {"network": "VGG-16"},
        {"original_size_kb": 552_000, "compressed_size_kb": 11_300, "compression_times": 49},
    ),
    ("deep_compression_gains", {"stages": "pruning"}, {"low_times": 9, "high_times": 13}),
    (
        "distillation_speech",
        {"system": "distilled single model"},
        {"frame_accuracy_percent": 60.8, "word_error_rate_percent": 10.7},
    ),
    ("distillation_mnist", {"training": "student alone"}, {"errors_count": 146}),
    ("distillation_mnist", {"training": "distilled"}, {"errors_count": 74, "temperature": 20}),
    (
        "distillation_mnist",
        {"training": "distilled, every 3 left out"},
        {"errors_count": 206, "errors_on_threes_count": 133},
    ),
    (
        "distilled_transformers",
        {"model": "DistilBERT"},
        {"smaller_percent": 40, "faster_percent": 60, "performance_kept_percent": 97},
    ),
    (
        "distilled_transformers",
        {"model": "TinyBERT (4 layers)"},
        {"smaller_times": 7.5, "faster_times": 9.4, "performance_kept_percent": 96.8},
    ),
    (
        "transformer_training",
        {"model": "Transformer (base)", "translation": "English to German"},
        {"bleu": 27.3, "training_flops_billions": 3_300_000_000},
    ),
    ("efficientnet", {"variant": "B7"}, {"top1_percent": 84.5, "params_millions": 66}),
    ("mnasnet_reward", {"variant": "hard"}, {"alpha_exponent": 0, "beta_exponent": -1}),
    ("nas_cost", {"introduced_year": 2016}, {"printed_gpu_hours": 22_400, "gpu_hours": 537_600}),
    ("gpu_price", {}, {"price_usd_per_hour": 3}),
]


@pytest.mark.parametrize(("name", "where", "expected"), FACTS)
def test_the_table_states_the_fact(name, where, expected):
    rows = [r for r in published.table(name).rows if where.items() <= r.items()]
    assert len(rows) == 1
    assert {key: rows[0][key] for key in expected} == expected


def test_glue_layers_cost_what_riptide_says():
    glue = published.table("riptide_glue")
    assert glue.column("operations_per_output_count") == [None, 4, 1, 4, 1, 5, 3]
    assert glue.column("divisor_count") == [43] + [None] * 6


def test_compound_scaling_doubles_the_cost():
    alpha, beta, gamma = published.table("efficientnet_scaling").column("value_times")
    assert alpha * beta**2 * gamma**2 == pytest.approx(2, abs=0.1)


def test_deep_compression_factors_follow_from_the_sizes():
    for row in published.table("deep_compression").rows:
        factor = row["original_size_kb"] / row["compressed_size_kb"]
        # The table truncates or rounds the factor and gives its sizes to two or three digits.
        digits = len(str(row["compressed_size_kb"]).rstrip("0"))
        assert factor == pytest.approx(
            row["compression_times"], rel=0.5 * 10 ** (1 - digits) + 0.02
        )


def test_gpu_hours_follow_from_gpus_and_days():
    for row in published.table("nas_cost").rows:
        if row["duration_days"]:
            assert row["gpu_hours"] == row["gpu_count"] * row["duration_days"] * 24


def test_torchvision_columns_are_those_of_the_installed_torchvision():
    import torchvision
    from torchvision.models import get_model_weights, list_models

    table = published.table("torchvision_models")
    if not table.sources[0].startswith(
        f"torchvision {torchvision.__version__.partition('+')[0]},"
    ):
        pytest.skip(f"the table is of another version than torchvision {torchvision.__version__}")
    expected = {}
    for model in list_models(module=torchvision.models):
        for weights in get_model_weights(model):
            meta = weights.meta
            accuracy = meta["_metrics"].get("ImageNet-1K")
            if accuracy and not math.isnan(accuracy["acc@1"]):  # some are no classifiers
                expected[model, weights.name] = (
                    weights.transforms().crop_size[0],
                    accuracy["acc@1"],
                    accuracy["acc@5"],
                    meta["_ops"],
                    meta["num_params"],
                    meta["_file_size"],
                )
    columns = ("image_pixels", "top1_percent", "top5_percent", "macs_billions", "params_count")
    found = {
        (row["model"], row["weights"]): tuple(row[c] for c in (*columns, "file_mib"))
        for row in table.rows
    }
    assert found == expected


# --- the loader


@pytest.mark.parametrize("name", ["nothing", "devices.csv", "../data", "", None, 3, ["devices"]])
def test_an_unknown_name_is_answered_with_the_list(name):
    with pytest.raises(ValueError, match=r"name must be one of compute_growth, .*xnor_net; got"):
        published.table(name)


def test_an_unknown_column_is_answered_with_the_list():
    with pytest.raises(ValueError, match="name must be one of device, memory_kib"):
        published.table("devices").column("memory")


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["1", "2"], [1, 2]),
        (["1", "2.5"], [1.0, 2.5]),
        (["", "3"], [None, 3]),
        (["1", "x"], ["1", "x"]),
        (["", "x"], [None, "x"]),
        (["-0.07", "0"], [-0.07, 0.0]),
    ],
)
def test_a_column_has_one_type(cells, expected):
    converted = _tables._converted(cells)
    assert converted == expected
    assert [type(v) for v in converted] == [type(v) for v in expected]


def test_a_table_that_is_changed_is_whole_the_next_time():
    published.table("devices").rows[0]["memory_kib"] = 0
    assert published.table("devices").rows[0]["memory_kib"] == 32


def test_sources_are_listed_once_in_order():
    sources = published.table("energy").sources
    assert len(sources) == 2
    assert "Horowitz" in sources[0]
    assert "Han" in sources[1]


def test_text_has_a_line_for_each_row_and_each_source(table):
    lines = str(table).splitlines()
    assert len(lines) == 2 + len(table) + len(table.sources)
    for i, source in enumerate(table.sources, start=1):
        assert lines[-len(table.sources) + i - 1] == f"[{i}] {source}"


class Cells(HTMLParser):
    """Collects the texts of table cells and list items."""

    def __init__(self) -> None:
        super().__init__()
        self.found: dict[str, list[str]] = {"th": [], "td": [], "li": []}
        self.current = ""

    def handle_starttag(self, tag, attrs):
        if tag in self.found:
            self.found[tag].append("")
            self.current = tag

    def handle_endtag(self, tag):
        self.current = "" if tag in self.found else self.current

    def handle_data(self, data):
        if self.current:
            self.found[self.current][-1] += data


def test_html_shows_every_cell_and_source(table):
    parser = Cells()
    parser.feed(table._repr_html_())
    assert parser.found["th"] == list(table.columns)
    assert parser.found["li"] == list(table.sources)
    cells = iter(parser.found["td"])
    for row in table.rows:
        for column in table.columns:
            value = "" if row[column] is None else str(row[column])
            expected = f"[{table.sources.index(value) + 1}]" if column == "source" else value
            assert next(cells) == expected
    assert next(cells, None) is None


def test_html_escapes_what_looks_like_markup():
    row = {"model": "<script>alert(1)</script>", "source": "A & B, 2020"}
    page = published.Table("x", ("model", "source"), (row,))._repr_html_()
    assert "<script>" not in page
    assert "A &amp; B" in page
