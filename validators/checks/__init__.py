"""The checks, one file each: what they know, and nothing of what it leads to."""
