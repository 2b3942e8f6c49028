"""Katib's NAS experiments, run on one machine by the searches and the trainer of the kit."""
