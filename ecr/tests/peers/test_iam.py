"""`ecr iam-policy`: the documents under moto's enforcement, operation by operation, and the commands under them."""

import json
import unittest
import urllib.request

from peers import Workspace, client, moto

NAME = "my-app"
DIGEST = "sha256:" + "0" * 64
LIFECYCLE = json.dumps({"rules": [{"rulePriority": 1, "selection": {
    "tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": 10}, "action": {"type": "expire"}}]})

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
        "DescribeImageScanFindings",
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


def user(url, text):
    """The keys of a user who may do what a document says."""
    iam = client("iam", url)
    iam.create_user(UserName="someone")
    iam.put_user_policy(UserName="someone", PolicyName="document", PolicyDocument=text)
    made = iam.create_access_key(UserName="someone")["AccessKey"]
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
            manifest = {"schemaVersion": 2, "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
                        "config": {"digest": DIGEST, "size": 7, "mediaType": "x"}, "layers": []}
            ecr.put_image(repositoryName=NAME, imageManifest=json.dumps(manifest), imageTag="1.0.0")
            ecr.start_image_scan(repositoryName=NAME, imageId={"imageTag": "1.0.0"})
            keys = user(url, document(made, "read"))
            enforce(url)
            for command in (["images"], ["scan", "-p", NAME], ["status"]):
                result = made.run(url, "ecr", *command, **keys)
                self.assertNotIn("no permission", result.stderr)


if __name__ == "__main__":
    unittest.main()
