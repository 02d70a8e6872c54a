"""`refinecli report`: what a run gained, said honestly."""
