#!/usr/bin/env python3
"""run - integration tests: real processes, a raw client. --server may be any NATS server: a test that is right
passes against nats-server too."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import runner  # noqa: E402

runner.run(__file__)
