"""Recurrent cells, which read a text token by token."""
