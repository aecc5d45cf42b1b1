"""Yardsticks: how others spread messages, on the very links of a run of ours. Small engines, for comparison only; nobody ships them."""
