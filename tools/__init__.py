"""Programs that act on notebooks: the student's version, the report, grading."""
