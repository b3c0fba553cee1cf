"""Measurements, side by side in one run. ``python -m bench`` runs all; see bench/README.md."""
