package blob_test

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob"
	sdk "github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blockblob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/sas"

	"github.com/amlgate/amlgate/server/emulator/blob"
)

func base64Of(b []byte) string { return base64.StdEncoding.EncodeToString(b) }

// serviceSAS makes a SAS for the case's container, or for a blob in it. Versions before 2018-11-09 have another string to
// sign than azblob makes, and are in the unit tests.
func (b *bench) serviceSAS(v sas.BlobSignatureValues) string {
	b.Helper()
	v.ContainerName = b.name
	if v.ExpiryTime.IsZero() {
		v.ExpiryTime = inAnHour()
	}
	q, err := v.SignWithSharedKey(key(b))
	if err != nil {
		b.Fatal(err)
	}
	return "?" + q.Encode()
}

func (b *bench) accountSAS(v sas.AccountSignatureValues) string {
	b.Helper()
	if v.ExpiryTime.IsZero() {
		v.ExpiryTime = inAnHour()
	}
	q, err := v.SignWithSharedKey(key(b))
	if err != nil {
		b.Fatal(err)
	}
	return "?" + q.Encode()
}

// withSAS is the case's container by a SAS.
func (b *bench) withSAS(token string) *container.Client {
	b.Helper()
	c, err := container.NewClientWithNoCredential(b.account+"/"+b.name+token, &container.ClientOptions{ClientOptions: noRetry.ClientOptions})
	if err != nil {
		b.Fatal(err)
	}
	return c
}

const azuriteFailure = "Azurite says AuthorizationFailure for every signature that does not hold; Azure and we say AuthenticationFailed"

