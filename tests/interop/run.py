#!/usr/bin/env python3
"""run - official clients against a server; see README.md."""
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lib"))
sys.path.insert(0, HERE)
import runner  # noqa: E402

runner.run(__file__)
