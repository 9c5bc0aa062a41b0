"""The report: an executed notebook as one HTML file."""
