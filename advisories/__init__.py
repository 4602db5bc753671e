"""What is known against the packages that the locks name."""
