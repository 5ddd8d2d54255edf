"""How a class is graded: content in, result out, by a pool or a cluster, each thing once.

contents   what a student handed in, as bytes
terms      everything else that decides a grade, and the key of a result
cache      results that are already there
pool       as many at a time as cores and memory allow
cluster    the same on Dask workers
ledger     what the grade book already holds
"""
