// Package azureml calls AzureML web services and reads and writes their JSON. It knows HTTP and AzureML's dialect; it
// knows nothing of gRPC, of Protobuf or of who the caller is, and it repeats no call.
//
// What AzureML does on the wire, and how far each fact is proven, is told where it is used. Studio (classic) is the
// dialect of this package: a request/response service answers
//
//	POST {base}/workspaces/{workspace}/services/{service}/execute?api-version=2.0&details=true|false[&format=swagger]
//
// with "Authorization: Bearer KEY", and describes itself at .../swagger.json without a key.
package azureml
