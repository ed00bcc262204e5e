"""What a careful person would write in Python: the same work as script/create-ecr.sh, with eight threads."""

import concurrent.futures
import json
import pathlib
import sys

import boto3

folder = pathlib.Path(sys.argv[1])
definitions = json.loads((folder / "repositories.json").read_text())
policy = (folder / "lifecycle-policy.json").read_text()
ecr = boto3.client("ecr")
boto3.client("sts").get_caller_identity()


def create(name):
    try:
        ecr.describe_repositories(repositoryNames=[name])
    except ecr.exceptions.RepositoryNotFoundException:
        ecr.create_repository(
            repositoryName=name, imageTagMutability="IMMUTABLE", imageScanningConfiguration={"scanOnPush": True}
        )
    ecr.put_lifecycle_policy(repositoryName=name, lifecyclePolicyText=policy)


with concurrent.futures.ThreadPoolExecutor(8) as pool:
    list(pool.map(create, [it["name"] for it in definitions["repositories"]]))
