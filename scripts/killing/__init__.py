"""The parts of ``make kills``: the waits that are drawn, and their kills."""
