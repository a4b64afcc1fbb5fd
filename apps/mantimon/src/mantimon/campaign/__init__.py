"""The campaign: clubs to visit, their members and leaders, and what beating them brings."""
