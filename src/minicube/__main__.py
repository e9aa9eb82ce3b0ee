"""``python -m minicube``."""

from minicube.cli import main

main()
