package blob_test

import (
	"bytes"
	"crypto/md5"
	"encoding/base64"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob"
	sdk "github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blockblob"
)

// read downloads a range by the SDK and tells what came.
func (b *bench) read(name string, r sdk.HTTPRange) string {
	resp, err := b.in.NewBlobClient(name).DownloadStream(ctx, &sdk.DownloadStreamOptions{Range: r})
	if err != nil {
		return said(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return said(err)
	}
	if resp.ContentRange != nil {
		return fmt.Sprintf("%s [%s]", text, *resp.ContentRange)
	}
	return string(text)
}

// id is the n-th block id.
func id(n int) string { return base64.StdEncoding.EncodeToString(fmt.Appendf(nil, "block-%03d", n)) }

// stage puts uncommitted blocks, one a text, with ids from 0 on.
func (b *bench) stage(name string, texts ...string) {
	b.Helper()
	for i, text := range texts {
		if _, err := b.in.NewBlockBlobClient(name).StageBlock(ctx, id(i), body(text), nil); err != nil {
			b.Fatalf("stage %s: %s", name, said(err))
		}
	}
}

// blocks tells a blob's block list.
func (b *bench) blocks(name string, kind blockblob.BlockListType) string {
	list, err := b.in.NewBlockBlobClient(name).GetBlockList(ctx, kind, nil)
	if err != nil {
		return said(err)
	}
	var s strings.Builder
	for _, one := range list.CommittedBlocks {
		fmt.Fprintf(&s, "+%s:%d ", *one.Name, *one.Size)
	}
	for _, one := range list.UncommittedBlocks {
		fmt.Fprintf(&s, "-%s:%d ", *one.Name, *one.Size)
	}
	return strings.TrimSpace(s.String())
}

// upload puts a text under conditions.
func (b *bench) upload(name, text string, if_ sdk.ModifiedAccessConditions) string {
	_, err := b.in.NewBlockBlobClient(name).Upload(ctx, body(text), &blockblob.UploadOptions{
		AccessConditions: &sdk.AccessConditions{ModifiedAccessConditions: &if_},
	})
	return said(err)
}

// ask gets properties under conditions.
func (b *bench) ask(name string, if_ sdk.ModifiedAccessConditions) string {
	_, err := b.in.NewBlobClient(name).GetProperties(ctx, &sdk.GetPropertiesOptions{
		AccessConditions: &sdk.AccessConditions{ModifiedAccessConditions: &if_},
	})
	return said(err)
}

func (b *bench) etag(name string) *azcore.ETag {
	b.Helper()
	p, err := b.in.NewBlobClient(name).GetProperties(ctx, nil)
	if err != nil {
		b.Fatal(said(err))
	}
	return p.ETag
}

func deref(list ...*string) string {
	var words []string
	for _, s := range list {
		if s == nil {
			words = append(words, "-")
		} else {
			words = append(words, *s)
		}
	}
	return strings.Join(words, " ")
}

// bulk is n bytes that do not repeat soon.
func bulk(n int) []byte {
	b := make([]byte, n)
	x := uint32(1)
	for i := range b {
		x = x*1664525 + 1013904223
		b[i] = byte(x >> 24)
	}
	return b
}

var contentCases = []parity{
	{name: "put and get", want: "hello", do: func(b *bench) string {
		b.put("a", "hello")
		return b.read("a", sdk.HTTPRange{})
	}},
	{name: "names with anything in them", want: "ok", do: func(b *bench) string {
		for _, name := range []string{"a/b c/d+e", "ä/漢字", "100%", "q?x=1#f", "a&b=c;d", "~tilde", "a//b", "(x)!*'"} {
			b.put(name, name)
			if got := b.read(name, sdk.HTTPRange{}); got != name {
				return fmt.Sprintf("%q gave %q", name, got)
			}
		}
		return "ok"
	}},
	{name: "zero bytes", want: "[] done", do: func(b *bench) string {
		b.put("a", "")
		n, err := b.in.NewBlobClient("a").DownloadBuffer(ctx, nil, nil)
		return fmt.Sprint("[", b.read("a", sdk.HTTPRange{}), "] ", strings.Replace(said(err), "failed", fmt.Sprint(n), 1))
	}},
	{name: "range", want: "234 [bytes 2-4/10]", do: func(b *bench) string {
		b.put("a", "0123456789")
		return b.read("a", sdk.HTTPRange{Offset: 2, Count: 3})
	}},
	{name: "open range", want: "89 [bytes 8-9/10]", do: func(b *bench) string {
		b.put("a", "0123456789")
		return b.read("a", sdk.HTTPRange{Offset: 8})
	}},
	{name: "range beyond the end is cut", want: "89 [bytes 8-9/10]", do: func(b *bench) string {
		b.put("a", "0123456789")
		return b.read("a", sdk.HTTPRange{Offset: 8, Count: 100})
	}},
	{name: "range behind the end", want: "416 InvalidRange", do: func(b *bench) string {
		b.put("a", "0123456789")
		return b.read("a", sdk.HTTPRange{Offset: 11, Count: 3})
	}},
	{name: "range at the end", want: "416 InvalidRange", do: func(b *bench) string {
		b.put("a", "0123456789")
		return b.read("a", sdk.HTTPRange{Offset: 10, Count: 3})
	}, azurite: " [bytes 10-9/10]", why: "Azurite answers 206 with a range that is none"},
	{name: "range of nothing", want: "416 InvalidRange", do: func(b *bench) string {
		b.put("a", "")
		return b.read("a", sdk.HTTPRange{Offset: 0, Count: 3})
	}},
	{name: "range checksum", want: "wgrU12/pd1mqJ6DJm/9nEA==", do: func(b *bench) string {
		b.put("a", "0123456789")
		resp, err := b.in.NewBlobClient("a").DownloadStream(ctx, &sdk.DownloadStreamOptions{
			Range: sdk.HTTPRange{Offset: 1, Count: 2}, RangeGetContentMD5: to.Ptr(true),
		})
		if err != nil {
			return said(err)
		}
		defer resp.Body.Close()
		return base64.StdEncoding.EncodeToString(resp.ContentMD5)
	}},
	{name: "properties and metadata", want: "text/csv gzip de inline no-cache 5 BlockBlob v1 v2 XUFAKrxLKna5cZ2REBfFkg==", do: func(b *bench) string {
		one := b.in.NewBlockBlobClient("a")
		_, err := one.Upload(ctx, body("hello"), &blockblob.UploadOptions{
			HTTPHeaders: &sdk.HTTPHeaders{
				BlobContentType: to.Ptr("text/csv"), BlobContentEncoding: to.Ptr("gzip"), BlobContentLanguage: to.Ptr("de"),
				BlobContentDisposition: to.Ptr("inline"), BlobCacheControl: to.Ptr("no-cache"),
			},
			// Names that sort differently as words and as bytes.
			Metadata: map[string]*string{"a_b": to.Ptr("v1"), "a1": to.Ptr("v2"), "ab": to.Ptr("v3"), "a": to.Ptr("v4")},
		})
		if err != nil {
			return said(err)
		}
		p, err := one.GetProperties(ctx, nil)
		if err != nil {
			return said(err)
		}
		meta := map[string]*string{}
		for name, v := range p.Metadata {
			meta[strings.ToLower(name)] = v
		}
		return deref(p.ContentType, p.ContentEncoding, p.ContentLanguage, p.ContentDisposition, p.CacheControl) +
			fmt.Sprintf(" %d %s ", *p.ContentLength, *p.BlobType) + deref(meta["a_b"], meta["a1"]) +
			" " + base64.StdEncoding.EncodeToString(p.ContentMD5)
	}},
	{name: "set properties", want: "text/plain - - 2021-01-01", do: func(b *bench) string {
		b.put("a", "hello")
		one := b.in.NewBlobClient("a")
		if _, err := one.SetHTTPHeaders(ctx, sdk.HTTPHeaders{BlobContentType: to.Ptr("text/plain")}, nil); err != nil {
			return said(err)
		}
		if _, err := one.SetMetadata(ctx, map[string]*string{"day": to.Ptr("2021-01-01")}, nil); err != nil {
			return said(err)
		}
		p, err := one.GetProperties(ctx, nil)
		if err != nil {
			return said(err)
		}
		for _, v := range p.Metadata {
			return deref(p.ContentType, p.ContentEncoding, p.CacheControl, v)
		}
		return "no metadata"
	}},
	{name: "wrong MD5", want: "400 Md5Mismatch; 404 BlobNotFound", do: func(b *bench) string {
		sum := md5.Sum([]byte("other"))
		_, err := b.in.NewBlockBlobClient("a").Upload(ctx, body("hello"), &blockblob.UploadOptions{
			TransactionalValidation: sdk.TransferValidationTypeMD5(sum[:]),
		})
		return said(err) + "; " + b.read("a", sdk.HTTPRange{})
	}},
	{name: "wrong CRC-64", want: "400 Crc64Mismatch; 404 BlobNotFound", do: func(b *bench) string {
		_, err := b.in.NewBlockBlobClient("a").Upload(ctx, body("hello"), &blockblob.UploadOptions{
			TransactionalValidation: sdk.TransferValidationTypeCRC64(7),
		})
		return said(err) + "; " + b.read("a", sdk.HTTPRange{})
	}},
	{name: "right CRC-64", want: "done", do: func(b *bench) string {
		_, err := b.in.NewBlockBlobClient("a").StageBlock(ctx, id(0), body("hello"), &blockblob.StageBlockOptions{
			TransactionalValidation: sdk.TransferValidationTypeComputeCRC64(),
		})
		return said(err)
	}},
	{name: "overwrite", want: "two", do: func(b *bench) string {
		b.put("a", "one")
		b.put("a", "two")
		return b.read("a", sdk.HTTPRange{})
	}},
	{name: "delete", want: "done; 404 BlobNotFound; 404 BlobNotFound", do: func(b *bench) string {
		b.put("a", "one")
		_, err := b.in.NewBlobClient("a").Delete(ctx, &sdk.DeleteOptions{DeleteSnapshots: to.Ptr(sdk.DeleteSnapshotsOptionTypeInclude)})
		_, again := b.in.NewBlobClient("a").Delete(ctx, nil)
		return said(err) + "; " + said(again) + "; " + b.read("a", sdk.HTTPRange{})
	}},
	{name: "no container", want: "404 ContainerNotFound; 404 ContainerNotFound", do: func(b *bench) string {
		_, put := b.service.UploadBuffer(ctx, "nowhere", "a", []byte("x"), nil)
		_, get := b.service.DownloadStream(ctx, "nowhere", "a", nil)
		return said(put) + "; " + said(get)
	}},
	{name: "conditions of writes", want: "409 BlobAlreadyExists; 412 ConditionNotMet; done; 412 ConditionNotMet; 412 ConditionNotMet", do: func(b *bench) string {
		b.put("a", "one")
		etag, past := b.etag("a"), time.Now().Add(-time.Hour)
		return strings.Join([]string{
			b.upload("a", "two", sdk.ModifiedAccessConditions{IfNoneMatch: to.Ptr(azcore.ETagAny)}),
			b.upload("a", "two", sdk.ModifiedAccessConditions{IfMatch: to.Ptr(azcore.ETag(`"0x1"`))}),
			b.upload("a", "two", sdk.ModifiedAccessConditions{IfMatch: etag}),
			b.upload("a", "three", sdk.ModifiedAccessConditions{IfUnmodifiedSince: &past}),
			b.upload("b", "three", sdk.ModifiedAccessConditions{IfMatch: etag}),
		}, "; ")
	}},
	{name: "conditions of reads", want: "done; 304 ConditionNotMet; 412 ConditionNotMet; 304 ConditionNotMet; done; 412 ConditionNotMet", do: func(b *bench) string {
		b.put("a", "one")
		etag, past, future := b.etag("a"), time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
		other := to.Ptr(azcore.ETag(`"0x1"`))
		return strings.Join([]string{
			b.ask("a", sdk.ModifiedAccessConditions{IfMatch: etag}),
			b.ask("a", sdk.ModifiedAccessConditions{IfNoneMatch: etag}),
			b.ask("a", sdk.ModifiedAccessConditions{IfMatch: other}),
			b.ask("a", sdk.ModifiedAccessConditions{IfModifiedSince: &future}),
			b.ask("a", sdk.ModifiedAccessConditions{IfModifiedSince: &past}),
			b.ask("a", sdk.ModifiedAccessConditions{IfUnmodifiedSince: &past}),
		}, "; ")
	}},
	{name: "blocks", want: "404 BlobNotFound; -YmxvY2stMDAw:2 -YmxvY2stMDAx:2 -YmxvY2stMDAy:2; done; +YmxvY2stMDAy:2 +YmxvY2stMDAw:2; ccaa", do: func(b *bench) string {
		b.stage("a", "aa", "bb", "cc")
		before, list := b.read("a", sdk.HTTPRange{}), b.blocks("a", blockblob.BlockListTypeAll)
		_, err := b.in.NewBlockBlobClient("a").CommitBlockList(ctx, []string{id(2), id(0)}, nil)
		return strings.Join([]string{before, list, said(err), b.blocks("a", blockblob.BlockListTypeAll), b.read("a", sdk.HTTPRange{})}, "; ")
	}},
	{name: "blocks of a committed blob are taken again", want: "done; aaXX", do: func(b *bench) string {
		b.stage("a", "aa", "bb")
		one := b.in.NewBlockBlobClient("a")
		_, err := one.CommitBlockList(ctx, []string{id(0), id(1)}, nil)
		if err != nil {
			return said(err)
		}
		if _, err = one.StageBlock(ctx, id(1), body("XX"), nil); err != nil {
			return said(err)
		}
		_, err = one.CommitBlockList(ctx, []string{id(0), id(1)}, nil)
		return said(err) + "; " + b.read("a", sdk.HTTPRange{})
	}},
	{name: "unknown block", want: "400 InvalidBlockList; 404 BlobNotFound", do: func(b *bench) string {
		b.stage("a", "aa")
		_, err := b.in.NewBlockBlobClient("a").CommitBlockList(ctx, []string{id(0), id(9)}, nil)
		return said(err) + "; " + b.read("a", sdk.HTTPRange{})
	}},
	{name: "block ids of two lengths", want: "400 InvalidBlobOrBlock", do: func(b *bench) string {
		b.stage("a", "aa")
		_, err := b.in.NewBlockBlobClient("a").StageBlock(ctx, "YQ==", body("x"), nil)
		return said(err)
	}},
	{name: "block id that is no base64", want: "400 InvalidQueryParameterValue", do: func(b *bench) string {
		_, err := b.in.NewBlockBlobClient("a").StageBlock(ctx, "a_b", body("x"), nil)
		return said(err)
	}},
	{name: "long block id", want: "400 OutOfRangeInput", do: func(b *bench) string {
		_, err := b.in.NewBlockBlobClient("a").StageBlock(ctx, base64.StdEncoding.EncodeToString(make([]byte, 65)), body("x"), nil)
		return said(err)
	}},
	{name: "empty block list", want: "done []", do: func(b *bench) string {
		_, err := b.in.NewBlockBlobClient("a").CommitBlockList(ctx, nil, nil)
		return said(err) + " [" + b.read("a", sdk.HTTPRange{}) + "]"
	}},
	{name: "block list of nothing", want: "404 BlobNotFound", do: func(b *bench) string {
		return b.blocks("a", blockblob.BlockListTypeAll)
	}},
	{name: "put blob drops uncommitted blocks", want: "", do: func(b *bench) string {
		b.stage("a", "aa")
		b.put("a", "hello")
		return b.blocks("a", blockblob.BlockListTypeAll)
	}, azurite: "-YmxvY2stMDAw:2", why: "Azurite keeps them, though Put Blob makes them garbage"},
	{name: "100 MB by concurrent blocks", want: "done done true", do: func(b *bench) string {
		data := bulk(100 << 20)
		_, up := b.service.UploadBuffer(ctx, b.name, "big", data, &azblob.UploadBufferOptions{BlockSize: 4 << 20, Concurrency: 8})
		back := make([]byte, len(data))
		_, down := b.service.DownloadBuffer(ctx, b.name, "big", back, &azblob.DownloadBufferOptions{BlockSize: 3 << 20, Concurrency: 8})
		return fmt.Sprint(said(up), " ", said(down), " ", bytes.Equal(data, back))
	}},
	{name: "stream of unknown length", want: "done true", do: func(b *bench) string {
		data := bulk(5<<20 + 17)
		// Without Len or Seek nobody can know how long it is.
		_, up := b.service.UploadStream(ctx, b.name, "s", io.MultiReader(bytes.NewReader(data)), &azblob.UploadStreamOptions{BlockSize: 1 << 20, Concurrency: 4})
		resp, err := b.service.DownloadStream(ctx, b.name, "s", nil)
		if err != nil {
			return said(up) + " " + said(err)
		}
		defer resp.Body.Close()
		back, _ := io.ReadAll(resp.Body)
		return fmt.Sprint(said(up), " ", bytes.Equal(data, back))
	}},
	{name: "snapshot", want: "501 NotImplemented", do: func(b *bench) string {
		b.put("a", "x")
		_, err := b.in.NewBlobClient("a").CreateSnapshot(ctx, nil)
		return said(err)
	}, azurite: "done", why: "not supported here"},
	{name: "append blob", want: "501 NotImplemented", do: func(b *bench) string {
		_, err := b.in.NewAppendBlobClient("a").Create(ctx, nil)
		return said(err)
	}, azurite: "done", why: "not supported here"},
	{name: "page blob", want: "501 NotImplemented", do: func(b *bench) string {
		_, err := b.in.NewPageBlobClient("a").Create(ctx, 512, nil)
		return said(err)
	}, azurite: "done", why: "not supported here"},
	{name: "copy", want: "501 NotImplemented", do: func(b *bench) string {
		b.put("a", "x")
		_, err := b.in.NewBlobClient("b").StartCopyFromURL(ctx, b.in.NewBlobClient("a").URL(), nil)
		return said(err)
	}, azurite: "done", why: "not supported here"},
	{name: "tags", want: "501 NotImplemented; 400 UnsupportedHeader", do: func(b *bench) string {
		b.put("a", "x")
		_, set := b.in.NewBlobClient("a").SetTags(ctx, map[string]string{"k": "v"}, nil)
		_, put := b.in.NewBlockBlobClient("a").Upload(ctx, body("x"), &blockblob.UploadOptions{Tags: map[string]string{"k": "v"}})
		return said(set) + "; " + said(put)
	}, azurite: "done; done", why: "not supported here"},
	{name: "tier", want: "501 NotImplemented; 400 UnsupportedHeader", do: func(b *bench) string {
		b.put("a", "x")
		_, set := b.in.NewBlobClient("a").SetTier(ctx, sdk.AccessTierCool, nil)
		_, put := b.in.NewBlockBlobClient("a").Upload(ctx, body("x"), &blockblob.UploadOptions{Tier: to.Ptr(sdk.AccessTierCool)})
		return said(set) + "; " + said(put)
	}, azurite: "done; done", why: "not supported here"},
}
