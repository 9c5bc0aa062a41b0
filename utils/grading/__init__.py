"""Grade submissions: `python -m utils.grading FOLDER --out DIR -n WORKERS`."""
