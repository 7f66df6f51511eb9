"""A report with what was measured of it, held against what the device can do."""
