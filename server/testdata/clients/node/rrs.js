// Scores over REST as programs for AzureML Studio (classic) in Node did: core http, no length announced, so that the
// body goes out in chunks.
const http = require("http");

const body = {
  Inputs: { input1: { ColumnNames: ["Col2"], Values: [["This is a good day"]] } },
  GlobalParameters: null,
};
const url = process.env.AMLGATE_REST + "/workspaces/demo/services/feature-hashing/execute?api-version=2.0&details=true";
const headers = { "Content-Type": "application/json", Authorization: "Bearer demo-key" };

const request = http.request(url, { method: "POST", headers }, (response) => {
  let text = "";
  response.setEncoding("utf8");
  response.on("data", (chunk) => (text += chunk));
  response.on("end", () => {
    const [row] = JSON.parse(text).Results.output1.value.Values;
    console.log(response.statusCode, row.slice(1).join(" "));
  });
});
request.write(JSON.stringify(body));
request.end();
