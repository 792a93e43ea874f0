"""What real AWS answered, as small files, and the comparison of our doubles with it. `tests/recordings/README.md` has the form."""
