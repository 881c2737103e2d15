"""Ways to prove who you are, a file each."""
