"""Fifty tasks chat while their connections are cut: `python -m faceplate.demo`."""
