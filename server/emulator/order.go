package emulator

import "slices"

// order is what a submitted job is to do.
type order struct {
	input      location
	outputs    []location // parallel to the outputs of the service
	parameters *table
}

// decodeOrder reads the body of a submit call. Every member may be null or
// absent, as .NET clients write those they do not set; members that are not
// known, such as AzureBatchPoolId, are skipped.
func (s *service) decodeOrder(body []byte, storage *storage) (o order, p *problem) {
	c, at, p := openRequest(body, "Input", "Inputs", "Output", "Outputs", "GlobalParameters")
	if p != nil {
		return order{}, p
	}
	input, p := s.decodeInputBlob(c, at)
	if p != nil {
		return order{}, p
	}
	if o.input, p = storage.locate(input); p != nil {
		return order{}, p
	}
	if o.outputs, p = s.decodeOutputBlobs(c, at, storage); p != nil {
		return order{}, p
	}
	if o.parameters, p = s.decodeParameters(c, at["GlobalParameters"]); p != nil {
		return order{}, p
	}
	return o, nil
}

// decodeInputBlob reads Input, which is the input of a service that has one, or
// Inputs, which names it.
func (s *service) decodeInputBlob(c *cursor, at map[string]int) (reference, *problem) {
	single, several := !c.isEmptyMap(at["Input"]), !c.isEmptyMap(at["Inputs"])
	switch {
	case single && several:
		return reference{}, badArgument.because("DuplicateInputInBatchCall",
			"The batch request is invalid. Cannot specify both single and multiple input at the same time. Remove one of these items from the request and try again.")
	case single:
		c.at = at["Input"]
		return c.reference("Input")
	case !several:
		return reference{}, missingInput()
	}
	given, p := c.references(at["Inputs"], "Inputs")
	if p != nil {
		return reference{}, p
	}
	// More names than the service has inputs are one refusal, wrong ones the
	// other: both are in the table, and Data Factory was seen to get the second.
	names := make([]string, len(given))
	for i, ref := range given {
		names[i] = ref.name
	}
	if len(names) > 1 {
		return reference{}, badArgument.because("BatchJobInputsTooManySpecified",
			"The request specified more inputs than defined in the service. List of accepted input(s): %s. Please ensure all input data is specified correctly and try again.", s.input.name)
	}
	if names = slices.DeleteFunc(names, func(name string) bool { return name == s.input.name }); len(names) > 0 {
		return reference{}, invalidNames(names)
	}
	if !given[0].given {
		return reference{}, badArgument.because("BatchJobInputsNotSpecified",
			"The following required input(s) were not specified with the request: %s. Please ensure all input data is specified and try again.", s.input.name)
	}
	return given[0], nil
}

// decodeOutputBlobs reads Outputs, which names where outputs go, or the Output
// of 2015, which is taken for the service's first. The others go to storage of
// the emulator.
func (s *service) decodeOutputBlobs(c *cursor, at map[string]int, storage *storage) ([]location, *problem) {
	given := make([]reference, len(s.outputs))
	single, several := !c.isEmptyMap(at["Output"]), !c.isEmptyMap(at["Outputs"])
	switch {
	case single && several:
		return nil, invalidBody(at["Output"], "Output and Outputs are both given")
	case single:
		c.at = at["Output"]
		ref, p := c.reference("Output")
		if p != nil {
			return nil, p
		}
		given[0] = ref
	case several:
		refs, p := c.references(at["Outputs"], "Outputs")
		if p != nil {
			return nil, p
		}
		for _, ref := range refs {
			i := slices.IndexFunc(s.outputs, func(p port) bool { return p.name == ref.name })
			if i < 0 {
				return nil, badArgument.because("InvalidOutputOverrideName",
					"Invalid output override name: %s. The service does not have an output node with this name. Please pass in a correct output node name to override (case sensitivity applies).", cut(ref.name))
			}
			given[i] = ref
		}
	}
	outputs := make([]location, len(given))
	for i, ref := range given {
		var p *problem
		if ref.given {
			ref.output = s.outputs[i].name
			outputs[i], p = storage.locate(ref)
		} else {
			outputs[i], p = storage.fresh()
		}
		if p != nil {
			return nil, p
		}
	}
	return outputs, nil
}

// reference is where a request says that a blob is: by an account's connection
// string and a path, or by the three parts of a URL.
type reference struct {
	connectionString, relativeLocation string
	baseLocation, sasBlobToken         string

	name   string // its name in Inputs or Outputs
	output string // the output that goes there; "" if it is an input
	given  bool   // not null
}

// maxReference is how long each part of a reference may be. Azure's own limits
// are 1,024 characters for a blob's name and some 2,000 for a URL.
const maxReference = 8 << 10

// references reads a map of names to references.
func (c *cursor) references(at int, what string) ([]reference, *problem) {
	if c.at = at; c.kind() != kindObject {
		return nil, invalidBody(at, "%s must be an object", what)
	}
	var all []reference
	for name := range c.members() {
		c.skipBlanks()
		if slices.ContainsFunc(all, func(ref reference) bool { return ref.name == name }) {
			return nil, invalidBody(c.at, "%s is given twice", cut(name))
		}
		ref, p := c.reference(cut(name))
		if p != nil {
			return nil, p
		}
		ref.name = name
		all = append(all, ref)
	}
	return all, nil
}

// reference consumes one reference.
func (c *cursor) reference(what string) (ref reference, p *problem) {
	switch c.kind() {
	case kindNull:
		c.skip()
		return reference{}, nil
	case kindObject:
	default:
		return reference{}, invalidBody(c.at, "%s must be an object that says where a blob is", what)
	}
	names := []string{"ConnectionString", "RelativeLocation", "BaseLocation", "SasBlobToken"}
	parts := []*string{&ref.connectionString, &ref.relativeLocation, &ref.baseLocation, &ref.sasBlobToken}
	from := c.at
	at, p := c.find(names)
	end := c.at
	if p != nil {
		return reference{}, p
	}
	ref.given = true
	for i, part := range parts {
		name := names[i]
		c.at = at[name]
		if c.at == 0 || c.kind() == kindNull {
			continue
		}
		if c.kind() != kindString {
			return reference{}, invalidBody(from, "%s of %s must be a text", name, what)
		}
		*part = c.quoted()
		if len(*part) > maxReference {
			return reference{}, invalidBody(from, "%s of %s is longer than %d bytes", name, what, maxReference)
		}
	}
	c.at = end
	return ref, nil
}
