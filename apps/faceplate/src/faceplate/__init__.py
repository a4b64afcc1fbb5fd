"""Faceplate: people talk to a model that calls tools; every message is kept, in its order."""
