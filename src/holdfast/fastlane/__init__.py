"""Reads into your own types and COPY, on the driver of the session's own connection (asyncpg).

rows = await fastlane.fetch(session, select(Card.id, Card.name), into=CardRow)
one = await fastlane.fetch_one(session, BY_ID, {"id": card_id}, into=CardRow)
async for row in fastlane.stream(session, select(Card.id, Card.name), into=CardRow):
    ...
count = await fastlane.copy_in(session, Card, ({"name": name} for name in names))
count = await fastlane.copy_out(session, select(Card.id, Card.name), "cards.csv")
"""

from holdfast.fastlane.copying import copy_in, copy_out
from holdfast.fastlane.reading import fetch, fetch_one, stream

__all__ = ["copy_in", "copy_out", "fetch", "fetch_one", "stream"]
