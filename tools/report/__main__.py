"""Turn an executed notebook into a report: `python -m tools.report NOTEBOOK [-o FILE]`.

The work is done in a process of its own, with limited time and memory: a notebook can hold what
takes a parser minutes, or ends it.
"""

import subprocess
import sys

SECONDS = 120
MEMORY = 4 * 2**30  # bytes, where the system can limit them


def limit_memory(limit: int) -> None:
    """Limit the bytes of data that this process, and each that it starts, can have."""
    try:
        import resource
    except ImportError:  # Windows
        return
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))


def main() -> None:
    """Run the command of `tools.report.write`, and end with its status or with a sentence."""
    command = f"from tools.report import __main__, write; __main__.limit_memory({MEMORY}); "
    command += "write.main()"
    try:
        done = subprocess.run([sys.executable, "-c", command, *sys.argv[1:]], timeout=SECONDS)
    except subprocess.TimeoutExpired:
        sys.exit(f"error: No report after {SECONDS} s: the notebook is too large or too nested.")
    if done.returncode not in (0, 1, 2):  # it has then said nothing itself
        sys.exit("error: No report: the notebook is too large or too nested.")
    if done.returncode:
        sys.exit(done.returncode)


if __name__ == "__main__":
    main()
