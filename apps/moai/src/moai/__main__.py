"""`python -m moai` is the command `moai`."""

from moai.cli import main

main()
