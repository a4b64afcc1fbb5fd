"""`python -m todo` is the command `todo`."""

from todo.cli import main

main()
