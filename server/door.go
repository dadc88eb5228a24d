package server

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/amlgate/amlgate/server/api"
)

// route is one path of the REST surface. The front door decides by this table before the generated mux sees a call,
// since that mux, left alone, decodes "%2F" into a path separator, follows dot segments, ignores unknown query
// parameters and turns a form POST with a method override into any verb. A test holds the table against the contract.
type route struct {
	template string
	segments []string
	verbs    []verb
}

// verb is one method of a route.
type verb struct {
	method string
	query  []string // allowed parameters besides those of every route
	body   bool     // whether the body is read and passed on
	short  bool     // there is a way past the generated mux
}

// everywhere are the query parameters that every route takes.
var everywhere = []string{"api-version", "subscription-key"}

const service = "/workspaces/{workspace}/services/{service}"

var routes = []*route{
	newRoute(service+"/execute", verb{http.MethodPost, []string{"details", "format"}, true, true}),
	newRoute(service+"/swagger.json", verb{http.MethodGet, nil, false, false}),
	newRoute(service+"/jobs", verb{http.MethodGet, []string{"page_size", "page_token", "states"}, false, false}, verb{http.MethodPost, nil, true, false}),
	newRoute(service+"/jobs/{job_id}", verb{http.MethodGet, nil, false, false}, verb{http.MethodDelete, nil, false, false}),
	newRoute(service+"/jobs/{job_id}/start", verb{http.MethodPost, nil, false, false}),
	newRoute(service+"/jobs/{job_id}/watch", verb{http.MethodGet, []string{"cursor"}, false, false}),
}

func newRoute(template string, verbs ...verb) *route {
	return &route{template, strings.Split(template[1:], "/"), verbs}
}

// match returns the path as the generated mux knows it, and whether the route is meant at all. Ids are looked at as they
// came, escapes and all: none of them needs one. Fixed words come in any case; one slash may stand at the end.
func (rt *route) match(path string) (string, bool) {
	path = strings.TrimSuffix(path, "/")
	if strings.Count(path, "/") != len(rt.segments) {
		return "", false
	}
	canonical := make([]byte, 0, len(path))
	rest := path[1:]
	for _, want := range rt.segments {
		var segment string
		segment, rest, _ = strings.Cut(rest, "/")
		canonical = append(canonical, '/')
		if want[0] == '{' {
			// "-" stands for every service, where jobs are listed.
			if !api.ValidID(segment) && !(segment == "-" && want == "{service}" && rt.template == service+"/jobs") {
				return "", false
			}
			canonical = append(canonical, segment...)
			continue
		}
		if !strings.EqualFold(segment, want) {
			return "", false
		}
		canonical = append(canonical, want...)
	}
	return string(canonical), true
}

// find returns the route and verb of a request, with its path in canonical form, or why there is none.
func find(r *http.Request) (*route, *verb, string, *api.Failure) {
	path := r.URL.EscapedPath()
	if strings.HasPrefix(path, "/") {
		for _, rt := range routes {
			canonical, ok := rt.match(path)
			if !ok {
				continue
			}
			method := r.Method
			if method == http.MethodHead {
				method = http.MethodGet
			}
			for i := range rt.verbs {
				if rt.verbs[i].method == method {
					return rt, &rt.verbs[i], canonical, nil
				}
			}
			return rt, nil, canonical, notAllowed(rt.allowed())
		}
	}
	return nil, nil, "", api.Refuse(api.RouteNotFound, "", "there is nothing at this path; scoring is POST %s/execute", service)
}

// notAllowed is the answer to a wrong verb.
func notAllowed(allow string) *api.Failure {
	f := api.Refuse(api.MethodNotAllowed, "", "this path takes %s", allow)
	f.Allow = allow
	return f
}

// allowed lists the verbs of a route as the Allow header has them.
func (rt *route) allowed() string {
	var list []string
	for _, v := range rt.verbs {
		list = append(list, v.method)
		if v.method == http.MethodGet {
			list = append(list, http.MethodHead)
		}
	}
	return strings.Join(list, ", ")
}

// form reads a query by the verb's allow-list. Names come in any case, each once (states excepted, which is a list) and
// with a value.
func (v *verb) form(raw string) (url.Values, *api.Failure) {
	form := url.Values{}
	for raw != "" {
		var pair string
		pair, raw, _ = strings.Cut(raw, "&")
		if pair == "" {
			continue
		}
		escapedName, escapedValue, _ := strings.Cut(pair, "=")
		name, err := url.QueryUnescape(escapedName)
		if err != nil {
			return nil, api.Refuse(api.InvalidQuery, "query", "a parameter's name has a broken escape")
		}
		name = strings.ToLower(name)
		value, err := url.QueryUnescape(escapedValue)
		switch {
		case !slices.Contains(everywhere, name) && !slices.Contains(v.query, name):
			return nil, api.Refuse(api.InvalidQuery, "query", "%q is not known; allowed are %s", name, strings.Join(slices.Concat(everywhere, v.query), ", "))
		case err != nil:
			return nil, api.Refuse(api.InvalidQuery, name, "the value has a broken escape")
		case value == "":
			return nil, api.Refuse(api.InvalidQuery, name, "the value is empty; leave the parameter out or give it one")
		case form.Has(name) && name != "states":
			return nil, api.Refuse(api.InvalidQuery, name, "given more than once")
		case name == "details":
			if value = strings.ToLower(value); value != "true" && value != "false" {
				return nil, api.Refuse(api.InvalidQuery, name, "%q is not known; allowed are true and false", value)
			}
		}
		form.Add(name, value)
	}
	return form, nil
}

// requestID returns the caller's id for a call if it is one, else a new one.
func requestID(given string) string {
	if n := len(given); n >= 1 && n <= 100 {
		ok := true
		for i := range n {
			c := given[i]
			ok = ok && (c-'0' <= 9 || c|0x20 >= 'a' && c|0x20 <= 'z' || c == '.' || c == '_' || c == '-')
		}
		if ok {
			return given
		}
	}
	return newID()
}
