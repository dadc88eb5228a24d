package emulator

import (
	"context"
	"math"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// execute answers one execute call. A slot is taken after the body is read, so
// that a slow sender does not hold one; what the body says is looked at with
// the slot held, so that the limit bounds that work too.
func (e *Emulator) execute(r *http.Request, d *deployment) answer {
	shape, p := parseQuery(r.URL.Query())
	if p != nil {
		return refuse(p)
	}
	body, p, err := e.readBody(r)
	if err != nil {
		return answer{dropped: true}
	}
	if p != nil {
		return refuse(p)
	}
	faults := e.cfg.Faults
	call := e.calls.Add(1)
	if faults.ThrottleAfter > 0 && call > int64(faults.ThrottleAfter) {
		return refuse(e.throttled(d))
	}
	select {
	case d.slots <- struct{}{}:
		defer func() { <-d.slots }()
	default:
		return refuse(e.throttled(d))
	}
	if faults.Hang {
		<-r.Context().Done()
		return answer{dropped: true}
	}
	var a answer
	if due(e.admitted.Add(1), faults.ErrorRate) {
		a = refuse(internalError.because("ContainerProcessTerminatedWithUnknownError", "The container process crashed with unknown error"))
	} else {
		a = d.run(body, shape)
	}
	if !wait(r.Context(), min(faults.Latency, e.cfg.Timeout)) {
		return answer{dropped: true}
	}
	if faults.Latency > e.cfg.Timeout {
		a = refuse(requestTimeout.because("ScoreRequestTimeout", "Execution request timed out."))
	}
	a.cut = faults.CutAnswer
	return a
}

// run decodes, scores and encodes.
func (d *deployment) run(body []byte, shape shape) answer {
	input, parameters, p := d.decode(body)
	if p != nil {
		return refuse(p)
	}
	out, ok := d.encode(d.score(input, parameters), shape, maxAnswer)
	if !ok {
		return refuse(memoryQuota.because("OutOfMemoryLimit",
			"The model consumed more memory than was appropriated for it. Maximum allowed memory for the model is %d MB. Please check your model for issues.", maxAnswer>>20))
	}
	return answer{status: http.StatusOK, body: out}
}

// maxAnswer is the longest answer in bytes. No source tells of one; it is there
// because 4 MB of empty texts would become 200 MB of hashed columns. What
// people send stays well below: 4 MB of short sentences give some 30 MB.
const maxAnswer = 64 << 20

func (e *Emulator) throttled(d *deployment) *problem {
	return serviceUnavailable.because("RequestThrottled",
		"Request was throttled for %s endpoint. The maximum concurrency for the endpoint is %d.", d.id, e.cfg.Concurrency)
}

// due reports whether the nth call or job, counted from 1, is one that a fault
// with this share hits: the one at which the rounded-down number of hits due
// grows. Whole millionths keep 0.1 times 10 from being less than 1.
func due(n int64, share float64) bool {
	const million = 1_000_000
	rate := int64(math.Round(share * million))
	return n*rate/million > (n-1)*rate/million
}

// wait returns false if ctx ends before d is over.
func wait(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return true
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// shape is the form of an answer.
type shape int

const (
	shapeValues  shape = iota // Values only: details is false or absent
	shapeDetails              // with ColumnNames and ColumnTypes: details=true
	shapeRows                 // an array of row objects: format=swagger, details or not
)

// parseQuery reads api-version, details and format, their names and values in
// any case as ASP.NET did. Other parameters and other values of the last two
// are ignored. A missing api-version is 2.0: clients without one were seen.
func parseQuery(query url.Values) (shape, *problem) {
	answer := shapeValues
	for name, values := range query {
		switch strings.ToLower(name) {
		case "api-version":
			for _, version := range values {
				if version != "2.0" {
					return 0, badArgument.because("BadVersionCall",
						"Invalid version parameter was passed during the API call: %s. Check the API help page for passing the correct version and try again.", cut(version))
				}
			}
		case "details":
			if answer == shapeValues && strings.EqualFold(values[0], "true") {
				answer = shapeDetails
			}
		case "format":
			if strings.EqualFold(values[0], "swagger") {
				answer = shapeRows
			}
		}
	}
	return answer, nil
}
