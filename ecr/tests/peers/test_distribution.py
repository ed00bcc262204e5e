"""The embedded ECR with `--compat oci` beside Debian's docker-registry, on the data plane: the four workflows of the OCI
distribution specification 1.1, one test a requirement, named after its paragraph. Each runs against both; where they
differ, the reason stands in DIFFERENCES."""

import base64
import hashlib
import http.client
import json
import pathlib
import tempfile
import unittest
import uuid

from peers import client, embedded, free_port, need, process, wait_for

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"

# What docker-registry 2.8 answers instead, and why the embedded ECR does not.
DIFFERENCES = {
    "push/a_manifest_whose_subject_is_absent_is_taken": "docker-registry 2.8 knows no subject (specification 1.1)",
    "push/a_blob_that_another_repository_has_is_mounted_or_uploaded":
        "ECR mounts only where the account setting BLOB_MOUNTING is ENABLED; 202 is the specification's other answer",
    "push/a_blob_is_uploaded_by_one_post": "docker-registry answers 202, and wants the PUT; the specification allows both",
    "push/a_chunk_out_of_order_is_refused": "docker-registry 2.8 does not look at Content-Range",
    "pull/a_part_of_a_blob_is_got_by_range":
        "docker-registry 2.8 promises bytes for a range beyond the end and sends none; RFC 9110 has 416",
    "pull/a_manifest_of_an_unknown_name_is_not_found": "ECR has repositories that are created first: NAME_UNKNOWN",
    "discovery/tags_come_in_pages": "docker-registry 2.8 pages the catalog only, not tags",
    "discovery/referrers_of_nothing_are_an_empty_index": "docker-registry 2.8 has no referrers API (specification 1.1)",
    "discovery/referrers_are_listed_and_filtered": "docker-registry 2.8 has no referrers API (specification 1.1)",
    "management/a_tag_is_deleted": "docker-registry 2.8 deletes manifests by digest only",
    "management/a_blob_may_not_be_deleted": "ECR deletes layers with their images, and has no operation for one; 405 is allowed",
}


def sha256(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


class Server:
    def __init__(self, url, name, headers):
        self.host, self.name, self.headers = url.removeprefix("http://"), name, headers

    def ask(self, method, path, body=b"", **headers):
        connection = http.client.HTTPConnection(self.host, timeout=20)
        try:
            names = {key.replace("_", "-"): value for key, value in headers.items()}
            connection.request(method, path, body, self.headers | names)
            response = connection.getresponse()
            data = response.read()
            headers = {key.lower(): value for key, value in response.getheaders()}
        finally:
            connection.close()
        if response.status == 307:
            # As clients do: to another host without the credentials.
            host, path = headers["location"].removeprefix("http://").split("/", 1)
            return Server(f"http://{host}", self.name, {}).ask(method, f"/{path}")
        return response.status, headers, data

    def at(self, rest):
        return f"/v2/{self.name}/{rest}"

    def begin(self):
        status, headers, _ = self.ask("POST", self.at("blobs/uploads/"))
        assert status == 202, status
        return self.path(headers["location"])

    def path(self, location):
        return location.split(self.host, 1)[-1]

    def blob(self, data):
        location = self.begin()
        joint = "&" if "?" in location else "?"
        status, headers, body = self.ask("PUT", f"{location}{joint}digest={sha256(data)}", data)
        assert status == 201, (status, body)
        return sha256(data)

    def manifest(self, tag=None, media_type=MANIFEST, **more):
        """Pushes an image of one blob, and gives its digest."""
        config = self.blob(b"{}")
        document = {"schemaVersion": 2, "mediaType": media_type, "layers": [],
                    "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": config, "size": 2}}
        text = json.dumps(document | more).encode()
        status, _, body = self.ask("PUT", self.at(f"manifests/{tag or sha256(text)}"), text, content_type=media_type)
        assert status == 201, (status, body)
        return sha256(text)


