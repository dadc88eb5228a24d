"""Scores over gRPC with generated stubs and prints what came back, in the form that all languages' clients here share."""
import os

import grpc
# Google's own copy of the annotations that the contract uses: most programs that call Google's APIs load it too.
from google.api import annotations_pb2
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from amlgate.v1 import job_pb2 as job
from amlgate.v1 import job_service_pb2 as jobs
from amlgate.v1 import job_service_pb2_grpc as job_stubs
from amlgate.v1 import scoring_service_pb2 as scoring
from amlgate.v1 import scoring_service_pb2_grpc as stubs
from amlgate.v1 import table_pb2 as tables


def people():
    """Four rows; each kind of vector has a missing cell."""
    column = tables.Column
    return tables.Table(columns=[
        column(name="Sex", strings=tables.Strings(values=["female", "male", "male", ""]), missing=[3]),
        column(name="Age", int64s=tables.Int64s(values=[61, 53, 48, 0]), missing=[3]),
        column(name="TotalCholesterol", doubles=tables.Doubles(values=[180.5, 161, 0, 200]), missing=[2]),
        column(name="HdlCholesterol", doubles=tables.Doubles(values=[47, 55, 50, 50])),
        column(name="SystolicBloodPressure", doubles=tables.Doubles(values=[124, 125, 130, 130])),
        column(name="Treated", bools=tables.Bools(values=[False, True, False, False])),
        column(name="Smoker", bools=tables.Bools(values=[True, False, False, False]), missing=[3]),
        column(name="Diabetic", bools=tables.Bools(values=[False, True, False, False])),
    ])


def request(table):
    message = scoring.ExecuteRequest(workspace="demo", service="cardiovascular-risk")
    message.tables.inputs["input1"].CopyFrom(table)
    message.tables.global_parameters["High risk threshold"].number_value = 0.15
    return message


def cell(kind, value):
    if kind == "doubles":
        return "%.9f" % value
    if kind == "bools":
        return "true" if value else "false"
    return str(value)


def show(name, table):
    print(f"{name}: {table.row_count} rows")
    for c in table.columns:
        kind = c.WhichOneof("values")
        values = [cell(kind, v) for v in getattr(c, kind).values]
        for row in c.missing:
            values[row] = "-"
        print(f"  {c.name} ({c.type}, {kind}): {', '.join(values)}")


def show_error(title, call):
    try:
        call()
    except grpc.RpcError as error:
        print(f"{title}: {error.code().name}: {error.details()}")
        for detail in rpc_status.from_call(error).details:
            info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
            if detail.Unpack(info):
                print(f"  ErrorInfo {info.domain} {info.reason}")
            elif detail.Unpack(bad):
                for violation in bad.field_violations:
                    print(f"  BadRequest {violation.field}")
            else:
                print("  " + detail.type_url.split(".")[-1])


def watch(service, key):
    """Runs a job on a blob that is not there and watches it to its end, then from its end."""
    body = b'{"Input":{"ConnectionString":"UseDevelopmentStorage=true","RelativeLocation":"none/none.csv"}}'
    where = {"workspace": "demo", "service": "feature-hashing"}
    where["job_id"] = service.SubmitJob(jobs.SubmitJobRequest(json=body, **where), metadata=key, timeout=30).job_id
    service.StartJob(jobs.StartJobRequest(**where), metadata=key, timeout=30)
    cursor = ""
    for event in service.WatchJob(jobs.WatchJobRequest(**where), metadata=key, timeout=60):
        if event.WhichOneof("event") == "job":
            state, cursor = job.JobState.Name(event.job.state), event.cursor
        elif event.WhichOneof("event") == "end":
            print(f"watch: {state}, then {jobs.WatchEnd.Reason.Name(event.end.reason)}")
    again = service.WatchJob(jobs.WatchJobRequest(cursor=cursor, **where), metadata=key, timeout=60)
    print("resumed: " + ", ".join(jobs.WatchEnd.Reason.Name(event.end.reason) for event in again))


def main():
    key = (("authorization", "Bearer demo-key"),)
    with grpc.insecure_channel(os.environ["AMLGATE_GRPC"]) as channel:
        service = stubs.ScoringServiceStub(channel)
        results = service.Execute(request(people()), metadata=key, timeout=30).tables.results
        for name in sorted(results):
            show(name, results[name])

        body = b'{"Inputs":{"input1":{"ColumnNames":["Col2"],"Values":[["This is a good day"]]}},"GlobalParameters":{}}'
        answer = service.Execute(scoring.ExecuteRequest(workspace="demo", service="feature-hashing", json=body),
                                 metadata=key, timeout=30)
        print("json: " + answer.json.decode())

        ragged = people()
        ragged.columns[1].int64s.values.pop()
        show_error("ragged", lambda: service.Execute(request(ragged), metadata=key, timeout=30))
        wrong = (("authorization", "Bearer no-such-key"),)
        show_error("key", lambda: service.Execute(request(people()), metadata=wrong, timeout=30))
        watch(job_stubs.JobServiceStub(channel), key)

    # The contract's annotation is readable through Google's copy, whichever copy the stubs were generated against.
    execute = scoring.DESCRIPTOR.services_by_name["ScoringService"].methods_by_name["Execute"]
    assert execute.GetOptions().Extensions[annotations_pb2.http].post.endswith("/execute")


main()
