"""The tests of this folder's files, for `make test`."""
