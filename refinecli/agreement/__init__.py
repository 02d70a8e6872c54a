"""Measure how far a grader agrees with labels given by people, or by a better grader.

`labels` finds the labels in a datapoint, `judged` holds what is compared, `measures` the figures as
formulas; `figures` joins them into a summary's `agreement` object, `conclusions` puts them into
sentences, and `table` prints them. `calibration` fits a threshold.
"""
