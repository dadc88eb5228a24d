package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"maps"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// A tree of yaml.Nodes serves for JSON and YAML alike. It keeps the order of members, which encoding/json's maps would
// sort: who reads openapi.json meets a summary before its parameters, and ColumnNames before Values.

// parse reads JSON or YAML.
func parse(data []byte) (*yaml.Node, error) {
	var document yaml.Node
	if err := yaml.Unmarshal(data, &document); err != nil {
		return nil, err
	}
	if document.Kind != yaml.DocumentNode {
		return nil, errors.New("empty")
	}
	return document.Content[0], nil
}

// members yields an object's members in order, and nothing for what is no object.
func members(n *yaml.Node) iter.Seq2[string, *yaml.Node] {
	return func(yield func(string, *yaml.Node) bool) {
		if n.Kind != yaml.MappingNode {
			return
		}
		for i := 0; i < len(n.Content); i += 2 {
			if !yield(n.Content[i].Value, n.Content[i+1]) {
				return
			}
		}
	}
}

// index finds an object's member, or a list's item whose name is step, in n.Content; -1 where there is none.
func index(n *yaml.Node, step string) int {
	switch n.Kind {
	case yaml.MappingNode:
		for i := 0; i < len(n.Content); i += 2 {
			if n.Content[i].Value == step {
				return i + 1
			}
		}
	case yaml.SequenceNode:
		return slices.IndexFunc(n.Content, func(item *yaml.Node) bool {
			for key, value := range members(item) {
				if key == "name" {
					return value.Value == step
				}
			}
			return false
		})
	}
	return -1
}

// steps are the parts of a path.
func steps(path string) []string {
	parts := strings.Split(strings.TrimPrefix(path, "/"), "/")
	for i, part := range parts {
		parts[i] = strings.NewReplacer("~1", "/", "~0", "~").Replace(part)
	}
	return parts
}

// holder is the object or list that holds the place at path, and the last step to it.
func holder(n *yaml.Node, path string) (*yaml.Node, string, error) {
	parts := steps(path)
	last := len(parts) - 1
	for _, step := range parts[:last] {
		i := index(n, step)
		if i < 0 {
			return nil, "", fmt.Errorf("%s: the document has no such place (no %q)", path, step)
		}
		n = n.Content[i]
	}
	return n, parts[last], nil
}

// get finds the place at path.
func get(n *yaml.Node, path string) (*yaml.Node, error) {
	in, last, err := holder(n, path)
	if err != nil {
		return nil, err
	}
	i := index(in, last)
	if i < 0 {
		return nil, fmt.Errorf("%s: the document has no such place (no %q)", path, last)
	}
	return in.Content[i], nil
}

// add makes a new member at path.
func add(n *yaml.Node, path string, value *yaml.Node) error {
	in, last, err := holder(n, path)
	if err != nil {
		return err
	}
	if in.Kind != yaml.MappingNode {
		return fmt.Errorf("%s: cannot be added to what is no object", path)
	}
	if index(in, last) >= 0 {
		return fmt.Errorf("%s: the document has that already", path)
	}
	in.Content = append(in.Content, &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: last}, value)
	return nil
}

// remove takes away the member or item at path.
func remove(n *yaml.Node, path string) error {
	in, last, err := holder(n, path)
	if err != nil {
		return err
	}
	i := index(in, last)
	if i < 0 {
		return fmt.Errorf("%s: the document has no such place (no %q)", path, last)
	}
	first := i
	if in.Kind == yaml.MappingNode {
		first-- // the member's name
	}
	in.Content = slices.Delete(in.Content, first, i+1)
	return nil
}

// collectReferences notes where every $ref below n leads.
func collectReferences(n *yaml.Node, used map[string]bool) {
	for key, value := range members(n) {
		if key == "$ref" {
			used[value.Value] = true
		}
	}
	for _, child := range n.Content {
		collectReferences(child, used)
	}
}

// checkReferences refuses a reference that leads nowhere.
func checkReferences(doc *yaml.Node, used map[string]bool) error {
	for _, reference := range slices.Sorted(maps.Keys(used)) {
		if _, err := get(doc, strings.TrimPrefix(reference, "#")); err != nil {
			return fmt.Errorf("$ref %w", err)
		}
	}
	return nil
}

// equal tells whether two trees are the same JSON, whatever the order of members.
func equal(a, b *yaml.Node) (bool, error) {
	var values [2]any
	for i, n := range []*yaml.Node{a, b} {
		if err := n.Decode(&values[i]); err != nil {
			return false, err
		}
	}
	return reflect.DeepEqual(values[0], values[1]), nil
}

// clone copies a tree, so that what several places are given can differ later.
func clone(n *yaml.Node) *yaml.Node {
	c := *n
	c.Content = make([]*yaml.Node, len(n.Content))
	for i, child := range n.Content {
		c.Content[i] = clone(child)
	}
	return &c
}

// brief is a tree on one line, for an error.
func brief(n *yaml.Node) string {
	var b bytes.Buffer
	if err := writeJSON(&b, n); err != nil {
		return err.Error()
	}
	return b.String()
}

// render writes a tree as JSON, for people, with a newline at the end.
func render(n *yaml.Node) ([]byte, error) {
	var compact, indented bytes.Buffer
	if err := writeJSON(&compact, n); err != nil {
		return nil, err
	}
	if err := json.Indent(&indented, compact.Bytes(), "", "  "); err != nil {
		return nil, err
	}
	indented.WriteByte('\n')
	return indented.Bytes(), nil
}

// writeJSON writes a tree as JSON.
func writeJSON(b *bytes.Buffer, n *yaml.Node) error {
	switch n.Kind {
	case yaml.MappingNode:
		b.WriteByte('{')
		first := true
		for key, value := range members(n) {
			if !first {
				b.WriteByte(',')
			}
			first = false
			writeString(b, key)
			b.WriteByte(':')
			if err := writeJSON(b, value); err != nil {
				return fmt.Errorf("%s: %w", key, err)
			}
		}
		b.WriteByte('}')
	case yaml.SequenceNode:
		b.WriteByte('[')
		for i, item := range n.Content {
			if i > 0 {
				b.WriteByte(',')
			}
			if err := writeJSON(b, item); err != nil {
				return err
			}
		}
		b.WriteByte(']')
	default:
		return writeScalar(b, n)
	}
	return nil
}

// writeScalar writes a text, a number, a truth value or null. What YAML knows besides, dates or anchors, is refused.
func writeScalar(b *bytes.Buffer, n *yaml.Node) error {
	switch tag := n.ShortTag(); tag {
	case "!!str":
		writeString(b, n.Value)
	case "!!null":
		b.WriteString("null")
	case "!!bool", "!!int", "!!float":
		if !json.Valid([]byte(n.Value)) {
			return fmt.Errorf("%s is not JSON", n.Value)
		}
		b.WriteString(n.Value)
	default:
		return fmt.Errorf("%s has the type %s, which JSON lacks", n.Value, tag)
	}
	return nil
}

// writeString writes a JSON string, '<', '>' and '&' as they are.
func writeString(b *bytes.Buffer, s string) {
	encoder := json.NewEncoder(b)
	encoder.SetEscapeHTML(false)
	// The error is always nil: a string can be encoded and a buffer written to.
	_ = encoder.Encode(s)
	b.Truncate(b.Len() - 1) // Encode ends with a newline
}
