"""moto's own tests of ECR, from its source package, against the embedded ECR; see moto_suite.py."""

import subprocess
import sys
import unittest

from peers import ROOT


class Suite(unittest.TestCase):
    def test_motos_tests_fail_only_where_aws_would_fail_them(self):
        command = [sys.executable, ROOT / "ecr/tests/peers/moto_suite.py"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=900)
        lines = done.stdout.splitlines()
        print(lines[-1] if lines else done.stderr)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)


if __name__ == "__main__":
    unittest.main()
