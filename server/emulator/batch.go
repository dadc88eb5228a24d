package emulator

import "net/http"

// batch answers the calls of the batch execution service. Their answers are
// immediate, and no limit but that of the body holds for them: AzureML limits
// how many jobs run, not how often clients ask.
func (e *Emulator) batch(r *http.Request, d *deployment, to target) answer {
	if _, p := parseQuery(r.URL.Query()); p != nil {
		return refuse(p)
	}
	switch {
	case to.operation == opJobs:
		return e.submit(r, d)
	case to.job == "":
		return refuse(badArgument.because("MissingJobId",
			"No job Id provided. A job Id is returned when a job was submitted for the first time. Verify the job Id is correct and try again."))
	case to.operation == opStart:
		return d.start(to.job)
	case r.Method == http.MethodDelete:
		return d.remove(to.job)
	}
	return d.status(to.job)
}

// submit answers with the job's id as a JSON string and not a byte more:
// generated samples take the first and the last byte off and have the id.
func (e *Emulator) submit(r *http.Request, d *deployment) answer {
	body, p, err := e.readBody(r)
	if err != nil {
		return answer{dropped: true}
	}
	if p != nil {
		return refuse(p)
	}
	order, p := d.decodeOrder(body, e.runner.storage)
	if p != nil {
		return refuse(p)
	}
	id, p := d.jobs.submit(order)
	if p != nil {
		return refuse(p)
	}
	return answer{status: http.StatusOK, body: marshal(id)}
}

// start does not look at the request's body: some clients send none, some {},
// and one was seen to announce a body that never ends.
func (d *deployment) start(id string) answer {
	if p := d.jobs.start(id); p != nil {
		return refuse(p)
	}
	return answer{status: http.StatusOK}
}

func (d *deployment) status(id string) answer {
	s, p := d.jobs.ask(id)
	if p != nil {
		return refuse(p)
	}
	return answer{status: http.StatusOK, body: s.json(d.outputs)}
}

func (d *deployment) remove(id string) answer {
	if p := d.jobs.remove(id); p != nil {
		return refuse(p)
	}
	return answer{status: http.StatusNoContent}
}
