import sys,unittest
sys.argv=['x']
import test_docs as t
class One(t.Documents):
    def test_pages(self):
        for n in ["README.md","ecr/docs/deploying.md","ecr/docs/embedded-ecr.md","ecr/docs/from-the-scripts.md","ecr/docs/scanning.md"]: self.page(n,t.GIVEN.get(n,""))
    test_examples_of_the_help=None
del t.Documents
