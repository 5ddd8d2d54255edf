"""The instructor's side: release, grade, give feedback and export, on nbgrader's own records."""

import os
import sys

# nbgrader starts `alembic` by its bare name, which fails where the environment that holds both
# was not activated; `.venv/bin/autograder` must work all the same.
_scripts = os.path.dirname(sys.executable)
if _scripts not in os.environ.get("PATH", "").split(os.pathsep):
    os.environ["PATH"] = os.pathsep.join(filter(None, (_scripts, os.environ.get("PATH"))))
