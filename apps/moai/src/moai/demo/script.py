"""What the models of the demo say: scripted, so that every run can be checked."""

QUESTION = "Should a chat keep the answers of its models in a cache?"
MODELS = ("claude", "gemini", "gpt", "mistral")
DIRECT = "mistral"  # asked alone in the last round

OPINIONS = {
    "claude": "Yes, for an hour: most questions come again soon.\n\n"
    "1. An answer costs a second.\n2. A look into the cache costs a millisecond.",
    "gemini": "Yes, but by *meaning*, not by text. Two ways to ask are one question.",
    "gpt": "Only where the answer cannot depend on who asks:\n\n"
    "```python\nkey = hash((model, question))  # and nobody's name\n```",
    "mistral": "No. # An answer that is old is wrong, and nobody can tell.",
}
POSITIONS = {
    "claude": "an hour",
    "gemini": "by meaning",
    "gpt": "without names",
    "mistral": "no",
}
SUMMARY = "Answers are kept for an hour, by their text, and without anything of who asks."
AGREEMENTS = ("Questions come again.", "What depends on the person is not kept.")
DISAGREEMENTS = ("Whether two texts can be one question.",)


def reply(model: str, heard: list[str]) -> str:
    """Give what a model says that has heard the others."""
    return f"I have heard {', '.join(heard) or 'nobody yet'}, and still say {POSITIONS[model]}."


def concede(model: str) -> str:
    """Give what a model says that is asked alone."""
    return f"An hour is short enough for me, says {model}."
