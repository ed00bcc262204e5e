"""The embedded ECR, used by what package registries have for it: boto3 and the AWS SDK for JavaScript on the control plane;
the Python package oras, the Rust crate oci-client and containerd's ctr on the data plane."""

import base64
import contextlib
import importlib.util
import json
import os
import pathlib
import re
import tempfile
import unittest

from botocore.exceptions import WaiterError
from peers import ROOT, client, embedded, environment, need, run
from test_tree import containerd, layout

NPM = ROOT / "target/peers-npm"
CARGO = ROOT / "target/peers-cargo"
UUID = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")

# More images, and more findings of a scan, than a page has.
MANY_IMAGES = {"name": "many", "images": [{"tags": ["v{n}"], "repeat": 250}]}
SELECTION = {"tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": 1}
EXPIRE_ALL_BUT_ONE = json.dumps({"rules": [{"rulePriority": 1, "action": {"type": "expire"}, "selection": SELECTION}]})
FINDINGS = [{"name": f"CVE-2026-{n}", "severity": "HIGH", "uri": "https://example.invalid"} for n in range(150)]


@contextlib.contextmanager
def server(*repositories, args=()):
    """`ecr serve`, seeded with repositories."""
    with tempfile.TemporaryDirectory() as folder:
        pathlib.Path(folder, "seed.json").write_text(json.dumps({"repositories": repositories}))
        with embedded(f"{folder}/state", "--seed", f"{folder}/seed.json", *args) as url:
            yield url


def password(url):
    """The password of the user AWS, as `aws ecr get-login-password` prints it."""
    token = client("ecr", url).get_authorization_token()["authorizationData"][0]["authorizationToken"]
    return base64.b64decode(token).decode().removeprefix("AWS:")


def built(*args, **options):
    """Installs or compiles a client. CI has the registries of packages; a developer may be offline."""
    try:
        run(*args, **options)
    except AssertionError as error:
        raise error if os.environ.get("CI") else unittest.SkipTest(str(error))


class Boto3(unittest.TestCase):
    def test_paginators(self):
        with server(MANY_IMAGES, *({"name": f"repository-{n}"} for n in range(149))) as url:
            ecr = client("ecr", url)
            with self.assertRaises(ecr.exceptions.RepositoryNotFoundException) as caught:
                ecr.list_images(repositoryName="nothing")
            answers = [caught.exception.response]
            many = {"repositoryName": "many"}
            for operation, key, sizes, arguments in [("describe_images", "imageDetails", [100, 100, 50], many),
                                                     ("list_images", "imageIds", [100, 100, 50], many),
                                                     ("describe_repositories", "repositories", [100, 50], {})]:
                with self.subTest(operation):
                    pages = list(ecr.get_paginator(operation).paginate(**arguments))
                    self.assertEqual([len(page[key]) for page in pages], sizes)
                    self.assertEqual(len({str(it) for page in pages for it in page[key]}), sum(sizes))
                    answers += pages
            ids = [it["ResponseMetadata"]["RequestId"] for it in answers]
            self.assertEqual(len({it for it in ids if UUID.match(it)}), 9)

    def test_waiters(self):
        scanned = {"scan": {"statuses": ["IN_PROGRESS", "COMPLETE"], "imageScanFindings": {"findings": FINDINGS}}}
        images = [scanned | {"tags": ["scanned"]}, {"tags": ["failed"], "scan": {"statuses": ["FAILED"]}}, {"tags": ["other"]}]
        with server({"name": "waits", "images": images}, MANY_IMAGES) as url:
            ecr = client("ecr", url)
            wait = lambda name, **arguments: ecr.get_waiter(name).wait(**arguments, WaiterConfig={"Delay": 1, "MaxAttempts": 10})
            image = {"repositoryName": "waits", "imageId": {"imageTag": "scanned"}}
            wait("image_scan_complete", **image)
            pages = list(ecr.get_paginator("describe_image_scan_findings").paginate(**image))
            self.assertEqual([len(it["imageScanFindings"]["findings"]) for it in pages], [100, 50])
            for tag, reason in [("failed", "terminal failure state"), ("other", "ScanNotFoundException")]:
                with self.assertRaisesRegex(WaiterError, reason):
                    wait("image_scan_complete", repositoryName="waits", imageId={"imageTag": tag})
            with self.assertRaisesRegex(WaiterError, "LifecyclePolicyPreviewNotFoundException"):
                wait("lifecycle_policy_preview_complete", repositoryName="many")
            ecr.start_lifecycle_policy_preview(repositoryName="many", lifecyclePolicyText=EXPIRE_ALL_BUT_ONE)
            wait("lifecycle_policy_preview_complete", repositoryName="many")
            pages = list(ecr.get_paginator("get_lifecycle_policy_preview").paginate(repositoryName="many"))
            self.assertEqual([len(it["previewResults"]) for it in pages], [100, 100, 49])
            self.assertEqual({it["summary"]["expiringImageTotalCount"] for it in pages}, {249})


