"""zap: keeps a flock of programs alive, and heals what it knows how to heal."""

__version__ = "0.1.0"
