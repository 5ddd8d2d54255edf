"""Commands that start quickly: what a package imports needlessly and slowly is not there.

jsonschema, which nbformat imports, looks for rfc3987_syntax to check addresses with letters
beyond ASCII. Importing that compiles a grammar, for longer than all else together takes, and
no schema of a notebook has such an address; jsonschema does without where it is not installed.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import cast

_SLOW = "rfc3987_syntax"


def skip_slow_imports() -> None:
    """From now on `import rfc3987_syntax` fails in this process as if it were not installed."""
    modules = cast(dict[str, ModuleType | None], sys.modules)
    modules.setdefault(_SLOW, None)


def forget() -> None:
    """Let it be imported again."""
    if sys.modules.get(_SLOW, ...) is None:
        del sys.modules[_SLOW]
