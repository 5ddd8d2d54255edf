"""Scripts that train, sweep and time: they alone write `results/`.

Each table of `results/` has a module of the same name here with four things: KEY (the columns
that identify a row), `jobs(quick)`, `reading(table)` (one paragraph on what the rows say and
what they do not) and `figure(table)`. `python -m experiments` runs them; see `runner`.
"""
