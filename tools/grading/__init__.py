"""Grade submissions: `python -m tools.grading FOLDER --out DIR -n WORKERS`."""
