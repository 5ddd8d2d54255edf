"""The datasheet of `nas_benchmark`, after Gebru et al., "Datasheets for Datasets" (2021)."""

from __future__ import annotations

from course_lib.nas.benchmark_space import (
    BENCHMARK_SPACE,
    EXPANSION,
    REDUCTION,
    TRAIN_IMAGES,
)
from course_lib.nas.tabular import TabularBenchmark
from course_lib.results import Table
from experiments._nas_statistics import latency_spread, summary

_TEXT = """\
# Datasheet of nas_benchmark

Written by `python -m experiments nas_benchmark`; numbers come from the rows. The questions are
those of Gebru et al., "Datasheets for Datasets" (Communications of the ACM, 2021).

## Motivation

Searches for architectures are compared by running each of them many times. With a training per
query that takes a data centre; with a table of everything in a small space it takes seconds, all
searches see the same networks, and the optimum is known. The table was made for the notebook and
the assignment on architecture search of this course, by the course. The model is NAS-Bench-101
(Ying et al. 2019).

## Composition

One row is one training: an architecture and a seed. The space has {space} architectures; {count}
of them are in the table, with {seeds} seeds each, in {rows} rows. Choices:

{choices}

All networks have a stem (3 x 3 convolution of stride 2), two stages, of which the second halves
the image in its first block, global average pooling and a linear classifier; every convolution
is followed by batch normalization. "separable" is a depthwise convolution and a 1 x 1 one, each
with normalization and ReLU; "inverted" an inverted residual that expands {expansion} times;
"inverted_se" the same with squeeze-and-excitation that reduces {reduction} times.
`course_lib.nas.benchmark_network` builds them from the columns of a row.

No two architectures are the same network. No row was left out or made again because of its result.

| column | meaning |
|---|---|
| architecture | a name made of the choices |
| {choice_columns} | the choices |
| seed | of the initial weights and of the order of the images |
| validation_accuracy, test_accuracy | fractions of 5,000 and of 10,000 images |
| params, macs | as `course_lib.cost.count` has them, for one image |
| size_bytes | of the file with float32 weights that was written and read back |
| latency_s, latency_q1_s, latency_q3_s | median and quartiles of the time of one image |
| train_cpu_s | CPU seconds of this training |
| seconds | of wall time for the row, in which other programs may have run |
| hardware ... commit | where and with what the row was made, and by which code it was trained |
{latency_commit}

What the numbers look like: mean test accuracy from {worst:.1%} to {best:.1%}; standard deviation
over architectures {between:.2%}, over seeds of one architecture {within:.2%} (median); parameters
from {params_low:,} to {params_high:,}, MACs from {macs_low:,} to {macs_high:,}, latency from
{fast:.0f} to {slow:.0f} microseconds.

The images are those of MNIST (LeCun et al. 1998): handwritten digits of people who are not named.
No other data about people are in the table.

## Collection process

Images: MNIST as the course splits it, each image reduced to 14 x 14 by averaging squares of four
pixels, because that costs a quarter of the multiply-adds.
Training: the first {images:,} images of the train split in the order of the source. Validation:
all 5,000 of the course's validation split. Test: the 10,000 test images.
`course_lib.nas.benchmark_images` makes exactly these.

Training: `course_lib.train.fit` with {recipe}; no augmentation, no weight decay. It keeps the
weights of the epoch with the highest validation accuracy, so validation accuracies are a little
optimistic; test accuracies are those of the same weights after they went through a file. The
learning rate was chosen once for all in a pilot, from 0.05, 0.1, 0.2 and 0.4, on the validation
accuracy of three architectures.

Time: all architectures in turn, in an order that changes with every round, 20 rounds of 2 calls
that do not count and 10 that do; batch 1, one thread, PyTorch without compilation, channels-last
weights as trained but untrained (time does not depend on what was learned). The machine ran other
programs as well: the quartiles of a latency lie {apart:.0%} of its median apart (median over
rows). `python -m experiments.nas_latency` measures these columns again, without training.

Hardware: {hardware}. All trainings together took {hours:.1f} CPU hours.

## Uses

Made for: comparing searches at equal numbers of queries; Pareto frontiers of accuracy and cost;
teaching what noise over seeds does to a ranking. A search may see `validation_accuracy` only, of
one seed per query; `test_accuracy` is for judging what it found
(`course_lib.nas.TabularBenchmark` does it so).

Not for: claims about which block is best. Everything here depends on a small space, small
images, {images:,} of them, few epochs and one recipe for all. Where two architectures differ by
less than their seeds do, the table does not rank them.

## Limits

- Three seeds give a rough spread for each architecture; the ranks that two seeds give to all
  architectures correlate with {seed_correlation:.2f}.
- Networks were stopped early. Deep ones and those without residual connections may gain more
  from longer training than others.
- Latency at batch 1 of such small networks is mostly the time it takes to start operations.
  It does not carry over to other engines, batch sizes, devices.
- A tabular benchmark has no trainings that fail, no differences in hardware, no budget per
  training to choose; searches that live on these are not tested.

## Distribution and maintenance

Comes with the course under its license; MNIST itself is not in it. `python -m experiments
nas_benchmark` makes it again, and `--check N` repeats N architectures at random and compares.
"""


_LATENCY_COMMIT = {
    True: "| latency_commit | by which code the latencies were measured |",
    False: "| (no column) | by which code the latencies were measured: after the trainings, with "
    "`experiments.nas_latency`, at a commit that was not recorded |",
}


def datasheet(table: Table, recipe: str) -> str:
    """Return the datasheet as Markdown; `recipe` says how was trained, in half a sentence."""
    benchmark = TabularBenchmark(table)
    s = summary(benchmark)
    macs = [t.macs for t in benchmark]
    params = [t.params for t in benchmark]
    latencies = [1e6 * t.latency_s for t in benchmark]
    choices = [
        f"- `{name}`: {', '.join(map(str, options))}"
        for name, options in BENCHMARK_SPACE.choices.items()
    ]
    return _TEXT.format(
        space=BENCHMARK_SPACE.size,
        count=s.count,
        seeds=s.seeds,
        rows=len(table),
        choices="\n".join(choices),
        choice_columns=", ".join(BENCHMARK_SPACE.choices),
        expansion=EXPANSION,
        reduction=REDUCTION,
        worst=s.worst,
        best=s.best,
        between=s.between,
        within=s.within,
        params_low=min(params),
        params_high=max(params),
        macs_low=min(macs),
        macs_high=max(macs),
        apart=latency_spread(table),
        fast=min(latencies),
        slow=max(latencies),
        latency_commit=_LATENCY_COMMIT["latency_commit" in table.columns],
        images=TRAIN_IMAGES,
        recipe=recipe,
        hardware="; ".join(sorted({str(row["hardware"]) for row in table.rows})),
        hours=sum(sum(t.train_s) for t in benchmark) / 3600,
        seed_correlation=s.seed_correlation,
    )
