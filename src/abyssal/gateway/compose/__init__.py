"""The request made whole: what it names and the platform keeps is put into it."""
