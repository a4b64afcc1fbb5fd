"""The data foundation for async Python services; import the part that you need."""

__version__ = "0.1.0"
