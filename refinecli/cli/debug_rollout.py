"""`refinecli debug-rollout`."""
