package azureml

// SizeHint is about how many bytes AppendRequest writes for tables.
func SizeHint(tables []Table) int {
	n := 64
	for i := range tables {
		for j := range tables[i].Columns {
			n += 64 + 12*tables[i].Columns[j].len()
		}
	}
	return n
}
