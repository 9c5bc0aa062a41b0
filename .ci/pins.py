"""Check that the pins can be installed wherever the README promises it: `make pins`.

uv resolves them for every Python and platform, from wheels alone and without installing any.
What fails: pins that do not fit together there, and a package that constraints.txt does not pin.
"""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PLATFORMS = (
    "x86_64-manylinux_2_28",
    "aarch64-manylinux_2_28",
    "aarch64-apple-darwin",
    "x86_64-pc-windows-msvc",
)
MACOS = "14.0"  # the oldest that torch has wheels for


def promised_pythons() -> list[str]:
    """The first release of every Python that pyproject.toml promises, as in `3.11.0`."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    first, end = re.fullmatch(r">=3\.(\d+),<3\.(\d+)", project["requires-python"]).groups()
    return [f"3.{minor}.0" for minor in range(int(first), int(end))]


def package_names(pins: str) -> set[str]:
    """The names in lines like `Name==1.0`, in the form that pip compares."""
    names = re.findall(r"^([\w.-]+)==", pins, flags=re.MULTILINE)
    return {re.sub(r"[-_.]+", "-", name).lower() for name in names}


def resolve(python: str, platform: str) -> str:
    """The packages that pip would install there, one a line.

    Raises:
        subprocess.CalledProcessError: if the pins do not resolve; uv has then printed why.
    """
    command = [sys.executable, "-m", "uv", "pip", "compile", "pyproject.toml", "--extra", "test"]
    command += ["--constraint", "constraints.txt", "--only-binary", ":all:", "--quiet"]
    command += ["--python-version", python, "--python-platform", platform]
    command += ["--python", sys.executable]  # or uv spends seconds on looking for `python`
    environment = os.environ | {"MACOSX_DEPLOYMENT_TARGET": MACOS}
    return subprocess.run(
        command, check=True, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=environment
    ).stdout


def main() -> None:
    pinned = package_names((ROOT / "constraints.txt").read_text(encoding="utf-8"))
    failed = False
    for platform in PLATFORMS:
        for python in promised_pythons():
            try:
                unpinned = package_names(resolve(python, platform)) - pinned
                problem = f"constraints.txt lacks {', '.join(sorted(unpinned))}" if unpinned else ""
            except subprocess.CalledProcessError:
                problem = "the pins do not resolve, see above"
            failed |= bool(problem)
            print(f"{platform:<24}{python:<8}{problem or 'resolves'}", flush=True)
    sys.exit(failed)


if __name__ == "__main__":
    main()
