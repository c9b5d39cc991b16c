"""Launchers: a script → the argv that runs it in a certain place. Pure."""
