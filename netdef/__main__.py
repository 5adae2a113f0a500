"""`python -m netdef`, which torchrun needs."""

from netdef.cli import main

main()
