"""The environment of AWS's tools, read by the tool and by the AWS CLI side by side; and roles of the embedded STS,
assumed by the AWS CLI, boto3 and the tool."""

import base64
import concurrent.futures
import contextlib
import json
import os
import pathlib
import re
import subprocess
import tempfile
import time
import unittest

from peers import BIN, XTASK, Workspace, client, embedded, environment, moto

# The AWS CLI refuses these when they are empty. For the tool, an empty variable is an unset one without exceptions.
REFUSED_BY_THE_CLI = {
    "AWS_CA_BUNDLE": "Invalid CA bundle",
    "AWS_DEFAULTS_MODE": "invalid defaults mode",
    "AWS_DEFAULT_PROFILE": "The config profile () could not be found",
    "AWS_MAX_ATTEMPTS": "invalid literal for int()",
    "AWS_PROFILE": "The config profile () could not be found",
    "AWS_RETRY_MODE": "Invalid value provided to \"mode\"",
}
VARIABLES = [
    *REFUSED_BY_THE_CLI,
    "AWS_CONFIG_FILE", "AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_ENDPOINT_URL_ECR", "AWS_ENDPOINT_URL_STS", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "AWS_REGION",
    "AWS_ROLE_ARN", "AWS_ROLE_SESSION_NAME", "AWS_SESSION_TOKEN", "AWS_SHARED_CREDENTIALS_FILE",
    "AWS_STS_REGIONAL_ENDPOINTS", "AWS_USE_DUALSTACK_ENDPOINT", "AWS_USE_FIPS_ENDPOINT", "AWS_WEB_IDENTITY_TOKEN_FILE",
]
KEYS = "aws_access_key_id = k\naws_secret_access_key = s\n"
ROLE = "arn:aws:iam::222222222222:role/teams/deploy"


class Tools:
    """The AWS CLI and the tool, with the same environment."""

    def __init__(self, url):
        self.url, self.workspace = url, Workspace()
        self.home = self.workspace.root

    def environment(self, more, config):
        (self.home / ".aws").mkdir(exist_ok=True)
        (self.home / ".aws/config").write_text(config)
        toolchain = {name: os.environ.get(name, str(pathlib.Path.home() / default))
                     for name, default in (("CARGO_HOME", ".cargo"), ("RUSTUP_HOME", ".rustup"))}
        env = environment(self.url) | toolchain | {"HOME": str(self.home)} | more
        return {name: value for name, value in env.items() if value is not None}

    def run(self, args, more, config):
        env = self.environment(more, config)
        return subprocess.run(args, cwd=self.home, env=env, text=True, capture_output=True, stdin=subprocess.DEVNULL)

    def aws(self, *args, more={}, config=""):
        return self.run([BIN / "aws", *args], more, config)

    def xtask(self, *args, more={}, config=""):
        return self.run([XTASK, *args], more, config)


@contextlib.contextmanager
def tools():
    with tempfile.TemporaryDirectory() as folder, embedded(pathlib.Path(folder) / "state") as url:
        yield Tools(url)


def web_identity_token(expires):
    part = lambda value: base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()
    claims = {"sub": "pod", "iss": "https://oidc", "aud": ["sts.amazonaws.com"], "exp": expires}
    return ".".join([part({"alg": "RS256"}), part(claims), "c2ln"])


class Variables(unittest.TestCase):
    def test_empty_variables(self):
        with tools() as both:
            def trial(variable):
                more = {variable: ""}
                return variable, both.aws("ecr", "describe-repositories", more=more), both.xtask("ecr", "plan", more=more)
            with concurrent.futures.ThreadPoolExecutor(2) as pool:
                for variable, aws, xtask in pool.map(trial, VARIABLES):
                    with self.subTest(variable):
                        self.assertEqual(xtask.returncode, 0, xtask.stderr)
                        refusal = REFUSED_BY_THE_CLI.get(variable)
                        self.assertEqual(aws.returncode, 255 if refusal else 0, aws.stderr)
                        self.assertIn(refusal or "", aws.stderr)

    def test_malformed_endpoints_are_refused_by_both(self):
        with tools() as both:
            for url in ["127.0.0.1:4510", "localhost", "http://a b", " "]:
                more = {"AWS_ENDPOINT_URL_ECR": url}
                with self.subTest(url):
                    aws = both.aws("ecr", "describe-repositories", more=more)
                    self.assertIn("Invalid endpoint", aws.stderr)
                    xtask = both.xtask("ecr", "plan", more=more)
                    self.assertIn(f"AWS_ENDPOINT_URL_ECR is `{url}`", xtask.stderr)
                    self.assertEqual(xtask.returncode, 1)