def code(answer):
    """The status, and the specification's code in the body."""
    try:
        return answer[0], json.loads(answer[2])["errors"][0]["code"]
    except (ValueError, KeyError, TypeError):
        return answer[0], None


class Pull:
    """"Pull": manifests and blobs by tag and digest."""

    def a_manifest_is_got_by_tag_and_by_digest(self, it):
        digest = it.manifest("pulled")
        answers = [it.ask("GET", it.at(f"manifests/{name}"), accept=MANIFEST) for name in ("pulled", digest)]
        return [(a[0], a[1]["content-type"], a[1]["docker-content-digest"] == digest, sha256(a[2]) == digest) for a in answers]

    def head_of_a_manifest_has_digest_and_length(self, it):
        digest = it.manifest("pulled")
        status, headers, body = it.ask("HEAD", it.at("manifests/pulled"), accept=MANIFEST)
        return status, headers["docker-content-digest"] == digest, int(headers["content-length"]) > 0, body

    def an_unknown_manifest_is_not_found(self, it):
        it.manifest("pulled")
        return code(it.ask("GET", it.at("manifests/nothing"))), code(it.ask("GET", it.at(f"manifests/{sha256(b'none')}")))

    def a_manifest_of_an_unknown_name_is_not_found(self, it):
        return code(it.ask("GET", "/v2/nothing/here/manifests/latest"))

    def a_blob_is_got_by_digest(self, it):
        digest = it.blob(b"some bytes")
        status, headers, body = it.ask("GET", it.at(f"blobs/{digest}"))
        return status, headers["docker-content-digest"] == digest, body

    def head_of_a_blob_has_its_length(self, it):
        status, headers, body = it.ask("HEAD", it.at(f"blobs/{it.blob(b'some bytes')}"))
        return status, headers["content-length"], body

    def a_part_of_a_blob_is_got_by_range(self, it):
        digest = it.blob(b"some bytes")
        status, headers, body = it.ask("GET", it.at(f"blobs/{digest}"), range="bytes=5-7")
        beyond = it.ask("GET", it.at(f"blobs/{digest}"), range="bytes=99-")
        return status, headers["content-range"], body, beyond[0]

    def an_unknown_blob_is_not_found(self, it):
        it.blob(b"some bytes")
        return code(it.ask("GET", it.at(f"blobs/{sha256(b'none')}"))), it.ask("HEAD", it.at(f"blobs/{sha256(b'none')}"))[0]


