package blob

import (
	"net/url"
	"strings"
	"testing"
	"time"
)

// token makes a SAS of any parameters: good ones unless the test changes them. An account SAS has ss.
func token(e *Endpoint, resource string, change ...string) string {
	sas := map[string]string{"sv": "2021-12-02", "sr": "b", "sp": "r", "se": time.Now().Add(time.Hour).UTC().Format("2006-01-02T15:04:05Z")}
	for _, c := range change {
		name, value, _ := strings.Cut(c, "=")
		sas[name] = value
		if name == "ss" {
			sas["sr"] = ""
		}
	}
	if _, account := sas["ss"]; account {
		lines := []string{e.account, sas["sp"], sas["ss"], sas["srt"], sas["st"], sas["se"], sas["sip"], sas["spr"], sas["sv"]}
		if sas["sv"] >= "2020-12-06" {
			lines = append(lines, sas["ses"])
		}
		sas["sig"] = e.mac(strings.Join(append(lines, ""), "\n"))
	} else {
		sas["sig"] = e.mac(serviceString(sas, "/blob/"+e.account+resource))
	}
	q := url.Values{}
	for name, value := range sas {
		if value != "" {
			q.Set(name, value)
		}
	}
	return q.Encode()
}

// tokens are requests with a SAS, good or bad: resource and change make the token, more is put behind it.
var tokens = []struct {
	method, path, resource string
	change                 []string
	more                   string
	status                 int
	code                   string
}{
	{"GET", "/box/a", "/box/a", nil, "", 200, ""},
	{"HEAD", "/box/a", "/box/a", nil, "", 200, ""},
	{"GET", "/box/a", "/box", []string{"sr=c"}, "", 200, ""},
	{"GET", "/box/a", "/box/a", []string{"sv=2015-04-05"}, "", 200, ""},
	{"GET", "/box/a", "/box/a", []string{"sv=2018-11-09"}, "", 200, ""},
	{"GET", "/box/a", "/box/a", []string{"sv=2099-01-01"}, "", 200, ""},
	{"GET", "/box/a", "/box/a", []string{"se=2999-01-01"}, "", 200, ""},
	{"GET", "/box/a", "/box/a", []string{"se=2999-01-01T00:00Z"}, "", 200, ""},
	{"GET", "/box/a", "/box/a", []string{"se=2999-01-01T00:00:00.0000000Z"}, "", 200, ""},
	{"GET", "/box/a", "/box/a", []string{"sip=127.0.0.1"}, "", 200, ""},
	{"GET", "/box/a", "/box/a", []string{"sip=127.0.0.0-127.0.0.255"}, "", 200, ""},
	{"GET", "/box/a", "/box/a", []string{"spr=https,http"}, "", 200, ""},
	{"GET", "/box/none", "/box/none", nil, "", 404, "BlobNotFound"},
	{"GET", "/box?restype=container&comp=list", "/box", []string{"sr=c", "sp=l"}, "", 200, ""},

	{"GET", "/box/a", "/box/a", []string{"sip=127.0.0.2-127.0.0.3"}, "", 403, "AuthorizationSourceIPMismatch"},
	{"GET", "/box/a", "/box/a", []string{"sip=::1"}, "", 403, "AuthorizationSourceIPMismatch"},
	{"GET", "/box/a", "/box/a", []string{"sip=all"}, "", 403, "AuthorizationSourceIPMismatch"},
	{"GET", "/box/a", "/box/a", []string{"spr=https"}, "", 403, "AuthorizationProtocolMismatch"},
	{"GET", "/box/a", "/box/a", []string{"spr=http"}, "", 403, "AuthenticationFailed"},
	{"GET", "/box/a", "/box/a", []string{"se=later"}, "", 403, "AuthenticationFailed"},
	{"GET", "/box/a", "/box/a", []string{"st=before"}, "", 403, "AuthenticationFailed"},
	{"GET", "/box/a", "/box/a", []string{"se=2001-01-01"}, "", 403, "AuthenticationFailed"},
	{"GET", "/box/a", "/box/a", []string{"se="}, "", 403, "AuthenticationFailed"},
	{"GET", "/box/a", "/box/a", []string{"sp="}, "", 403, "AuthenticationFailed"},
	{"GET", "/box/a", "/box/a", []string{"sv="}, "", 403, "AuthenticationFailed"},
	{"GET", "/box/a", "/box/a", []string{"sv=2012-02-12"}, "", 403, "AuthenticationFailed"},
	{"GET", "/box/a", "/box/a", []string{"sr="}, "", 403, "AuthenticationFailed"},
	{"GET", "/box/a", "/box/a", []string{"sr=d"}, "", 403, "AuthenticationFailed"},
	{"GET", "/box/a", "/box/a", []string{"sr=bs"}, "", 403, "AuthenticationFailed"},
	{"GET", "/box/a", "/box/a", []string{"si=policy"}, "", 403, "AuthenticationFailed"},
	{"GET", "/box/a", "/box/a", []string{"ses=scope"}, "", 501, "NotImplemented"},
	{"GET", "/box/a", "/box/a", nil, "&skoid=1", 403, "AuthenticationFailed"},
	{"GET", "/box/a", "/box/a", nil, "&sp=rw", 403, "AuthenticationFailed"},
	{"GET", "/box/a", "/box/a", nil, "&SP=rw", 403, "AuthenticationFailed"},
	{"GET", "/box/a", "/box/a", nil, "&rsct=text/html", 403, "AuthenticationFailed"},
	{"GET", "/box/a", "/box/a", nil, "&ss=b&srt=o", 403, "AuthenticationFailed"},
	{"GET", "/box/a", "/box/b", nil, "", 403, "AuthenticationFailed"},
	{"GET", "/box/a", "/other", []string{"sr=c"}, "", 403, "AuthenticationFailed"},
	{"GET", "/box/a", "/box/a", []string{"sr=c"}, "", 403, "AuthenticationFailed"},
	{"GET", "/box?restype=container&comp=list", "/box/", []string{"sp=rl"}, "", 403, "AuthenticationFailed"},
	{"GET", "/?comp=list", "/", []string{"sr=c", "sp=rl"}, "", 403, "AuthenticationFailed"},
	{"PUT", "/box?restype=container", "/box", []string{"sr=c", "sp=rwdlac"}, "", 403, "AuthorizationPermissionMismatch"},
	{"DELETE", "/box?restype=container", "/box", []string{"sr=c", "sp=rwdlac"}, "", 403, "AuthorizationPermissionMismatch"},
	{"GET", "/box?restype=container&comp=list", "/box", []string{"sr=c"}, "", 403, "AuthorizationPermissionMismatch"},
	{"PUT", "/box/a", "/box/a", nil, "", 403, "AuthorizationPermissionMismatch"},
	{"DELETE", "/box/a", "/box/a", []string{"sp=rw"}, "", 403, "AuthorizationPermissionMismatch"},
	{"PUT", "/box/a?comp=block&blockid=YQ==", "/box/a", []string{"sp=rc"}, "", 403, "AuthorizationPermissionMismatch"},
	{"PUT", "/box/a?comp=blocklist", "/box/a", []string{"sp=rc"}, "", 403, "AuthorizationPermissionMismatch"},
	{"PUT", "/box/a?comp=metadata", "/box/a", []string{"sp=rc"}, "", 403, "AuthorizationPermissionMismatch"},
	{"PUT", "/box/a", "/box/a", []string{"sp=c"}, "", 403, "UnauthorizedBlobOverwrite"},

	{"GET", "/box/a", "", []string{"ss=b", "srt=o"}, "", 200, ""},
	{"GET", "/box/a", "", []string{"ss=bqtf", "srt=sco", "sv=2019-12-12"}, "", 200, ""},
	{"GET", "/?comp=list", "", []string{"ss=b", "srt=s", "sp=l"}, "", 200, ""},
	{"GET", "/?restype=service&comp=properties", "", []string{"ss=b", "srt=s", "sp=r"}, "", 200, ""},
	{"GET", "/box/a", "", []string{"ss=qtf", "srt=o"}, "", 403, "AuthorizationServiceMismatch"},
	{"GET", "/box/a", "", []string{"ss=b", "srt=sc"}, "", 403, "AuthorizationResourceTypeMismatch"},
	{"GET", "/box/a", "", []string{"ss=b", "srt=o", "sp=w"}, "", 403, "AuthorizationPermissionMismatch"},
	{"GET", "/box/a", "", []string{"ss=b", "srt=o", "se=2001-01-01"}, "", 403, "AuthenticationFailed"},
	{"GET", "/box/a", "", []string{"ss=b", "srt=o"}, "&sr=b", 200, ""},
}

