"""The course's library beside its peers, measured in one run: `python -m benchmarks --help`.

One module per comparison, each with `measure(**QUICK)` or `measure(**FULL)` -> Table; `timing`
takes turns between the contestants, `report` prints tables and writes them as CSV. Tests check
the numbers that do not depend on the clock; the clock is only ever reported.
"""
