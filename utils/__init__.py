"""Plumbing of the assignment: data, training loop, figures, report. It holds no model."""
