"""Uses a blob endpoint by the official SDK and says what came of it, a line a case.

The endpoint is AMLGATE_BLOB (the account's URL); the key is the published development key.
"""

import io
import os
import urllib.request
from datetime import datetime, timedelta, timezone

from azure.core import MatchConditions
from azure.core.exceptions import HttpResponseError
from azure.storage.blob import (
    AccountSasPermissions, BlobBlock, BlobClient, BlobSasPermissions, BlobServiceClient, ContainerClient,
    ContainerSasPermissions, ContentSettings, ResourceTypes, generate_account_sas, generate_blob_sas,
    generate_container_sas,
)

URL = os.environ["AMLGATE_BLOB"]
ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
HOUR = datetime.now(timezone.utc) + timedelta(hours=1)
MIB = 1 << 20

service = BlobServiceClient(URL, credential={"account_name": ACCOUNT, "account_key": KEY}, retry_total=0,
                            max_block_size=MIB, max_single_put_size=MIB, max_single_get_size=MIB, max_chunk_get_size=MIB)
count = 0


def fresh():
    global count
    count += 1
    return service.create_container(f"python-{count}")


def refusal(do):
    try:
        do()
        return "done"
    except HttpResponseError as e:
        # A 304 has no body, and the SDK tells codes of its own for it.
        return "304" if e.status_code == 304 else f"{e.status_code} {getattr(e.error_code, 'value', e.error_code)}"


def text(client, **more):
    return client.download_blob(**more).readall().decode()


def bulk(n):
    out, x = bytearray(n), 1
    for i in range(n):
        x = (x * 1664525 + 1013904223) & 0xFFFFFFFF
        out[i] = x >> 24
    return bytes(out)


def put_and_get():
    c = fresh()
    c.upload_blob("a", b"hello", content_settings=ContentSettings(content_type="text/csv"), metadata={"k": "v1"})
    p = c.get_blob_client("a").get_blob_properties()
    return f"{text(c.get_blob_client('a'))} {p.content_settings.content_type} {p.metadata['k']} {p.size}"


def names():
    c = fresh()
    for name in ["a/b c/d+e", "ä/漢字", "100%", "q?x=1#f", "a&b=c;d", "~tilde", "(x)!*'"]:
        c.upload_blob(name, name.encode())
        if text(c.get_blob_client(name)) != name:
            return name
    return "ok"


def zero():
    c = fresh()
    c.upload_blob("a", b"")
    return len(text(c.get_blob_client("a")))


def ranges():
    c = fresh()
    c.upload_blob("a", b"0123456789")
    return text(c.get_blob_client("a"), offset=2, length=3)


def behind():
    c = fresh()
    c.upload_blob("a", b"0123456789")
    return refusal(lambda: text(c.get_blob_client("a"), offset=11, length=3))


def blocks():
    b = fresh().get_blob_client("a")
    for name, data in [("0", b"aa"), ("1", b"bb"), ("2", b"cc")]:
        b.stage_block(name, data, validate_content=True)
    before, staged = refusal(lambda: text(b)), len(b.get_block_list("all")[1])
    b.commit_block_list([BlobBlock("2"), BlobBlock("0")])
    return f"{before}; {staged} uncommitted; {text(b)}; {len(b.get_block_list('all')[0])} committed"


def unknown_block():
    b = fresh().get_blob_client("a")
    b.stage_block("0", b"aa")
    return refusal(lambda: b.commit_block_list([BlobBlock("0"), BlobBlock("9")]))


def many_blocks():
    c, data = fresh(), bulk(12 * MIB)
    c.upload_blob("a", data, max_concurrency=4)
    return str(c.get_blob_client("a").download_blob(max_concurrency=4).readall() == data).lower()


def stream():
    c, data = fresh(), bulk(3 * MIB + 17)

    def parts():
        for i in range(0, len(data), 70000):
            yield data[i:i + 70000]

    c.upload_blob("a", parts())
    out = io.BytesIO()
    c.get_blob_client("a").download_blob().readinto(out)
    return str(out.getvalue() == data).lower()


def filled(*blobs):
    c = fresh()
    for name in blobs:
        c.upload_blob(name, name.encode())
    return c


def listing():
    return " ".join(b.name for b in filled("c", "b/2", "a", "b/1").list_blobs())


def pages():
    c = filled("a", "b", "c", "d", "e")
    return " | ".join(" ".join(b.name for b in page) for page in c.list_blobs(results_per_page=2).by_page())


def folders():
    found = [b.name for b in filled("a", "b/1", "b/2/x", "c", "d/1").walk_blobs(delimiter="/")]
    return " ".join([n for n in found if n.endswith("/")] + [n for n in found if not n.endswith("/")])


