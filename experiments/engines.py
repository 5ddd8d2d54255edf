"""One network in several engines: time, bytes and memory on a CPU

The engines of `course_lib.deploy` run the same trained network; "sparse" runs the linear layers
of a copy with nine tenths of its weights set to zero as compressed rows, "binary" a copy whose
hidden layers compute with packed signs. Those two are other functions (how accurate such
networks can be is in the tables `pruning` and `quantization`); their error is measured against
the same copy with dense zeros and unpacked signs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from course_lib import binary, codec, cost, data, deploy, measure, models, plot, prune, sparse
from course_lib.results import Table
from experiments.recipes import CIFAR_NOTE
from experiments.runner import SCRATCH, Job, Row

KEY = ("net", "batch", "engine")
SPREAD = {"size_bytes": 4096, "agreement": 0.05, "macs": 0}
NETS = {
    "lenet_300_100": "mnist",
    "lenet_5": "mnist",
    "vgg_cifar": "cifar10",
    "resnet20": "cifar10",
    "pooled_resnet": "cifar10",
    "mobilenet_0500": "cifar10",
}
BATCHES = (1, 64)
JUDGED, QUICK_JUDGED = 1024, 128  # validation images on which the answers are compared
SPARSITY = 0.9
AGREES = 0.9  # of the answers, or the reading says so
QUICK_ENGINES = ("eager", "folded", "onnxruntime", "onnxruntime_int8")


def jobs(quick: bool) -> list[Job]:
    """One job per network and batch size."""
    nets = {"lenet_300_100": "mnist"} if quick else NETS
    return [
        Job({"net": net, "batch": batch}, partial(_compare, net, dataset, batch, quick))
        for net, dataset in nets.items()
        for batch in BATCHES
    ]


def _compare(net: str, dataset: str, batch: int, quick: bool) -> Iterable[Row]:
    model = models.pretrained(net)
    judged = data.load(dataset).validation.inputs(slice(QUICK_JUDGED if quick else JUDGED))
    example = judged[:batch]
    # Inputs that calibrate ranges are training data; what is judged is not among them.
    calibration = data.load(dataset).train.inputs(slice(256))
    engines = QUICK_ENGINES if quick else None
    repeats = 20 if quick else 100
    macs = cost.count(model, example[:1]).macs
    shared = {
        "dataset": CIFAR_NOTE if dataset == "cifar10" else dataset,
        "judged_images": len(judged),
        "seed": 0,
        "macs": macs,
        "repeats": repeats,
    }
    for row in deploy.compare_engines(
        model, example, engines, calibration=calibration, judged=judged, repeats=repeats
    ):
        yield shared | {
            "engine": row.engine,
            "version": row.version,
            "latency_ms": _ms(row.latency_s),
            "latency_q1_ms": _ms(row.latency_q1_s),
            "latency_q3_ms": _ms(row.latency_q3_s),
            "size_bytes": row.size_bytes,
            "peak_memory_bytes": row.peak_memory_bytes,
            "max_abs_error": row.max_abs_error,
            "agreement": row.agreement,
            "note": row.note,
        }
    for name, build in (("sparse", _sparse), ("binary", _binary)):
        yield (
            shared | {"engine": name} | _own_engine(name, *build(model), example, judged, repeats)
        )


def _sparse(model: nn.Module) -> tuple[nn.Module, nn.Module]:
    """A sparse network, and the same with dense zeros."""
    pruned = prune.prune_model(model, SPARSITY).model
    return sparse.sparsify(pruned), pruned


def _binary(model: nn.Module) -> tuple[nn.Module, nn.Module]:
    """A packed network, and the same with one float per sign."""
    layers = [n for n, m in model.named_modules() if isinstance(m, nn.Linear | nn.Conv2d)]
    ends = (layers[0], layers[-1])  # XNOR-Net, too, keeps these in floating point
    plain = binary.binary_model(model, method="xnor", keep=ends).eval()
    return binary.pack_model(plain), plain


def _own_engine(
    name: str,
    model: nn.Module,
    reference: nn.Module,
    example: Tensor,
    judged: Tensor,
    repeats: int,
) -> Row:
    run: Callable[[Tensor], Tensor] = torch.inference_mode()(model)
    parts = judged.split(len(example))
    with torch.inference_mode():
        expected = torch.cat([reference(part) for part in parts])
        output = torch.cat([model(part) for part in parts])
    time = measure.latency(run, example, repeats=repeats, threads=torch.get_num_threads())
    SCRATCH.mkdir(parents=True, exist_ok=True)
    path = SCRATCH / f"engine-{name}.bin"
    if name == "sparse":
        size = codec.save(reference, path, techniques=("sparse",)).total_bytes
    else:
        size = measure.file_size_bytes(model)
    return {
        "version": f"course_lib.{name}",
        "latency_ms": _ms(time.median_s),
        "latency_q1_ms": _ms(time.q1_s),
        "latency_q3_ms": _ms(time.q3_s),
        "size_bytes": size,
        "peak_memory_bytes": measure.peak_memory(run, example).bytes,
        "max_abs_error": (output - expected).abs().max().item(),
        "agreement": (output.argmax(-1) == expected.argmax(-1)).double().mean().item(),
        "note": "another function: see the title of the module",
    }


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else seconds * 1e3


def _ratios(rows: list[Row], batch: int, column: str) -> dict[str, list[float]]:
    """For every other engine, `column` over eager's, one value per network."""
    here = [row for row in rows if row["batch"] == batch]
    eager = {row["net"]: row[column] for row in here if row["engine"] == "eager"}
    ratios: dict[str, list[float]] = {}
    for row in here:
        if row["engine"] != "eager" and row[column] is not None and eager.get(row["net"]):
            ratios.setdefault(row["engine"], []).append(row[column] / eager[row["net"]])
    return ratios


