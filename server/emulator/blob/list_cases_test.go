package blob_test

import (
	"fmt"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	sdk "github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/service"
)

// flat tells the pages of a flat list.
func (b *bench) flat(o container.ListBlobsFlatOptions) string {
	var pages []string
	for p := b.in.NewListBlobsFlatPager(&o); p.More(); {
		page, err := p.NextPage(ctx)
		if err != nil {
			return said(err)
		}
		var names []string
		for _, one := range page.Segment.BlobItems {
			text := *one.Name
			for name, v := range one.Metadata {
				text += "{" + strings.ToLower(name) + "=" + *v + "}"
			}
			names = append(names, text)
		}
		pages = append(pages, strings.Join(names, " "))
	}
	return strings.Join(pages, " | ")
}

// folders tells the pages of a list by delimiter; prefixes end with it.
func (b *bench) folders(delimiter string, o container.ListBlobsHierarchyOptions) string {
	var pages []string
	for p := b.in.NewListBlobsHierarchyPager(delimiter, &o); p.More(); {
		page, err := p.NextPage(ctx)
		if err != nil {
			return said(err)
		}
		var names []string
		for _, one := range page.Segment.BlobPrefixes {
			names = append(names, *one.Name)
		}
		for _, one := range page.Segment.BlobItems {
			names = append(names, *one.Name)
		}
		pages = append(pages, strings.Join(names, " "))
	}
	return strings.Join(pages, " | ")
}

func (b *bench) puts(names ...string) {
	b.Helper()
	for _, name := range names {
		b.put(name, name)
	}
}

