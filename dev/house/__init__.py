"""What `make house` measures: import circles, layers, long files and sizes."""
