"""Entry point of `python -m archscope`, the same as the command `archscope`."""

from archscope.cli import main

if __name__ == "__main__":
    main()
