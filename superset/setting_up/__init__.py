"""What bootstrap.py, serve.py and superset_config.py are made of; knows no chart."""
