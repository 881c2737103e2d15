"""What a call was and what it used, written where no crash loses it."""
