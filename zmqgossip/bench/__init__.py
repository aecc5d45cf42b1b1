"""Measuring: what `zmqgossip bench` does, from processes to figures. It uses zmqgossip as any program does, by its public names."""
