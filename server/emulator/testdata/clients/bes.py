# The batch execution sample of Microsoft's guide "Manage AzureML web services using API Management" (Test BES
# endpoint), ported to Python 3. Changed are only: urllib2 became urllib.request and urllib.error, print a function, the
# storage client that of azure-storage-blob; the indentation that the guide lost is back; bytes are decoded where Python 3
# tells them from text; addresses and names come from the environment.
import json
import os
import time
import urllib.error
import urllib.request

from azure.storage.blob import BlobServiceClient

host = os.environ["AMLGATE_REST"]
workspace = "demo"
service = "feature-hashing"
api_key = "demo-key"
storage_account_name = os.environ["STORAGE_ACCOUNT"]
storage_account_key = os.environ["STORAGE_KEY"]
storage_account_url = os.environ["STORAGE_URL"]
storage_container_name = os.environ["STORAGE_CONTAINER"]
input_file = os.environ["INPUT_FILE"]
output_file = os.environ["OUTPUT_FILE"]
input_blob_name = "mydatablob.csv"
output_blob_name = "myresultsblob.csv"


def printHttpError(httpError):
    print("The request failed with status code: " + str(httpError.code))
    print(httpError.info())
    print(json.loads(httpError.read()))
    return


def saveBlobToFile(blobUrl, resultsLabel):
    print("Reading the result from " + blobUrl)
    try:
        response = urllib.request.urlopen(blobUrl)
    except urllib.error.HTTPError as error:
        printHttpError(error)
        return
    with open(output_file, "wb+") as f:
        f.write(response.read())
    print(resultsLabel + " have been written to the file " + output_file)
    return


def processResults(result):
    first = True
    results = result["Results"]
    for outputName in results:
        result_blob_location = results[outputName]
        sas_token = result_blob_location["SasBlobToken"]
        base_url = result_blob_location["BaseLocation"]
        relative_url = result_blob_location["RelativeLocation"]
        print("The results for " + outputName + " are available at the following Azure Storage location:")
        print("BaseLocation: " + base_url)
        print("RelativeLocation: " + relative_url)
        print("SasBlobToken: " + sas_token)
        if (first):
            first = False
            url3 = base_url + relative_url + sas_token
            saveBlobToFile(url3, "The results for " + outputName)
    return


def invokeBatchExecutionService():
    url = host + "/workspaces/" + workspace + "/services/" + service + "/jobs"
    blob_service = BlobServiceClient(storage_account_url, credential={"account_name": storage_account_name, "account_key": storage_account_key})
    print("Uploading the input to blob storage...")
    data_to_upload = open(input_file, "r").read()
    blob_service.get_blob_client(storage_container_name, input_blob_name).upload_blob(data_to_upload, blob_type="BlockBlob", overwrite=True)
    print("Uploaded the input to blob storage")
    input_blob_path = "/" + storage_container_name + "/" + input_blob_name
    connection_string = "DefaultEndpointsProtocol=https;AccountName=" + storage_account_name + ";AccountKey=" + storage_account_key
    payload = {
        "Input": {
            "ConnectionString": connection_string,
            "RelativeLocation": input_blob_path
        },
        "Outputs": {
            "output1": {"ConnectionString": connection_string, "RelativeLocation": "/" + storage_container_name + "/" + output_blob_name},
        },
        "GlobalParameters": {
        }
    }
    body = str.encode(json.dumps(payload))
    headers = {"Content-Type": "application/json", "Authorization": ("Bearer " + api_key)}
    print("Submitting the job...")
    # submit the job
    req = urllib.request.Request(url + "?api-version=2.0", body, headers)
    try:
        response = urllib.request.urlopen(req)
    except urllib.error.HTTPError as error:
        printHttpError(error)
        return
    result = response.read().decode()
    job_id = result[1:-1]  # remove the enclosing double-quotes
    print("Job ID: " + job_id)
    # start the job
    print("Starting the job...")
    req = urllib.request.Request(url + "/" + job_id + "/start?api-version=2.0", b"", headers)
    try:
        response = urllib.request.urlopen(req)
    except urllib.error.HTTPError as error:
        printHttpError(error)
        return
    url2 = url + "/" + job_id + "?api-version=2.0"

    while True:
        print("Checking the job status...")
        # If you are using Python 3+, replace urllib2 with urllib.request in the follwing code
        req = urllib.request.Request(url2, headers={"Authorization": ("Bearer " + api_key)})
        try:
            response = urllib.request.urlopen(req)
        except urllib.error.HTTPError as error:
            printHttpError(error)
            return
        result = json.loads(response.read())
        status = result["StatusCode"]
        print("status:" + status)
        if (status == 0 or status == "NotStarted"):
            print("Job " + job_id + " not yet started...")
        elif (status == 1 or status == "Running"):
            print("Job " + job_id + " running...")
        elif (status == 2 or status == "Failed"):
            print("Job " + job_id + " failed!")
            print("Error details: " + result["Details"])
            break
        elif (status == 3 or status == "Cancelled"):
            print("Job " + job_id + " cancelled!")
            break
        elif (status == 4 or status == "Finished"):
            print("Job " + job_id + " finished!")
            processResults(result)
            break
        time.sleep(1)  # wait one second
    return


invokeBatchExecutionService()
