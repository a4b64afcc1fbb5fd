"""`python -m faceplate` is the command `faceplate`."""

from faceplate.cli import main

main()
