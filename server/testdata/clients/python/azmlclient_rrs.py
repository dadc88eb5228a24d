"""Calls services through azmlclient, a third-party client of AzureML Studio (classic)."""
import contextlib
import io
import os
import sys
import types

# autoclass, which azmlclient decorates its configuration classes with, falls back to Python 2's im_func on any Python
# since 3.7 and fails. No call needs what it adds, so it is left out; azmlclient itself is as it was published.
autoclass = types.ModuleType("autoclass")
autoclass.autodict = lambda decorated: decorated
sys.modules["autoclass"] = autoclass

import pandas  # noqa: E402
from azmlclient import AzmlException, execute_rr  # noqa: E402

SERVICES = os.environ["AMLGATE_REST"] + "/workspaces/demo/services/"

people = pandas.DataFrame({
    "Sex": ["female", "male"], "Age": [61, 53], "TotalCholesterol": [180.5, 161.0], "HdlCholesterol": [47, 55],
    "SystolicBloodPressure": [124, 125], "Treated": [False, True], "Smoker": [True, False], "Diabetic": [False, True],
})


def show(tables):
    for name in sorted(tables):
        print(name)
        print(tables[name].to_csv(index=False), end="")


show(execute_rr("demo-key", SERVICES + "feature-hashing",
                inputs={"input1": pandas.DataFrame({"Col2": ["This is a good day"]})}))
for swagger in False, True:
    print("swagger" if swagger else "tables")
    show(execute_rr("demo-key", SERVICES + "cardiovascular-risk", inputs={"input1": people},
                    params={"High risk threshold": 0.15}, output_names=["output1", "output2"], use_swagger_format=swagger))

try:
    with contextlib.redirect_stdout(io.StringIO()):  # the client prints the answer's headers, dates and all
        execute_rr("no-such-key", SERVICES + "cardiovascular-risk", inputs={"input1": people})
except AzmlException as error:
    print(error)
