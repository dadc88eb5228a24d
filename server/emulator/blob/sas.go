package blob

import (
	"net"
	"net/netip"
	"net/url"
	"strings"
	"time"
)

// sasParams are the parameters of shared access signatures that are read here;
// each may be given once.
var sasParams = []string{
	"sv", "sp", "st", "se", "spr", "sip", "sig", "sr", "ss", "srt", "si", "ses",
	"rscc", "rscd", "rsce", "rscl", "rsct",
}

// foreignSAS are parameters of signatures that are made with what is not here:
// user delegation keys, directories, other principals.
var foreignSAS = []string{"skoid", "sktid", "skt", "ske", "sks", "skv", "saoid", "suoid", "scid", "sdd", "sduoid", "skdutid", "srh", "srq"}

// refusedSAS says why a signature is not taken. It never repeats the signature.
func refusedSAS(why string) *problem {
	return authenticationFailed.with("AuthenticationErrorDetail", why)
}

// oldestSAS is the first version whose string to sign is known here.
const oldestSAS = "2015-04-05"

// authorizeSAS checks a shared access signature: first that the key made it,
// then what it allows.
func (e *Endpoint) authorizeSAS(c *call) error {
	sas := map[string]string{}
	for _, name := range sasParams {
		if len(c.query[name]) > 1 {
			return refusedSAS(name + " is given twice.")
		}
		sas[name] = c.param(name)
	}
	for _, name := range foreignSAS {
		if c.query[name] != nil {
			return refusedSAS("A SAS with " + name + " is not supported by this emulator.")
		}
	}
	switch {
	case !versionPattern.MatchString(sas["sv"]) || sas["sv"] < oldestSAS:
		return refusedSAS("sv is mandatory and " + oldestSAS + " or later.")
	case sas["si"] != "":
		return refusedSAS("Stored access policies (si) are not supported by this emulator.")
	case sas["sp"] == "" || sas["se"] == "":
		return refusedSAS("sp and se are mandatory.")
	}
	var err error
	if sas["ss"] != "" || sas["srt"] != "" {
		err = e.checkAccountSAS(c, sas)
	} else {
		err = e.checkServiceSAS(c, sas)
	}
	if err != nil {
		return err
	}
	if err := c.checkTime(sas["st"], sas["se"]); err != nil {
		return err
	}
	switch {
	case sas["spr"] != "" && sas["spr"] != "https" && sas["spr"] != "https,http":
		return refusedSAS("spr is https or https,http.")
	case sas["spr"] == "https" && c.TLS == nil:
		return protocolMismatch
	case sas["sip"] != "" && !c.from(sas["sip"]):
		return sourceIPMismatch
	case sas["ses"] != "":
		return notImplemented("A SAS with an encryption scope")
	}
	return c.allow(sas)
}

// checkAccountSAS checks the signature of an account SAS, and what it is for.
func (e *Endpoint) checkAccountSAS(c *call, sas map[string]string) error {
	lines := []string{e.account, sas["sp"], sas["ss"], sas["srt"], sas["st"], sas["se"], sas["sip"], sas["spr"], sas["sv"]}
	if sas["sv"] >= "2020-12-06" {
		lines = append(lines, sas["ses"])
	}
	switch {
	case !e.signed(strings.Join(lines, "\n")+"\n", sas["sig"]):
		return refusedSAS("Signature did not match.")
	case !strings.Contains(sas["ss"], "b"):
		return serviceMismatch
	case !strings.ContainsAny(sas["srt"], c.op.resource):
		return resourceTypeMismatch
	}
	return nil
}

// checkServiceSAS checks the signature of a SAS for a blob (sr=b) or for a
// container and the blobs in it (sr=c).
func (e *Endpoint) checkServiceSAS(c *call, sas map[string]string) error {
	resource := "/blob/" + e.account + "/" + c.container
	switch {
	case sas["sr"] != "b" && sas["sr"] != "c":
		return refusedSAS("sr is b or c; others are not supported by this emulator.")
	case c.container == "", sas["sr"] == "b" && c.blob == "":
		return refusedSAS("Signature did not match.")
	case sas["sr"] == "b":
		resource += "/" + c.blob
	}
	if !e.signed(serviceString(sas, resource), sas["sig"]) {
		return refusedSAS("Signature did not match.")
	}
	c.sas = sas
	return nil
}

