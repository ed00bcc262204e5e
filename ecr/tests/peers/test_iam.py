"""`ecr iam-policy`: the documents under moto's enforcement, operation by operation, and the commands under them."""

import concurrent.futures
import json
import unittest
import urllib.request

from peers import Workspace, client, moto

NAME = "my-app"
DIGEST = "sha256:" + "0" * 64
LIFECYCLE = json.dumps({"rules": [{"rulePriority": 1, "selection": {
    "tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": 10}, "action": {"type": "expire"}}]})
MANIFEST = {"schemaVersion": 2, "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
            "config": {"digest": DIGEST, "size": 7, "mediaType": "x"}, "layers": []}

# The calls of each operation: whether they then succeed is another matter than whether they are allowed.
CALLS = {
    "GetAuthorizationToken": {},
    "DescribeRepositories": {"repositoryNames": [NAME]},
    "ListTagsForResource": {"resourceArn": f"arn:aws:ecr:us-east-1:123456789012:repository/{NAME}"},
    "BatchCheckLayerAvailability": {"repositoryName": NAME, "layerDigests": [DIGEST]},
    "BatchGetImage": {"repositoryName": NAME, "imageIds": [{"imageTag": "1"}]},
    "GetDownloadUrlForLayer": {"repositoryName": NAME, "layerDigest": DIGEST},
    "InitiateLayerUpload": {"repositoryName": NAME},
    "UploadLayerPart": {"repositoryName": NAME, "uploadId": "1", "partFirstByte": 0, "partLastByte": 0,
                        "layerPartBlob": b"x"},
    "CompleteLayerUpload": {"repositoryName": NAME, "uploadId": "1", "layerDigests": [DIGEST]},
    "PutImage": {"repositoryName": NAME, "imageManifest": "{}", "imageTag": "1"},
    "DescribeImageScanFindings": {"repositoryName": NAME, "imageId": {"imageTag": "1"}},
    "DescribeImages": {"repositoryName": NAME},
    "CreateRepository": {"repositoryName": NAME},
    "DeleteRepository": {"repositoryName": "none-such"},
    "PutLifecyclePolicy": {"repositoryName": NAME, "lifecyclePolicyText": LIFECYCLE},
    "PutImageTagMutability": {"repositoryName": NAME, "imageTagMutability": "IMMUTABLE"},
    "BatchDeleteImage": {"repositoryName": NAME, "imageIds": [{"imageTag": "1"}]},
}
PULL = {"GetAuthorizationToken", "BatchCheckLayerAvailability", "BatchGetImage", "GetDownloadUrlForLayer"}
PUSH = {"GetAuthorizationToken", "DescribeRepositories", "ListTagsForResource", "BatchCheckLayerAvailability",
        "BatchGetImage", "InitiateLayerUpload", "UploadLayerPart", "CompleteLayerUpload", "PutImage",
        "DescribeImageScanFindings", "DescribeImages",
        # AWS checks it of the repository from which a blob is mounted.
        "GetDownloadUrlForLayer"}
READ = {"GetAuthorizationToken", "DescribeRepositories", "ListTagsForResource", "BatchGetImage", "DescribeImages",
        "DescribeImageScanFindings"}


def document(workspace, role):
    """The document with every resource, which is all that moto looks at; the Rust tests evaluate the resources."""
    printed = json.loads(workspace.run("http://127.0.0.1:9", "ecr", "iam-policy", role).stdout)
    for statement in printed["Statement"]:
        statement["Resource"] = "*"
    return json.dumps(printed)


def enforce(url):
    """From here on (moto's INITIAL_NO_AUTH_ACTION_COUNT, set anew) every request is checked."""
    plain = {"content-type": "text/plain"}
    urllib.request.urlopen(urllib.request.Request(f"{url}/moto-api/reset-auth", b"0", plain)).read()


def user(url, text, name="someone"):
    """The keys of a user who may do what a document says."""
    iam = client("iam", url)
    iam.create_user(UserName=name)
    iam.put_user_policy(UserName=name, PolicyName="document", PolicyDocument=text)
    made = iam.create_access_key(UserName=name)["AccessKey"]
    return {"key": made["AccessKeyId"], "secret": made["SecretAccessKey"]}


def is_allowed(ecr, operation):
    """moto asks for permission before it looks at anything else."""
    method = "".join("_" + c.lower() if c.isupper() else c for c in operation).lstrip("_")
    try:
        getattr(ecr, method)(**CALLS[operation])
    except ecr.exceptions.ClientError as error:
        return error.response["ResponseMetadata"]["HTTPStatusCode"] != 403
    return True


def workspace():
    made = Workspace()
    text = (made.root / "Cargo.toml").read_text()
    made.write("Cargo.toml", text.replace('region = ', 'account-id = "123456789012"\nregion = '))
    return made


def without(text, action):
    """A document without one of its actions."""
    document = json.loads(text)
    for statement in document["Statement"]:
        statement["Action"] = [it for it in statement["Action"] if it != action]
    return json.dumps(document)


