"""What the quantization table says, in a paragraph and a figure."""

from __future__ import annotations

from matplotlib.figure import Figure

from course_lib import plot
from course_lib.results import Table
from experiments import _quantization_details as full
from experiments import _spread
from experiments._quantization_details import NAMES, chosen, deviation, losses
from experiments._spread import drops, points, summary, where


def reading(table: Table) -> str:
    """What the table shows, and what it does not."""
    return " ".join([_setting(table), _findings(table), _bytes(table), _not_shown()])


def _setting(table: Table) -> str:
    right = [
        points([row["accuracy"] for row in where(table, net=net, method="none")]) for net in NAMES
    ]
    return (
        f"Quantized were {' and '.join(NAMES.values())} ({' and '.join(right)} % of MNIST's test "
        f"images right; ±: {deviation(table)}). Losses are points of test accuracy against a "
        "seed's float network, verdicts by 95 % intervals (tables below; not corrected for many "
        "comparisons)."
    )


def _findings(table: Table) -> str:
    first, second = NAMES.values()
    lost = [
        " and ".join(points(losses(table, net, bits, True)) for net in NAMES) + f" at {bits}"
        for bits in (8, 4)
    ]
    trained = [one for net in NAMES for one in full.trained_against_not(table, net)]
    kinds = {
        f"{second} against {first}": full.networks(table),
        second: full.scales(table),
        "Training in the loop (QAT) against PTQ": trained,
    }
    said = [
        "After training (PTQ; symmetric, per channel), weights and activations lose "
        f"{', '.join(lost)} bits.",
        *(summary(kind, found) for kind, found in kinds.items()),
        _spread.widths(one for found in kinds.values() for one in found),
        _control(table),
        _checkpoints(table),
    ]
    return " ".join(filter(None, said))


def _control(table: Table) -> str:
    """What the training loses that QAT needs."""
    rows = [where(table, net=net, method="finetuned") for net in NAMES]
    if not all(rows):
        return ""
    lost = " and ".join(points(drops(found, full.unquantized(table))) for found in rows)
    return f"The same training in float loses {lost}."


def _checkpoints(table: Table) -> str:
    """The range over networks with one seed."""
    said = []
    for bits in (8, 4):
        found = [losses(table, net, bits, True) for net in full.checkpoint_names(table)]
        if lost := [100 * mean for (mean,) in filter(None, found)]:
            said.append(f"{min(lost):z.2f} to {max(lost):z.2f} at {bits}")
    return f"One-seed checkpoints lose {', '.join(said)} bits." if said else ""


def _bytes(table: Table) -> str:
    smaller = []
    for net in NAMES:
        before = where(table, net=net, method="none")[0]["size_bytes"]
        smaller.append(f"{before / chosen(table, net, 4, True)[0]['size_bytes']:.1f}")
    return (
        f"Files at 4 bits are {' and '.join(smaller)} times smaller (the small one's names "
        "and scales weigh more)."
    )


def _not_shown() -> str:
    return (
        "Not shown: speed (grids are simulated in float), other pairs of networks (this redundant "
        "one is fully connected, without batch norm, so more than width differs), learned ranges, "
        "mixed precision, and longer training."
    )


def figure(table: Table) -> tuple[Figure, str]:
    """Accuracy lost against bits: weights alone, and weights with activations."""
    fig, panels = plot.subplots(1, 2, size=(9.5, 4.4), sharey=True)
    series = [
        (net, method, granularity)
        for method, granularity in (("ptq", "tensor"), ("ptq", "channel"), ("qat", "channel"))
        for net in NAMES
    ]
    for axes, whole in zip(panels, (False, True), strict=True):
        for index, (net, method, granularity) in enumerate(series):
            label = f"{NAMES[net]}, {method.upper()} per {granularity}"
            wanted = {"method": method, "granularity": granularity}
            found = {
                bits: [100 * loss for loss in losses(table, net, bits, whole, **wanted)]
                for bits in full.all_bits(table)
            }
            _spread.draw_means(axes, found, label=label, **plot.look(index))
        axes.set(xlabel="bits", xticks=full.all_bits(table), yscale="symlog")
        axes.set_title("weights and activations" if whole else "weights alone")
    bars = f"error bars: {deviation(table)}"
    panels[0].set_ylabel(f"test accuracy lost (points)\n{bars}")
    panels[1].legend(fontsize=8)
    return fig, (
        "Points of accuracy lost against bits, for a redundant and an efficient network: losses "
        f"grow as bits fall. Where activations are quantized too, training in the loop "
        f"{_gains(table)}; {bars}"
    )


def _gains(table: Table) -> str:
    """Where training in the loop loses less than quantizing after training, beyond noise."""
    said = []
    for net, name in NAMES.items():
        shown = [
            one.level.removesuffix(" bits")
            for one in full.trained_against_not(table, net)
            if one.verdict == "less lost"
        ]
        said.append(f"for {name} {'at ' + ' and '.join(shown) + ' bits' if shown else 'nowhere'}")
    return f"loses less than quantizing after it, beyond the noise of seeds, {' and '.join(said)}"
