"""What `make test` holds the files of this folder to."""
