"""Turn an executed notebook into a report: `python -m tools.report NOTEBOOK [-o FILE]`.

The work is done in a process of its own, with limited time and memory: a notebook can hold what
takes a parser minutes, or ends it.
"""

import os
import subprocess
import sys

SECONDS = 120
MEMORY = 4 * 2**30  # bytes of data, where the system can limit them
TOO_MUCH = "the notebook is too large or too nested."


def limit_memory() -> None:
    """Limit what this process, and each that it starts, can have."""
    import resource  # not on Windows

    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))


def main() -> None:
    """Run the command of `tools.report.write`, and end with its status or with a sentence."""
    command = [sys.executable, "-m", "tools.report.write", *sys.argv[1:]]
    limit = limit_memory if os.name == "posix" else None
    try:
        status = subprocess.run(command, timeout=SECONDS, preexec_fn=limit).returncode
    except subprocess.TimeoutExpired:
        sys.exit(f"error: No report after {SECONDS} s: {TOO_MUCH}")
    if status:  # 1 and 2 have said what is wrong
        sys.exit(status if status in (1, 2) else f"error: No report: {TOO_MUCH}")


if __name__ == "__main__":
    main()
