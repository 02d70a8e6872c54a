"""Report outcomes in the forms that CI systems read."""