var authCases = []parity{
	{name: "read by blob SAS", want: "200 hello", do: func(b *bench) string {
		b.put("a/b c", "hello")
		return b.get("GET", b.account+"/"+b.name+"/a/b%20c"+b.serviceSAS(sas.BlobSignatureValues{BlobName: "a/b c", Permissions: "r"}), nil)
	}},
	{name: "read by blob SAS of every shape", want: "200 hello, 200 hello, 200 hello", do: func(b *bench) string {
		b.put("a", "hello")
		var all []string
		// azblob makes the newest shape alone; ours of older versions are held against the SDK of Node.
		for _, version := range []string{"2020-12-06", "2024-11-04", "2026-06-06"} {
			token := b.serviceSAS(sas.BlobSignatureValues{BlobName: "a", Permissions: "r", Version: version})
			all = append(all, b.get("GET", b.account+"/"+b.name+"/a"+token, nil))
		}
		return strings.Join(all, ", ")
	}},
	{name: "read by our own token", want: "200 hello", do: func(b *bench) string {
		b.put("a b/ü", "hello")
		e, err := blob.New(blob.Config{})
		if err != nil {
			b.Fatal(err)
		}
		return b.get("GET", b.account+"/"+b.name+"/a%20b/%C3%BC"+e.ReadToken(b.name, "a b/ü", time.Now().Add(-5*time.Minute), inAnHour()), nil)
	}},
	{name: "SAS overrides headers", want: "200 text/csv attachment hello", do: func(b *bench) string {
		b.put("a", "hello")
		token := b.serviceSAS(sas.BlobSignatureValues{BlobName: "a", Permissions: "r", ContentType: "text/csv", ContentDisposition: "attachment"})
		return b.get("GET", b.account+"/"+b.name+"/a"+token, nil, "Content-Type", "Content-Disposition")
	}},
	{name: "blob SAS for another blob", want: "403 AuthenticationFailed", do: func(b *bench) string {
		b.puts("a", "b")
		return b.get("GET", b.account+"/"+b.name+"/b"+b.serviceSAS(sas.BlobSignatureValues{BlobName: "a", Permissions: "r"}), nil)
	}, azurite: "403 AuthorizationFailure", why: azuriteFailure},
	{name: "blob SAS for the container", want: "403 AuthenticationFailed", do: func(b *bench) string {
		token := b.serviceSAS(sas.BlobSignatureValues{BlobName: "a", Permissions: "r"})
		return b.get("GET", b.account+"/"+b.name+token+"&restype=container&comp=list", nil)
	}, azurite: "403 AuthorizationFailure", why: azuriteFailure},
	{name: "expired SAS", want: "403 AuthenticationFailed", do: func(b *bench) string {
		b.put("a", "x")
		return b.get("GET", b.account+"/"+b.name+"/a"+b.serviceSAS(sas.BlobSignatureValues{BlobName: "a", Permissions: "r", ExpiryTime: time.Now().Add(-time.Hour)}), nil)
	}, azurite: "403 AuthorizationFailure", why: azuriteFailure},
	{name: "SAS that is not valid yet", want: "403 AuthenticationFailed", do: func(b *bench) string {
		b.put("a", "x")
		return b.get("GET", b.account+"/"+b.name+"/a"+b.serviceSAS(sas.BlobSignatureValues{BlobName: "a", Permissions: "r", StartTime: inAnHour().Add(-time.Minute)}), nil)
	}, azurite: "403 AuthorizationFailure", why: azuriteFailure},
	{name: "SAS without the permission", want: "403 AuthorizationPermissionMismatch", do: func(b *bench) string {
		b.put("a", "x")
		return b.get("GET", b.account+"/"+b.name+"/a"+b.serviceSAS(sas.BlobSignatureValues{BlobName: "a", Permissions: "w"}), nil)
	}},
	{name: "SAS for https alone", want: "403 AuthorizationProtocolMismatch; 200 x", do: func(b *bench) string {
		b.put("a", "x")
		url := b.account + "/" + b.name + "/a"
		return b.get("GET", url+b.serviceSAS(sas.BlobSignatureValues{BlobName: "a", Permissions: "r", Protocol: sas.ProtocolHTTPS}), nil) + "; " +
			b.get("GET", url+b.serviceSAS(sas.BlobSignatureValues{BlobName: "a", Permissions: "r", Protocol: sas.ProtocolHTTPSandHTTP}), nil)
	}},
	{name: "SAS for another address", want: "403 AuthorizationSourceIPMismatch; 200 x", do: func(b *bench) string {
		b.put("a", "x")
		url := b.account + "/" + b.name + "/a"
		return b.get("GET", url+b.serviceSAS(sas.BlobSignatureValues{BlobName: "a", Permissions: "r", IPRange: sas.IPRange{Start: []byte{10, 0, 0, 1}}}), nil) + "; " +
			b.get("GET", url+b.serviceSAS(sas.BlobSignatureValues{BlobName: "a", Permissions: "r", IPRange: sas.IPRange{Start: []byte{127, 0, 0, 1}, End: []byte{127, 0, 0, 9}}}), nil)
	}, azurite: "200 x; 200 x", why: "Azurite does not check sip"},
	{name: "SAS that was changed", want: "403 AuthenticationFailed", do: func(b *bench) string {
		b.put("a", "x")
		token := b.serviceSAS(sas.BlobSignatureValues{BlobName: "a", Permissions: "r"})
		return b.get("DELETE", b.account+"/"+b.name+"/a"+strings.Replace(token, "sp=r", "sp=rd", 1), nil)
	}, azurite: "403 AuthorizationFailure", why: azuriteFailure},
	{name: "container SAS", want: "done; hello; a; 403 AuthorizationPermissionMismatch; 403 AuthorizationPermissionMismatch", do: func(b *bench) string {
		by := *b
		by.in = b.withSAS(b.serviceSAS(sas.BlobSignatureValues{Permissions: "rwl"}))
		_, put := by.in.NewBlockBlobClient("a").Upload(ctx, body("hello"), nil)
		_, del := by.in.NewBlobClient("a").Delete(ctx, nil)
		_, props := by.in.Delete(ctx, nil)
		return strings.Join([]string{said(put), by.read("a", sdk.HTTPRange{}), by.flat(container.ListBlobsFlatOptions{}), said(del), said(props)}, "; ")
	}},
	{name: "blocks by container SAS", want: "done true", do: func(b *bench) string {
		data := bulk(3 << 20)
		_, err := b.withSAS(b.serviceSAS(sas.BlobSignatureValues{Permissions: "w"})).NewBlockBlobClient("a").
			UploadBuffer(ctx, data, &blockblob.UploadBufferOptions{BlockSize: 1 << 20, Concurrency: 3})
		return said(err) + " " + fmt.Sprint(b.read("a", sdk.HTTPRange{}) == string(data))
	}},
	{name: "SAS to create", want: "done; 403 UnauthorizedBlobOverwrite", do: func(b *bench) string {
		by := b.withSAS(b.serviceSAS(sas.BlobSignatureValues{Permissions: "c"})).NewBlockBlobClient("a")
		_, first := by.Upload(ctx, body("1"), nil)
		_, second := by.Upload(ctx, body("2"), nil)
		return said(first) + "; " + said(second)
	}, azurite: "done; 403 AuthorizationPermissionMismatch", why: "Azure has a code of its own for it"},
	{name: "account SAS", want: "done; 200 hello; 403 AuthorizationResourceTypeMismatch; 403 AuthorizationPermissionMismatch", do: func(b *bench) string {
		token := b.accountSAS(sas.AccountSignatureValues{Permissions: "rw", ResourceTypes: "o"})
		_, put := b.withSAS(token).NewBlockBlobClient("a").Upload(ctx, body("hello"), nil)
		_, list := b.withSAS(token).NewListBlobsFlatPager(nil).NextPage(ctx)
		_, del := b.withSAS(token).NewBlobClient("a").Delete(ctx, nil)
		return strings.Join([]string{said(put), b.get("GET", b.account+"/"+b.name+"/a"+token, nil), said(list), said(del)}, "; ")
	}},
	{name: "account SAS for containers", want: "200; 403 AuthorizationResourceTypeMismatch", do: func(b *bench) string {
		all := b.get("GET", b.account+"/"+b.accountSAS(sas.AccountSignatureValues{Permissions: "l", ResourceTypes: "s"})+"&comp=list", nil)
		return all + "; " + b.get("GET", b.account+"/"+b.accountSAS(sas.AccountSignatureValues{Permissions: "l", ResourceTypes: "c"})+"&comp=list", nil)
	}},
	{name: "wrong key", want: "403 AuthenticationFailed", do: func(b *bench) string {
		cred, err := azblob.NewSharedKeyCredential(blob.DevelopmentAccount, base64Of([]byte("another key than that")))
		if err != nil {
			b.Fatal(err)
		}
		client, err := azblob.NewClientWithSharedKeyCredential(b.account, cred, &noRetry)
		if err != nil {
			b.Fatal(err)
		}
		_, err = client.CreateContainer(ctx, b.name+"-2", nil)
		return said(err)
	}, azurite: "403 AuthorizationFailure", why: azuriteFailure},
	{name: "nobody", want: "404 ResourceNotFound; 401 NoAuthenticationInformation", do: func(b *bench) string {
		b.put("a", "x")
		url := b.account + "/" + b.name + "/a"
		return b.get("GET", url, nil) + "; " + b.get("GET", url, http.Header{"X-Ms-Version": {"2024-11-04"}})
	}, azurite: "403 AuthorizationFailure; 403 AuthorizationFailure", why: "Azurite does not challenge"},
}
