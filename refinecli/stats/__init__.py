"""Statistics that `report` and `agreement` share."""