class Push:
    """"Push": blobs whole, in chunks and by mounting; manifests."""

    def a_blob_is_uploaded_by_post_and_put(self, it):
        data = uuid.uuid4().bytes
        location = it.begin()
        joint = "&" if "?" in location else "?"
        status, headers, _ = it.ask("PUT", f"{location}{joint}digest={sha256(data)}", data)
        return status, it.path(headers["location"]) == it.at(f"blobs/{sha256(data)}"), it.ask("GET", it.path(headers["location"]))[2] == data

    def a_blob_is_uploaded_by_one_post(self, it):
        data = uuid.uuid4().bytes
        return it.ask("POST", it.at(f"blobs/uploads/?digest={sha256(data)}"), data)[0]

    def a_blob_is_uploaded_in_chunks(self, it):
        data = uuid.uuid4().bytes
        first = it.ask("PATCH", it.begin(), data[:10], content_range="0-9", content_type="application/octet-stream")
        second = it.ask("PATCH", it.path(first[1]["location"]), data[10:], content_range="10-15")
        location = it.path(second[1]["location"])
        joint = "&" if "?" in location else "?"
        last = it.ask("PUT", f"{location}{joint}digest={sha256(data)}")
        return first[0], first[1]["range"], second[0], second[1]["range"], last[0]

    def an_upload_tells_how_far_it_is(self, it):
        first = it.ask("PATCH", it.begin(), b"0123456789")
        status, headers, _ = it.ask("GET", it.path(first[1]["location"]))
        return status, headers["range"]

    def a_chunk_out_of_order_is_refused(self, it):
        first = it.ask("PATCH", it.begin(), b"0123456789", content_range="0-9")
        return it.ask("PATCH", it.path(first[1]["location"]), b"0123456789", content_range="20-29")[0]

    def an_upload_is_cancelled(self, it):
        location = it.begin()
        return it.ask("DELETE", location)[0], code(it.ask("GET", location))

    def a_blob_with_another_digest_is_refused(self, it):
        location = it.begin()
        joint = "&" if "?" in location else "?"
        return code(it.ask("PUT", f"{location}{joint}digest={sha256(b'other')}", uuid.uuid4().bytes))

    def a_blob_that_another_repository_has_is_mounted_or_uploaded(self, it):
        digest = it.blob(b"mounted")
        return it.ask("POST", f"/v2/{it.name}-2/blobs/uploads/?mount={digest}&from={it.name}")[0]

    def a_manifest_is_taken(self, it):
        config = it.blob(b"{}")
        text = json.dumps({"schemaVersion": 2, "mediaType": MANIFEST, "layers": [], "annotations": {"id": str(uuid.uuid4())},
                           "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": config, "size": 2}})
        status, headers, _ = it.ask("PUT", it.at("manifests/taken"), text.encode(), content_type=MANIFEST)
        return status, headers["docker-content-digest"] == sha256(text.encode()), "location" in headers

    def a_manifest_that_names_absent_blobs_is_refused(self, it):
        text = json.dumps({"schemaVersion": 2, "mediaType": MANIFEST, "layers": [], "config": {
            "mediaType": "application/vnd.oci.image.config.v1+json", "digest": sha256(b"none"), "size": 2}})
        return code(it.ask("PUT", it.at("manifests/absent"), text.encode(), content_type=MANIFEST))

    def an_index_is_taken_with_its_children_only(self, it):
        child = it.manifest()
        entry = {"mediaType": MANIFEST, "digest": child, "size": 10, "platform": {"os": "linux", "architecture": "amd64"}}
        index = lambda *entries: json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}).encode()
        good = it.ask("PUT", it.at("manifests/index"), index(entry), content_type=INDEX)[0]
        absent = it.ask("PUT", it.at("manifests/index-2"), index(entry | {"digest": sha256(b"none")}), content_type=INDEX)
        return good, absent[0] in (400, 404)

    def a_manifest_that_is_none_is_refused(self, it):
        return code(it.ask("PUT", it.at("manifests/none"), b"no JSON", content_type=MANIFEST))

    def a_manifest_whose_subject_is_absent_is_taken(self, it):
        config = it.blob(b"{}")
        subject = {"mediaType": MANIFEST, "digest": sha256(b"later"), "size": 10}
        text = json.dumps({"schemaVersion": 2, "mediaType": MANIFEST, "layers": [], "subject": subject,
                           "config": {"mediaType": "application/vnd.example.sbom", "digest": config, "size": 2}}).encode()
        status, headers, _ = it.ask("PUT", it.at(f"manifests/{sha256(text)}"), text, content_type=MANIFEST)
        return status, headers.get("oci-subject")


