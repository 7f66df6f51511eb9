"""Reports, comparisons, cross-checks, timings and findings as text, documents and pictures."""
