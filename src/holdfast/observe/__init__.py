"""Watch a service: is it well, and which statements are slow."""

from holdfast.observe.health import Health, Part, health
from holdfast.observe.slow import SlowPolicy, SlowStatement, watch

__all__ = ["Health", "Part", "SlowPolicy", "SlowStatement", "health", "watch"]
