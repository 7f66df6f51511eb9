"""The measuring room: a module on a device → how long it takes, as a whole and row by row, and how much memory.

machine    what is measured on: names, versions, settings, other load
"""
