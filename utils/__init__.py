"""Plumbing of the assignment: data, training history, figures. It holds no model.

Import it before torch, which reads these settings when it loads; values that are set already stay.
"""

import os

# On Linux, torch's threads spin while they wait for one another, and so hold up whom they wait for
# where another program wants the core: they sleep after a thousand turns (benchmarks/epoch.py).
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")  # huge pages: steps take up to a tenth less time
