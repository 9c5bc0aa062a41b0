"""The command lines for Slurm in docs/grading.md, on a cluster of this one machine."""

import csv
import os
import re
import shutil
import socket
import subprocess
import sys
import time

from tools.notebook import NOTEBOOK

import nbformat
import pytest
from made_up import SMALL_ASSIGNMENT, changed, small_notebook

ROOT = NOTEBOOK.parents[1]
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue")
SEARCHED = os.pathsep.join([os.environ["PATH"], "/usr/sbin", "/sbin"])
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not all(shutil.which(program, path=SEARCHED) for program in PROGRAMS) or os.getuid() != 0,
        reason="needs Slurm and munge (Debian: slurm-wlm, munge), and root to start them",
    ),
]
CONFIGURATION = """
ClusterName=one
SlurmctldHost={host}
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/affinity
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
NodeName={host} CPUs={cores}
PartitionName=all Nodes=ALL Default=YES
"""


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


@pytest.fixture
def cluster(tmp_path):
    """The environment in which `sbatch` reaches a cluster of this machine alone."""
    folder = tmp_path / "cluster"
    for part in (folder, folder / "state", folder / "spool"):
        part.mkdir()
    facts = {"host": socket.gethostname().partition(".")[0], "cores": os.cpu_count()}
    ports = free_port(), free_port()
    text = CONFIGURATION.format(folder=folder, ports=ports, **facts)
    (folder / "slurm.conf").write_text(text)
    (folder / "munge.key").write_bytes(os.urandom(1024))
    (folder / "munge.key").chmod(0o400)
    variables = {"SLURM_CONF": str(folder / "slurm.conf"), "PATH": SEARCHED}
    environment = {**os.environ, **variables}
    munge = ["--key-file=munge.key", "--socket=munge.socket", "--pid-file=munge.pid"]
    munge += ["--log-file=munge.log", "--seed-file=munge.seed"]
    daemons = []
    for command in (
        ["munged", "--foreground", "--force", *(o.replace("=", f"={folder}/") for o in munge)],
        ["slurmctld", "-D"],
        ["slurmd", "-D"],
    ):
        with (folder / f"{command[0]}.out").open("w") as log:
            daemons.append(subprocess.Popen(command, env=environment, stdout=log, stderr=log))
        time.sleep(0.5)
    yield environment
    for daemon in reversed(daemons):
        daemon.kill()
        daemon.wait()


def test_an_array_of_jobs_grades_a_class_on_the_cores_that_it_was_given(tmp_path, cluster):
    commands = re.findall(
        r"^sbatch .*|^\.venv/bin/python -m tools\.grading --merge .*",
        (ROOT / "docs" / "grading.md").read_text(encoding="utf-8"),
        flags=re.MULTILINE,
    )
    batch, merge = (
        command.replace(".venv/bin/python", sys.executable)
        .replace("tools.grading folder", f"tools.grading {tmp_path}/class")
        .replace("parts/", f"{tmp_path}/parts/")
        .replace("--out grades", f"--out {tmp_path}/grades")
        for command in commands
    )
    batch = batch.replace("1-10", "1-2").replace("ID/10", "ID/2").replace("task=4", "task=1")
    batch = batch.replace("--no-network", f"--no-network --assignment {SMALL_ASSIGNMENT}")
    batch = batch.replace("sbatch", f"sbatch --output={tmp_path}/%a.txt")
    (tmp_path / "class").mkdir()
    nbformat.write(small_notebook(), tmp_path / "class" / "a.ipynb")
    nbformat.write(changed(small_notebook(), "10", "11"), tmp_path / "class" / "b.ipynb")

    shell = {"shell": True, "cwd": ROOT, "env": cluster, "text": True, "check": True}
    subprocess.run(batch, **shell)
    end = time.monotonic() + 120
    while subprocess.run("squeue --noheader", capture_output=True, **shell).stdout.strip():
        assert time.monotonic() < end, (tmp_path / "1.txt").read_text()
        time.sleep(1)
    subprocess.run(merge, **shell)
    with (tmp_path / "grades" / "grades.csv").open(encoding="utf-8", newline="") as file:
        earned = {row["submission"]: row["total"] for row in csv.DictReader(file)}
    assert earned == {"a.ipynb": "3", "b.ipynb": "2"}, (tmp_path / "1.txt").read_text()
