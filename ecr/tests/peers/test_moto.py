"""`ecr create` and `ecr delete` against moto, which nobody here wrote."""

import base64
import contextlib
import json
import pathlib
import tempfile
import time
import unittest
import urllib.request

from peers import POLICY, REQUIRED_PERMISSIONS, Workspace, certificate, client, counting, moto, proxy, writes


class Tls(unittest.TestCase):
    def test_an_endpoint_is_trusted_as_the_system_says(self):
        with contextlib.ExitStack() as stack:
            folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
            tls = certificate(folder)
            url = stack.enter_context(moto(tls=tls))
            workspace = Workspace()
            workspace.run(url, "ecr", "create", SSL_CERT_FILE=str(tls[0]))
            workspace.run(url, "ecr", "plan", "--check", SSL_CERT_FILE=str(tls[0]))
            began = time.monotonic()
            said = workspace.run(url, "ecr", "plan", code=1).stderr
            self.assertIn("invalid peer certificate: UnknownIssuer", said)
            self.assertLess(time.monotonic() - began, 10, "a certificate does not get better by waiting")

    def test_a_proxy_of_the_environment_leads_there(self):
        with contextlib.ExitStack() as stack:
            folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
            tls = certificate(folder)
            url = stack.enter_context(moto(tls=tls))
            front, targets = stack.enter_context(proxy())
            workspace = Workspace()
            trust = {"SSL_CERT_FILE": str(tls[0])}
            workspace.run(url, "ecr", "create", HTTPS_PROXY=front, NO_PROXY="127.0.0.1", **trust)
            self.assertEqual(targets, [])
            workspace.run(url, "ecr", "plan", "--check", HTTPS_PROXY=front, **trust)
            self.assertEqual(set(targets), {url.removeprefix("https://")})


class Convergence(unittest.TestCase):
    def test_a_repository_that_exists_is_adopted_and_converged(self):
        with moto() as url, counting(url) as (front, operations):
            ecr = client("ecr", url)
            ecr.create_repository(repositoryName="my-app")
            workspace = Workspace()
            report = workspace.json(front, "ecr", "create")
            outcomes = {it["name"]: it["outcome"] for it in report["repositories"]}
            self.assertEqual(outcomes, {"my-app": "updated", "my-app-worker": "created"})
            found = ecr.describe_repositories(repositoryNames=["my-app"])["repositories"][0]
            self.assertEqual(found["imageTagMutability"], "IMMUTABLE")
            self.assertTrue(found["imageScanningConfiguration"]["scanOnPush"])
            tags = ecr.list_tags_for_resource(resourceArn=found["repositoryArn"])["tags"]
            self.assertIn({"Key": "Project", "Value": "my-project"}, tags)

            operations.clear()
            workspace.run(front, "ecr", "create")
            self.assertEqual(writes(operations), [])
            workspace.run(front, "ecr", "plan", "--check")

    def test_a_lifecycle_policy_that_was_changed_is_put_right_and_nothing_else_is_written(self):
        with moto() as url, counting(url) as (front, operations):
            ecr = client("ecr", url)
            workspace = Workspace()
            workspace.run(front, "ecr", "create")
            other = POLICY.replace('"countNumber": 10', '"countNumber": 99')
            ecr.put_lifecycle_policy(repositoryName="my-app", lifecyclePolicyText=other)
            operations.clear()
            workspace.run(front, "ecr", "create")
            self.assertEqual(writes(operations), ["PutLifecyclePolicy"])
            text = ecr.get_lifecycle_policy(repositoryName="my-app")["lifecyclePolicyText"]
            self.assertEqual(json.loads(text), json.loads(POLICY))

    def test_a_run_without_changes_makes_few_calls(self):
        names = [f"repository-{n}" for n in range(100)]
        with moto() as url, counting(url) as (front, operations):
            workspace = Workspace(services=(), repositories=names)
            workspace.run(front, "ecr", "create")
            operations.clear()
            workspace.run(front, "ecr", "create")
            self.assertEqual(writes(operations), [])
            self.assertLessEqual(len(operations), 1 + 1 + 200)
            self.assertEqual(operations.count("DescribeRepositories"), 1)

    def test_what_a_policy_takes_is_told_before_it_is_written(self):
        with moto() as url, counting(url) as (front, operations):
            ecr = client("ecr", url)
            workspace = Workspace()
            workspace.run(front, "ecr", "create")
            for tag in ("1.0.0", "1.0.1"):
                manifest = {"schemaVersion": 2, "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
                            "config": {"digest": "sha256:" + "0" * 64, "size": 7, "mediaType": tag}, "layers": []}
                ecr.put_image(repositoryName="my-app", imageManifest=json.dumps(manifest), imageTag=tag)
                # moto tells the time in seconds, and which of two images of one second goes first is not documented.
                time.sleep(1.1)
            workspace.write("ecr/lifecycle-policy.json", POLICY.replace(": 10", ": 1"))
            report = workspace.json(front, "ecr", "lifecycle", "preview")
            self.assertEqual([(it["name"], len(it["expired"]), it["kept"]) for it in report["repositories"]],
                             [("my-app", 1, 1), ("my-app-worker", 0, 0)])
            operations.clear()
            workspace.run(front, "ecr", "create", code=5)
            self.assertEqual(writes(operations), [])
            workspace.run(front, "ecr", "create", "--yes")
            self.assertEqual(writes(operations), ["PutLifecyclePolicy", "PutLifecyclePolicy"])

    def test_everything_is_taken_down(self):
        with moto() as url:
            ecr = client("ecr", url)
            ecr.create_repository(repositoryName="not-ours")
            workspace = Workspace()
            workspace.run(url, "ecr", "create")
            workspace.run(url, "ecr", "delete", code=5)
            report = workspace.json(url, "ecr", "delete", "--yes")
            self.assertEqual([it["outcome"] for it in report["repositories"]], ["deleted", "deleted"])
            left = [it["repositoryName"] for it in ecr.describe_repositories()["repositories"]]
            self.assertEqual(left, ["not-ours"])


