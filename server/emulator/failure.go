package emulator

import "fmt"

// failure is why a job failed: one of AzureML's numbered module errors, of
// which "Module Error Codes" lists number and sentence.
type failure struct {
	module   string // that failed
	number   string
	sentence string // without the full stop
}

// reading is a failure of the module that reads the input.
func reading(number, format string, args ...any) *failure {
	return &failure{"Reader", number, fmt.Sprintf(format, args...)}
}

// unparsed is a failure to read an input as a table.
func unparsed(format string, args ...any) *failure {
	return reading("0049", "Error while parsing the file: "+format, args...)
}

// writing is a failure of the module that writes the outputs.
func writing(at location, err error) *failure {
	return &failure{"Writer", "0066", fmt.Sprintf("The file %q could not be uploaded to Azure storage: %s", cut(at.relative), reason(err))}
}

// crashed is a failure of nobody's making: the one that Faults.JobFail asks for.
func crashed() *failure {
	return &failure{"Score Model", "1000", "AFx Library library exception: The container process crashed with unknown error"}
}

// errorIDs are the words that stand beside a number. Only the first was seen;
// the others are ours.
var errorIDs = map[string]string{
	"1000": "LibraryException",
	"0003": "NullOrEmpty",
	"0018": "InvalidDataset",
	"0030": "CouldNotDownloadFile",
	"0049": "CouldNotParseFile",
	"0066": "CouldNotUploadToAzureStorage",
}

// details is the failure in the form of the one text of this kind that was
// seen, which an issue quotes. The ids of task and request are made up.
func (f *failure) details(job string) string {
	message := redact(fmt.Sprintf("Error %s: %s", f.number, f.sentence))
	exception := marshal(object{{"Exception", object{
		{"ErrorId", errorIDs[f.number]},
		{"ErrorCode", f.number},
		{"ExceptionType", "ModuleException"},
		{"Message", message},
	}}})
	return fmt.Sprintf("Module: %s; SNR Job Id: %s; SNR Task Id: %s; requestId = %s errorComponent=Module. taskStatusCode=400. %sError: %s",
		f.module, job, requestID(), requestID(), exception, message)
}