class Profiles(unittest.TestCase):
    """Each row: variables, the profile files, what the AWS CLI says and what the tool says; nothing is success."""

    unset = {"AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None}
    role = f"[profile p]\nrole_arn = {ROLE}\nsource_profile = q\n"
    rows = [
        ({"AWS_PROFILE": "nosuch"}, "", r"config profile \(nosuch\) could not be found", "no AWS profile `nosuch`"),
        ({"AWS_PROFILE": "default"}, "", r"config profile \(default\) could not", "no AWS profile `default`"),
        ({"AWS_PROFILE": "p"}, "[p]\nregion = x\n", r"config profile \(p\) could not be found", "no AWS profile `p`"),
        ({"AWS_PROFILE": "p"} | unset, role, 'source_profile "q" referenced in the profile "p" does not exist',
         "no AWS profile `q`, which profile `p` names"),
        ({"AWS_PROFILE": "p"}, role, None, None),
        ({"AWS_PROFILE": "p"} | unset, "[profile p]\nsso_session = q\nsso_account_id = 222222222222\nsso_role_name = r\n",
         'sso-session does not exist: "q"', r"no section \[sso-session q\]"),
        ({"AWS_SECRET_ACCESS_KEY": None}, "", "Partial credentials found in env", "AWS_SECRET_ACCESS_KEY is not"),
        ({"AWS_ACCESS_KEY_ID": None}, f"[default]\n{KEYS}", None, None),
        ({"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}, f"[default]\n{KEYS}", None, None),
        (unset, "", "Unable to locate credentials", "no credentials found in chain"),
        ({}, "[default]\nendpoint_url =\nservices = s\n[services s]\necr =\n  endpoint_url =\n", None, None),
        ({}, "[default]\nregion =\n", None, None),
    ]

    def test_profiles(self):
        with tools() as both:
            for more, config, aws_says, xtask_says in self.rows:
                with self.subTest(more=more, config=config):
                    aws = both.aws("sts", "get-caller-identity", more=more, config=config)
                    xtask = both.xtask("ecr", "plan", more=more, config=config)
                    for result, wanted in ((aws, aws_says), (xtask, xtask_says)):
                        self.assertEqual(result.returncode == 0, wanted is None, result.stderr)
                        self.assertTrue(re.search(wanted or "", result.stderr), result.stderr)


class Roles(unittest.TestCase):
    def test_profiles_with_roles(self):
        with tools() as both:
            token = both.home / "token"
            token.write_text(web_identity_token(time.time() + 1000))
            config = (
                f"[profile keys]\n{KEYS}"
                f"[profile role]\nrole_arn = {ROLE}\nrole_session_name = ci\nsource_profile = keys\n"
                "[profile chained]\nrole_arn = arn:aws:iam::333333333333:role/other\nrole_session_name = ci\n"
                "source_profile = role\n"
                f"[profile web]\nrole_arn = {ROLE}\nrole_session_name = ci\nweb_identity_token_file = {token}\n"
                f"[profile variables]\nrole_arn = {ROLE}\nrole_session_name = ci\ncredential_source = Environment\n"
            )
            deploy = "arn:aws:sts::222222222222:assumed-role/deploy/ci"
            for profile, arn in (("role", deploy), ("web", deploy), ("variables", deploy),
                                 ("chained", "arn:aws:sts::333333333333:assumed-role/other/ci")):
                with self.subTest(profile):
                    identity = both.aws("--profile", profile, "sts", "get-caller-identity", config=config)
                    self.assertEqual(json.loads(identity.stdout)["Arn"], arn, identity.stderr)
                    registry = both.aws("--profile", profile, "ecr", "describe-registry", config=config)
                    account = arn.split(":")[4]
                    self.assertEqual(json.loads(registry.stdout)["registryId"], account, registry.stderr)
                    plan = both.xtask("ecr", "plan", "--aws-profile", profile, config=config)
                    self.assertIn(f"(account {account}, ", plan.stderr)

    def test_answers_of_boto3(self):
        with tempfile.TemporaryDirectory() as folder, embedded(pathlib.Path(folder) / "state") as url, moto() as other:
            answers = []
            for it in (url, other):
                sts = client("sts", it)
                answer = sts.assume_role(RoleArn=ROLE, RoleSessionName="ci", DurationSeconds=900)
                token = web_identity_token(time.time() + 1000)
                web = sts.assume_role_with_web_identity(RoleArn=ROLE, RoleSessionName="ci", WebIdentityToken=token)
                self.assertEqual(web["AssumedRoleUser"]["Arn"], answer["AssumedRoleUser"]["Arn"])
                answers.append(answer)
            ours, motos = answers
            self.assertEqual(ours["Credentials"].keys(), motos["Credentials"].keys())
            self.assertEqual(ours["AssumedRoleUser"].keys(), motos["AssumedRoleUser"].keys())
            for answer in answers:
                self.assertTrue(answer["Credentials"]["AccessKeyId"].startswith("ASIA"))
                self.assertTrue(re.fullmatch(r"AROA[A-Z0-9]{16,17}:ci", answer["AssumedRoleUser"]["AssumedRoleId"]))
                left = answer["Credentials"]["Expiration"].timestamp() - time.time()
                self.assertTrue(800 < left <= 901, left)

    def test_sessions_of_boto3(self):
        import boto3
        import botocore

        with tempfile.TemporaryDirectory() as folder, embedded(pathlib.Path(folder) / "state") as url:
            credentials = client("sts", url).assume_role(RoleArn=ROLE, RoleSessionName="ci")["Credentials"]
            session = lambda service, token: boto3.client(
                service, endpoint_url=url, region_name="us-east-1", aws_access_key_id=credentials["AccessKeyId"],
                aws_secret_access_key=credentials["SecretAccessKey"], aws_session_token=token,
                config=botocore.config.Config(parameter_validation=False),
            )
            token = credentials["SessionToken"]
            identity = session("sts", token).get_caller_identity()
            self.assertEqual(identity["Arn"], "arn:aws:sts::222222222222:assumed-role/deploy/ci")
            ecr = session("ecr", token)
            repository = ecr.create_repository(repositoryName="my-app")["repository"]
            self.assertEqual(repository["registryId"], "222222222222")
            self.assertIn(":222222222222:repository/my-app", repository["repositoryArn"])
            # The registry of the server's own account is another one.
            self.assertEqual(client("ecr", url).describe_repositories()["repositories"], [])
            for request, code, message in [
                ({"RoleSessionName": "x"}, "ValidationError", "Member must have length greater than or equal to 2"),
                ({"RoleSessionName": "a b"}, "ValidationError", "Member must satisfy regular expression pattern"),
                ({"RoleArn": None}, "ValidationError", "Value null at 'roleArn'"),
                ({"RoleArn": "arn:aws:iam::222222222222:user/me"}, "ValidationError", "Request ARN is invalid"),
                ({"DurationSeconds": 7200}, "ValidationError", "1 hour session limit for roles assumed by role chaining"),
                ({"DurationSeconds": 60}, "ValidationError", "Member must have value greater than or equal to 900"),
                ({"Policy": "{"}, "MalformedPolicyDocument", "invalid Json"),
            ]:
                asked = {"RoleArn": ROLE, "RoleSessionName": "ci"} | request
                asked = {name: value for name, value in asked.items() if value is not None}
                with self.subTest(request), self.assertRaises(botocore.exceptions.ClientError) as refused:
                    session("sts", token).assume_role(**asked)
                self.assertEqual(refused.exception.response["Error"]["Code"], code)
                self.assertIn(message, refused.exception.response["Error"]["Message"])
            for token, code in (("dummy", "InvalidIdentityToken"), (web_identity_token(1), "ExpiredTokenException")):
                with self.subTest(code), self.assertRaises(botocore.exceptions.ClientError) as refused:
                    client("sts", url).assume_role_with_web_identity(
                        RoleArn=ROLE, RoleSessionName="ci", WebIdentityToken=token)
                self.assertEqual(refused.exception.response["Error"]["Code"], code)


if __name__ == "__main__":
    unittest.main()
