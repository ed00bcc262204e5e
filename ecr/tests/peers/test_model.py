"""The embedded ECR beside moto, on the control plane: for each operation a good request, and for every constraint of the
service model one request just inside and one just outside. The requests are made from the table that the embedded ECR
itself is held to, and the table is held to the pinned botocore."""

import base64
import json
import pathlib
import tempfile
import unittest
import urllib.error
import urllib.request

import service_model
from peers import embedded, moto

NAME = "team/my-app"
CONFIG = b"{}"
UPLOAD = "00000000-0000-0000-0000-000000000000"
ARN = f"arn:aws:ecr:us-east-1:%s:repository/{NAME}"
POLICY = json.dumps({"rules": [{"rulePriority": 1, "description": "Keep the last ten images of them all", "selection": {
    "tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": 10}, "action": {"type": "expire"}}]})
REPOSITORY_POLICY = json.dumps({"Version": "2012-10-17", "Statement": [
    {"Sid": "a", "Effect": "Allow", "Principal": "*", "Action": "ecr:BatchGetImage"}]})


REGISTRY_POLICY = json.dumps({"Version": "2012-10-17", "Statement": [
    {"Sid": "a", "Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::111122223333:root"}, "Action": "ecr:ReplicateImage",
     "Resource": "*"}]})
ROLE = "arn:aws:iam::111122223333:role/"
SIGNING = {"signingConfiguration": {"rules": [{
    "signingProfileArn": "arn:aws:signer:us-east-1:111122223333:/signing-profiles/mine",
    "repositoryFilters": [{"filter": "prod*", "filterType": "WILDCARD_MATCH"}]}]}}
PUSHES = {"appliedFor": ["CREATE_ON_PUSH"]}


def sha256(data):
    import hashlib

    return "sha256:" + hashlib.sha256(data).hexdigest()


class Server:
    """Requests as they are written, so that nothing is checked before they arrive."""

    def __init__(self, url, account, reset, has_all):
        self.url, self.account, self.reset, self.has_all = url, account, reset, has_all

    def ask(self, operation, body):
        """The status, the exception (if it is one) and the answer."""
        request = urllib.request.Request(self.url, method="POST", data=json.dumps(body).encode(), headers={
            "X-Amz-Target": f"AmazonEC2ContainerRegistry_V20150921.{operation}",
            "Content-Type": "application/x-amz-json-1.1",
            "Authorization": "AWS4-HMAC-SHA256 Credential=dummy/20260101/us-east-1/ecr/aws4_request, "
                             "SignedHeaders=host, Signature=0",
        })
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                return response.status, None, json.loads(response.read())
        except urllib.error.HTTPError as error:
            text = error.read()
            try:
                answer = json.loads(text)
            except ValueError:
                return error.code, "no JSON", {}
            return error.code, str(answer.get("__type", "none")).split("#")[-1], answer

    def good(self, operation, body):
        status, exception, answer = self.ask(operation, body)
        assert status == 200, f"{operation} at {self.url}: {status} {exception} {answer}"
        return answer

    def begin(self):
        """One repository with one tagged image and one resource tag; nothing else."""
        urllib.request.urlopen(urllib.request.Request(self.url + self.reset, method="POST"), timeout=60).read()
        self.good("CreateRepository", {"repositoryName": NAME, "tags": [{"Key": "team", "Value": "web"}]})
        part = self.good("InitiateLayerUpload", {"repositoryName": NAME})["uploadId"]
        self.good("UploadLayerPart", {"repositoryName": NAME, "uploadId": part, "partFirstByte": 0,
                                      "partLastByte": len(CONFIG) - 1, "layerPartBlob": base64.b64encode(CONFIG).decode()})
        self.good("CompleteLayerUpload", {"repositoryName": NAME, "uploadId": part, "layerDigests": [sha256(CONFIG)]})
        self.good("PutImage", {"repositoryName": NAME, "imageManifest": manifest("first"), "imageTag": "1.0.0"})
        self.good("PutLifecyclePolicy", {"repositoryName": NAME, "lifecyclePolicyText": POLICY})
        self.good("SetRepositoryPolicy", {"repositoryName": NAME, "policyText": REPOSITORY_POLICY})
        self.good("PutRegistryPolicy", {"policyText": REGISTRY_POLICY})
        if self.has_all:
            self.good("CreateRepositoryCreationTemplate", {"prefix": "prod", **PUSHES})
            self.good("CreatePullThroughCacheRule", {"ecrRepositoryPrefix": "cache", "upstreamRegistryUrl": "quay.io"})
            self.good("RegisterPullTimeUpdateExclusion", {"principalArn": f"{ROLE}kept"})
            self.good("PutSigningConfiguration", SIGNING)
        self.upload = self.good("InitiateLayerUpload", {"repositoryName": NAME})["uploadId"]


