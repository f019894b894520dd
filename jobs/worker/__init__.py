"""The doing half: from a claimed job to its picture."""