// serviceString is the string to sign of a service SAS. Its shape changed twice
// since 2015-04-05: resource and snapshot time came with 2018-11-09, the
// encryption scope with 2020-12-06.
func serviceString(sas map[string]string, resource string) string {
	lines := []string{sas["sp"], sas["st"], sas["se"], resource, sas["si"], sas["sip"], sas["spr"], sas["sv"]}
	if sas["sv"] >= "2018-11-09" {
		lines = append(lines, sas["sr"], "") // no snapshots here, so no snapshot time
	}
	if sas["sv"] >= "2020-12-06" {
		lines = append(lines, sas["ses"])
	}
	lines = append(lines, sas["rscc"], sas["rscd"], sas["rsce"], sas["rscl"], sas["rsct"])
	return strings.Join(lines, "\n")
}

// allow checks the permissions.
func (c *call) allow(sas map[string]string) error {
	if c.op.keyOnly && c.sas != nil || !strings.ContainsAny(sas["sp"], c.op.permissions) {
		return permissionMismatch
	}
	c.mayCreate = c.op.name == "PutBlob" && !strings.Contains(sas["sp"], "w")
	return nil
}

// sasTimes are the forms of st and se.
var sasTimes = []string{"2006-01-02T15:04:05.0000000Z", "2006-01-02T15:04:05Z", "2006-01-02T15:04Z", "2006-01-02", time.RFC3339}

func sasTime(s string) (time.Time, bool) {
	for _, form := range sasTimes {
		if t, err := time.Parse(form, s); err == nil {
			return t, true
		}
	}
	return time.Time{}, false
}

// checkTime checks that now is from st, if there is one, till se.
func (c *call) checkTime(st, se string) error {
	now := time.Now()
	end, ok := sasTime(se)
	if !ok {
		return refusedSAS("se is no time.")
	}
	begin := now
	if st != "" {
		if begin, ok = sasTime(st); !ok {
			return refusedSAS("st is no time.")
		}
	}
	if now.Before(begin) || !now.Before(end) {
		return refusedSAS("Signature not valid in the specified time frame: Start [" + st + "] - Expiry [" + se + "] - Current [" +
			now.UTC().Format(time.RFC1123) + "]")
	}
	return nil
}

// from reports whether the call comes from an address, or from a range of them
// given as first-last.
func (c *call) from(sip string) bool {
	host, _, err := net.SplitHostPort(c.RemoteAddr)
	if err != nil {
		return false
	}
	own, err := netip.ParseAddr(host)
	if err != nil {
		return false
	}
	own = own.Unmap().WithZone("")
	low, high, isRange := strings.Cut(sip, "-")
	if !isRange {
		high = low
	}
	first, err1 := netip.ParseAddr(low)
	last, err2 := netip.ParseAddr(high)
	return err1 == nil && err2 == nil && first.BitLen() == own.BitLen() && last.BitLen() == own.BitLen() &&
		first.Compare(own) <= 0 && own.Compare(last) <= 0
}

// ReadToken makes a SAS, with its leading "?", by which everyone can read one
// blob from start to expiry: appended to the blob's URL it makes one that a
// plain GET can fetch. The blob need not exist. Times are cut to seconds.
func (e *Endpoint) ReadToken(container, blob string, start, expiry time.Time) string {
	const seconds = "2006-01-02T15:04:05Z"
	sas := map[string]string{
		"sv": latestVersion, "sr": "b", "sp": "r",
		"st": start.UTC().Format(seconds), "se": expiry.UTC().Format(seconds),
	}
	sas["sig"] = e.mac(serviceString(sas, "/blob/"+e.account+"/"+container+"/"+blob))
	var pairs []string
	for _, name := range []string{"sv", "sr", "sig", "st", "se", "sp"} { // AzureML's order
		pairs = append(pairs, name+"="+url.QueryEscape(sas[name]))
	}
	return "?" + strings.Join(pairs, "&")
}
