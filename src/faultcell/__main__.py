"""`python -m faultcell` is the command `faultcell`."""

from faultcell.cli import main

main()
