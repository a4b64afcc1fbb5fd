"""The tables, the database that they are in, and the migrations that make them."""
