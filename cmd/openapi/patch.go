package main

import (
	"bytes"
	"fmt"
	"slices"

	"go.yaml.in/yaml/v3"
)

// group is edits that several targets share: "document", "operations" for every operation, or an operationId.
type group struct {
	Of    []string
	Edits []edit
}

// edit changes one place. Exactly one of Replace, Remove and Add is set: the place's path from the target.
type edit struct {
	Replace, Remove, Add string

	// Was is what must stand in the place: of Replace and Remove.
	Was yaml.Node

	// With is what comes there: of Replace and Add.
	With yaml.Node
}

// patch applies edits to an OpenAPI document in JSON, adds the components, and drops the schemas that nothing refers to
// any more. The order of members is kept. An error names the first place that is not as the edits say.
func patch(document, edits, components []byte) ([]byte, error) {
	doc, err := parse(document)
	if err != nil {
		return nil, fmt.Errorf("the merged document: %w", err)
	}
	groups, err := parseEdits(edits)
	if err != nil {
		return nil, fmt.Errorf("edits.yaml: %w", err)
	}
	operations, err := operationsOf(doc)
	if err != nil {
		return nil, err
	}
	for _, g := range groups {
		if err := g.apply(doc, operations); err != nil {
			return nil, err
		}
	}
	if err := addComponents(doc, components); err != nil {
		return nil, fmt.Errorf("azureml.yaml: %w", err)
	}
	if err := settleReferences(doc); err != nil {
		return nil, err
	}
	return render(doc)
}

// parseEdits reads groups and refuses an edit that says too little to be checked, or names a member that none has.
func parseEdits(data []byte) ([]group, error) {
	var groups []group
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	decoder.KnownFields(true)
	if err := decoder.Decode(&groups); err != nil {
		return nil, err
	}
	for _, g := range groups {
		for _, e := range g.Edits {
			var valid bool
			switch {
			case e.Replace != "":
				valid = e.Remove == "" && e.Add == "" && !e.Was.IsZero() && !e.With.IsZero()
			case e.Remove != "":
				valid = e.Add == "" && !e.Was.IsZero() && e.With.IsZero()
			case e.Add != "":
				valid = e.Was.IsZero() && !e.With.IsZero()
			}
			if !valid {
				return nil, fmt.Errorf("%v %s: an edit is replace, was and with, or remove and was, or add and with",
					g.Of, e.path())
			}
		}
	}
	return groups, nil
}

// operation is one verb of one path.
type operation struct {
	id   string
	node *yaml.Node
}

// operationsOf lists the document's operations in order.
func operationsOf(doc *yaml.Node) ([]operation, error) {
	paths, err := get(doc, "/paths")
	if err != nil {
		return nil, err
	}
	var operations []operation
	for path, item := range members(paths) {
		for verb, node := range members(item) {
			id, err := get(node, "/operationId")
			if err != nil {
				return nil, fmt.Errorf("%s %s: %w", verb, path, err)
			}
			operations = append(operations, operation{id.Value, node})
		}
	}
	return operations, nil
}

// apply makes the group's edits on each of its targets.
func (g group) apply(doc *yaml.Node, operations []operation) error {
	for _, name := range g.Of {
		var targets []operation
		switch name {
		case "document":
			targets = []operation{{name, doc}}
		case "operations":
			targets = operations
		default:
			i := slices.IndexFunc(operations, func(op operation) bool { return op.id == name })
			if i < 0 {
				return fmt.Errorf("%s: the document has no such operation", name)
			}
			targets = operations[i : i+1]
		}
		for _, target := range targets {
			for _, e := range g.Edits {
				if err := e.apply(target.node); err != nil {
					return fmt.Errorf("%s: %w", target.id, err)
				}
			}
		}
	}
	return nil
}

// apply makes the edit, or says by its path why it cannot be made.
func (e edit) apply(target *yaml.Node) error {
	if e.Add != "" {
		return add(target, e.Add, clone(&e.With))
	}
	node, err := get(target, e.path())
	if err != nil {
		return err
	}
	same, err := equal(node, &e.Was)
	if err != nil {
		return fmt.Errorf("%s: %w", e.path(), err)
	}
	if !same {
		return fmt.Errorf("%s: edits.yaml expects there %s, the document has %s", e.path(), brief(&e.Was), brief(node))
	}
	if e.Remove != "" {
		return remove(target, e.Remove)
	}
	*node = *clone(&e.With)
	return nil
}

// path is where the edit is made.
func (e edit) path() string { return e.Replace + e.Remove + e.Add }

// addComponents adds components, by kind and name.
func addComponents(doc *yaml.Node, data []byte) error {
	components, err := parse(data)
	if err != nil {
		return err
	}
	for kind, named := range members(components) {
		if _, err := get(doc, "/components/"+kind); err != nil {
			// The plugin writes schemas alone.
			if err := add(doc, "/components/"+kind, &yaml.Node{Kind: yaml.MappingNode}); err != nil {
				return err
			}
		}
		for name, component := range members(named) {
			if err := add(doc, "/components/"+kind+"/"+name, component); err != nil {
				return err
			}
		}
	}
	return nil
}

// settleReferences drops the component schemas that nothing refers to, and refuses a reference that leads nowhere.
func settleReferences(doc *yaml.Node) error {
	for {
		used := map[string]bool{}
		collectReferences(doc, used)
		schemas, err := get(doc, "/components/schemas")
		if err != nil {
			return err
		}
		var unused []string
		for name := range members(schemas) {
			if !used["#/components/schemas/"+name] {
				unused = append(unused, name)
			}
		}
		if len(unused) == 0 {
			return checkReferences(doc, used)
		}
		// What only these referred to is found next time.
		for _, name := range unused {
			if err := remove(schemas, "/"+name); err != nil {
				return err
			}
		}
	}
}
