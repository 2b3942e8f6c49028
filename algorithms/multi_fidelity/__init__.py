"""Searches that spend most of the budget on what cheap trainings favour."""
