"""`python -m zap`."""

from zap.cli import main

if __name__ == "__main__":
    main()