class Missing(unittest.TestCase):
    """Without any one action of its document, a command fails or warns by that name."""

    # moto has neither lifecycle previews nor indexes, so that no manifest is read here. The Rust tests have both.
    NOT_ASKED = {"provision": {"ecr:BatchGetImage", "ecr:GetLifecyclePolicyPreview"}, "read": set()}

    def check(self, role, prepare, commands):
        with moto() as url:
            made = workspace()
            text = document(made, role)
            actions = {action for statement in json.loads(text)["Statement"] for action in statement["Action"]}
            keys = {it: user(url, without(text, it), it.replace(":", "-")) for it in actions - self.NOT_ASKED[role]}
            admin = user(url, json.dumps({"Version": "2012-10-17", "Statement": [
                {"Effect": "Allow", "Action": "*", "Resource": "*"}]}), "admin")
            enforce(url)

            # Each in a region of its own, so that they do not meet. Most of their time is the wait for what moto does not have.
            def said(action, ecr):
                prepare(ecr)
                of_user = keys[action] | {"AWS_REGION": ecr.meta.region_name}
                return [made.run(url, *it, **of_user, code=None).stderr for it in commands]

            import boto3

            regions = boto3.session.Session().get_available_regions("ecr")
            clients = [client("ecr", url, **admin, region=it) for it in regions[: len(keys)]]
            with concurrent.futures.ThreadPoolExecutor(8) as pool:
                each = {it: pool.submit(said, it, ecr) for it, ecr in zip(sorted(keys), clients, strict=True)}
            for action, output in each.items():
                with self.subTest(role=role, action=action):
                    self.assertTrue(any(action in it for it in output.result()), output.result())

    def test_provision(self):
        def drifted(ecr):
            for repository in ecr.describe_repositories()["repositories"]:
                ecr.delete_repository(repositoryName=repository["repositoryName"], force=True)
            ecr.create_repository(repositoryName=NAME)
            ecr.put_image(repositoryName=NAME, imageManifest=json.dumps(MANIFEST), imageTag="1.0.0")

        create = ["ecr", "create", "--yes"]
        preview = ["ecr", "lifecycle", "preview", "--aws", "--network-timeout", "1s"]
        self.check("provision", drifted, [create, preview, ["ecr", "delete", "--yes"], ["ecr", "plan"]])

    def test_read(self):
        def scanned(ecr):
            for repository in ecr.describe_repositories()["repositories"]:
                ecr.delete_repository(repositoryName=repository["repositoryName"], force=True)
            ecr.create_repository(repositoryName=NAME)
            ecr.put_image(repositoryName=NAME, imageManifest=json.dumps(MANIFEST), imageTag="1.0.0")
            ecr.start_image_scan(repositoryName=NAME, imageId={"imageTag": "1.0.0"})

        absent = ["ecr", "status", "-p", "my-app-worker"]
        self.check("read", scanned, [["ecr", "images"], ["ecr", "scan", "-p", NAME], ["ecr", "status"], absent])


class Documents(unittest.TestCase):
    def allowed(self, role):
        with moto() as url:
            client("ecr", url).create_repository(repositoryName=NAME)
            keys = user(url, document(workspace(), role))
            enforce(url)
            ecr = client("ecr", url, **keys)
            return {operation for operation in CALLS if is_allowed(ecr, operation)}

    def test_ci_allows_every_operation_of_a_push_and_no_deletion(self):
        self.assertEqual(self.allowed("ci"), PUSH)

    def test_node_allows_a_pull_and_nothing_of_a_push(self):
        self.assertEqual(self.allowed("node"), PULL)

    def test_read_allows_no_write(self):
        self.assertEqual(self.allowed("read"), READ)

    def test_provision_lets_create_and_delete_run(self):
        with moto() as url:
            made = workspace()
            keys = user(url, document(made, "provision"))
            enforce(url)
            for command, outcome in [(["create"], "created"), (["create"], "unchanged"), (["delete", "--yes"], "deleted")]:
                result = made.run(url, "ecr", *command, "--format", "json", **keys)
                outcomes = {it["outcome"] for it in json.loads(result.stdout)["repositories"]}
                self.assertEqual(outcomes, {outcome})
                self.assertNotIn("no permission", result.stderr)

    def test_read_lets_images_scan_and_status_run(self):
        with moto() as url:
            made = workspace()
            made.run(url, "ecr", "create")
            ecr = client("ecr", url)
            ecr.put_image(repositoryName=NAME, imageManifest=json.dumps(MANIFEST), imageTag="1.0.0")
            ecr.start_image_scan(repositoryName=NAME, imageId={"imageTag": "1.0.0"})
            keys = user(url, document(made, "read"))
            enforce(url)
            for command in (["images"], ["scan", "-p", NAME], ["status"]):
                result = made.run(url, "ecr", *command, **keys)
                self.assertNotIn("no permission", result.stderr)


if __name__ == "__main__":
    unittest.main()
