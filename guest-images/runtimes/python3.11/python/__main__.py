"""The program that the agent starts: `python3.11 -I /opt/firn/python --root=/srv`."""

from firn_runtime.main import main

main()
