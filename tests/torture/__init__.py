"""The real `zap` against programs that do not want to end, and against whoever kills it: nothing left, nothing lost."""
