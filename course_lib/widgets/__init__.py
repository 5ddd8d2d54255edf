"""Explorers: sliders on top of functions that also draw without them.

Each module holds one explorer. A function of the module's name returns the widget; the functions
beside it draw the same picture and table for fixed settings, for paper and static viewers.
"""