var listCases = []parity{
	{name: "list nothing", want: "", do: func(b *bench) string { return b.flat(container.ListBlobsFlatOptions{}) }},
	{name: "list", want: "a b/1 b/2 c", do: func(b *bench) string {
		b.puts("c", "b/2", "a", "b/1")
		return b.flat(container.ListBlobsFlatOptions{})
	}},
	{name: "list by prefix", want: "b/1 b/2", do: func(b *bench) string {
		b.puts("c", "b/2", "a", "b/1", "b")
		return b.flat(container.ListBlobsFlatOptions{Prefix: to.Ptr("b/")})
	}},
	{name: "list in pages", want: "a b | c d | e", do: func(b *bench) string {
		b.puts("a", "b", "c", "d", "e")
		return b.flat(container.ListBlobsFlatOptions{MaxResults: to.Ptr(int32(2))})
	}},
	{name: "list by delimiter", want: "b/ d/ a c", do: func(b *bench) string {
		b.puts("a", "b/1", "b/2/x", "c", "d/1")
		return b.folders("/", container.ListBlobsHierarchyOptions{})
	}},
	{name: "list a folder", want: "b/2/ b/1", do: func(b *bench) string {
		b.puts("a", "b/1", "b/2/x", "c")
		return b.folders("/", container.ListBlobsHierarchyOptions{Prefix: to.Ptr("b/")})
	}},
	{name: "list folders in pages", want: "b/ a | d/ c", do: func(b *bench) string {
		b.puts("a", "b/1", "b/2/x", "c", "d/1")
		return b.folders("/", container.ListBlobsHierarchyOptions{MaxResults: to.Ptr(int32(2))})
	}},
	{name: "list metadata", want: "a{k=v} b", do: func(b *bench) string {
		b.puts("a", "b")
		if _, err := b.in.NewBlobClient("a").SetMetadata(ctx, map[string]*string{"k": to.Ptr("v")}, nil); err != nil {
			return said(err)
		}
		return b.flat(container.ListBlobsFlatOptions{Include: container.ListBlobsInclude{Metadata: true}})
	}},
	{name: "list leaves out uncommitted blobs", want: "b; a b", do: func(b *bench) string {
		b.stage("a", "x")
		b.puts("b")
		return b.flat(container.ListBlobsFlatOptions{}) + "; " +
			b.flat(container.ListBlobsFlatOptions{Include: container.ListBlobsInclude{UncommittedBlobs: true}})
	}},
	{name: "list XML's own characters", want: `<a>&"b"'c`, do: func(b *bench) string {
		b.puts(`<a>&"b"'c`)
		return b.flat(container.ListBlobsFlatOptions{})
	}},
	{name: "list properties", want: "5 text/csv BlockBlob XUFAKrxLKna5cZ2REBfFkg== true", do: func(b *bench) string {
		b.put("a", "hello")
		if _, err := b.in.NewBlobClient("a").SetHTTPHeaders(ctx, sdk.HTTPHeaders{BlobContentType: to.Ptr("text/csv"), BlobContentMD5: []byte("]A@*\xbcK*v\xb9q\x9d\x91\x10\x17\xc5\x92")}, nil); err != nil {
			return said(err)
		}
		page, err := b.in.NewListBlobsFlatPager(nil).NextPage(ctx)
		if err != nil {
			return said(err)
		}
		p := page.Segment.BlobItems[0].Properties
		head, err := b.in.NewBlobClient("a").GetProperties(ctx, nil)
		if err != nil {
			return said(err)
		}
		same := strings.Trim(string(*p.ETag), `"`) == strings.Trim(string(*head.ETag), `"`) && p.LastModified.Equal(*head.LastModified)
		return fmt.Sprintf("%d %s %s %s %t", *p.ContentLength, *p.ContentType, *p.BlobType, base64Of(p.ContentMD5), same)
	}},
	{name: "list a container that is not there", want: "404 ContainerNotFound", do: func(b *bench) string {
		_, err := b.service.NewListBlobsFlatPager("nowhere", nil).NextPage(ctx)
		return said(err)
	}},
	{name: "list with maxresults 0", want: "400 OutOfRangeQueryParameterValue", do: func(b *bench) string {
		return b.flat(container.ListBlobsFlatOptions{MaxResults: to.Ptr(int32(0))})
	}, azurite: "400 ", why: "Azurite answers without a code"},
	{name: "containers", want: "[many-0-1 many-0-2] | [many-0-3]", do: func(b *bench) string {
		for i := 3; i > 0; i-- {
			if _, err := b.service.CreateContainer(ctx, fmt.Sprint("many-0-", i), nil); err != nil {
				return said(err)
			}
		}
		var pages []string
		for p := b.service.NewListContainersPager(&service.ListContainersOptions{Prefix: to.Ptr("many-0-"), MaxResults: to.Ptr(int32(2))}); p.More(); {
			page, err := p.NextPage(ctx)
			if err != nil {
				return said(err)
			}
			var names []string
			for _, one := range page.ContainerItems {
				names = append(names, *one.Name)
			}
			pages = append(pages, fmt.Sprint(names))
		}
		return strings.Join(pages, " | ")
	}},
	{name: "create a container twice", want: "409 ContainerAlreadyExists", do: func(b *bench) string {
		_, err := b.in.Create(ctx, nil)
		return said(err)
	}},
	{name: "container metadata", want: "done done k=v", do: func(b *bench) string {
		_, set := b.in.SetMetadata(ctx, &container.SetMetadataOptions{Metadata: map[string]*string{"k": to.Ptr("v")}})
		p, err := b.in.GetProperties(ctx, nil)
		for name, v := range p.Metadata {
			return said(set) + " " + said(err) + " " + strings.ToLower(name) + "=" + *v
		}
		return "no metadata"
	}},
	{name: "delete a container", want: "done; 404 ContainerNotFound; 404 ContainerNotFound", do: func(b *bench) string {
		b.put("a", "x")
		_, err := b.in.Delete(ctx, nil)
		_, again := b.in.Delete(ctx, nil)
		return said(err) + "; " + said(again) + "; " + b.read("a", sdk.HTTPRange{})
	}},
	{name: "container names", want: "400 InvalidResourceName, 400 InvalidResourceName, 400 OutOfRangeInput, 400 InvalidResourceName, 400 InvalidResourceName", do: func(b *bench) string {
		var all []string
		for _, name := range []string{"Upper", "a--b", "ab", "-abc", "a_bc"} {
			_, err := b.service.CreateContainer(ctx, name, nil)
			all = append(all, said(err))
		}
		return strings.Join(all, ", ")
	}},
	{name: "service properties", want: "done done", do: func(b *bench) string {
		_, err := b.service.ServiceClient().GetProperties(ctx, nil)
		_, info := b.service.ServiceClient().GetAccountInfo(ctx, nil)
		return said(err) + " " + said(info)
	}},
	{name: "public container", want: "409 PublicAccessNotPermitted", do: func(b *bench) string {
		_, err := b.service.CreateContainer(ctx, b.name+"-open", &container.CreateOptions{Access: to.Ptr(container.PublicAccessTypeBlob)})
		return said(err)
	}, azurite: "done", why: "nothing is public here"},
}
