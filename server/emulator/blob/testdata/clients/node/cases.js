// Uses a blob endpoint by the official SDK and says what came of it, a line a case.
//
// The endpoint is AMLGATE_BLOB (the account's URL); the key is the published development key.
"use strict";

const { Readable } = require("node:stream");
const {
  BlobServiceClient, BlobClient, ContainerClient, StorageSharedKeyCredential, generateBlobSASQueryParameters,
  generateAccountSASQueryParameters, BlobSASPermissions, ContainerSASPermissions, AccountSASPermissions,
  AccountSASResourceTypes, AccountSASServices, SASProtocol,
} = require("@azure/storage-blob");

const url = process.env.AMLGATE_BLOB;
const account = "devstoreaccount1";
const key = new StorageSharedKeyCredential(
  account, "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==");
const once = { retryOptions: { maxTries: 1 } };
const service = new BlobServiceClient(url, key, once);
const hour = new Date(Date.now() + 3600e3);
const MiB = 1 << 20;
let count = 0;

async function fresh(...blobs) {
  const c = service.getContainerClient(`node-${++count}`);
  await c.create();
  for (const name of blobs) await c.getBlockBlobClient(name).upload(name, Buffer.byteLength(name));
  return c;
}

async function refusal(promise) {
  try {
    await promise;
    return "done";
  } catch (e) {
    return e.statusCode === 304 ? "304" : `${e.statusCode} ${e.code}`; // a 304 has no body
  }
}

const text = async (client, ...range) => (await client.downloadToBuffer(...range)).toString();
const id = (n) => Buffer.from(`block-${n}`).toString("base64");

function bulk(n) {
  const out = Buffer.alloc(n);
  for (let i = 0, x = 1; i < n; i++) {
    x = (Math.imul(x, 1664525) + 1013904223) >>> 0;
    out[i] = x >>> 24;
  }
  return out;
}

async function collect(iterator, tell) {
  const all = [];
  for await (const one of iterator) all.push(tell(one));
  return all;
}

async function bySAS(more = {}) {
  const c = await fresh();
  await c.getBlockBlobClient("a b").upload("hello", 5);
  const token = generateBlobSASQueryParameters({
    containerName: c.containerName, blobName: "a b", permissions: BlobSASPermissions.parse("r"), expiresOn: hour,
    startsOn: new Date(Date.now() - 300e3), ...more,
  }, key);
  return new BlobClient(`${url}/${c.containerName}/a%20b?${token}`, undefined, once);
}

