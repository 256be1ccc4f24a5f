"""Calls whose two ends speak different eras, and what each end must be spared of the other."""
