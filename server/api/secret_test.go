package api

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
)

// secrets are texts of which "hunter2" must reach nobody.
var secrets = []string{
	"DefaultEndpointsProtocol=https;AccountName=a;AccountKey=hunter2/hunter2+hunter2==;EndpointSuffix=core.windows.net",
	"https://a.blob.core.windows.net/c/b.csv?sv=2015-02-21&sr=b&sig=hunter2%2Fhunter2%3D&st=x",
	"Authorization: Bearer hunter2.hunter2-hunter2==",
	"bearer  hunter2",
	"SharedAccessSignature=hunter2",
	"/execute?subscription-key=hunter2&api-version=2.0",
}

// wantNoSecret asserts that none of what either surface shows has a secret in it.
func wantNoSecret(t testing.TB, f *Failure) {
	t.Helper()
	packed, err := proto.Marshal(f.GRPCStatus().Proto())
	if err != nil {
		t.Fatal(err)
	}
	body := f.Body
	if f.ContentEncoding == "gzip" {
		z, err := gzip.NewReader(bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		if body, err = io.ReadAll(z); err != nil {
			t.Fatal(err)
		}
	}
	var decoded any
	if err := json.Unmarshal(body, &decoded); err != nil {
		t.Fatalf("REST's body is no JSON: %v", err)
	}
	for where, text := range map[string]string{"status": string(packed), "error": f.Error(), "body": string(body), "decoded body": fmt.Sprint(decoded), "head": f.ContentType + f.Allow} {
		if strings.Contains(text, "hunter2") {
			t.Fatalf("a secret is in the %s: %.500s", where, text)
		}
	}
}

// Secrets that an upstream repeats in its errors, wherever it puts them and however it packs them, stop here.
func TestUpstreamSecrets(t *testing.T) {
	type object = map[string]any
	up := newFake(t, 0, nil, "")
	for _, place := range []string{"class", "sentence", "code", "target", "message", "second message", "other member", "name", "everywhere"} {
		for _, secret := range secrets {
			at := func(name string) string {
				if name == place || place == "everywhere" {
					return secret
				}
				return "clean"
			}
			details := []object{{"code": at("code"), "target": at("target"), "message": at("message")}, {"code": "c", "message": at("second message")}}
			for shape, list := range map[string]any{"whole": details, "bare": nil} {
				body := object{"error": object{"code": at("class"), "message": at("sentence"), "details": list, "innererror": object{at("name"): []string{at("other member")}}}}
				for _, coding := range []string{"", "gzip", "identity"} {
					up.header = map[string]string{"Content-Type": "application/json", "Content-Encoding": coding, "X-Ms-Request-Id": secret}
					for _, escaped := range []bool{false, true} {
						up.body = written(t, body, escaped)
						if coding == "gzip" {
							up.body = zipped(t, up.body)
						}
						for _, up.status = range []int{400, 503} {
							f := up.failure(t)
							wantNoSecret(t, f)
							if shape == "whole" && place != "everywhere" && f.ContentEncoding == "" && !strings.Contains(string(f.Body), "clean") {
								t.Fatalf("what is no secret is gone too: %s", f.Body)
							}
						}
					}
				}
			}
		}
	}
}

// written writes JSON as most do, or with every sign escaped that some writers escape.
func written(t testing.TB, v any, escaped bool) string {
	t.Helper()
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(escaped)
	if err := e.Encode(v); err != nil {
		t.Fatal(err)
	}
	if escaped { // as .NET's System.Text.Json does, besides <, > and &
		return strings.NewReplacer("+", `\u002B`, "'", `\u0027`, "/", `\/`).Replace(b.String())
	}
	return b.String()
}

// A body in which nothing has to be hidden is not written anew, whatever escapes it has.
func TestCleanBodies(t *testing.T) {
	for _, body := range []string{`{"b":"\u0041\/\u0026",  "a":1.50}`, `{"m":"significant\u003d key\u003d bearer"}`, "", "<html>\\", `{"torn":"\u0041`, "\ufeff{\"a\":\"\\n\"}"} {
		if got := withoutSecrets([]byte(body)); string(got) != body {
			t.Errorf("%q becomes %q", body, got)
		}
	}
	wantText(t, "behind a byte order mark", string(withoutSecrets([]byte("\ufeff[\"a\\u0026sig=hunter2\"]"))), `["a\u0026sig=[redacted]"]`)
	wantText(t, "a number beside a secret", string(withoutSecrets([]byte(`{"u":"a\u0026sig=hunter2","n":12345678901234567890.10}`))), `{"n":12345678901234567890.10,"u":"a\u0026sig=[redacted]"}`)
}

// What a caller put into a request is not shown either, since errors are logged; nor does cutting uncover a secret.
func TestRefusedSecrets(t *testing.T) {
	for _, secret := range secrets {
		for reason := range refusals {
			wantNoSecret(t, Refuse(reason, `tables.global_parameters["`+secret+`"]`, "the value %q is wrong", secret))
		}
		for n := 900; n < 1100; n += 5 {
			wantNoSecret(t, Refuse(InvalidField, "", "%s", strings.Repeat("x", n)+" "+secret))
		}
	}
}