class AfterThePush(unittest.TestCase):
    """`ecr images`, `scan` and `status`. moto does not have the operations of some settings of the registry."""

    def image(self, ecr, tag, size):
        layer = {"digest": "sha256:" + f"{size:064x}", "size": size, "mediaType": "application/vnd.oci.image.layer.v1.tar"}
        shared = {"digest": "sha256:" + "1" * 64, "size": 1000, "mediaType": "application/vnd.oci.image.layer.v1.tar"}
        manifest = {"schemaVersion": 2, "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
                    "config": {"digest": "sha256:" + f"{size + 1:064x}", "size": 10, "mediaType": "config"},
                    "layers": [shared, layer]}
        made = ecr.put_image(repositoryName="my-app", imageManifest=json.dumps(manifest), imageTag=tag)
        return made["image"]["imageId"]["imageDigest"]

    def test_images_scan_and_status(self):
        with moto() as url:
            workspace = Workspace()
            workspace.run(url, "ecr", "create")
            ecr = client("ecr", url)
            for tag, size in (("0.9.0", 100), ("1.0.0", 300)):
                self.image(ecr, tag, size)
            report = workspace.json(url, "ecr", "images")
            listed = {tuple(it["tags"]) for it in report["repositories"][0]["images"]}
            self.assertEqual(listed, {("0.9.0",), ("1.0.0",)})
            # The shared layer counts once: 1000 + 100 + 300, and two configs.
            self.assertEqual(report["total"]["storedBytes"], 1420)
            status = workspace.run(url, "ecr", "status")
            shown = status.stdout
            self.assertIn("1.0.0", shown)
            self.assertRegex(shown, r"signing +-\n")
            self.assertIn("warning: the server does not tell a setting of the registry (and ", status.stderr)
            self.assertTrue(all(len(line) <= 80 for line in shown.splitlines()), shown)

            # Never scanned: not through the gate.
            gate = ("ecr", "scan", "-p", "my-app", "--fail-on", "critical", "--timeout", "0s")
            report = workspace.json(url, *gate, code=4)
            self.assertEqual(report["images"][0]["gate"], "not-scanned")
            # moto finds the same five things in every image.
            ecr.start_image_scan(repositoryName="my-app", imageId={"imageTag": "1.0.0"})
            report = workspace.json(url, *gate[:-4], "--fail-on", "high", code=4)
            self.assertEqual(report["images"][0]["status"], "COMPLETE")
            self.assertEqual(report["images"][0]["scanner"], "basic")
            self.assertTrue(any(it["blocks"] and it["package"] for it in report["images"][0]["findings"]), report)

    def test_the_token_is_printed_for_scripts(self):
        with moto() as url:
            shown = Workspace().run(url, "ecr", "login", "--print-token").stdout.strip()
            token = client("ecr", url).get_authorization_token()["authorizationData"][0]["authorizationToken"]
            self.assertEqual(shown, base64.b64decode(token).decode().split(":", 1)[1])


class LeastPrivilege(unittest.TestCase):
    def test_required_permissions_are_enough(self):
        with moto() as url:
            iam = client("iam", url)
            iam.create_user(UserName="ci")
            statement = {"Effect": "Allow", "Action": REQUIRED_PERMISSIONS, "Resource": "*"}
            document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
            iam.put_user_policy(UserName="ci", PolicyName="required", PolicyDocument=document)
            made = iam.create_access_key(UserName="ci")["AccessKey"]
            # From here on (moto's INITIAL_NO_AUTH_ACTION_COUNT, set anew) every request is checked.
            plain = {"content-type": "text/plain"}
            urllib.request.urlopen(urllib.request.Request(f"{url}/moto-api/reset-auth", b"0", plain)).read()
            keys = {"key": made["AccessKeyId"], "secret": made["SecretAccessKey"]}
            workspace = Workspace()
            for command, outcome in [(["create"], "created"), (["create"], "updated"), (["delete", "--yes"], "refused"),
                                     (["delete", "--yes", "--assume-owned"], "deleted")]:
                code = 5 if outcome == "refused" else 0
                result = workspace.run(url, "ecr", *command, "--format", "json", code=code, **keys)
                outcomes = {it["outcome"] for it in json.loads(result.stdout)["repositories"]}
                self.assertEqual(outcomes, {outcome})
                warnings = [it for it in result.stderr.splitlines() if it.startswith("warning: ")]
                actions = [it.split("no permission for ")[1].split(":")[1].split(" ")[0] for it in warnings]
                self.assertEqual(len(actions), len(set(actions)), warnings)
                print(f"ecr {command[0]}: {len(warnings)} warnings", *warnings, sep="\n  ")


if __name__ == "__main__":
    unittest.main()
