"""Write the flavour texts of creatures, dealing every sentence out before any comes again."""

from collections.abc import Iterator
from itertools import cycle

from mantimon.cards.creatures import Beast
from mantimon.cards.definition import Element
from mantimon.cards.wordlists import draw, grouped


class Lore:
    """The sentences about elements, beasts and places, and how far each list has been dealt."""

    def __init__(self) -> None:
        self._told: set[tuple[str, str]] = set()
        self._of_elements = _dealt("element_lore")
        self._of_beasts = _dealt("beast_lore")
        self._places = {
            element: cycle(places.split(", ")) for element, [[places]] in grouped("places").items()
        }

    def text(self, element: Element, beast: Beast, name: str) -> str:
        """Give two sentences about a creature, one on its element and one on its beast."""
        sentences = self._untold_pair(element, beast)
        if draw("order", name) < 0.4:
            sentences.reverse()
        text = " ".join(sentences)
        if "{place}" in text:
            text = text.replace("{place}", next(self._places[element]))
        return text.replace("{name}", name)

    def _untold_pair(self, element: Element, beast: Beast) -> list[str]:
        on_beast = next(self._of_beasts[beast.name])
        pairs = ((on_element, on_beast) for on_element in self._of_elements[element])
        pair = next(pair for pair in pairs if pair not in self._told)
        self._told.add(pair)
        return list(pair)


def _dealt(name: str) -> dict[str, Iterator[str]]:
    return {key: cycle(sentence for [sentence] in rows) for key, rows in grouped(name).items()}
