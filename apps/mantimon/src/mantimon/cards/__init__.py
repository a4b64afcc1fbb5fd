"""What a card is, how the bundle of all cards is read and checked, and how it is made."""
