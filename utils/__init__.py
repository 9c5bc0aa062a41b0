"""Plumbing of the assignment: data, training history, figures, report. It holds no model.

Import it before torch, which reads these settings when it loads; values that are set already stay.
"""

import os

# On Linux, torch's threads spin while they wait for one another. On a core that another program
# wants as well, a thread that spins holds up the one it waits for: after about a thousand turns it
# sleeps instead (benchmarks/busy.py).
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
# Huge pages, on Linux: training steps take up to a tenth less time.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