def manifest(note):
    config = {"mediaType": "application/vnd.docker.container.image.v1+json", "digest": sha256(CONFIG), "size": len(CONFIG)}
    return json.dumps({"schemaVersion": 2, "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
                       "config": config, "layers": [], "annotations": {"note": note}})


def good_requests(server):
    """A request that each operation answers well, in the state of `begin`."""
    named = {"repositoryName": NAME}
    image = {**named, "imageIds": [{"imageTag": "1.0.0"}]}
    arn = {"resourceArn": ARN % server.account}
    return {
        "BatchCheckLayerAvailability": {**named, "layerDigests": [sha256(CONFIG)]},
        "BatchDeleteImage": image,
        "BatchGetImage": image,
        "BatchGetRepositoryScanningConfiguration": {"repositoryNames": [NAME]},
        "CompleteLayerUpload": {**named, "uploadId": server.upload, "layerDigests": [sha256(b"a")]},
        "CreateRepository": {
            "repositoryName": "fresh", "imageTagMutability": "IMMUTABLE_WITH_EXCLUSION", "tags": [{"Key": "a", "Value": "b"}],
            "imageTagMutabilityExclusionFilters": [{"filterType": "WILDCARD", "filter": "latest*"}],
            "imageScanningConfiguration": {"scanOnPush": True}, "encryptionConfiguration": {"encryptionType": "AES256"}},
        "DeleteLifecyclePolicy": named,
        "DeleteRepository": {**named, "force": True},
        "DeleteRepositoryPolicy": named,
        "DescribeImages": named,
        "DescribeRegistry": {},
        "DescribeRepositories": {"repositoryNames": [NAME]},
        "GetAuthorizationToken": {},
        "GetDownloadUrlForLayer": {**named, "layerDigest": sha256(CONFIG)},
        "GetLifecyclePolicy": named,
        "GetRegistryScanningConfiguration": {},
        "GetRepositoryPolicy": named,
        "InitiateLayerUpload": named,
        "ListImages": named,
        "ListTagsForResource": arn,
        "PutImage": {**named, "imageManifest": manifest("second"), "imageTag": "2.0.0"},
        "PutImageScanningConfiguration": {**named, "imageScanningConfiguration": {"scanOnPush": True}},
        "PutImageTagMutability": {
            **named, "imageTagMutability": "MUTABLE_WITH_EXCLUSION",
            "imageTagMutabilityExclusionFilters": [{"filterType": "WILDCARD", "filter": "v*"}]},
        "PutLifecyclePolicy": {**named, "lifecyclePolicyText": POLICY},
        "PutRegistryScanningConfiguration": {"scanType": "BASIC", "rules": [{
            "scanFrequency": "SCAN_ON_PUSH", "repositoryFilters": [{"filter": "prod*", "filterType": "WILDCARD"}]}]},
        "SetRepositoryPolicy": {**named, "policyText": REPOSITORY_POLICY},
        "StartImageScan": {**named, "imageId": {"imageTag": "1.0.0"}},
        "DescribeImageScanFindings": {**named, "imageId": {"imageTag": "1.0.0"}},
        "TagResource": {**arn, "tags": [{"Key": "a", "Value": "b"}]},
        "UntagResource": {**arn, "tagKeys": ["team"]},
        "UploadLayerPart": {**named, "uploadId": server.upload, "partFirstByte": 0, "partLastByte": 0,
                            "layerPartBlob": base64.b64encode(b"a").decode()},
        "PutRegistryPolicy": {"policyText": REGISTRY_POLICY},
        "GetRegistryPolicy": {},
        "DeleteRegistryPolicy": {},
        "PutReplicationConfiguration": {"replicationConfiguration": {"rules": [{
            "destinations": [{"region": "eu-west-1", "registryId": server.account}],
            "repositoryFilters": [{"filter": "prod", "filterType": "PREFIX_MATCH"}], "deleteReplication": {"enabled": False}}]}},
        # moto has none of these.
        "CreatePullThroughCacheRule": {"ecrRepositoryPrefix": "other", "upstreamRegistryUrl": "public.ecr.aws"},
        "DescribePullThroughCacheRules": {"ecrRepositoryPrefixes": ["cache"]},
        "UpdatePullThroughCacheRule": {"ecrRepositoryPrefix": "cache"},
        "ValidatePullThroughCacheRule": {"ecrRepositoryPrefix": "cache"},
        "DeletePullThroughCacheRule": {"ecrRepositoryPrefix": "cache"},
        "CreateRepositoryCreationTemplate": {"prefix": "fresh", **PUSHES},
        "DescribeRepositoryCreationTemplates": {"prefixes": ["prod"]},
        "UpdateRepositoryCreationTemplate": {"prefix": "prod", "description": "of the team"},
        "DeleteRepositoryCreationTemplate": {"prefix": "prod"},
        "DescribeImageReplicationStatus": {**named, "imageId": {"imageTag": "1.0.0"}},
        "RegisterPullTimeUpdateExclusion": {"principalArn": f"{ROLE}new"},
        "DeregisterPullTimeUpdateExclusion": {"principalArn": f"{ROLE}kept"},
        "ListPullTimeUpdateExclusions": {},
        "PutSigningConfiguration": SIGNING,
        "GetSigningConfiguration": {},
        "DeleteSigningConfiguration": {},
        "DescribeImageSigningStatus": {**named, "imageId": {"imageTag": "1.0.0"}},
        "UpdateImageStorageClass": {**named, "imageId": {"imageTag": "1.0.0"}, "targetStorageClass": "ARCHIVE"},
        "GetAccountSetting": {"name": "BLOB_MOUNTING"},
        "PutAccountSetting": {"name": "BLOB_MOUNTING", "value": "DISABLED"},
        "GetLifecyclePolicyPreview": named,
        "StartLifecyclePolicyPreview": named,
        "ListImageReferrers": {**named, "subjectId": {"imageDigest": sha256(CONFIG)}},
    }