const cases = {
  "put and get": async () => {
    const b = (await fresh()).getBlockBlobClient("a");
    await b.upload("hello", 5, { blobHTTPHeaders: { blobContentType: "text/csv" }, metadata: { k: "v1" } });
    const p = await b.getProperties();
    return `${await text(b)} ${p.contentType} ${p.metadata.k} ${p.contentLength}`;
  },
  "names": async () => {
    const c = await fresh();
    for (const name of ["a/b c/d+e", "ä/漢字", "100%", "q?x=1#f", "a&b=c;d", "~tilde", "(x)!*'"]) {
      const b = c.getBlockBlobClient(name);
      await b.upload(name, Buffer.byteLength(name));
      if (await text(b) !== name) return name;
    }
    return "ok";
  },
  "zero bytes": async () => {
    const b = (await fresh()).getBlockBlobClient("a");
    await b.upload("", 0);
    return (await b.getProperties()).contentLength;
  },
  "range": async () => {
    const b = (await fresh("0123456789")).getBlobClient("0123456789");
    return text(b, 2, 3);
  },
  "range behind the end": async () => refusal((await fresh("0123456789")).getBlobClient("0123456789").download(11, 3)),
  "blocks": async () => {
    const b = (await fresh()).getBlockBlobClient("a");
    for (const [n, data] of ["aa", "bb", "cc"].entries()) await b.stageBlock(id(n), data, 2);
    const before = await refusal(b.download());
    const staged = (await b.getBlockList("all")).uncommittedBlocks.length;
    await b.commitBlockList([id(2), id(0)]);
    return `${before}; ${staged} uncommitted; ${await text(b)}; ${(await b.getBlockList("all")).committedBlocks.length} committed`;
  },
  "unknown block": async () => {
    const b = (await fresh()).getBlockBlobClient("a");
    await b.stageBlock(id(0), "aa", 2);
    return refusal(b.commitBlockList([id(0), id(9)]));
  },
  "12 MiB in blocks": async () => {
    const b = (await fresh()).getBlockBlobClient("a"), data = bulk(12 * MiB);
    await b.uploadData(data, { blockSize: MiB, maxSingleShotSize: MiB, concurrency: 4 });
    return (await b.downloadToBuffer(0, undefined, { blockSize: MiB, concurrency: 4 })).equals(data);
  },
  "stream of unknown length": async () => {
    const b = (await fresh()).getBlockBlobClient("a"), data = bulk(3 * MiB + 17);
    await b.uploadStream(Readable.from((function* () {
      for (let i = 0; i < data.length; i += 70000) yield data.subarray(i, i + 70000);
    })(), { objectMode: false }), MiB, 4);
    return (await b.downloadToBuffer()).equals(data);
  },
  "list": async () => (await collect((await fresh("c", "b/2", "a", "b/1")).listBlobsFlat(), (b) => b.name)).join(" "),
  "list in pages": async () => {
    const c = await fresh("a", "b", "c", "d", "e");
    return (await collect(c.listBlobsFlat().byPage({ maxPageSize: 2 }),
      (page) => page.segment.blobItems.map((b) => b.name).join(" "))).join(" | ");
  },
  "list by delimiter": async () => {
    const found = await collect((await fresh("a", "b/1", "b/2/x", "c", "d/1")).listBlobsByHierarchy("/"), (b) => b);
    return [...found.filter((b) => b.kind === "prefix"), ...found.filter((b) => b.kind !== "prefix")].map((b) => b.name).join(" ");
  },
  "list metadata": async () => {
    const c = await fresh();
    await c.getBlockBlobClient("a").upload("x", 1, { metadata: { k: "v" } });
    return collect(c.listBlobsFlat({ includeMetadata: true }), (b) => b.metadata.k);
  },
  "conditions": async () => {
    const b = (await fresh("a")).getBlockBlobClient("a"), { etag } = await b.getProperties();
    return [
      await refusal(b.download(0, undefined, { conditions: { ifNoneMatch: etag } })),
      await refusal(b.setMetadata({}, { conditions: { ifMatch: '"0x1"' } })),
      await refusal(b.upload("x", 1, { conditions: { ifNoneMatch: "*" } })),
      await refusal(b.upload("x", 1, { conditions: { ifMatch: etag } })),
    ].join("; ");
  },
  "set properties": async () => {
    const b = (await fresh("a")).getBlobClient("a");
    await b.setHTTPHeaders({ blobContentType: "text/plain" });
    await b.setMetadata({ k: "w" });
    const p = await b.getProperties();
    return `${p.contentType} ${p.metadata.k}`;
  },
  "delete": async () => {
    const b = (await fresh("a")).getBlobClient("a");
    await b.delete({ deleteSnapshots: "include" });
    return refusal(b.delete());
  },
  "no container": async () => refusal(service.getContainerClient("nowhere").getBlockBlobClient("a").upload("x", 1)),
  "container twice": async () => refusal((await fresh()).create()),
  "container metadata": async () => {
    const c = await fresh();
    await c.setMetadata({ k: "v" });
    return (await c.getProperties()).metadata.k;
  },
  "exists": async () => {
    const c = await fresh("a");
    return [await c.exists(), await service.getContainerClient("nowhere").exists(),
      await c.getBlobClient("a").exists(), await c.getBlobClient("b").exists()].join(" ");
  },
  "containers": async () => {
    const { containerName } = await fresh();
    return (await collect(service.listContainers({ prefix: "node-" }), (c) => c.name)).includes(containerName) ? "found" : "lost";
  },
  "account": async () => (await service.getAccountInfo()).accountKind,
  "service properties": async () => refusal(service.getProperties()),
  "blob SAS": async () => text(await bySAS()),
  "blob SAS for https and http, from an address": async () =>
    text(await bySAS({ protocol: SASProtocol.HttpsAndHttp, ipRange: { start: "127.0.0.1", end: "127.0.0.9" } })),
  "blob SAS overrides": async () => (await (await bySAS({ contentType: "text/csv" })).download()).contentType,
  "container SAS": async () => {
    const { containerName } = await fresh();
    const token = generateBlobSASQueryParameters({ containerName, permissions: ContainerSASPermissions.parse("rwl"), expiresOn: hour }, key);
    const by = new ContainerClient(`${url}/${containerName}?${token}`, undefined, once), b = by.getBlockBlobClient("a");
    await b.upload("hello", 5);
    return `${await text(b)}; ${await collect(by.listBlobsFlat(), (x) => x.name)}; ${await refusal(b.delete())}`;
  },
  "account SAS": async () => {
    const { containerName } = await fresh();
    const token = generateAccountSASQueryParameters({
      permissions: AccountSASPermissions.parse("rw"), services: AccountSASServices.parse("b").toString(),
      resourceTypes: AccountSASResourceTypes.parse("o").toString(), expiresOn: hour,
    }, key);
    const by = new ContainerClient(`${url}/${containerName}?${token}`, undefined, once), b = by.getBlockBlobClient("a");
    await b.upload("hello", 5);
    return `${await text(b)}; ${await refusal(by.listBlobsFlat().next())}`;
  },
  "plain GET": async () => {
    const answer = await fetch((await bySAS()).url);
    return `${answer.status} ${await answer.text()}`;
  },
};

// Each shape of the string to sign that the SDK still makes; the other programs make the newest alone.
if (process.env.AMLGATE_SHAPES) {
  for (const version of ["2015-04-05", "2018-03-28", "2018-11-09", "2020-10-02", "2020-12-06", "2022-11-02", "2026-04-06"]) {
    cases[`blob SAS ${version}`] = async () => text(await bySAS({ version }));
  }
}

(async () => {
  for (const [name, run] of Object.entries(cases)) console.log(`${name}: ${await run()}`);
})().catch((e) => {
  console.error(e);
  process.exit(1);
});
