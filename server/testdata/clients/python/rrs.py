# The request/response sample of Microsoft's guide "manage AzureML web services using API Management", in Python 3 (its
# urllib2 and print statements are gone there) and otherwise as it stands; only the placeholders and the host are filled
# in.
import urllib.error
import urllib.request
import json
import os
workspace = "demo"
service = "feature-hashing"
api_key = "demo-key"
data = {
"Inputs": {
    "input1": {
        "ColumnNames": ["Col2"],
        "Values": [ [ "This is a good day" ] ]
    },
},
"GlobalParameters": { }
}
url = os.environ["AMLGATE_REST"] + "/workspaces/" + workspace + "/services/" + service + "/execute?api-version=2.0&details=true"
headers = {'Content-Type':'application/json', 'Authorization':('Bearer '+ api_key)}
body = str.encode(json.dumps(data))
try:
    req = urllib.request.Request(url, body, headers)
    response = urllib.request.urlopen(req)
    result = response.read()
    print("result:" + result.decode())
except urllib.error.HTTPError as error:
    print("The request failed with status code: " + str(error.code))
    print(error.info())
    print(json.loads(error.read()))
