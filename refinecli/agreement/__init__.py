"""How far a grader agrees with labels given by people, or by a better grader.

`records` holds what is compared, `resampling` the intervals, `measures` the figures as formulas,
`build` puts them together as the `agreement` object of a summary, `conclusions` says what they
amount to, and `text` prints them. `gold` finds the labels in a datapoint.
"""
