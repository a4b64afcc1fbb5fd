"""The whole back end at work in half a minute: `python -m mantimon.demo`."""
