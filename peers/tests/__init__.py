"""The tests of this folder that `make test` runs."""