class Discovery:
    """"Content discovery": tags and referrers."""

    def tags_are_listed(self, it):
        it.manifest("b"), it.manifest("a")
        status, _, body = it.ask("GET", it.at("tags/list"))
        listed = json.loads(body)
        return status, listed["name"] == it.name, {"a", "b"} <= set(listed["tags"])

    def tags_come_in_pages(self, it):
        for tag in ("p1", "p2", "p3"):
            it.manifest(tag)
        status, headers, body = it.ask("GET", it.at("tags/list?n=2&last=p"))
        return status, json.loads(body)["tags"], headers.get("link")

    def tags_of_an_unknown_name_are_not_found(self, it):
        return code(it.ask("GET", "/v2/nothing/here/tags/list"))

    def referrers_of_nothing_are_an_empty_index(self, it):
        it.manifest("a")
        status, headers, body = it.ask("GET", it.at(f"referrers/{sha256(b'nobody')}"))
        return status, headers.get("content-type"), body[:15] if status != 200 else json.loads(body)["manifests"]

    def referrers_are_listed_and_filtered(self, it):
        subject = it.manifest("subject")
        entry = {"mediaType": MANIFEST, "digest": subject, "size": 10}
        it.manifest(artifactType="application/vnd.a", subject=entry, annotations={"k": "v"})
        it.manifest(artifactType="application/vnd.b", subject=entry)
        status, _, body = it.ask("GET", it.at(f"referrers/{subject}"))
        if status != 200:
            return status
        types = sorted(row["artifactType"] for row in json.loads(body)["manifests"])
        _, headers, body = it.ask("GET", it.at(f"referrers/{subject}?artifactType=application%2Fvnd.a"))
        return types, headers.get("oci-filters-applied"), [row["annotations"] for row in json.loads(body)["manifests"]]


class Management:
    """"Content management": deletion."""

    def a_tag_is_deleted(self, it):
        it.manifest("kept", annotations={"id": "one"}), it.manifest("gone", annotations={"id": "one"})
        return it.ask("DELETE", it.at("manifests/gone"))[0], code(it.ask("GET", it.at("manifests/gone"), accept=MANIFEST)), \
            it.ask("GET", it.at("manifests/kept"), accept=MANIFEST)[0]

    def a_manifest_is_deleted_by_digest(self, it):
        digest = it.manifest("doomed", annotations={"id": "two"})
        return it.ask("DELETE", it.at(f"manifests/{digest}"))[0], code(it.ask("GET", it.at("manifests/doomed"), accept=MANIFEST))

    def an_unknown_manifest_cannot_be_deleted(self, it):
        it.manifest("a")
        return code(it.ask("DELETE", it.at(f"manifests/{sha256(b'none')}")))

    def a_blob_may_not_be_deleted(self, it):
        return it.ask("DELETE", it.at(f"blobs/{it.blob(b'stays')}"))[0]


# What the specification wants, of the embedded ECR.
WANTED = {
    "pull/a_manifest_is_got_by_tag_and_by_digest": [(200, MANIFEST, True, True)] * 2,
    "pull/head_of_a_manifest_has_digest_and_length": (200, True, True, b""),
    "pull/an_unknown_manifest_is_not_found": ((404, "MANIFEST_UNKNOWN"), (404, "MANIFEST_UNKNOWN")),
    "pull/a_manifest_of_an_unknown_name_is_not_found": (404, "NAME_UNKNOWN"),
    "pull/a_blob_is_got_by_digest": (200, True, b"some bytes"),
    "pull/head_of_a_blob_has_its_length": (200, "10", b""),
    "pull/a_part_of_a_blob_is_got_by_range": (206, "bytes 5-7/10", b"byt", 416),
    "pull/an_unknown_blob_is_not_found": ((404, "BLOB_UNKNOWN"), 404),
    "push/a_blob_is_uploaded_by_post_and_put": (201, True, True),
    "push/a_blob_is_uploaded_by_one_post": 201,
    "push/a_blob_is_uploaded_in_chunks": (202, "0-9", 202, "0-15", 201),
    "push/an_upload_tells_how_far_it_is": (204, "0-9"),
    "push/a_chunk_out_of_order_is_refused": 416,
    "push/an_upload_is_cancelled": (204, (404, "BLOB_UPLOAD_UNKNOWN")),
    "push/a_blob_with_another_digest_is_refused": (400, "DIGEST_INVALID"),
    "push/a_blob_that_another_repository_has_is_mounted_or_uploaded": 202,
    "push/a_manifest_is_taken": (201, True, True),
    "push/a_manifest_that_names_absent_blobs_is_refused": (400, "MANIFEST_BLOB_UNKNOWN"),
    "push/an_index_is_taken_with_its_children_only": (201, True),
    "push/a_manifest_that_is_none_is_refused": (400, "MANIFEST_INVALID"),
    "push/a_manifest_whose_subject_is_absent_is_taken": (201, sha256(b"later")),
    "discovery/tags_are_listed": (200, True, True),
    "discovery/tags_come_in_pages": (200, ["p1", "p2"], '</v2/{name}/tags/list?n=2&last=p2>; rel="next"'),
    "discovery/tags_of_an_unknown_name_are_not_found": (404, "NAME_UNKNOWN"),
    "discovery/referrers_of_nothing_are_an_empty_index": (200, INDEX, []),
    "discovery/referrers_are_listed_and_filtered":
        (["application/vnd.a", "application/vnd.b"], "artifactType", [{"k": "v"}]),
    "management/a_tag_is_deleted": (202, (404, "MANIFEST_UNKNOWN"), 200),
    "management/a_manifest_is_deleted_by_digest": (202, (404, "MANIFEST_UNKNOWN")),
    "management/an_unknown_manifest_cannot_be_deleted": (404, "MANIFEST_UNKNOWN"),
    "management/a_blob_may_not_be_deleted": 405,
}


