"""The parts that both peers share."""
