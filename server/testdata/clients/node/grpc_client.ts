// Scores over gRPC with generated stubs and prints what came back, in the form that all languages' clients here share.
import { credentials, Metadata, ServiceError, status } from "@grpc/grpc-js";
import { JobState, jobStateToJSON } from "./gen/amlgate/v1/job";
import { JobServiceClient, WatchEnd_Reason, watchEnd_ReasonToJSON, WatchJobResponse } from "./gen/amlgate/v1/job_service";
import { ExecuteRequest, ExecuteResponse, ScoringServiceClient } from "./gen/amlgate/v1/scoring_service";
import { Column, Table } from "./gen/amlgate/v1/table";
import { BadRequest, ErrorInfo } from "./gen/google/rpc/error_details";
import { Status } from "./gen/google/rpc/status";

const client = new ScoringServiceClient(process.env.AMLGATE_GRPC!, credentials.createInsecure());

type Values = NonNullable<Column["values"]>;

const column = (name: string, values: Values, ...missing: number[]): Column => ({ name, values, missing, type: "" });
const strings = (...values: string[]): Values => ({ $case: "strings", strings: { values } });
const int64s = (...values: bigint[]): Values => ({ $case: "int64s", int64s: { values } });
const doubles = (...values: number[]): Values => ({ $case: "doubles", doubles: { values } });
const bools = (...values: boolean[]): Values => ({ $case: "bools", bools: { values } });

// Four rows; each kind of vector has a missing cell.
const people = (ages = int64s(61n, 53n, 48n, 0n)): Table => ({
  rowCount: 0,
  columns: [
    column("Sex", strings("female", "male", "male", ""), 3),
    column("Age", ages, 3),
    column("TotalCholesterol", doubles(180.5, 161, 0, 200), 2),
    column("HdlCholesterol", doubles(47, 55, 50, 50)),
    column("SystolicBloodPressure", doubles(124, 125, 130, 130)),
    column("Treated", bools(false, true, false, false)),
    column("Smoker", bools(true, false, false, false), 3),
    column("Diabetic", bools(false, true, false, false)),
  ],
});

function tables(table: Table): ExecuteRequest {
  const payload = { $case: "tables" as const, tables: { inputs: { input1: table }, globalParameters: { "High risk threshold": 0.15 } } };
  return { workspace: "demo", service: "cardiovascular-risk", apiVersion: "", details: false, format: "", payload };
}

function execute(request: ExecuteRequest, key = "demo-key"): Promise<ExecuteResponse> {
  const metadata = new Metadata();
  metadata.set("authorization", `Bearer ${key}`);
  return new Promise((resolve, reject) => {
    client.execute(request, metadata, { deadline: Date.now() + 30_000 }, (error, answer) => (error ? reject(error) : resolve(answer)));
  });
}

function cells(values: Values): string[] {
  switch (values.$case) {
    case "strings":
      return [...values.strings.values];
    case "int64s":
      return values.int64s.values.map(String);
    case "doubles":
      return values.doubles.values.map((v) => v.toFixed(9));
    case "bools":
      return values.bools.values.map(String);
  }
}

function show(name: string, table: Table) {
  console.log(`${name}: ${table.rowCount} rows`);
  for (const c of table.columns) {
    const texts = cells(c.values!);
    for (const row of c.missing) {
      texts[row] = "-";
    }
    console.log(`  ${c.name} (${c.type}, ${c.values!.$case}): ${texts.join(", ")}`);
  }
}

async function showError(title: string, call: Promise<ExecuteResponse>) {
  const error = (await call.then(
    () => Promise.reject(new Error(`${title}: no error came`)),
    (e) => e,
  )) as ServiceError;
  console.log(`${title}: ${status[error.code]}: ${error.details}`);
  const packed = error.metadata.get("grpc-status-details-bin")[0] as Buffer;
  for (const detail of Status.decode(packed).details) {
    const type = detail.typeUrl.split(".").pop();
    if (type === "ErrorInfo") {
      const info = ErrorInfo.decode(detail.value);
      console.log(`  ErrorInfo ${info.domain} ${info.reason}`);
    } else if (type === "BadRequest") {
      for (const violation of BadRequest.decode(detail.value).fieldViolations) {
        console.log(`  BadRequest ${violation.field}`);
      }
    } else {
      console.log(`  ${type}`);
    }
  }
}

const jobs = new JobServiceClient(process.env.AMLGATE_GRPC!, credentials.createInsecure());

async function events(jobId: string, cursor: string, metadata: Metadata): Promise<WatchJobResponse[]> {
  const list: WatchJobResponse[] = [];
  const request = { workspace: "demo", service: "feature-hashing", apiVersion: "", jobId, cursor };
  for await (const event of jobs.watchJob(request, metadata, { deadline: Date.now() + 60_000 })) {
    list.push(event);
  }
  return list;
}

// Runs a job on a blob that is not there and watches it to its end, then from its end.
async function watch() {
  const metadata = new Metadata();
  metadata.set("authorization", "Bearer demo-key");
  const json = Buffer.from('{"Input":{"ConnectionString":"UseDevelopmentStorage=true","RelativeLocation":"none/none.csv"}}');
  const where = { workspace: "demo", service: "feature-hashing", apiVersion: "", requestId: "" };
  const jobId = await new Promise<string>((resolve, reject) => {
    jobs.submitJob({ ...where, payload: { $case: "json", json } }, metadata, (error, answer) => (error ? reject(error) : resolve(answer.jobId)));
  });
  await new Promise<void>((resolve, reject) => {
    jobs.startJob({ ...where, jobId }, metadata, (error) => (error ? reject(error) : resolve()));
  });
  let state = JobState.JOB_STATE_UNSPECIFIED;
  let cursor = "";
  const reasons = (list: WatchJobResponse[]) =>
    list.map((e) => watchEnd_ReasonToJSON(e.event?.$case === "end" ? e.event.end.reason : WatchEnd_Reason.REASON_UNSPECIFIED));
  const list = await events(jobId, "", metadata);
  for (const e of list) {
    if (e.event?.$case === "job") {
      state = e.event.job.state;
      cursor = e.cursor;
    }
  }
  console.log(`watch: ${jobStateToJSON(state)}, then ${reasons(list.slice(-1))}`);
  console.log(`resumed: ${reasons(await events(jobId, cursor, metadata)).join(", ")}`);
  jobs.close();
}

async function main() {
  const scored = await execute(tables(people()));
  if (scored.payload?.$case !== "tables") {
    throw new Error("the answer is no tables");
  }
  for (const name of Object.keys(scored.payload.tables.results).sort()) {
    show(name, scored.payload.tables.results[name]);
  }

  const json = '{"Inputs":{"input1":{"ColumnNames":["Col2"],"Values":[["This is a good day"]]}},"GlobalParameters":{}}';
  const hashed = await execute({ ...tables(people()), service: "feature-hashing", payload: { $case: "json", json: Buffer.from(json) } });
  if (hashed.payload?.$case !== "json") {
    throw new Error("the answer is no JSON");
  }
  console.log(`json: ${hashed.payload.json}`);

  await showError("ragged", execute(tables(people(int64s(61n, 53n, 48n)))));
  await showError("key", execute(tables(people()), "no-such-key"));
  await watch();
  client.close();
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
