"""What both peers are made of."""