class Distribution(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        need("docker-registry")
        cls.folder = tempfile.TemporaryDirectory()
        folder = pathlib.Path(cls.folder.name)
        port = free_port()
        (folder / "config.yml").write_text(
            f"version: 0.1\nlog: {{level: error}}\nhttp: {{addr: '127.0.0.1:{port}'}}\n"
            f"storage: {{filesystem: {{rootdirectory: '{folder}/registry'}}, delete: {{enabled: true}}}}\n")
        peer = process(["docker-registry", "serve", str(folder / "config.yml")])
        cls.contexts = [embedded(folder / "state", "--compat", "oci"), peer]
        url = cls.contexts[0].__enter__()
        peer.__enter__()
        wait_for(f"http://127.0.0.1:{port}/v2/")
        cls.ecr = client("ecr", url)
        password = cls.ecr.get_authorization_token()["authorizationData"][0]["authorizationToken"]
        cls.url, cls.peer, cls.headers = url, f"http://127.0.0.1:{port}", {"authorization": f"Basic {password}"}

    @classmethod
    def tearDownClass(cls):
        for context in cls.contexts:
            context.__exit__(None, None, None)
        cls.folder.cleanup()

    def hold(self, workflow, requirement):
        name = f"{workflow}/five/segments/of/{uuid.uuid4().hex}"
        for repository in (name, f"{name}-2"):
            self.ecr.create_repository(repositoryName=repository)
        key = f"{workflow}/{requirement.__name__}"
        ours = requirement(Server(self.url, name, self.headers))
        wanted = WANTED[key]
        if isinstance(wanted, tuple) and any(isinstance(it, str) and "{name}" in it for it in wanted):
            wanted = tuple(it.replace("{name}", name) if isinstance(it, str) else it for it in wanted)
        self.assertEqual(ours, wanted)
        try:
            theirs = requirement(Server(self.peer, name, {}))
        except (AssertionError, KeyError, http.client.HTTPException) as error:
            theirs = f"{type(error).__name__}: {error}"
        if theirs != ours:
            self.assertIn(key, DIFFERENCES, f"docker-registry: {theirs}")
            print(f"{key}: {ours} here, {theirs} by docker-registry; {DIFFERENCES[key]}")


def test(workflow, requirement):
    return lambda self: self.hold(workflow, requirement)


for kind in (Pull, Push, Discovery, Management):
    for requirement in [it for it in vars(kind) if not it.startswith("_")]:
        case = test(kind.__name__.lower(), getattr(kind(), requirement).__func__.__get__(kind()))
        setattr(Distribution, f"test_{kind.__name__.lower()}_{requirement}", case)


if __name__ == "__main__":
    unittest.main()