def _spans(rows: list[Row], batch: int, column: str) -> str:
    return ", ".join(
        f"{engine} {min(values):.2f} to {max(values):.2f}"
        for engine, values in _ratios(rows, batch, column).items()
    )


def reading(table: Table) -> str:
    """What the table says."""
    rows: list[Row] = [dict(row) for row in table.rows]
    many = max(BATCHES)
    times = ". ".join(f"at batch {b}: {_spans(rows, b, 'latency_ms')}" for b in BATCHES)
    failed = [f"{row['net']} in {row['engine']}" for row in rows if not row["latency_ms"]]
    other = [
        f"{row['net']} in {row['engine']} at batch {row['batch']} ({row['agreement']:.1%})"
        for row in rows
        if row["agreement"] is not None and row["agreement"] < AGREES
    ]
    wide = max(
        (row["latency_q3_ms"] - row["latency_q1_ms"]) / row["latency_ms"]
        for row in rows
        if row["latency_ms"]
    )
    judged = sorted({row["judged_images"] for row in rows})
    copies = ", of JPEG-compressed copies for CIFAR-10" if "JPEG" in str(table.rows) else ""
    return (
        f"Time relative to eager PyTorch, lowest to highest network, {times}. The middle half of "
        f"the repetitions spreads over at most {wide:.0%} of the median. Bytes of the file "
        f"relative to eager's: {_spans(rows, 1, 'size_bytes')}. Most memory that a call took, "
        f"relative to eager's, at batch {many}: {_spans(rows, many, 'peak_memory_bytes')} (0 is "
        f"less than one page of the system's). Answers were compared on "
        f"{' and '.join(f'{n:,}' for n in judged)} validation images{copies}. "
        + (f"Without a number: {', '.join(failed)}. " if failed else "")
        + (f"Fewer than {AGREES:.0%} of eager's answers: {', '.join(other)}. " if other else "")
        + "One thread of one processor: nothing here says how the engines rank on a phone, on a "
        "GPU or with more threads, and engines were timed one after the other, so differences "
        "within that spread are none. Sparse and binary rows have not been retrained; they tell "
        "time and bytes, not what accuracy such a network would have."
    )


def figure(table: Table) -> tuple[Figure, str]:
    """Latency per network and engine."""
    table_rows: list[Row] = [dict(row) for row in table.rows]
    nets = list(dict.fromkeys(row["net"] for row in table_rows))
    fig, axes = plot.subplots(1, len(BATCHES), size=(10.0, 4.4), sharey=True, squeeze=False)
    engines = list(dict.fromkeys(row["engine"] for row in table_rows))
    for axis, batch in zip(axes[0], BATCHES, strict=True):
        for i, engine in enumerate(engines):
            rows = [r for r in table_rows if r["engine"] == engine and r["batch"] == batch]
            points: list[Any] = [(nets.index(r["net"]), r["latency_ms"]) for r in rows]
            points = [(x + 0.09 * (i - len(engines) / 2), y) for x, y in points if y]
            if points:
                style = {**plot.look(i), "linestyle": "none"}
                if i >= len(plot.PALETTE):  # the looks begin again: hollow
                    style["markerfacecolor"] = "none"
                axis.plot(*zip(*points, strict=True), label=engine, **style)
        axis.set(yscale="log", title=f"batch {batch}", ylabel="latency (ms)")
        axis.set_xticks(range(len(nets)), nets, rotation=25, ha="right")
    axes[0][-1].legend(fontsize=7, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return fig, (
        "Median latency in milliseconds of each network in each engine, at batch 1 and 64; the "
        "spread of the repetitions is in the table"
    )
