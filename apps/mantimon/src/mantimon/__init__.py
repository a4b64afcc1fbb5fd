"""Mantimon TCG: players own cards, build decks, and play a campaign and each other."""
