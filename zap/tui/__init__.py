"""The interface: what a person sees of a session in a terminal, and does there."""