MOTO_LACKS = set("""
CreatePullThroughCacheRule CreateRepositoryCreationTemplate DeletePullThroughCacheRule DeleteRepositoryCreationTemplate
DeleteSigningConfiguration DeregisterPullTimeUpdateExclusion DescribeImageReplicationStatus DescribeImageSigningStatus
DescribePullThroughCacheRules DescribeRepositoryCreationTemplates GetAccountSetting GetLifecyclePolicyPreview
GetSigningConfiguration ListImageReferrers ListPullTimeUpdateExclusions PutAccountSetting PutSigningConfiguration
RegisterPullTimeUpdateExclusion StartLifecyclePolicyPreview UpdateImageStorageClass UpdatePullThroughCacheRule
UpdateRepositoryCreationTemplate ValidatePullThroughCacheRule
""".split())

# Where good requests differ: which of the two follows AWS, and by what source.
GOOD_DIFFERENCES = {
    "CompleteLayerUpload": "embedded: the model has EmptyUploadException for an upload without parts; moto takes it",
    "GetDownloadUrlForLayer": "embedded: the layer was uploaded; moto looks for it among the layers of images only",
}


def boundaries(table, shape_name, path=()):
    """(path, constraint, value just inside, value just outside) for every constraint below a shape."""
    shape = table["shapes"][shape_name]
    kind = shape["type"]
    if kind == "structure":
        for key in shape.get("required", []):
            yield (*path, key), "required", None, None
        for key, member in shape["members"].items():
            yield from boundaries(table, member, (*path, key))
    elif kind == "list":
        yield from boundaries(table, shape["member"], (*path, 0))
        for bound, inside, outside in [("min", 0, -1), ("max", 0, 1)]:
            if shape.get(bound):
                yield path, f"length {bound}", ("repeat", shape[bound] + inside), ("repeat", shape[bound] + outside)
    elif kind == "string":
        if "enum" in shape:
            yield path, "enum", shape["enum"][0], "NONE_OF_THEM"
        if "pattern" in shape:
            yield path, "pattern", None, "~ not it ~"
        filler = "a" if shape_name != "RepositoryPolicyText" else " "
        for bound, outside in [("min", -1), ("max", 1)]:
            if shape.get(bound) and shape_name not in ("LifecyclePolicyText", "ImageManifest"):
                yield path, f"length {bound}", filler * shape[bound], filler * (shape[bound] + outside)
        if shape_name == "LifecyclePolicyText":
            yield path, "length min", POLICY + " " * max(0, 100 - len(POLICY)), POLICY[:99]
            yield path, "length max", POLICY + " " * (shape["max"] - len(POLICY)), POLICY + " " * (shape["max"] - len(POLICY) + 1)
    elif kind in ("integer", "long"):
        for bound, outside in [("min", -1), ("max", 1)]:
            if bound in shape:
                yield path, f"value {bound}", shape[bound], shape[bound] + outside


def replaced(body, path, value):
    """`body` with the value at `path`; lists and objects on the way are made."""
    if not path:
        if isinstance(value, tuple):
            item = body[0] if body else "aa"
            return [variant(item, n) for n in range(value[1])]
        return value
    key, rest = path[0], path[1:]
    if isinstance(key, int):
        items = list(body) if isinstance(body, list) and body else [None]
        items[0] = replaced(items[0], rest, value)
        return items
    copy = dict(body) if isinstance(body, dict) else {}
    copy[key] = replaced(copy.get(key), rest, value)
    return copy


