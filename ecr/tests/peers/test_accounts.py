"""Three environments, each with an account of its own: the AWS CLI reads back what was written where, on moto and on the
embedded ECR."""

import contextlib
import json
import pathlib
import tempfile
import unittest

from peers import BIN, Workspace, client, embedded, environment, moto, run

ACCOUNTS = {"dev": "111111111111", "staging": "222222222222", "prod": "333333333333"}
REGIONS = {"dev": "us-east-1", "staging": "us-east-1", "prod": "eu-west-1"}


def workspace():
    made = Workspace(services=("my-app",))
    for name, account in ACCOUNTS.items():
        made.append("Cargo.toml", f'''
[workspace.metadata.ecr.environments.{name}]
account-id = "{account}"
region = "{REGIONS[name]}"
prefix = "{name}/"
tags = {{ stage = "{name}" }}
''')
    return made


@contextlib.contextmanager
def on_moto(folder):
    """moto, and keys of a role in each account."""
    with moto() as url:
        sts, keys = client("sts", url), {}
        for name, account in ACCOUNTS.items():
            role = f"arn:aws:iam::{account}:role/deploy"
            found = sts.assume_role(RoleArn=role, RoleSessionName="ci")["Credentials"]
            keys[name] = {"key": found["AccessKeyId"], "secret": found["SecretAccessKey"],
                          "AWS_SESSION_TOKEN": found["SessionToken"]}
        yield url, keys


@contextlib.contextmanager
def on_embedded(folder):
    """The embedded ECR, which has an account for each of three keys."""
    accounts = [it for name, account in ACCOUNTS.items() for it in ("--account", f"key-of-{name}={account}")]
    with embedded(folder, *accounts) as url:
        yield url, {name: {"key": f"key-of-{name}", "secret": "secret"} for name in ACCOUNTS}


def read_back(url, keys, region):
    """What the AWS CLI finds in an account: the repositories, with their account and resource tags."""
    keys = dict(keys)
    env = environment(url, keys.pop("key"), keys.pop("secret")) | keys | {"AWS_REGION": region, "AWS_DEFAULT_REGION": region}
    aws = lambda *args: json.loads(run(BIN / "aws", "ecr", *args, "--output", "json", env=env))
    found = {}
    for repository in aws("describe-repositories")["repositories"]:
        tags = aws("list-tags-for-resource", "--resource-arn", repository["repositoryArn"])["tags"]
        found[repository["repositoryName"]] = (repository["registryId"], {it["Key"]: it["Value"] for it in tags}.get("stage"))
    return found


class Accounts(unittest.TestCase):
    def test_each_environment_is_written_to_its_account_and_to_no_other(self):
        for server in (on_moto, on_embedded):
            with self.subTest(server=server.__name__), tempfile.TemporaryDirectory() as folder:
                with server(pathlib.Path(folder) / "state") as (url, keys):
                    self.check(url, keys)

    def check(self, url, keys):
        made = workspace()
        state = lambda: {name: read_back(url, keys[name], REGIONS[name]) for name in ACCOUNTS}
        nothing = {name: {} for name in ACCOUNTS}
        self.assertEqual(state(), nothing)
        # The keys of another account: refused before anything is written.
        for name in ACCOUNTS:
            for other in ACCOUNTS.keys() - {name}:
                refused = made.run(url, "ecr", "create", "-e", name, code=5, **keys[other])
                self.assertIn(f"account {ACCOUNTS[other]}", refused.stderr)
                self.assertIn(ACCOUNTS[name], refused.stderr)
        self.assertEqual(state(), nothing)
        # Its own: written there, in its region, under its prefix and with its tags.
        wanted = dict(nothing)
        for name, account in ACCOUNTS.items():
            made.run(url, "ecr", "create", **keys[name], XTASK_ECR_ENVIRONMENT=name)
            wanted[name] = {f"{name}/my-app": (account, name)}
            self.assertEqual(state(), wanted)
            made.run(url, "ecr", "plan", "--check", "-e", name, **keys[name])
        # A profile for each environment, and all of them in one document.
        profiles = made.root / "credentials"
        profiles.write_text("".join(
            f"[{name}]\naws_access_key_id = {it['key']}\naws_secret_access_key = {it['secret']}\n"
            + (f"aws_session_token = {it['AWS_SESSION_TOKEN']}\n" if "AWS_SESSION_TOKEN" in it else "")
            for name, it in keys.items()))
        text = (made.root / "Cargo.toml").read_text()
        for name in ACCOUNTS:
            text = text.replace(f'prefix = "{name}/"', f'prefix = "{name}/"\naws-profile = "{name}"')
        made.write("Cargo.toml", text)
        plan = made.run(url, "ecr", "plan", "--check", "-e", "*", "--format", "json", key="", secret="",
                        AWS_SHARED_CREDENTIALS_FILE=str(profiles), AWS_CONFIG_FILE=str(made.root / "none"))
        each = {it["environment"]: it["account"] for it in json.loads(plan.stdout)["environments"]}
        self.assertEqual(each, ACCOUNTS)


if __name__ == "__main__":
    unittest.main()
