"""How fast and how accurate: programs that measure, and write what README.md shows."""
