package main

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/amlgate/amlgate/server/azureml"
)

// readCSV reads a CSV with a header line into a table of texts, as every generated AzureML sample sends them: the
// service converts by its own schema. An empty cell is a missing one, as in AzureML's own CSV reader.
func readCSV(text []byte, name string) (azureml.Table, error) {
	// Blanks at the ends of lines are data; only the file's last lines are not.
	text = bytes.TrimRight(bytes.TrimPrefix(text, []byte("\xef\xbb\xbf")), "\r\n")
	r := csv.NewReader(bytes.NewReader(text))
	header, err := r.Read()
	if err != nil {
		return azureml.Table{}, err // names line and column
	}
	t := azureml.Table{Name: name, Columns: make([]azureml.Column, len(header))}
	for i := range t.Columns {
		t.Columns[i].Name, t.Columns[i].Vector = header[i], azureml.Strings
	}
	for {
		// The reader skips blank lines, which would lose a row of a single column without a word.
		if rest := text[r.InputOffset():]; len(header) == 1 && (bytes.HasPrefix(rest, []byte("\n")) || bytes.HasPrefix(rest, []byte("\r\n"))) {
			return azureml.Table{}, fmt.Errorf("a blank line after row %d; write \"\" for a missing cell", t.Rows)
		}
		record, err := r.Read()
		if err == io.EOF {
			return t, nil
		}
		if err != nil {
			return azureml.Table{}, err
		}
		for i, cell := range record {
			c := &t.Columns[i]
			c.Strings = append(c.Strings, cell)
			if cell == "" {
				c.Missing = append(c.Missing, uint32(t.Rows))
			}
		}
		t.Rows++
	}
}

// printTables prints an answer. only picks one output by name.
func printTables(w io.Writer, tables []azureml.Table, format, only string) error {
	names := make([]string, len(tables))
	for i := range tables {
		names[i] = tables[i].Name
	}
	if only != "" {
		i := slices.Index(names, only)
		if i < 0 {
			return fmt.Errorf("--output-name: there is no output %q; there are: %s", only, strings.Join(names, ", "))
		}
		tables = tables[i : i+1]
	}
	if format == "csv" {
		if len(tables) != 1 {
			return fmt.Errorf("--output-name: one is needed for csv; there are: %s", strings.Join(names, ", "))
		}
		return printCSV(w, &tables[0])
	}
	for i := range tables {
		if len(tables) > 1 {
			if _, err := fmt.Fprintf(w, "%s:\n", tables[i].Name); err != nil {
				return err
			}
		}
		if err := printAligned(w, &tables[i]); err != nil {
			return err
		}
	}
	return nil
}

func printCSV(w io.Writer, t *azureml.Table) error {
	out := csv.NewWriter(w)
	record := make([]string, len(t.Columns))
	for row := -1; row < t.Rows; row++ {
		for i := range t.Columns {
			record[i] = cell(&t.Columns[i], row, "")
		}
		if err := out.Write(record); err != nil {
			return err
		}
	}
	out.Flush()
	return out.Error()
}

func printAligned(w io.Writer, t *azureml.Table) error {
	out := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	clean := strings.NewReplacer("\t", " ", "\n", " ", "\r", " ", "\v", " ", "\f", " ")
	for row := -1; row < t.Rows; row++ {
		line := make([]string, len(t.Columns))
		for i := range t.Columns {
			line[i] = clean.Replace(cell(&t.Columns[i], row, "-"))
		}
		if _, err := fmt.Fprintln(out, strings.Join(line, "\t")); err != nil {
			return err
		}
	}
	return out.Flush()
}

// cell is one cell as text; row -1 is the column's name, missing what stands for no value.
func cell(c *azureml.Column, row int, missing string) string {
	if row < 0 {
		return c.Name
	}
	if _, found := slices.BinarySearch(c.Missing, uint32(row)); found {
		return missing
	}
	switch c.Vector {
	case azureml.Doubles:
		return strconv.FormatFloat(c.Doubles[row], 'g', -1, 64)
	case azureml.Int64s:
		return strconv.FormatInt(c.Int64s[row], 10)
	case azureml.Bools:
		return strconv.FormatBool(c.Bools[row])
	}
	return c.Strings[row]
}