func TestSAS(t *testing.T) {
	t.Parallel()
	e := stocked(t)
	for _, tt := range tokens {
		sep := "?"
		if strings.Contains(tt.path, "?") {
			sep = "&"
		}
		target := root + tt.path + sep + token(e, tt.resource, tt.change...) + tt.more
		t.Run(tt.method+" "+tt.path+" "+strings.Join(tt.change, " ")+tt.more, func(t *testing.T) {
			want(t, do(e, request(tt.method, target, "", "x-ms-blob-type: BlockBlob")), tt.status, tt.code)
		})
	}
	wantText(t, send(e, "GET", "/box/a", ""), "0123456789")
}

// TestServiceString has the three shapes of the string to sign, written out.
func TestServiceString(t *testing.T) {
	t.Parallel()
	sas := map[string]string{
		"sp": "r", "st": "ST", "se": "SE", "si": "", "sip": "IP", "spr": "https", "sr": "b", "ses": "SCOPE",
		"rscc": "CC", "rscd": "CD", "rsce": "CE", "rscl": "CL", "rsct": "CT",
	}
	for version, middle := range map[string]string{
		"2015-04-05": "", "2018-11-08": "", "2018-11-09": "b\n\n", "2020-12-05": "b\n\n", "2020-12-06": "b\n\nSCOPE\n", "2026-06-06": "b\n\nSCOPE\n",
	} {
		sas["sv"] = version
		want := "r\nST\nSE\n/blob/acc/box/a\n\nIP\nhttps\n" + version + "\n" + middle + "CC\nCD\nCE\nCL\nCT"
		if got := serviceString(sas, "/blob/acc/box/a"); got != want {
			t.Errorf("%s: %q, want %q", version, got, want)
		}
	}
}
