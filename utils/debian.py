"""A package of Debian's, unpacked without root and without a change to the machine's own state."""

import re
import shutil
from pathlib import Path
from subprocess import PIPE, Popen

from tqdm import tqdm

# Lists and archives lie in the folder where it runs, no other program is told of an update, and
# apt tells its progress. If a server does not answer `update`, another may have the package.
_SCRIPT = """
exec < /dev/null 2>&1
export LC_ALL=C
mkdir -p lists/partial cache/archives/partial
cat > apt.conf << end
#clear APT::Update;
APT::Sandbox::User "root";
APT::Status-Fd "1";
Acquire::Languages "none";
Acquire::Retries "1";
Dir::Cache "$PWD/cache";
Dir::State::Lists "$PWD/lists";
end
apt-get -c apt.conf update
apt-get -c apt.conf download "$1" && dpkg-deb -x "$1"_*.deb .
"""


def unpack(package: str, folder: Path, seconds: float) -> None:
    """Download a package into an empty folder and unpack it there; shows its progress.

    `OSError` with the first complaint of apt and the last line, if it fails or takes too long.
    """
    if not shutil.which("apt-get"):
        raise OSError("there is no apt-get here")
    # `timeout` ends all that its command has started, when time is up or it is ended itself.
    command, said = ["timeout", "-k", "1", f"{seconds}", "sh", "-c", _SCRIPT, "sh", package], []
    with (
        Popen(command, cwd=folder, stdout=PIPE, text=True, errors="replace") as process,
        tqdm(desc=package, total=100) as bar,
    ):
        try:
            for line in process.stdout:
                if percent := re.match(r"dlstatus:\d+:(\d+)", line):
                    bar.update(int(percent[1]) - bar.n)
                else:
                    said.append(line.strip())
        except BaseException:  # an interrupt
            process.terminate()
            raise
    if process.returncode == 124:
        said.append(f"not done after {seconds} seconds")
    if process.returncode:
        complaints = [line for line in said if line.startswith(("E: ", "W: "))]
        raise OSError("; ".join(dict.fromkeys(complaints[:1] + said[-1:])))