class JavaScript(unittest.TestCase):
    SCRIPT = """
        import * as sdk from "@aws-sdk/client-ecr";
        const client = new sdk.ECRClient({}), name = "by-javascript", many = {repositoryName: "many"};
        const sizes = async (pages, key, found = []) => {
            for await (const page of pages) found.push(page[key].length);
            return found;
        };
        const failure = (command) => client.send(command).catch((it) =>
            [it.name, it instanceof sdk[it.name], it.$metadata.httpStatusCode, it.$metadata.requestId]);
        const created = await client.send(new sdk.CreateRepositoryCommand({repositoryName: name}));
        const described = await client.send(new sdk.DescribeRepositoriesCommand({repositoryNames: [name]}));
        console.log(JSON.stringify({
            ids: [created.$metadata.requestId, described.$metadata.requestId],
            repositories: [created.repository, described.repositories[0]],
            isDate: described.repositories[0].createdAt instanceof Date,
            pages: await sizes(sdk.paginateDescribeImages({client}, {...many}), "imageDetails"),
            pagesOf80: await sizes(sdk.paginateListImages({client, pageSize: 80}, {...many}), "imageIds"),
            failures: await Promise.all([
                new sdk.CreateRepositoryCommand({repositoryName: name}),
                new sdk.CreateRepositoryCommand({repositoryName: "UPPER"}),
                new sdk.ListImagesCommand({repositoryName: "nothing"}),
                new sdk.DescribeImagesCommand({...many, imageIds: [{imageTag: "nothing"}]}),
                new sdk.GetLifecyclePolicyCommand(many),
            ].map(failure)),
        }));
    """

    def test_pages_and_errors(self):
        need("node"), need("npm")
        built("npm", "install", "--prefix", NPM, "--no-audit", "--no-fund", "--prefer-offline", "@aws-sdk/client-ecr@3.1169.0")
        with server(MANY_IMAGES) as url:
            said = json.loads(run("node", "--input-type=module", "--eval", self.SCRIPT, cwd=NPM, env=environment(url)))
        self.assertTrue(said["isDate"])
        self.assertEqual(*said["repositories"])
        self.assertEqual((said["pages"], said["pagesOf80"]), ([100, 100, 50], [80, 80, 80, 10]))
        names = ["RepositoryAlreadyExists", "InvalidParameter", "RepositoryNotFound", "ImageNotFound", "LifecyclePolicyNotFound"]
        self.assertEqual([it[:3] for it in said["failures"]], [[f"{name}Exception", True, 400] for name in names])
        ids = said["ids"] + [it[3] for it in said["failures"]]
        self.assertEqual(len({it for it in ids if UUID.match(it)}), 7)


class Oras(unittest.TestCase):
    def test_pushes_pulls_and_lists(self):
        package = importlib.util.find_spec("oras")
        need(package.origin if package else "the Python package oras")
        from oras.client import OrasClient
        with server({"name": "artifacts"}, MANY_IMAGES) as url, tempfile.TemporaryDirectory() as folder:
            host = url.removeprefix("http://")
            oras, target = OrasClient(insecure=True, auth_backend="basic"), f"{host}/artifacts"
            oras.login("AWS", password(url), hostname=host, config_path=f"{folder}/config.json")
            files = {"small.txt": b"small", "empty.txt": b"", "large.bin": os.urandom(17 << 20)}
            for name, data in files.items():
                pathlib.Path(folder, name).write_bytes(data)
            push = lambda name, **options: oras.push(
                f"{target}:{name}", files=[f"{folder}/{name}"], disable_path_validation=True, **options)
            # ECR refuses small chunks, and empty files (oras-project/oras-py#54).
            for name, options in [("large.bin", {"do_chunked": True, "chunk_size": 1 << 20}), ("empty.txt", {})]:
                with self.assertRaisesRegex(ValueError, "Bad Request"):
                    push(name, **options)
            push("small.txt")
            push("large.bin", do_chunked=True, chunk_size=16 << 20)
            for name in ("small.txt", "large.bin"):
                pulled = oras.pull(f"{target}:{name}", outdir=f"{folder}/pulled")
                self.assertEqual([pathlib.Path(it).read_bytes() for it in pulled], [files[name]])
            self.assertEqual(sorted(oras.get_tags(target)), ["large.bin", "small.txt"])
            self.assertEqual(sorted(oras.get_tags(f"{host}/many")), sorted(f"v{n}" for n in range(1, 251)))
            self.assertEqual(len(oras.get_tags(f"{host}/many", N=150)), 150)
            self.assertEqual(oras.delete_tags(target, ["small.txt", "nothing"]), ["small.txt"])
            oras.auth.set_basic_auth("AWS", "wrong")
            with self.assertRaisesRegex(ValueError, "Unauthorized"):
                oras.get_tags(target)