def list_metadata():
    c = fresh()
    c.upload_blob("a", b"x", metadata={"k": "v"})
    return next(iter(c.list_blobs(include=["metadata"]))).metadata["k"]


def conditions():
    b = filled("a").get_blob_client("a")
    etag = b.get_blob_properties().etag
    return "; ".join([
        refusal(lambda: b.get_blob_properties(etag=etag, match_condition=MatchConditions.IfModified)),
        refusal(lambda: b.set_blob_metadata({}, etag='"0x1"', match_condition=MatchConditions.IfNotModified)),
        refusal(lambda: b.upload_blob(b"x")),
        refusal(lambda: b.upload_blob(b"x", overwrite=True, etag=etag, match_condition=MatchConditions.IfNotModified)),
    ])


def set_properties():
    b = filled("a").get_blob_client("a")
    b.set_http_headers(ContentSettings(content_type="text/plain"))
    b.set_blob_metadata({"k": "w"})
    p = b.get_blob_properties()
    return f"{p.content_settings.content_type} {p.metadata['k']}"


def delete():
    b = filled("a").get_blob_client("a")
    b.delete_blob(delete_snapshots="include")
    return refusal(b.delete_blob)


def container_metadata():
    c = fresh()
    c.set_container_metadata({"k": "v"})
    return c.get_container_properties().metadata["k"]


def exists():
    c = filled("a")
    return " ".join(str(x).lower() for x in [
        c.exists(), service.get_container_client("nowhere").exists(),
        c.get_blob_client("a").exists(), c.get_blob_client("b").exists()])


def containers():
    name = fresh().container_name
    return "found" if name in [c.name for c in service.list_containers(name_starts_with="python-")] else "lost"


def by_sas(**more):
    c = filled()
    c.upload_blob("a b", b"hello")
    token = generate_blob_sas(ACCOUNT, c.container_name, "a b", account_key=KEY, permission=BlobSasPermissions(read=True),
                              expiry=HOUR, start=datetime.now(timezone.utc) - timedelta(minutes=5), **more)
    return BlobClient(URL, c.container_name, "a b", credential=token, retry_total=0)


def container_sas():
    c = filled()
    token = generate_container_sas(ACCOUNT, c.container_name, account_key=KEY, expiry=HOUR,
                                   permission=ContainerSasPermissions(read=True, write=True, list=True))
    by = ContainerClient(URL, c.container_name, credential=token, retry_total=0)
    by.upload_blob("a", b"hello")
    b = by.get_blob_client("a")
    return f"{text(b)}; {' '.join(x.name for x in by.list_blobs())}; {refusal(b.delete_blob)}"


def account_sas():
    c = filled()
    token = generate_account_sas(ACCOUNT, KEY, ResourceTypes(object=True), AccountSasPermissions(read=True, write=True), HOUR)
    by = ContainerClient(URL, c.container_name, credential=token, retry_total=0)
    by.upload_blob("a", b"hello")
    return f"{text(by.get_blob_client('a'))}; {refusal(lambda: list(by.list_blobs()))}"


def plain():
    with urllib.request.urlopen(by_sas().url) as answer:
        return f"{answer.status} {answer.read().decode()}"


for name, case in [
    ("put and get", put_and_get), ("names", names), ("zero bytes", zero), ("range", ranges), ("range behind the end", behind),
    ("blocks", blocks), ("unknown block", unknown_block), ("12 MiB in blocks", many_blocks),
    ("stream of unknown length", stream), ("list", listing), ("list in pages", pages), ("list by delimiter", folders),
    ("list metadata", list_metadata), ("conditions", conditions), ("set properties", set_properties), ("delete", delete),
    ("no container", lambda: refusal(lambda: service.get_blob_client("nowhere", "a").upload_blob(b"x"))),
    ("container twice", lambda: refusal(fresh().create_container)), ("container metadata", container_metadata),
    ("exists", exists), ("containers", containers), ("account", lambda: service.get_account_information()["account_kind"]),
    ("service properties", lambda: "done" if service.get_service_properties() else ""),
    ("blob SAS", lambda: text(by_sas())),
    ("blob SAS for https and http, from an address", lambda: text(by_sas(protocol="https,http", ip="127.0.0.1-127.0.0.9"))),
    ("blob SAS overrides", lambda: by_sas(content_type="text/csv").download_blob().properties.content_settings.content_type),
    ("container SAS", container_sas), ("account SAS", account_sas), ("plain GET", plain),
]:
    print(f"{name}: {case()}", flush=True)
