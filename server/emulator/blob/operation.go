package blob

// operation is one of Azure's, with who may perform it.
type operation struct {
	name string

	// resource is the letter that an account SAS must have in srt.
	resource string

	// permissions are the letters of which a SAS must have one in sp.
	permissions string

	// keyOnly is what no service SAS allows: operations on containers and on
	// the account, except to list blobs.
	keyOnly bool

	handle func(*Endpoint, *call) (answer, error)
}

// operations are found by "METHOD level restype comp"; HEAD is GET. It is no
// variable, for the handlers would refer to it by way of call.
func operations() map[string]operation {
	info := func(resource string) operation {
		return operation{"GetAccountInfo", resource, "rwdlacup", false, (*Endpoint).getAccountInfo}
	}
	return map[string]operation{
		"GET service  list":              {"ListContainers", "s", "l", true, (*Endpoint).listContainers},
		"GET service service properties": {"GetServiceProperties", "s", "r", true, (*Endpoint).getServiceProperties},
		"GET service account properties": info("sco"),

		"PUT container container ":         {"CreateContainer", "c", "cw", true, (*Endpoint).createContainer},
		"DELETE container container ":      {"DeleteContainer", "c", "d", true, (*Endpoint).deleteContainer},
		"GET container container ":         {"GetContainerProperties", "c", "r", true, (*Endpoint).getContainer},
		"GET container container metadata": {"GetContainerMetadata", "c", "r", true, (*Endpoint).getContainer},
		"PUT container container metadata": {"SetContainerMetadata", "c", "w", true, (*Endpoint).setContainerMetadata},
		"GET container container list":     {"ListBlobs", "c", "l", false, (*Endpoint).listBlobs},
		"GET container account properties": info("sco"),
		"GET blob account properties":      info("sco"),
		"PUT blob  ":                       {"PutBlob", "o", "cw", false, (*Endpoint).putBlob},
		"GET blob  ":                       {"GetBlob", "o", "r", false, (*Endpoint).getBlob},
		"DELETE blob  ":                    {"DeleteBlob", "o", "d", false, (*Endpoint).deleteBlob},
		"GET blob  metadata":               {"GetBlobMetadata", "o", "r", false, (*Endpoint).getBlobMetadata},
		"PUT blob  metadata":               {"SetBlobMetadata", "o", "w", false, (*Endpoint).setBlobMetadata},
		"PUT blob  properties":             {"SetBlobProperties", "o", "w", false, (*Endpoint).setBlobProperties},
		"PUT blob  block":                  {"PutBlock", "o", "w", false, (*Endpoint).putBlock},
		"PUT blob  blocklist":              {"PutBlockList", "o", "w", false, (*Endpoint).putBlockList},
		"GET blob  blocklist":              {"GetBlockList", "o", "r", false, (*Endpoint).getBlockList},
	}
}