def variant(item, n):
    """Items of a list that are not all the same."""
    if isinstance(item, str) and not item.startswith("sha256:") and item != NAME:
        return f"{item}{n}"
    return item


def without(body, path):
    copy = dict(body)
    if len(path) == 1:
        copy.pop(path[0], None)
    elif isinstance(path[0], str):
        inner = copy.get(path[0])
        if isinstance(inner, dict):
            copy[path[0]] = without(inner, path[1:])
        elif isinstance(inner, list) and inner and isinstance(inner[0], dict):
            copy[path[0]] = [without(inner[0], path[2:])]
    return copy


def keys(value):
    """The names of an answer's members, all the way down."""
    if isinstance(value, dict):
        return {key: keys(it) for key, it in value.items()}
    if isinstance(value, list):
        return [keys(it) for it in value[:1]]
    return None


class Model(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.contexts = [embedded(pathlib.Path(cls.folder.name) / "state", "--control"), moto()]
        urls = [it.__enter__() for it in cls.contexts]
        cls.ours = Server(urls[0], "000000000000", "/_control/reset", True)
        cls.moto = Server(urls[1], "123456789012", "/moto-api/reset", False)
        cls.table = json.loads(service_model.TABLE.read_text())

    @classmethod
    def tearDownClass(cls):
        for context in cls.contexts:
            context.__exit__(None, None, None)
        cls.folder.cleanup()

    def test_the_table_is_that_of_botocore(self):
        self.assertEqual(service_model.TABLE.read_text(), service_model.text())

    def test_good_requests_are_answered_alike(self):
        for operation in [it for it, shape in self.table["operations"].items() if shape]:
            answers = []
            for server in (self.ours, self.moto):
                server.begin()
                answers.append(server.ask(operation, good_requests(server)[operation]))
            (status, exception, answer), theirs = answers
            with self.subTest(operation):
                if operation in MOTO_LACKS:
                    self.assertIn((status, exception), [(200, None), (400, "LifecyclePolicyPreviewNotFoundException")])
                elif (status, exception) != theirs[:2]:
                    self.assertIn(operation, GOOD_DIFFERENCES, f"{(status, exception)} here, {theirs} by moto")
                    print(f"{operation}: {status} {exception} here, {theirs[0]} {theirs[1]} by moto; "
                          f"{GOOD_DIFFERENCES[operation]}")
                elif status == 200:
                    missing = set(keys(theirs[2])) - set(keys(answer))
                    self.assertFalse(missing, f"{operation}: moto's answer also has {missing}")

    def test_constraints_hold_just_inside_and_just_outside(self):
        cases = 0
        for operation, shape in self.table["operations"].items():
            if shape is None:
                continue
            for path, constraint, inside, outside in boundaries(self.table, shape):
                cases += 1
                self.check(operation, path, constraint, inside, outside)
        print(f"{cases} constraints")
        self.assertGreater(cases, 150)

    def check(self, operation, path, constraint, inside, outside):
        name = f"{operation}.{'.'.join(map(str, path))} {constraint}"
        self.ours.begin()
        good = good_requests(self.ours)[operation]
        if constraint == "required":
            if len(path) > 1 and path[0] not in good:
                return
            answers = [self.ours.ask(operation, without(good, path))]
        else:
            answers = [self.ours.ask(operation, replaced(good, path, outside))]
            if inside is not None:
                self.ours.begin()
                good = good_requests(self.ours)[operation]
                status, exception, answer = self.ours.ask(operation, replaced(good, path, inside))
                with self.subTest(f"{name}, inside"):
                    text = str(answer.get("message"))
                    self.assertNotIn("Member must", text.replace("Member must not be null", ""))
                    self.assertNotEqual(status, 500)
        status, exception, answer = answers[0]
        with self.subTest(f"{name}, outside"):
            self.assertEqual((status, exception), (400, "InvalidParameterException"), answer)
            self.assertIn("failed to satisfy constraint", answer["message"])
        if operation in MOTO_LACKS:
            return
        self.moto.begin()
        good = good_requests(self.moto)[operation]
        body = without(good, path) if constraint == "required" else replaced(good, path, outside)
        theirs = self.moto.ask(operation, body)
        if theirs[:2] != (status, exception):
            print(f"{name}: {status} {exception} here, {theirs[0]} {theirs[1]} by moto; "
                  "the embedded ECR follows AWS: the constraint is in the service model")


if __name__ == "__main__":
    unittest.main()
