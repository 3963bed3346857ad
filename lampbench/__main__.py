"""`python -m lampbench` is the same as `lampbench`."""

from lampbench.cli.app import main

if __name__ == "__main__":
    main()
