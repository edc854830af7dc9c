"""``python -m ssdbench`` is the command ``ssdbench``."""

from ssdbench.cli.app import main

if __name__ == "__main__":
    main()