class OciClient(unittest.TestCase):
    """The Rust crate oci-client. It sends a blob in chunks; when ECR answers the first one with 201, it sends the whole blob
    again (oras-project/rust-oci-client#33). A stream cannot be sent again: the upload fails, as it does at the real ECR
    (aws/containers-roadmap#2831)."""

    MANIFEST = """
        package = { name = "peer", version = "0.0.0", edition = "2024" }
        workspace = {}
        profile.dev.debug = false
        [dependencies]
        futures-util = "0.3"
        oci-client = { version = "=0.18.0", default-features = false, features = ["rustls-tls-no-provider"] }
        rustls = { version = "0.23", default-features = false, features = ["ring"] }
        serde_json = "1"
        tokio = { version = "1", features = ["rt", "macros"] }
    """
    PROGRAM = """
        use futures_util::stream::iter;
        use oci_client::client::{Client, ClientConfig, ClientProtocol, Config, ImageLayer};
        use oci_client::{Reference, manifest::IMAGE_LAYER_MEDIA_TYPE, secrets::RegistryAuth};
        #[tokio::main(flavor = "current_thread")]
        async fn main() -> Result<(), Box<dyn std::error::Error>> {
            rustls::crypto::ring::default_provider().install_default().unwrap();
            let [host, password]: [String; 2] = std::env::args().skip(1).collect::<Vec<_>>().try_into().unwrap();
            let basic = |password: &str| RegistryAuth::Basic("AWS".into(), password.into());
            let new = || Client::new(ClientConfig { protocol: ClientProtocol::Http, ..Default::default() });
            let (client, auth) = (new(), basic(&password));
            let image: Reference = format!("{host}/rust:1").parse()?;
            let data: Vec<u8> = (0..6 << 20).map(|n: u32| (n / 7) as u8).collect();
            let (layers, config) = ([ImageLayer::oci_v1(data.clone(), None)], Config::oci_v1(&b"{}"[..], None));
            let pushed = client.push(&image, &layers, config, &auth, None).await?;
            let pulled = new().pull(&image, &auth, vec![IMAGE_LAYER_MEDIA_TYPE]).await?;
            let streamed = client.push_blob_stream_chunked(&image, iter([Ok(data.clone().into())])).await.err();
            println!("{}", serde_json::json!({
                "pushed": pushed.manifest_url, "pulled": pulled.digest, "isSame": pulled.layers[0].data == data,
                "head": new().fetch_manifest_digest(&image, &auth).await?,
                "tags": new().list_tags(&image, &auth, None, None).await?.tags,
                "wrong": new().pull(&image, &basic("wrong"), vec![]).await.err().map(|it| it.to_string()),
                "streamed": streamed.map(|it| it.to_string()),
            }));
            Ok(())
        }
    """

    def test_pushes_and_pulls(self):
        need("cargo")
        # The project stays beside its build, and with it its Cargo.lock.
        for path, text in [("Cargo.toml", self.MANIFEST), ("src/main.rs", self.PROGRAM)]:
            path = CARGO / "project" / path
            path.parent.mkdir(parents=True, exist_ok=True)
            if not path.exists() or path.read_text() != text:
                path.write_text(text)
        built("cargo", "build", "--quiet", "--target-dir", CARGO, cwd=CARGO / "project")
        violation = "OCI distribution spec violation: Expected HTTP Status 202 Accepted, got 201 Created instead"
        for compat, streamed in [("ecr", violation), ("oci", None)]:
            with self.subTest(compat), server({"name": "rust"}, args=["--compat", compat]) as url:
                said = json.loads(run(CARGO / "debug/peer", url.removeprefix("http://"), password(url), env=environment(url)))
                digest = client("ecr", url).describe_images(repositoryName="rust")["imageDetails"][0]["imageDigest"]
                self.assertEqual(said, {
                    "pushed": f"{url}/v2/rust/manifests/{digest}", "pulled": digest, "head": digest, "isSame": True,
                    "wrong": f"Not authorized: url {url}/v2/rust/manifests/1", "streamed": streamed, "tags": ["1"]})


class Containerd(unittest.TestCase):
    def test_ctr_pulls_and_pushes(self):
        need("containerd"), need("ctr"), need("skopeo")
        with server({"name": "pulled"}, {"name": "pushed"}) as url, tempfile.TemporaryDirectory() as folder:
            folder, host, user = pathlib.Path(folder), url.removeprefix("http://"), f"AWS:{password(url)}"
            image, copy, access = f"{host}/pulled:1", f"{host}/pushed:2", ["--plain-http", "--user"]
            layout(folder / "in", ["d:etc f:etc/name", "f:more"])
            run("skopeo", "copy", "--dest-tls-verify=false", "--dest-creds", user, f"oci:{folder}/in:x", f"docker://{image}")
            with containerd(folder) as env:
                with self.assertRaisesRegex(AssertionError, "401 Unauthorized"):
                    run("ctr", "image", "pull", *access, "AWS:wrong", image, env=env)
                run("ctr", "image", "pull", *access, user, "--snapshotter", "native", image, env=env)
                run("ctr", "image", "tag", image, copy, env=env)
                run("ctr", "image", "push", *access, user, copy, env=env)
            listed = [client("ecr", url).list_images(repositoryName=it)["imageIds"] for it in ("pulled", "pushed")]
            self.assertEqual(listed, [[{"imageTag": tag, "imageDigest": listed[0][0]["imageDigest"]}] for tag in "12"])


if __name__ == "__main__":
    unittest.main()
