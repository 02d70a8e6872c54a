"""`python -m refinecli`: the same as the `refinecli` command."""

from refinecli.cli import main

main()
