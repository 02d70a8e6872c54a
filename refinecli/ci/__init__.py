"""Outcomes as CI systems read them."""
