"""What the check `typo` does to real domains, and how many typing errors it notices."""
